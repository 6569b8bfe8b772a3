"""The pictures of a report, as SVG within the page.

Everything is bounded: a picture of a million attempts is as large as one of thousands.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from markupsafe import Markup

from client.commands.tables import lasted
from client.report.texts import shorter, tidy
from figures.axis import Axis
from figures.path import Path
from figures.timeline import Bar, Curve, Lane, Piece

#: Of a picture: its width, the labels' part of it, and the room above for times.
WIDTH, LEFT, RIGHT, TOP = 1000.0, 150.0, 10.0, 22.0
#: Heights: of a lane's row, a lane of pieces, the gap between lanes, the curve.
ROW, THICK, GAP, CURVE = 9.0, 14.0, 5.0, 170.0
#: Bars narrower than this are drawn so wide, so that they can be seen.
LEAST = 0.8


def timeline(lanes: Sequence[Lane], axis: Axis) -> Markup:
    """Who did what when."""
    drawn: list[Markup] = []
    top = TOP
    for lane in lanes:
        height = lane.rows * ROW if lane.bars else THICK
        drawn.append(_lane(lane, top, height))
        top += height + GAP
    what = f"Timeline of {sum(lane.attempts for lane in lanes):,} attempts on {sum(lane.workers for lane in lanes):,} workers"
    return _picture(what, top, [*_grid(axis, top), *drawn])


def _lane(lane: Lane, top: float, height: float) -> Markup:
    parts = [
        Markup('<text class="name" x="{}" y="{:.1f}">{}<title>{}</title></text>').format(
            LEFT - 8, top + height / 2 + 4, shorter(lane.name, 20), tidy(lane.name)
        )
    ]
    if lane.up is not None:
        left, right = lane.up
        parts.append(
            Markup(
                '<rect class="up" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>the worker was there</title></rect>'
            ).format(_x(left), top - 1, max(LEAST, _x(right) - _x(left)), height + 2)
        )
    parts += [_bar(one, top) for one in lane.bars]
    parts += [_piece(one, top, height) for one in lane.pieces]
    return Markup("").join(parts)


def _bar(bar: Bar, top: float) -> Markup:
    one = bar.attempt
    said = f"{tidy(bar.task.id)}, attempt {one.number}: {WORDS[one.fate]}, {lasted(one.seconds)}" + (
        f": {tidy(one.cause)}" if one.cause else ""
    )
    return Markup('<rect class="{}" x="{:.2f}" y="{:.1f}" width="{:.2f}" height="{:.1f}"><title>{}</title></rect>').format(
        one.fate, _x(bar.left), top + bar.row * ROW, max(LEAST, _x(bar.right) - _x(bar.left)), ROW - 1, said
    )


#: What came of an attempt, in words.
WORDS = {"done": "succeeded", "failed": "failed", "lost": "lost with its worker", "cancelled": "cancelled", "open": "under way"}


def _piece(one: Piece, top: float, height: float) -> Markup:
    bad = one.failed * height
    said = f"{one.busy:.0%} of this row's busiest" + (f", {one.failed:.0%} of it failed or lost" if one.failed else "")
    x, width = _x(one.left), max(LEAST, _x(one.right) - _x(one.left))
    good = Markup(
        '<rect class="done" opacity="{:.1f}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
    ).format(one.busy, x, top, width, height - bad, said)
    if not bad:
        return good
    return good + Markup('<rect class="failed" opacity="{:.1f}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        one.busy, x, top + height - bad, width, bad
    )


def utilisation(curve: Curve, axis: Axis) -> Markup:
    """CPUs over time: a surface for those used, a line for those that VMs had."""
    most = max([1.0, *curve.used, *(curve.had or ())])
    bottom = TOP + CURVE

    def y(count: float) -> float:
        return bottom - CURVE * count / most

    parts = [*_grid(axis, bottom)]
    for count in _round_counts(most):
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text class="name" x="{}" y="{:.1f}">{:g}</text>'
            ).format(LEFT, WIDTH - RIGHT, y(count), y(count), LEFT - 8, y(count) + 4, count)
        )
    parts.append(Markup('<path class="used" d="{}"/>').format(_steps(curve.bins, curve.used, axis, y, closed=bottom)))
    if curve.had is not None:
        parts.append(Markup('<path class="had" d="{}"/>').format(_steps(curve.bins, curve.had, axis, y)))
    return _picture(f"CPUs in use over time, {max(curve.used, default=0.0):g} at most", bottom + GAP, parts)


def _steps(
    bins: Sequence[tuple[float, float]],
    values: Sequence[float],
    axis: Axis,
    y: Callable[[float], float],
    closed: float | None = None,
) -> str:
    points: list[str] = []
    last: float | None = None
    for (begin, end), value in zip(bins, values, strict=True):
        left, right, height = _x(axis.at(begin)), _x(axis.at(end)), y(value)
        if last is None or abs(left - last) > 0.5:  # a cut of the axis
            if closed is not None:
                points.append(
                    (f"L{last:.1f} {closed:.1f}Z" if last is not None else "")
                    + f"M{left:.1f} {closed:.1f}L{left:.1f} {height:.1f}"
                )
            else:
                points.append(f"M{left:.1f} {height:.1f}")
        points.append(f"L{left:.1f} {height:.1f}L{right:.1f} {height:.1f}")
        last = right
    return "".join(points) + (f"L{last:.1f} {closed:.1f}Z" if closed is not None and last is not None else "")


def _round_counts(most: float) -> Iterator[float]:
    step = next(one for one in (size * 10**power for power in range(9) for size in (1, 2, 5)) if most / one <= 5)
    count = float(step)
    while count <= most:
        yield count
        count += step


def waterfall(path: Path) -> Markup:
    """The parts of the critical path, as one bar."""
    parts, left = [], 0.0
    room = WIDTH - 2 * RIGHT
    for kind, seconds in (("wait", path.wait), ("tried", path.tried), ("start", path.start), ("run", path.run)):
        width = room * seconds / path.seconds if path.seconds else 0.0
        if width > 0.0:
            said = f"{PARTS[kind]}: {lasted(seconds)}"
            parts.append(
                Markup('<rect class="{}" x="{:.1f}" y="2" width="{:.1f}" height="22"><title>{}</title></rect>').format(
                    kind, RIGHT + left, max(LEAST, width), said
                )
            )
        left += width
    return _picture("The parts of the critical path", 26, parts)


#: The parts of a step of the path, in words.
PARTS = {
    "wait": "waiting for a worker",
    "tried": "earlier attempts and back-off",
    "start": "handing out and fetching inputs",
    "run": "running",
}


def shares(parts: Iterable[tuple[str, str, float]]) -> Markup:
    """A bar of shares: ``(class, words, amount)``."""
    told = [one for one in parts if one[2] > 0]
    total = sum(amount for _, _, amount in told)
    drawn, left = [], RIGHT
    for kind, words, amount in told:
        width = (WIDTH - 2 * RIGHT) * amount / total
        drawn.append(
            Markup('<rect class="{}" x="{:.1f}" y="2" width="{:.1f}" height="22"><title>{}: {:.0%}</title></rect>').format(
                kind, left, max(LEAST, width), words, amount / total
            )
        )
        left += width
    return _picture("Shares: " + ", ".join(f"{words} {amount / total:.0%}" for _, words, amount in told), 26, drawn)


def _grid(axis: Axis, bottom: float) -> Iterator[Markup]:
    """Times above, and where the axis is cut."""
    room = -1e9
    days = len({time.strftime("%F", time.localtime(one)) for one in (axis.begin, axis.end)}) > 1
    shape = "%d %b %H:%M" if days else "%H:%M:%S" if axis.seconds < 600 else "%H:%M"
    for moment in axis.ticks():
        x = _x(axis.at(moment))
        if x - room < 88:
            continue
        room = x
        yield Markup(
            '<line class="grid" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{:.1f}"/><text class="time" x="{:.1f}" y="{}">{}</text>'
        ).format(x, x, TOP - 6, bottom, x, TOP - 9, time.strftime(shape, time.localtime(moment)))
    for place, seconds in axis.cuts:
        x = _x(place)
        yield Markup(
            '<line class="cut" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{:.1f}"><title>{} without a task, left out</title></line>'
        ).format(x, x, TOP - 6, bottom, lasted(seconds))


def _picture(what: str, height: float, parts: Iterable[Markup]) -> Markup:
    inner = Markup("\n").join(parts)
    return Markup('<div class="picture"><svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg></div>').format(
        WIDTH, height, what, inner
    )


def _x(place: float) -> float:
    return LEFT + place * (WIDTH - LEFT - RIGHT)
