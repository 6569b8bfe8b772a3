"""From a task that waits down to what it comes down to: one chain of dependencies, told in a sentence. Pure."""

from boss.core.model import Task, TaskState

S = TaskState
#: What is followed first: what nobody works at keeps its dependents longest.
_ORDER = (S.CANCELLED, S.SKIPPED, S.FAILED, S.DELAYED, S.READY, S.ASSIGNED, S.RUNNING, S.PROMOTING, S.WAITING)
#: Tasks between the first and the last of a chain that are named.
FEW = 3


def down(task: Task) -> list[Task]:
    """The tasks below, each waited for by the one before; the last one waits for no other task."""
    found: list[Task] = []
    seen = {task.index}
    while True:
        missing = [
            other
            for index in task.dependencies
            if (other := task.job.tasks[index]).state is not S.SUCCEEDED and index not in seen
        ]
        if not missing:
            return found
        task = min(missing, key=lambda other: (_ORDER.index(other.state), other.index))
        seen.add(task.index)
        found.append(task)
        if task.state is not S.WAITING:
            return found


def sentence(chain: list[Task]) -> str:
    """``c waits for b, that for a.``; of a long chain the beginning and the end. Empty where there is nothing between."""
    if len(chain) < 2:
        return ""
    first, *between, last = chain
    shown = between[:FEW]
    names = [*(one.name for one in shown), *([f"... ({len(between) - FEW} more)"] if len(between) > FEW else []), last.name]
    return f"{first.name} waits for {', that for '.join(names)}."
