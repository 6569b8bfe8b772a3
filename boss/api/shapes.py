"""What the API answers: pydantic models, and how the boss's own records become them.

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


class AttemptOut(Plain):
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


class InputOut(BaseModel):
    """An input: where it lies in the job's folder, and where in the attempt's."""

    source: str
    to: str


class OutputOut(BaseModel):
    """An output: where it lies in the attempt's folder, and where in the job's."""

    path: str
    to: str
    optional: bool


class SourceOut(BaseModel):
    """A file that an attempt was made of: pushed (``task`` is empty), or accepted from attempt ``attempt`` of a task.

    ``sha256`` is empty where it is not known; then ``path`` is the input as it is written.
    """

    path: str
    sha256: str
    task: str
    attempt: int


class MadeOf(BaseModel):
    """What an attempt was made of: the one that made the result, or the last one. At most 10,000 files are named; ``more`` are not."""

    attempt: int
    files: list[SourceOut]
    more: int


class TaskDetail(TaskOut):
    """A task with its definition as it runs, defaults filled in. ``memory`` null: the worker's memory x cpus / slots.

    ``dependencies`` are the ids of the tasks that it waits for (``after``: the same), ``dependents`` of those that wait for it.
    ``newer`` are paths among its files that are newer on the datastore than what is told here: the database came from a back-up.
    """

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
    dependencies: list[str]
    dependents: list[str]
    failures: int
    losses: int
    attempts: list[AttemptOut]
    made_of: MadeOf | None
    newer: list[str] = []


class Node(BaseModel):
    """A task in a graph."""

    id: str
    state: str


class Edge(BaseModel):
    """``target`` waits for ``source``."""

    source: str
    target: str


class Graph(BaseModel):
    """A job's tasks and who waits for whom, as ``networkx.node_link_graph`` reads it."""

    directed: bool = True
    multigraph: bool = False
    graph: dict[str, str]
    nodes: list[Node]
    edges: list[Edge]


class Why(BaseModel):
    """Why a task waits, or how it ended: the cause first, the cheapest remedy last. ``never``: why it fits nowhere, if that is so.

    Of a VM ``job`` is empty.
    """

    job: str
    id: str
    state: str
    why: list[str]
    never: str


class WorkerOut(Plain):
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


class VmOut(Plain):
    """A claim on a server, which is ``server`` for the cloud; ``deadline`` is null where its state has none."""

    id: str
    state: str
    pool: str
    flavor: str
    address: str
    deadline: float | None
    reason: str
    created: float
    server: str


class Console(BaseModel):
    """The end of what a VM's server wrote to its console."""

    vm: str
    text: str


class BossOut(BaseModel):
    """The boss itself: ``epoch`` counts its lives on this database, ``uptime`` is in seconds."""

    version: str
    epoch: int
    uptime: float


class Status(BaseModel):
    """How things stand. ``rate`` is tasks of all jobs finished per second of late; ``notes`` say what is wrong outside."""

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


class WorkersTouched(BaseModel):
    """The workers that a command was about."""

    workers: list[str]


class Checked(BaseModel):
    """What was seen at the datastore."""

    datastore_address: str
    seen: str


class Dropped(BaseModel):
    """The facts that were removed."""

    dropped: list[str]


class AccessOut(Plain):
    """How to reach the datastore for an hour: address, SSH certificate for the key, the host key as known_hosts text."""

    host: str
    port: int
    user: str
    certificate: str
    known_hosts: str
    expires: float


class ReasonOut(BaseModel):
    """Why a task runs again, in one sentence. ``more`` tasks that are not named do so for a reason of the same kind."""

    task: str
    reason: str
    more: int


class PushSummary(BaseModel):
    """A push that was found good. ``job`` is the name it would get now; ``opened`` when an earlier try has made the job already.

    ``files`` and ``bytes`` are what the push wants on the datastore; ``unread_files`` are sent along but no task reads them. ``makes``
    are the files (with their bytes) that a replay reads and no task yields: the sender makes them, and sends them along.
    ``reasons`` say why the tasks of a merge ``changed`` or ``keep-succeeded`` run (at most 1,000 are told; ``more_reasons`` counts
    tasks beside them). ``example`` is a task of the first ``foreach`` with its parameters in place, or empty.
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
    makes: dict[str, int] = {}
    reasons: list[ReasonOut] = []
    more_reasons: int = 0
    example: str = ""


class Opened(BaseModel):
    """The job that a push has made or extended.

    ``resumed``: the boss had paused it because an init task failed, and the push replaced that. ``paused``: it is paused still, by a
    person, or for the ``reason`` that the boss had.
    """

    job: str
    resumed: bool = False
    paused: bool = False
    reason: str = ""


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
    422: {"model": Problems, "description": "The input has problems"},
    503: {"model": Trouble, "description": "Not known whether it happened: look, then ask again"},
}
