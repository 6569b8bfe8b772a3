"""The graph of a job's tasks while the boss runs: counters, not walks.

Rules:
- ``task.missing`` counts dependencies that have not succeeded; a task is ready exactly when it reaches 0.
- Walks happen only where a person or a final failure asks for them: to skip, to reopen, to look for active descendants.
- Cycles, chains and unknown names were dealt with at the push (``boss.taskfile``).
"""

from collections.abc import Callable, Collection, Iterable, Iterator

from boss.core.model import ACTIVE_STATES, Job, Task, TaskState

#: Ends of a dependency that skip its dependents.
ENDED_BADLY = frozenset({TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED})


def link(job: Job, tasks: Iterable[Task]) -> None:
    """Enter new tasks into their dependencies' lists of dependents and count what they miss."""
    for task in tasks:
        missing = 0
        for index in task.dependencies:
            dependency = job.tasks[index]
            dependency.dependents.append(task.index)
            if dependency.state is not TaskState.SUCCEEDED:
                missing += 1
        task.missing = missing


def unlink(job: Job, tasks: Iterable[Task]) -> None:
    """Take tasks out of their dependencies' lists, before they get other dependencies; each list is gone through once."""
    leaving = {task.index: task for task in tasks}
    for index in {index for task in leaving.values() for index in task.dependencies}:
        dependency = job.tasks[index]
        dependency.dependents = [dependent for dependent in dependency.dependents if dependent not in leaving]


def freed_by(task: Task) -> Iterator[Task]:
    """Count a success down at the dependents; yields the waiting ones that miss nothing any more."""
    tasks = task.job.tasks
    for index in task.dependents:
        dependent = tasks[index]
        dependent.missing -= 1
        if dependent.missing == 0 and dependent.state is TaskState.WAITING:
            yield dependent


def held_up_by(task: Task) -> Iterator[Task]:
    """Count a success back up at the dependents (the task is run again); yields those that were ready or delayed and must wait."""
    tasks = task.job.tasks
    for index in task.dependents:
        dependent = tasks[index]
        dependent.missing += 1
        if dependent.state in (TaskState.READY, TaskState.DELAYED):
            yield dependent


def waiting_below(task: Task) -> Iterator[Task]:
    """All transitive dependents that wait: what must be skipped when the task has ended badly. Each once, nearest first."""
    tasks = task.job.tasks
    stack, seen = [task], {task.index}
    while stack:
        for index in stack.pop().dependents:
            dependent = tasks[index]
            if index not in seen and dependent.state is TaskState.WAITING:
                seen.add(index)
                stack.append(dependent)
                yield dependent


def active_below(tasks: Iterable[Task]) -> tuple[Task, Task] | None:
    """One of these tasks and a transitive dependent of it that is assigned, running or promoting, if there is such a pair.

    Each task is looked at once, however many are asked for: redoing a whole job must not walk it once per task.
    """
    seen: set[int] = set()
    for task in tasks:
        everyone, stack = task.job.tasks, [task]
        while stack:
            for index in stack.pop().dependents:
                if index in seen:
                    continue
                seen.add(index)
                dependent = everyone[index]
                if dependent.state in ACTIVE_STATES:
                    return task, dependent
                stack.append(dependent)
    return None


def below(tasks: Iterable[Task]) -> Iterator[Task]:
    """All transitive dependents of these tasks that are not among them. Each once."""
    stack = list(tasks)
    seen = {task.index for task in stack}
    while stack:
        task = stack.pop()
        for index in task.dependents:
            if index not in seen:
                seen.add(index)
                dependent = task.job.tasks[index]
                stack.append(dependent)
                yield dependent


def above(tasks: Iterable[Task], fitting: Callable[[Task], bool]) -> Iterator[Task]:
    """All dependencies of these tasks that fit and are not among them, transitively by way of such as fit. Each once."""
    stack = list(tasks)
    seen = {task.index for task in stack}
    while stack:
        task = stack.pop()
        for index in task.dependencies:
            if index not in seen and fitting(dependency := task.job.tasks[index]):
                seen.add(index)
                stack.append(dependency)
                yield dependency


def held_back(tasks: Collection[Task]) -> dict[int, Task]:
    """Those of these tasks that would be skipped at once if all of them ran again: by index, each with the dependency that
    has ended badly and is not among them (or is held back itself).
    """
    running = {task.index for task in tasks}
    held: dict[int, Task] = {}
    stack = list(tasks)
    while stack:
        task = stack.pop()
        everyone = task.job.tasks
        for index in task.dependencies if task.index not in held else ():
            if everyone[index].state in ENDED_BADLY and (index not in running or index in held):
                held[task.index] = everyone[index]
                stack += (everyone[other] for other in task.dependents if other in running)
                break
    return held


def skipped_below(task: Task) -> Iterator[Task]:
    """Skipped dependents, transitively, that nothing else keeps skipped: what a reopened task opens again.

    The caller reopens each before it asks for the next: a skipped task opens what lies below it only once it is open.
    """
    tasks = task.job.tasks
    stack = [task]
    while stack:
        for index in stack.pop().dependents:
            dependent = tasks[index]
            if dependent.state is not TaskState.SKIPPED:
                continue
            if any(tasks[other].state in ENDED_BADLY for other in dependent.dependencies):
                continue
            yield dependent
            stack.append(dependent)


def bad_dependency(task: Task) -> Task | None:
    """The first dependency that has ended badly, if any."""
    tasks = task.job.tasks
    return next((tasks[index] for index in task.dependencies if tasks[index].state in ENDED_BADLY), None)
