"""A timeline of attempts by worker: who ran what when, in lanes. Pure.

Rules:
- Attempts of a worker that overlap stand in lanes below each other, as many as it has run at once.
- More attempts than can be told apart are drawn as what they fill: runs of the same state in a lane that touch (to a thousandth of the
  width) are one bar with a count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from boss.ports import SpanRow

#: Attempts that get a bar of their own, workers that are shown, and how wide the drawing is in its own units.
ALONE = 1500
WORKERS = 200
WIDTH = 1000.0
_TOUCH = WIDTH / 1000


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its place, what it is of (``tasks`` attempts; ``task`` is the first one's index), and when."""

    x: float
    width: float
    lane: int
    state: str
    tasks: int
    task: int
    number: int
    started: float
    finished: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One worker. ``busy`` is the part of the time in which it ran something in at least one lane, from 0 to 1."""

    worker: str
    lanes: int
    bars: list[Bar]
    attempts: int
    busy: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """All rows between ``begin`` and ``end`` (Unix seconds)."""

    begin: float
    end: float
    rows: list[Row]
    left_out: int


def lay_out(spans: Sequence[SpanRow], now: float, names: Mapping[str, str] | None = None) -> Timeline:
    """The timeline of attempts in the order of their start; what runs ends at ``now``."""
    if not spans:
        return Timeline(now, now, [], 0)
    begin = spans[0].started
    end = max(begin + 1e-3, *(span.finished or now for span in spans))
    by_worker: dict[str, list[SpanRow]] = {}
    for span in spans:
        by_worker.setdefault(span.worker, []).append(span)
    scale = WIDTH / (end - begin)
    merge = len(spans) > ALONE
    rows = [_row(worker, found, begin, end, now, scale, merge) for worker, found in sorted(by_worker.items())[:WORKERS]]
    return Timeline(begin, end, rows, max(0, len(by_worker) - WORKERS))


def _row(worker: str, spans: list[SpanRow], begin: float, end: float, now: float, scale: float, merge: bool) -> Row:
    ends: list[float] = []
    last: dict[tuple[int, str], _Drawn] = {}
    drawn: list[_Drawn] = []
    busy, until = 0.0, begin
    for span in spans:
        started = span.started
        finished = max(now if span.finished is None else span.finished, started)
        lane = next((number for number, free in enumerate(ends) if free <= started + 1e-6), len(ends))
        ends[lane : lane + 1] = [finished]
        x = (started - begin) * scale
        right = max((finished - started) * scale, 1.0) + x
        before = last.get((lane, span.state)) if merge else None
        if before is not None and x - before.right <= _TOUCH:
            before.right = max(before.right, right)
            before.tasks += 1
        else:
            last[lane, span.state] = made = _Drawn(span, x, right, lane)
            drawn.append(made)
        busy += max(0.0, finished - max(until, started))
        until = max(until, finished)
    bars = [one.bar() for one in drawn]
    return Row(worker, max(1, len(ends)), bars, len(spans), min(1.0, busy / (end - begin)))


class _Drawn:
    """A bar that may still grow."""

    __slots__ = ("lane", "right", "span", "tasks", "x")

    def __init__(self, span: SpanRow, x: float, right: float, lane: int) -> None:
        self.span, self.x, self.right, self.lane, self.tasks = span, x, right, lane, 1

    def bar(self) -> Bar:
        one = self.span
        return Bar(self.x, self.right - self.x, self.lane, one.state, self.tasks, one.task, one.number, one.started, one.finished)


def ticks(begin: float, end: float, most: int = 6) -> list[tuple[float, float]]:
    """Round seconds since the beginning, and where they stand (0 to 100)."""
    length = end - begin
    step = next((step for step in _STEPS if length / step <= most), _STEPS[-1] * max(1, int(length / _STEPS[-1] / most) + 1))
    return [(number * step, 100.0 * number * step / length) for number in range(int(length / step) + 1)]


_STEPS = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14400,
    21600,
    43200,
    86400,
    172800,
    604800,
)
