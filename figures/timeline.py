"""Who did what when: a lane a worker, attempts as bars; of a large job how busy each lane was. And how many cpus were used. PURE."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from figures.axis import Axis
from figures.rows import Attempt, Past, Task

#: Bars that are drawn one by one; with more of them lanes show how busy they were, in so many pieces.
BARS = 3000
PIECES = 200
#: Lanes at most; with more workers each lane stands for several of them.
LANES = 40
#: Rows within a lane at most.
ROWS = 16
#: Pieces of the curve of used cpus.
CURVE = 400


@dataclass(frozen=True, slots=True)
class Bar:
    """An attempt on a lane: ``left`` and ``right`` on the axis (0 to 1), its row within the lane."""

    task: Task
    attempt: Attempt
    left: float
    right: float
    row: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a lane of a large job: how busy its workers were (0 to 1 of the lane's busiest), and which part of it failed."""

    left: float
    right: float
    busy: float
    failed: float


@dataclass(frozen=True, slots=True)
class Lane:
    """One worker, or several. ``up`` are the parts of the axis in which its VM was there (empty: not known)."""

    name: str
    workers: int
    attempts: int
    rows: int
    bars: Sequence[Bar] = ()
    pieces: Sequence[Piece] = ()
    up: tuple[float, float] | None = None


def axis_of(past: Past) -> Axis:
    """The time of a job, from its push until its end or now."""
    spans = [
        (one.start, one.end) for task in past.tasks for one in task.attempts if one.start is not None and one.end is not None
    ]
    begin = min([past.created, *(start for start, _ in spans)])
    last = max((end for _, end in spans), default=past.created)
    return Axis(spans, begin, past.end if not past.over else max(last, min(past.end, last + 60.0)))


def lanes_of(past: Past, axis: Axis) -> list[Lane]:
    """The timeline by worker, bounded however large the job is. Workers in the order of their first attempt."""
    by_worker: dict[str, list[tuple[Task, Attempt]]] = defaultdict(list)
    count = 0
    for task in past.tasks:
        for one in task.attempts:
            if one.start is not None:
                by_worker[one.worker].append((task, one))
                count += 1
    for tried in by_worker.values():
        tried.sort(key=lambda pair: pair[1].start or 0.0)
    names = sorted(by_worker, key=lambda name: (by_worker[name][0][1].start or 0.0, name))
    size = -(-len(names) // LANES) if names else 1
    groups = [names[start : start + size] for start in range(0, len(names), size)]
    up = {one.id: (one.created, one.ended) for one in past.machines if one.created is not None}
    lanes = []
    for group in groups:
        tried = [pair for name in group for pair in by_worker[name]]
        title = group[0] if len(group) == 1 else f"{group[0]} and {len(group) - 1} more"
        lane = Lane(title, len(group), len(tried), 1, up=_up(up, group, axis))
        if count <= BARS and len(group) == 1:
            bars, rows = _bars(tried, axis)
            lanes.append(Lane(lane.name, 1, lane.attempts, rows, bars=bars, up=lane.up))
        else:
            lanes.append(Lane(lane.name, lane.workers, lane.attempts, 1, pieces=_pieces(tried, axis), up=lane.up))
    return lanes


def _up(known: Mapping[str, tuple[float, float | None]], group: Sequence[str], axis: Axis) -> tuple[float, float] | None:
    there = [known[name] for name in group if name in known]
    if not there:
        return None
    begin = min(begin for begin, _ in there)
    ends = [axis.end if end is None else end for _, end in there]
    return axis.at(begin), axis.at(max(ends))


def _bars(tried: Sequence[tuple[Task, Attempt]], axis: Axis) -> tuple[list[Bar], int]:
    """Bars in as few rows as hold them side by side; beyond ROWS they share."""
    free: list[int] = []
    ends: list[tuple[float, int]] = []
    bars, rows = [], 0
    for task, one in tried:
        start, end = one.start or 0.0, one.end or 0.0
        while ends and ends[0][0] <= start:
            heappush(free, heappop(ends)[1])
        if free:
            row = heappop(free)
        else:
            row, rows = rows, rows + 1
        heappush(ends, (end, row))
        bars.append(Bar(task, one, axis.at(start), axis.at(end), row % ROWS))
    return bars, min(max(1, rows), ROWS)


def _pieces(tried: Sequence[tuple[Task, Attempt]], axis: Axis) -> list[Piece]:
    bins = axis.bins(PIECES)
    busy = spread(((one.start, one.end, one.cpus) for _, one in tried), bins)
    wasted = spread(((one.start, one.end, one.cpus) for _, one in tried if one.fate in ("failed", "lost")), bins)
    most = max(busy, default=0.0)
    found: list[Piece] = []
    for (begin, end), all_of_it, failed in zip(bins, busy, wasted, strict=True):
        if all_of_it <= 0.0:
            continue
        level = max(0.2, round(5 * all_of_it / most) / 5)  # few levels, so that neighbours become one
        bad = round(4 * failed / all_of_it) / 4
        left, right = axis.at(begin), axis.at(end)
        if found and abs(found[-1].right - left) < 1e-9 and (found[-1].busy, found[-1].failed) == (level, bad):
            found[-1] = Piece(found[-1].left, right, level, bad)
        else:
            found.append(Piece(left, right, level, bad))
    return found


def spread(spans: Iterable[tuple[float | None, float | None, float]], bins: Sequence[tuple[float, float]]) -> list[float]:
    """The mean weight in each bin of spans ``(start, end, weight)``: exact, in one pass over spans and bins."""
    begins = [begin for begin, _ in bins]
    partly = [0.0] * len(bins)
    change = [0.0] * (len(bins) + 1)  # of the weight of spans that cover a whole bin
    for start, end, weight in spans:
        if start is None or end is None or end <= start or not bins:
            continue
        first, last = max(0, bisect_right(begins, start) - 1), max(0, bisect_right(begins, end) - 1)
        for place in {first, last}:
            begin, stop = bins[place]
            partly[place] += weight * max(0.0, min(end, stop) - max(start, begin))
        if last > first + 1:
            change[first + 1] += weight
            change[last] -= weight
    found, level = [], 0.0
    for place, (begin, end) in enumerate(bins):
        level += change[place]
        found.append(level + (partly[place] / (end - begin) if end > begin else 0.0))
    return found


@dataclass(frozen=True, slots=True)
class Curve:
    """CPUs over time: ``used`` by the job's tasks, ``had`` by the VMs that ran it (None: not known of all). Parallel to ``bins``."""

    bins: Sequence[tuple[float, float]]
    used: Sequence[float]
    had: Sequence[float] | None


def curve_of(past: Past, axis: Axis) -> Curve:
    """How many cpus were used over time."""
    bins = axis.bins(CURVE)
    used = spread(((one.start, one.end, one.cpus) for task in past.tasks for one in task.attempts), bins)
    known = [one for one in past.machines if one.created is not None and one.cpus is not None]
    had = None
    if known and len(known) == len(past.machines):
        had = spread(((one.created, past.now if one.ended is None else one.ended, one.cpus or 0.0) for one in known), bins)
    return Curve(bins, used, had)
