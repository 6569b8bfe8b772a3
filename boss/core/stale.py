"""Stale results: a task that succeeded, was left alone, and was made from an older result than the one that is there now.

Rules:
- A task becomes stale when a newer result of a task that it waits for is accepted and differs, by the digests in the manifest (what
  yields no files cannot be compared and counts as different); so does all that was made from it, and from a stale result only a
  stale one is made.
- It is not stale any more as soon as it is to be run again. What was stale only because of it is looked at again when its new result
  turns out to be the same.
- Stale is no state: the task stays succeeded, and its result stays.
"""

import hashlib
import json
from collections.abc import Sequence

from boss.core.effects import Announce
from boss.core.model import Task, TaskState
from boss.core.state import State

#: The fingerprint of a result that no attempt of ours has made, as far as we know: it was there already.
FOREIGN_RESULT = 1


def fingerprint(files: Sequence[tuple[str, int, str]]) -> int:
    """A number from 2 to 2^63 - 1 that is the same for the same paths and digests."""
    said = json.dumps(sorted((path, digest) for path, _, digest in files)).encode()
    return max(2, int.from_bytes(hashlib.sha256(said).digest()[:8], "big") >> 1)


def spread(state: State, task: Task) -> None:
    """A task has succeeded: mark what was made from an older and different result of it; what it alone made stale is looked at again."""
    files = task.attempt.files if task.attempt is not None and task.attempt.files else ()
    before, task.result = task.result, fingerprint(files)
    if task.job.stale:
        _inherit(state, task)
    if not before:  # the first result there is: nothing can have been made from an older one
        return
    if files and before == task.result:
        _look_again_below(state, task)
    else:
        _mark_below(state, task)


def clear(state: State, task: Task) -> None:
    """The task is run again."""
    if task.stale:
        task.stale = 0
        task.job.stale -= 1
        state.touch(task)
        state.touch_job(task.job)


def cause_of(task: Task) -> Task | None:
    """The task whose newer result this one was not made from."""
    return task.job.tasks[abs(task.stale) - 1] if task.stale else None


def sentence(cause: str) -> str:
    """Why a result is stale, as people read it everywhere."""
    return f"made from an older result of {cause}"


def _inherit(state: State, task: Task) -> None:
    """What is made from a stale result is as stale as that."""
    tasks = task.job.tasks
    above = next((tasks[index] for index in task.dependencies if tasks[index].stale), None)
    if above is not None:
        _mark(state, task, -abs(above.stale))


def _mark_below(state: State, cause: Task) -> None:
    tasks = cause.job.tasks
    stack = [cause]
    while stack:
        task = stack.pop()
        for index in task.dependents:
            dependent = tasks[index]
            if dependent.state is not TaskState.SUCCEEDED or dependent.stale > 0 or (dependent.stale and task is not cause):
                continue
            if not dependent.stale:
                stack.append(dependent)
            _mark(state, dependent, cause.index + 1 if task is cause else -(cause.index + 1))


def _mark(state: State, task: Task, stale: int) -> None:
    if not task.stale:
        task.job.stale += 1
        state.touch_job(task.job)
    task.stale = stale
    state.touch(task)
    _announce(state, task)


def _look_again_below(state: State, same: Task) -> None:
    """What lies below a task whose result turned out to be the same is as good as what else it was made from."""
    tasks = same.job.tasks
    stack = [same]
    while stack:
        for index in stack.pop().dependents:
            dependent = tasks[index]
            # While something above it is still to be run, its turn comes when that has succeeded.
            if dependent.stale >= 0 or dependent.missing or any(tasks[other].stale for other in dependent.dependencies):
                continue
            clear(state, dependent)
            _announce(state, dependent)
            stack.append(dependent)


def _announce(state: State, task: Task) -> None:
    cause = cause_of(task)
    facts = {"job": task.job.name, "id": task.name, "state": task.state.value, "stale": sentence(cause.name) if cause else ""}
    state.out.append(Announce("task", facts))
