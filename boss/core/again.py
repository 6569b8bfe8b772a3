"""What people ask to be run again: redo, retry. Part of the reactor.

Rules:
- A request either happens whole and is answered with what it did, or changes nothing and is answered with one sentence.
- Several patterns of one request are run again as one, so that their order does not matter.
- A stale task is run again with the stale ones that it was made from and all that is below these: anything less leaves it stale.
"""

from collections.abc import Callable, Iterable

from boss.core import dag
from boss.core.events import FailedRetried, TasksRedone
from boss.core.jobs import answer, choose, reopen
from boss.core.model import FINAL_STATES, NO_FILES, Job, Task, TaskState
from boss.core.state import State

S = TaskState


def on_redone(state: State, event: TasksRedone, now: float) -> None:
    """Run finished tasks again, all that are named as one; refused while something below one of them is active."""
    wanted = "no result of it is stale" if event.stale else "only finished tasks can be run again"
    patterns = (event.pattern, *event.others)
    choice = _choose_all(state, event.job, patterns, event.reply, _is_stale if event.stale else _is_finished, wanted)
    if choice is None:
        return
    job, chosen, each = choice
    if event.stale:
        sources = list(dag.above(chosen, _is_stale))
        chosen += sources
        each[0] += len(sources)
    found = dag.active_below(chosen)
    if found is not None:
        task, active = found
        error = f"{active.name} depends on {task.name} and is {active.state}; cancel it or wait, then redo"
        answer(state, event.reply, 409, error=error)
        return
    finished = [task for task in dag.below(chosen) if task.state in FINAL_STATES]
    with_descendants = event.descendants or event.stale
    kept = 0 if with_descendants else sum(task.state is S.SUCCEEDED for task in finished)
    more = finished if with_descendants else []
    pushed = _read_files(chosen + more)
    reopen(state, chosen + more, now)
    counts = {"redone": len(chosen), "each": each, "descendants": len(more), "kept": kept}
    answer(state, event.reply, 200, job=job.name, **counts, read_files=pushed)


def on_retried(state: State, event: FailedRetried, now: float) -> None:
    """Run what failed again, and open what was skipped because of it; cancelled tasks only when they are named."""
    states = {S.FAILED} if event.pattern == "*" else {S.FAILED, S.CANCELLED}
    wanted = "only failed or cancelled tasks can be retried"
    choice = choose(state, event.job, event.pattern, event.reply, lambda task: task.state in states, wanted)
    if choice is None:
        return
    job, chosen = choice
    pushed = _read_files(chosen)
    reopen(state, chosen, now)
    answer(state, event.reply, 200, job=job.name, retried=len(chosen), read_files=pushed)


def _read_files(tasks: Iterable[Task]) -> bool:
    """Whether one of these tasks was given a pushed file: it will be given the same one, whatever became of it on the user's side."""
    return any(task.input_set > NO_FILES for task in tasks)


def _is_finished(task: Task) -> bool:
    return task.state in FINAL_STATES


def _is_stale(task: Task) -> bool:
    return task.stale != 0


def _choose_all(
    state: State, job_name: str, patterns: tuple[str, ...], reply: int, fitting: Callable[[Task], bool], wanted: str
) -> tuple[Job, list[Task], list[int]] | None:
    """The job, the tasks that fit and that any pattern names, and how many each has added; None when that was answered with an error."""
    named: dict[int, Task] = {}
    each: list[int] = []
    for pattern in patterns:
        choice = choose(state, job_name, pattern, reply, fitting, wanted)
        if choice is None:
            return None
        job, chosen = choice
        before = len(named)
        named.update((task.index, task) for task in chosen)
        each.append(len(named) - before)
    return job, list(named.values()), each
