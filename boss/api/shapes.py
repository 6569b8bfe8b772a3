"""What the API's JSON looks like: pydantic models, and how the boss's own records become them.

Rules:
- Times are Unix seconds (float), sizes bytes, durations seconds; what is not known is null.
- Fields are added, never renamed or removed, within /api/v1.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from boss.core.model import Attempt
from boss.core.view import JobView, VmView, WorkerView
from boss.ports import Access, JobRow, TaskRow


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
    """One job. ``tasks`` counts by state; ``state`` is staging, running, paused, succeeded, failed or cancelled."""

    name: str
    state: str
    owner: str
    reason: str
    created: float
    finished: float | None
    tasks: dict[str, int]
    total: int

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
        )


class TaskOut(BaseModel):
    """One task, and how its last attempt stands. ``attempt`` is 0 before the first."""

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

    @classmethod
    def of(cls, row: TaskRow) -> "TaskOut":
        """From a row of the store."""
        return cls(
            job=row.job,
            id=row.id,
            state=row.state,
            attempt=row.attempt,
            exit_code=row.exit_code,
            phase=row.phase,
            reason=row.reason,
            worker=row.worker,
            started=row.started,
            finished=row.finished,
        )


class TaskPage(BaseModel):
    """Tasks by job (oldest first) and place in the job; ``next`` goes into ``after`` for the next page, null at the end."""

    tasks: list[TaskOut]
    next: str | None


class AttemptOut(BaseModel):
    """One execution. ``stdout`` and ``stderr`` are tails (at most 4 KiB) of what was written (``*_size`` bytes in all)."""

    number: int
    state: str
    worker: str
    phase: str
    exit_code: int | None
    signal: int | None
    reason: str
    assigned: float
    started: float | None
    finished: float | None
    usage: dict[str, float]
    stdout: str
    stderr: str
    stdout_size: int
    stderr_size: int
    stored_logs: bool

    @classmethod
    def of(cls, attempt: Attempt) -> "AttemptOut":
        """From the boss's record."""
        return cls(
            number=attempt.number,
            state=attempt.state,
            worker=attempt.worker,
            phase=attempt.phase,
            exit_code=attempt.exit_code,
            signal=attempt.signal,
            reason=attempt.reason,
            assigned=attempt.assigned,
            started=attempt.started,
            finished=attempt.finished,
            usage=dict(attempt.usage),
            stdout=attempt.stdout,
            stderr=attempt.stderr,
            stdout_size=attempt.stdout_size,
            stderr_size=attempt.stderr_size,
            stored_logs=attempt.stored_logs,
        )


class InputOut(BaseModel):
    """An input: where it lies in the job's folder, and where in the attempt's."""

    source: str
    to: str


class OutputOut(BaseModel):
    """An output: where it lies in the attempt's folder, and where in the job's."""

    path: str
    to: str
    optional: bool


class TaskDetail(TaskOut):
    """A task with its definition as it runs, defaults filled in. ``memory`` null: the worker's memory x cpus / slots."""

    params: dict[str, str | int | float | bool]
    commands: list[str]
    inputs: list[InputOut]
    outputs: list[OutputOut]
    env: dict[str, str]
    cpus: float
    memory: float | None
    needs: dict[str, float]
    timeout: float
    retries: int
    priority: int
    init: bool
    after: list[str]
    failures: int
    losses: int
    attempts: list[AttemptOut]


class Why(BaseModel):
    """Why a task waits, or how it ended: the cause first, the cheapest remedy last."""

    job: str
    id: str
    state: str
    why: list[str]


class WorkerOut(BaseModel):
    """A worker. ``slots`` are its cpus; ``running`` what it runs, as job:id; ``held`` what it was given and has not finished."""

    id: str
    state: str
    address: str
    slots: float
    running: list[str]
    last_seen: float
    pool: str
    draining: bool
    held: int

    @classmethod
    def of(cls, worker: WorkerView) -> "WorkerOut":
        """From the loop's view."""
        return cls(
            id=worker.id,
            state=worker.state,
            address=worker.address,
            slots=worker.slots,
            running=list(worker.running),
            last_seen=worker.last_seen,
            pool=worker.pool,
            draining=worker.draining,
            held=worker.held,
        )


class VmOut(BaseModel):
    """A claim on a server; ``deadline`` is null where its state has none."""

    id: str
    state: str
    pool: str
    flavor: str
    address: str
    deadline: float | None
    reason: str
    created: float

    @classmethod
    def of(cls, vm: VmView) -> "VmOut":
        """From the loop's view."""
        return cls(
            id=vm.id,
            state=vm.state,
            pool=vm.pool,
            flavor=vm.flavor,
            address=vm.address,
            deadline=vm.deadline,
            reason=vm.reason,
            created=vm.created,
        )


