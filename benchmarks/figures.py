"""What was measured, and the table of it. Pure.

Rules:
- A figure of a run is made from that run alone, beside the xargs right before and right after it; the table has medians over the runs,
  with the lowest and the highest in brackets.
- What was not measured is a dash, what a system cannot do is said.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.loads import NAP, SLOTS


@dataclass(frozen=True, slots=True)
class Measured:
    """One load on one system, once. Seconds; cpu seconds of all processes; ``memory`` in bytes per waiting task.

    ``xargs`` and ``xargs_cpu`` are what xargs took before and after. ``unable`` says why a system cannot do it.
    """

    system: str
    run: int
    load: str
    tasks: int
    seconds: float = 0.0
    cpu: float = 0.0
    memory: float | None = None
    xargs: tuple[float, ...] = ()
    xargs_cpu: tuple[float, ...] = ()
    load_average: float = 0.0
    unable: str = ""


@dataclass(slots=True)
class Line:
    """One system in the table: its name, what is durable, what it measured."""

    title: str
    durable: str
    measured: list[Measured] = field(default_factory=list)


Figure = Callable[[Measured], float | None]


def ratio(one: Measured) -> float | None:
    """The speed in units of xargs' speed."""
    return _mean(one.xargs) / one.seconds if one.xargs else None


def cpu_per_task(one: Measured) -> float | None:
    """Milliseconds."""
    return 1000 * one.cpu / one.tasks


def per_task(one: Measured) -> float | None:
    """Milliseconds from one task to the next."""
    return 1000 * one.seconds / one.tasks


def efficiency(one: Measured) -> float | None:
    """How much of the slots' time went into sleeping."""
    return one.tasks * NAP / SLOTS / one.seconds


def rate(one: Measured) -> float | None:
    """Tasks a second."""
    return one.tasks / one.seconds


def memory(one: Measured) -> float | None:
    """Bytes per waiting task."""
    return one.memory


#: Title, load, figure and digits after the point of each column.
COLUMNS: tuple[tuple[str, str, Figure, int], ...] = (
    ("no-op tasks, x xargs", "true", ratio, 2),
    ("cpu ms per task", "true", cpu_per_task, 2),
    ("chain, ms per hop", "chain", per_task, 1),
    ("layers, x xargs", "layers", ratio, 2),
    ("`sleep 0.1`, efficiency", "sleep", efficiency, 2),
    ("queue of 100,000: submits/s", "queue", rate, 0),
    ("queue: bytes per task", "queue", memory, 0),
)
#: The same of xargs itself, which has no graph and no queue.
_OF_XARGS = {"true": (cpu_per_task,), "chain": (per_task,), "sleep": (efficiency,)}


def xargs_line(lines: Iterable[Line]) -> Line:
    """xargs as a system of its own: all of its runs, whomever they were beside."""
    found = []
    for line in lines:
        for one in line.measured:
            for seconds, cpu in zip(one.xargs, one.xargs_cpu, strict=True):
                found.append(Measured("xargs", one.run, one.load, one.tasks, seconds, cpu, load_average=one.load_average))
    speeds = [one.tasks / one.seconds for one in found if one.load == "true"]
    told = f" ({min(speeds):,.0f} to {max(speeds):,.0f} tasks/s)" if speeds else ""
    return Line(f"xargs -P{SLOTS}{told}", "no", found)


def table(lines: Sequence[Line]) -> str:
    """All systems, xargs first, as a Markdown table."""
    beside = xargs_line(lines)
    first = [beside.title, *(_of_xargs(beside, load, figure, digits) for _, load, figure, digits in COLUMNS), beside.durable]
    rows = [["system", *(title for title, *_ in COLUMNS), "durable"], ["---"] + ["---:"] * len(COLUMNS) + ["---"], first]
    for line in lines:
        rows.append([line.title, *(_cell(line, load, figure, digits) for _, load, figure, digits in COLUMNS), line.durable])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, lowest, highest."""
    return median(values), min(values), max(values)


def _of_xargs(line: Line, load: str, figure: Figure, digits: int) -> str:
    if load == "true" and figure is ratio:
        return "1" if any(one.load == load for one in line.measured) else "-"
    return _cell(line, load, figure, digits) if figure in _OF_XARGS.get(load, ()) else "-"


def _cell(line: Line, load: str, figure: Figure, digits: int) -> str:
    those = [one for one in line.measured if one.load == load]
    unable = {one.unable for one in those if one.unable}
    if unable:
        return ", ".join(sorted(unable))
    values = [value for one in those if (value := figure(one)) is not None]
    if not values:
        return "-"
    middle, low, high = (f"{value:,.{digits}f}" for value in spread(values))
    return middle if low == high else f"{middle} ({low} to {high})"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
