"""What a job's end waited for, task by task; and how short it could have been with workers without end. PURE.

The critical path is the chain that was: from the task that ended last to what it waited for that had ended last, and so on. Its times
add up from the push to the end. The bound is the chain of dependencies that has the longest run times in all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from figures.rows import Attempt, Past, Task

#: Steps that are told at most: of a longer path the ones that took longest.
TOLD = 200


@dataclass(frozen=True, slots=True)
class Step:
    """A task on the path. All in seconds: ``wait`` from when its last dependency had ended (or the push) until it was dealt out first,
    ``tried`` until its last attempt was dealt out (failures, back-off, losses), ``start`` until that ran (fetching inputs), ``run``.
    """

    task: Task
    attempt: Attempt
    wait: float
    tried: float
    start: float
    run: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.wait + self.tried + self.start + self.run


@dataclass(frozen=True, slots=True)
class Path:
    """The chain in order of time; ``seconds`` from the push (or the first attempt) to its end; sums of the steps' parts.

    ``bound``: the run time of the longest chain of dependencies, ``bound_tasks`` its length.
    """

    steps: Sequence[Step]
    seconds: float
    wait: float
    tried: float
    start: float
    run: float
    bound: float
    bound_tasks: int

    @property
    def longest(self) -> Sequence[Step]:
        """The steps that are told, in order of time."""
        if len(self.steps) <= TOLD:
            return self.steps
        least = sorted((one.seconds for one in self.steps), reverse=True)[TOLD - 1]
        return [one for one in self.steps if one.seconds >= least][:TOLD]


def path_of(past: Past) -> Path | None:
    """The critical path of a job; None when nothing of it has run to an end. Tasks by their place in the job."""
    tasks = {task.index: task for task in past.tasks}
    last = max(
        (task for task in past.tasks if _end(task) is not None), key=lambda task: (_end(task) or 0.0, -task.index), default=None
    )
    if last is None:
        return None
    steps: list[Step] = []
    task, seen = last, set[int]()
    attempt = _ended(task)
    while attempt is not None and task.index not in seen:
        seen.add(task.index)
        before, its = _before(tasks, task, attempt)
        ready = its.end if its is not None and its.end is not None else min(past.created, task.attempts[0].assigned)
        steps.append(_step(task, attempt, ready))
        if before is None:
            break
        task, attempt = before, its
    steps.reverse()
    bound, length = _bound(past.tasks)
    wait, tried = sum(one.wait for one in steps), sum(one.tried for one in steps)
    start, run = sum(one.start for one in steps), sum(one.run for one in steps)
    return Path(steps, wait + tried + start + run, wait, tried, start, run, bound, length)


def _ended(task: Task) -> Attempt | None:
    """Its last attempt that ran to an end."""
    return next((one for one in reversed(task.attempts) if one.start is not None and not one.open), None)


def _end(task: Task) -> float | None:
    one = _ended(task)
    return None if one is None else one.end


def _before(tasks: dict[int, Task], task: Task, attempt: Attempt) -> tuple[Task | None, Attempt | None]:
    """What a task waited for that had ended last, by the attempt that had ended before this one was dealt out."""
    found: tuple[Task | None, Attempt | None] = None, None
    latest = float("-inf")
    for index in task.after:
        other = tasks.get(index)
        for one in reversed(other.attempts if other is not None else ()):
            if one.start is not None and one.end is not None and one.fate == "done" and one.end <= attempt.assigned + 1.0:
                if one.end > latest:
                    found, latest = (other, one), one.end
                break
    return found


def _step(task: Task, attempt: Attempt, ready: float) -> Step:
    assert attempt.start is not None and attempt.end is not None
    tried = [one for one in task.attempts if one.number <= attempt.number and one.assigned >= ready - 1.0]
    first = tried[0].assigned if tried else attempt.assigned
    return Step(
        task,
        attempt,
        max(0.0, first - ready),
        max(0.0, attempt.assigned - first),
        max(0.0, attempt.start - attempt.assigned),
        attempt.end - attempt.start,
    )


def _bound(tasks: Sequence[Task]) -> tuple[float, int]:
    """The longest chain by run time, and how many tasks it has."""
    place = {task.index: number for number, task in enumerate(tasks)}
    missing = [sum(index in place for index in task.after) for task in tasks]
    below: list[list[int]] = [[] for _ in tasks]
    for number, task in enumerate(tasks):
        for index in task.after:
            if index in place:
                below[place[index]].append(number)
    longest = [(0.0, 0)] * len(tasks)
    ready = [number for number, count in enumerate(missing) if not count]
    best = (0.0, 0)
    while ready:
        number = ready.pop()
        ran = next((one.seconds for one in reversed(tasks[number].attempts) if one.fate == "done"), 0.0)
        mine = longest[number][0] + ran, longest[number][1] + 1
        best = max(best, mine)
        for other in below[number]:
            longest[other] = max(longest[other], mine)
            missing[other] -= 1
            if not missing[other]:
                ready.append(other)
    return best