class BossOut(BaseModel):
    """The boss itself: ``epoch`` counts its lives on this database, ``uptime`` is in seconds."""

    version: str
    epoch: int
    uptime: float


class Status(BaseModel):
    """How things stand. ``rate`` is tasks finished per second of late; ``notes`` are sentences about what is wrong outside."""

    jobs: list[JobOut]
    tasks: dict[str, int]
    workers: list[WorkerOut]
    vms: list[VmOut]
    boss: BossOut
    rate: float
    notes: list[str]


class Context(BaseModel):
    """The small facts that survive restarts, and where things are."""

    boss_address: str
    datastore_address: str
    cluster: str
    api_url: str
    epoch: int


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


class Targeted(BaseModel):
    """The tasks or jobs that a command is for: ``JOB``, ``JOB:ID`` or ``JOB:GLOB``, or a task's bare id if only one job has it."""

    targets: list[str] = Field(min_length=1, max_length=10_000)


class Effect(BaseModel):
    """What a command has done to one target; the boss's own words beside it (``cancelled``, ``redone``, ``retried`` count tasks)."""

    model_config = ConfigDict(extra="allow")

    job: str = ""


class Effects(BaseModel):
    """What a command has done, target by target."""

    done: list[Effect]


class WorkersAsked(BaseModel):
    """``count`` new VMs of a pool (empty: the first one), kept for ``keep`` seconds without being scaled down."""

    count: int = Field(1, ge=1, le=10_000)
    pool: str = ""
    keep: float = Field(0.0, ge=0.0)


class WorkersNamed(BaseModel):
    """Workers by id, or all of them."""

    workers: list[str] = []
    all: bool = False
    now: bool = False


class WorkersTouched(BaseModel):
    """The workers that a command was about."""

    workers: list[str]


class Address(BaseModel):
    """Where a datastore is: ``user@host[:port][:/folder]``."""

    address: str = Field(min_length=1, max_length=300)


class Checked(BaseModel):
    """What was seen at the datastore."""

    datastore_address: str
    seen: str


class Dropped(BaseModel):
    """The facts that were removed."""

    dropped: list[str]


class Key(BaseModel):
    """An OpenSSH public key, one line."""

    public_key: str = Field(min_length=1, max_length=10_000)


class AccessOut(BaseModel):
    """How to reach the datastore for an hour: address, SSH certificate for the key, the host key as known_hosts text."""

    host: str
    port: int
    user: str
    certificate: str
    known_hosts: str
    expires: float

    @classmethod
    def of(cls, access: Access) -> "AccessOut":
        """From the issuer's answer."""
        return cls(
            host=access.host,
            port=access.port,
            user=access.user,
            certificate=access.certificate,
            known_hosts=access.known_hosts,
            expires=access.expires,
        )


class FileIn(BaseModel):
    """A file that the sender has: sha256 in hex, size in bytes, permission bits (0o644 or 0o755)."""

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    mode: Literal[0o644, 0o755] = 0o644


class PushOptions(BaseModel):
    """Part ``options`` of a push. ``document_job`` is the file's own ``job``, which ``merge`` without ``job`` speaks about.

    ``submission`` is a key that the sender makes up once: a push repeated with it makes no second job.
    """

    model_config = ConfigDict(extra="forbid")

    file_name: str = Field("tasks.json", max_length=1000)
    name: str | None = None
    job: str | None = None
    document_job: str | None = None
    merge: Literal["ignore", "keep-succeeded", "replace"] | None = None
    skip_existing: bool = False
    dry_run: bool = False
    files: dict[str, FileIn] = {}
    submission: str = Field("", max_length=200)


class PushSummary(BaseModel):
    """A push that was found good. ``job`` is the name it would get now; ``opened`` when an earlier try has made the job already.

    ``files`` and ``bytes`` are what the push wants on the datastore; ``unread_files`` are sent along but no task reads them.
    """

    push: str
    job: str
    opened: bool
    extends: bool
    tasks: int
    new_tasks: int
    replaced: int
    kept: int
    files: int
    bytes: int
    unread_files: list[str]
    warnings: list[str]


class Opened(BaseModel):
    """The job that a push has made or extended."""

    job: str


class LogText(BaseModel):
    """What an attempt has written: all of it, or the first and last 5 MB with a line between that says so."""

    job: str
    id: str
    attempt: int
    stdout: str
    stderr: str


#: Documentation of refusals for OpenAPI.
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Trouble, "description": "No token, or not the boss's"},
    404: {"model": Trouble, "description": "No such job, task, worker or push"},
    409: {"model": Trouble, "description": "Refused as things stand"},
    422: {"model": Problems, "description": "The input has problems"},
    503: {"model": Trouble, "description": "Not known whether it happened: look, then ask again"},
}
