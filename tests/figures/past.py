"""Pasts for tests: tasks of a few words, at times from 0 on."""

from collections.abc import Iterable, Sequence

from figures.rows import Attempt, Machine, Past, Task


def attempt(start: float | None, end: float | None, worker: str = "w", fate: str = "done", **more: object) -> Attempt:
    """An attempt that was dealt out when it started, unless said otherwise."""
    facts = {"number": 1, "assigned": 0.0 if start is None else start, "cpus": 1.0} | more
    return Attempt(worker=worker, fate=fate, start=start, end=end, **facts)  # type: ignore[arg-type]


def task(
    index: int, attempts: Iterable[Attempt] = (), after: Sequence[int] = (), family: str = "t", state: str = "succeeded"
) -> Task:
    """A task called t0, t1, ..."""
    return Task(index, f"t{index}", state, family, tuple(after), tuple(attempts))


def past(
    *tasks: Task, machines: Sequence[Machine] = (), created: float = 0.0, finished: float | None = None, now: float = 1000.0
) -> Past:
    """A job of these tasks."""
    return Past("job", "running" if finished is None else "succeeded", "ada", created, finished, now, tasks, machines)
