"""Sentences about what has ended badly, and the command that helps."""

import shlex
from collections.abc import Sequence

from boss.core import dag
from boss.core.model import Task, TaskState

S = TaskState

#: How a task ended that others waited for.
ENDS = {S.FAILED: "failed", S.CANCELLED: "was cancelled", S.SKIPPED: "was skipped"}
#: So many tasks are named in a command; of more, all that ended badly in the job are meant.
FEW = 3


def push_again(job: str) -> str:
    """What to do instead of a retry when what was pushed is not what should run."""
    push = f"`push_tasks.py FILE --job {job} --merge keep-succeeded` (only what failed) or `--merge changed` (all that reads it)"
    return f"After you changed a pushed file or the task file: {push}."


def skip_reason(cause: Task) -> str:
    """Why what waited for this task is skipped: ``a failed: exit code 2``, ``b was cancelled``; of what was skipped itself, its reason."""
    if cause.state is S.SKIPPED and cause.reason:
        return cause.reason
    return f"{cause.name} {ENDS[cause.state]}" + (f": {cause.reason}" if cause.state is S.FAILED and cause.reason else "")


def open_again(task: Task) -> str:
    """How a skipped task comes to run after all."""
    roots = _roots(task)
    if all(root.state is S.FAILED for root in roots):
        return f"`admin.py retry_failed {task.job.name}` runs what failed again and opens this one."
    what = ("it" if len(roots) == 1 else "them") if len(roots) <= FEW else "all that failed or was cancelled"
    return f"`admin.py retry_failed {named(roots)}` runs {what} again and opens this one."


def retry(task: Task) -> str:
    """The command that runs a failed or cancelled task again, with what it waits for and has ended badly too."""
    return f"admin.py retry_failed {named([*_roots(task), task])}"


def held_back(task: Task, by: Task) -> str:
    """``b waits for a, which was cancelled``: why a task would be skipped at once if it ran again."""
    return f"{task.name} waits for {by.name}, which {ENDS[by.state]}"


def with_roots(task: Task, command: str) -> str:
    """The command that runs a task again together with what holds it back; ``command`` is ``redo_task`` or ``retry_failed``."""
    both = [*_roots(task), task]
    return f"admin.py {command if len(both) <= FEW else 'retry_failed'} {named(both)}"


def _roots(task: Task) -> list[Task]:
    """What failed or was cancelled above a task, what waits for nothing of it first."""
    above = dag.above([task], lambda other: other.state in dag.ENDED_BADLY)
    return sorted((other for other in above if other.state is not S.SKIPPED), key=lambda other: -other.rank)


def named(tasks: Sequence[Task]) -> str:
    """Targets as a shell takes them: each of few tasks, all tasks of the job for many."""
    job = tasks[0].job.name
    return " ".join(shlex.quote(f"{job}:{task.name}") for task in tasks) if len(tasks) <= FEW else shlex.quote(f"{job}:*")
