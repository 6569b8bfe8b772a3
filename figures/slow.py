"""Which tasks took longest, and how the entries of the task file compare. PURE."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from statistics import median

from figures.rows import Attempt, Past, Task

#: How many are told.
SLOWEST = 20
FAMILIES = 50


@dataclass(frozen=True, slots=True)
class Slow:
    """A task by its last attempt; ``times`` is how many times the median of its entry that is (None: it is the only one)."""

    task: Task
    attempt: Attempt
    times: float | None


@dataclass(frozen=True, slots=True)
class Family:
    """The tasks of one entry: how many, how many failed; run times of those that succeeded (seconds), CPU seconds of all attempts.

    ``memory`` is the highest peak that a worker has counted, in bytes.
    """

    name: str
    count: int
    failed: int
    ran: int
    median: float
    high: float
    longest: float
    cost: float
    memory: float | None


def slowest(past: Past, count: int = SLOWEST) -> list[Slow]:
    """The tasks whose last attempt ran longest, those that still run too."""
    medians = {name: median(ran) for name, ran in _ran(past.tasks).items() if len(ran) > 1}
    tried = ((task, one) for task in past.tasks if (one := task.last) is not None)
    found = nlargest(count, tried, key=lambda pair: (pair[1].seconds, -pair[0].index))
    return [Slow(task, one, one.seconds / medians[task.family] if medians.get(task.family) else None) for task, one in found]


def families(past: Past) -> tuple[list[Family], int]:
    """The entries that cost most, and how many are not told."""
    ran = _ran(past.tasks)
    count: dict[str, int] = defaultdict(int)
    failed: dict[str, int] = defaultdict(int)
    cost: dict[str, float] = defaultdict(float)
    memory: dict[str, float] = {}
    for task in past.tasks:
        count[task.family] += 1
        failed[task.family] += task.state == "failed"
        for one in task.attempts:
            cost[task.family] += one.cost
            if one.memory is not None:
                memory[task.family] = max(memory.get(task.family, 0.0), one.memory)
    names = sorted(count, key=lambda name: -cost[name])
    found = []
    for name in names[:FAMILIES]:
        times = sorted(ran.get(name, ()))
        high = times[min(len(times) - 1, int(len(times) * 0.95))] if times else 0.0
        found.append(
            Family(
                name,
                count[name],
                failed[name],
                len(times),
                median(times) if times else 0.0,
                high,
                times[-1] if times else 0.0,
                cost[name],
                memory.get(name),
            )
        )
    return found, max(0, len(names) - FAMILIES)


def _ran(tasks: Sequence[Task]) -> dict[str, list[float]]:
    ran: dict[str, list[float]] = defaultdict(list)
    for task in tasks:
        done = next((one for one in reversed(task.attempts) if one.fate == "done" and one.start is not None), None)
        if done is not None:
            ran[task.family].append(done.seconds)
    return ran
