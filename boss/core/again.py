"""What people ask to be run again: redo, retry. Part of the reactor.

Rules:
- A request either happens whole and is answered with what it did, or changes nothing and is answered with one sentence.
- Several patterns of one request are run again as one, so that their order does not matter.
- What waits for a task that has ended badly, and is not run again too, would be skipped at once: it is left alone, and the request is
  refused when nothing else is left of it.
- A stale task is run again with the stale ones that it was made from and all that is below these: anything less leaves it stale.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from boss.core import dag, remedies
from boss.core.jobs import answer, choose, reopen
from boss.core.model import FINAL_STATES, NO_FILES, Job, Task, TaskState
from boss.core.requests import FailedRetried, TasksRedone
from boss.core.state import State

S = TaskState


def on_redone(state: State, event: TasksRedone, now: float) -> None:
    """Run finished tasks again, all that are named as one; refused while something below one of them is active."""
    wanted = "no result of it is stale" if event.stale else "only finished tasks can be run again"
    patterns = (event.pattern, *event.others)
    chosen = _choose_all(state, event, patterns, _is_stale if event.stale else _is_finished, wanted)
    if chosen is None:
        return
    if event.stale:
        chosen.take(list(dag.above(chosen.tasks, _is_stale)), 0)
    with_descendants = event.descendants or event.stale
    found = dag.active_below(chosen.tasks)
    if found is not None:
        task, active = found
        error = f"{active.name} depends on {task.name} and is {active.state}; cancel it or wait, then redo"
        answer(state, event.reply, 409, error=error)
        return
    held = chosen.hold_back(with_descendants)
    if held and not chosen.tasks:
        _refuse(state, event.reply, held, "redo_task")
        return
    finished = [task for task in dag.below(chosen.tasks) if task.state in FINAL_STATES and task.index not in chosen.held]
    kept = 0 if with_descendants else sum(task.state is S.SUCCEEDED for task in finished)
    more = finished if with_descendants else []
    pushed = _read_files(chosen.tasks + more)
    reopen(state, chosen.tasks + more, now)
    counts = {"redone": len(chosen.tasks), "each": chosen.each(len(patterns)), "descendants": len(more), "kept": kept}
    answer(state, event.reply, 200, job=chosen.job.name, **counts, read_files=pushed, **_left_alone(held))


def on_retried(state: State, event: FailedRetried, now: float) -> None:
    """Run what failed again, and open what was skipped because of it; cancelled tasks only when they are named."""
    patterns = (event.pattern, *event.others)
    all_alone = "*" in patterns and not event.named

    def fitting(task: Task, pattern: str) -> bool:
        return task.state is S.FAILED or (task.state is S.CANCELLED and (pattern != "*" or event.named))

    wanted = "only failed or cancelled tasks can be retried"
    chosen = _choose_all(state, event, patterns, fitting, wanted)
    if chosen is None:
        return
    held = chosen.hold_back(with_descendants=False)
    if held and not chosen.tasks:
        _refuse(state, event.reply, held, "retry_failed")
        return
    pushed = _read_files(chosen.tasks)
    reopen(state, chosen.tasks, now)
    each = chosen.each(len(patterns))
    cancelled = chosen.job.counts.get(S.CANCELLED, 0) if all_alone else 0
    counts = {"retried": len(chosen.tasks), "each": each, "cancelled_left": cancelled}
    answer(state, event.reply, 200, job=chosen.job.name, **counts, read_files=pushed, **_left_alone(held))


def _refuse(state: State, reply: int, held: list[tuple[Task, Task]], command: str) -> None:
    task, by = held[0]
    error = f"{remedies.held_back(task, by)}; run that again too: `{remedies.with_roots(task, command)}`"
    answer(state, reply, 409, error=error)


def _left_alone(held: list[tuple[Task, Task]]) -> dict[str, object]:
    """How many tasks were left alone because they would have been skipped at once, and why the first was."""
    return {"held": len(held), "held_because": remedies.held_back(*held[0]) if held else ""}


def _read_files(tasks: Iterable[Task]) -> bool:
    """Whether one of these tasks was given a pushed file: it will be given the same one, whatever became of it on the user's side."""
    return any(task.input_set > NO_FILES for task in tasks)


def _is_finished(task: Task, pattern: str = "") -> bool:
    return task.state in FINAL_STATES


def _is_stale(task: Task, pattern: str = "") -> bool:
    return task.stale != 0


@dataclass(slots=True)
class _Chosen:
    """What a request's patterns name: tasks, and for each the place of the pattern that named it first. ``held``: indices left alone."""

    job: Job
    tasks: list[Task] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)

    def take(self, tasks: Iterable[Task], place: int) -> None:
        """More of them, each once."""
        for task in tasks:
            if task.index not in self.places:
                self.places[task.index] = place
                self.tasks.append(task)

    def hold_back(self, with_descendants: bool) -> list[tuple[Task, Task]]:
        """Leave out those that would be skipped at once; each with what it waits for and has ended badly."""
        again = FINAL_STATES if with_descendants else {S.SKIPPED}
        below = [task for task in dag.below(self.tasks) if task.state in again]
        by = dag.held_back(self.tasks + below)
        self.held = set(by)
        held = [(task, by[task.index]) for task in self.tasks if task.index in by]
        self.tasks = [task for task in self.tasks if task.index not in by]
        return held

    def each(self, count: int) -> list[int]:
        """How many tasks each of ``count`` patterns has added."""
        added = [0] * count
        for task in self.tasks:
            added[self.places[task.index]] += 1
        return added


def _fits(fitting: Callable[[Task, str], bool], pattern: str, task: Task) -> bool:
    return fitting(task, pattern)


def _choose_all(
    state: State, event: TasksRedone | FailedRetried, patterns: tuple[str, ...], fitting: Callable[[Task, str], bool], wanted: str
) -> _Chosen | None:
    """The tasks of a job that fit and that any pattern names; None when that was answered with an error."""
    chosen: _Chosen | None = None
    for place, pattern in enumerate(patterns):
        at = event.at[place] if place < len(event.at) else -1
        fits = partial(_fits, fitting, pattern)
        choice = choose(state, event.job, pattern, event.reply, fits, wanted, at)
        if choice is None:
            return None
        chosen = chosen or _Chosen(choice[0])
        chosen.take(choice[1], place)
    return chosen
