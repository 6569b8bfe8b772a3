"""Init tasks that fail: what is said of it, when it pauses the job, and what ends such a pause.

Rules:
- A worker on which an init task failed is barred from the job; ``INIT_FAILURES`` in a row, or so many barred workers, pause the job.
- What failed is told with its workers, its exit code and the last line of stderr: few look for the logs of a task that "waits".
- Who redefines an init task of a job that the boss paused has mended the cause: the job goes on. What a person paused stays paused.
"""

from collections.abc import Iterable

from boss.core.lines import last_line
from boss.core.model import Job, Phase, Task, Wanted
from boss.core.state import State
from worker.protocol import Result

#: How often in a row an init task of a job may fail on workers, or how many workers may be barred from the job, until it is paused.
INIT_FAILURES = 3


def reason_of(result: Result) -> str:
    """Why an init attempt failed, with the last line of its stderr: ``exit code 7: no compiler``."""
    line = last_line(result.stderr) if (result.phase or Phase.RUN) == Phase.RUN else ""
    return f"{result.reason}: {line}" if line else result.reason


def failing(job: Job) -> list[Task]:
    """The init tasks whose last attempts have failed; none of a job that has finished or is not in memory."""
    if not job.loaded or job.finished is not None:
        return []
    return [task for index in job.inits if (task := job.tasks[index]).failures or task.losses]


def barred_from(state: State, job: Job) -> list[str]:
    """The workers on which an init task of the job failed."""
    return [worker.id for worker in state.workers.values() if job.uid in worker.barred]


def left(state: State, task: Task) -> int:
    """How many more failures of this init task pause its job (at least one: those that have happened did not)."""
    in_a_row = INIT_FAILURES - task.failures
    if task.losses:
        in_a_row = min(in_a_row, state.policy.infrastructure_budget + 1 - task.losses)
    return max(1, min(in_a_row, INIT_FAILURES - len(barred_from(state, task.job))))


def sentences(state: State, job: Job, barred: Iterable[str]) -> list[str]:
    """Which init tasks failed, where and how, and what comes of it; ``barred`` are the workers of interest."""
    where = ", ".join(sorted(barred))
    said = []
    for task in failing(job):
        name, times = f"{job.name}:{task.name}", left(state, task)
        said += [
            f"Its job's init task {task.name} failed on {where or task.worker}: {task.reason or 'no reason was given'}.",
            f"{times} more failure{' pauses' if times == 1 else 's pause'} the job. `admin.py logs {name}` shows what it wrote.",
        ]
    if where:
        said = said or [f"Its job's init task failed on {where}."]
        said.append(f"The job does not use {where} until it is resumed, or its init tasks are replaced.")
    return said


def forgive(state: State, job: Job) -> None:
    """Workers that were barred from the job get another chance, and its init tasks begin to count anew."""
    for worker in state.workers.values():
        if job.uid in worker.barred:
            worker.barred.discard(job.uid)
            state.touch_worker(worker)
    for task in (job.tasks[index] for index in job.inits if job.loaded):
        task.failures = task.losses = 0
        state.touch(task)


def mended(state: State, job: Job) -> bool:
    """An init task was redefined: forgive what the old one did, and go on if the boss had paused the job; whether it had."""
    forgive(state, job)
    if job.wanted is not Wanted.PAUSE or not job.reason:
        return False
    job.wanted, job.reason = Wanted.RUN, ""
    state.touch_job(job)
    return True
