"""What the API answers: pydantic models, and how the boss's own records become them. More of it: ``shapes_task``, ``_house``, ``_push``.

Rules:
- Times are Unix seconds (float), sizes bytes, durations seconds; what is not known is null.
- Fields are added, never renamed or removed, within /api/v1.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from boss.core.view import JobView
from boss.ports import JobRow


class Plain(BaseModel):
    """A record whose fields are those of the boss's own record: ``of`` takes them over."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, record: object) -> Self:
        """From the loop's view, from the store, or from a port."""
        return cls.model_validate(record)


class Trouble(BaseModel):
    """Why a request was refused, in one sentence; ``nearest`` are names that were perhaps meant."""

    error: str
    nearest: list[str] = []


class ProblemOut(BaseModel):
    """One thing wrong with the input: the task (empty: the whole file), the field, what is wrong and the remedy."""

    task: str
    field: str
    message: str


class Problems(BaseModel):
    """Everything that is wrong with the input; nothing was stored."""

    problems: list[ProblemOut]


class Health(BaseModel):
    """The boss answers. ``max_task_file`` is the largest task file that it takes, in bytes."""

    version: str
    max_task_file: int


class JobOut(BaseModel):
    """One job. ``tasks`` counts by state; ``state`` is staging, running, paused, succeeded, failed or cancelled.

    ``stale`` counts tasks whose result was made from an older result than the one that is there now. ``since`` is when it was pushed,
    added to or run again at last, as ``status`` tells it; null when the boss was started again meanwhile.
    """

    name: str
    state: str
    owner: str
    reason: str
    created: float
    finished: float | None
    tasks: dict[str, int]
    total: int
    stale: int
    since: float | None = None

    @classmethod
    def of(cls, job: JobView | JobRow) -> "JobOut":
        """From the loop's view, or from the store."""
        counts = dict(job.tasks if isinstance(job, JobView) else job.counts)
        return cls(
            name=job.name,
            state=job.state,
            owner=job.owner,
            reason=job.reason,
            created=job.created,
            finished=job.finished,
            tasks=counts,
            total=sum(counts.values()),
            stale=job.stale,
            since=job.since if isinstance(job, JobView) else None,
        )


class TaskOut(Plain):
    """One task, and how its last attempt stands. ``attempt`` is 0 before the first; ``stale`` says why its result is stale.

    ``params`` are its values of the grid, in the order of the file; ``metrics`` the path of the JSON file with its numbers, or empty.
    ``line`` is the last line on stderr of a failed task, in a listing of failed tasks; empty elsewhere, and where ``reason`` says more.
    """

    job: str
    id: str
    state: str
    attempt: int
    exit_code: int | None
    phase: str
    reason: str
    worker: str
    started: float | None
    finished: float | None
    stale: str
    params: dict[str, str | int | float | bool] = {}
    metrics: str = ""
    line: str = ""


class TaskPage(BaseModel):
    """Tasks by job (oldest first) and place in the job; ``next`` goes into ``after`` for the next page, null at the end."""

    tasks: list[TaskOut]
    next: str | None


class CauseOut(BaseModel):
    """Why ``count`` tasks of a job failed; ``example`` (``JOB:ID``) is one of them.

    ``line`` is the last line that they wrote to stderr; empty where there is none, or where the reason says more. ``folded``: the
    tasks' lines and reasons differ in what is written as ``#`` (numbers) and ``...`` (paths, quoted texts); ``example_line`` is then that
    of the example (its reason, where the reason stands for the line), else empty.
    """

    job: str
    phase: str
    exit_code: int | None
    signal: int | None
    reason: str
    line: str
    folded: bool
    count: int
    example: str
    example_line: str


class InitFailing(BaseModel):
    """An init task (``example``: ``JOB:ID``) whose last attempts failed: it waits for other workers, or its job is ``paused`` for it.

    ``reason`` ends with the last line of its stderr; ``worker`` is where it failed last.
    """

    job: str
    example: str
    phase: str
    exit_code: int | None
    reason: str
    worker: str
    paused: bool


class Failures(BaseModel):
    """Failed tasks by cause. ``total`` failed; of ``looked_at`` the causes were found; ``others`` are in no listed cause.

    ``inits`` are failing init tasks of unfinished jobs: they are no failed tasks, because other workers may yet do them.
    """

    total: int
    looked_at: int
    causes: list[CauseOut]
    others: int
    inits: list[InitFailing] = []


class Why(BaseModel):
    """Why a task waits, or how it ended: the cause first, the cheapest remedy last. ``never``: why it fits nowhere, if that is so.

    Of a VM ``job`` is empty.
    """

    job: str
    id: str
    state: str
    why: list[str]
    never: str


class Ca(BaseModel):
    """A CA's certificate in PEM."""

    pem: str


class ResultFile(BaseModel):
    """An accepted result; ``sha256`` is empty where the manifest does not know it."""

    path: str
    size: int
    sha256: str


class Results(BaseModel):
    """What lies in a job's folder, and how far the job is."""

    job: str
    finished: int
    total: int
    files: list[ResultFile]


class SharedOut(BaseModel):
    """Read-only data for many jobs: ``{"from": "shared:NAME"}``. ``sha256`` and ``by`` are empty where an admin copied it there by hand."""

    name: str
    size: int
    sha256: str
    when: float
    by: str


class Effect(BaseModel):
    """What a command has done to one target; the boss's own words beside it (``cancelled``, ``redone``, ``retried`` count tasks).

    ``read_files``: some of what runs again is given files that were pushed, as they were pushed.
    """

    model_config = ConfigDict(extra="allow")

    job: str = ""


class Effects(BaseModel):
    """What a command has done, target by target."""

    done: list[Effect]


class LogText(BaseModel):
    """What an attempt (0: there was none) has written: all of it, or the first and last 5 MB with a line between that says so.

    ``running``: it is what the attempt has written so far.
    """

    job: str
    id: str
    attempt: int
    stdout: str
    stderr: str
    running: bool = False


#: Documentation of refusals for OpenAPI.
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Trouble, "description": "No token, or not the boss's"},
    403: {"model": Trouble, "description": "The token may not do this: its role, or whose job it is"},
    404: {"model": Trouble, "description": "No such job, task, worker or push"},
    409: {"model": Trouble, "description": "Refused as things stand"},
    422: {"model": Problems | Trouble, "description": "The input has problems, or cannot be what is meant"},
    503: {"model": Trouble, "description": "Not known whether it happened: look, then ask again"},
}
