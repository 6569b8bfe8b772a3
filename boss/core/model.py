"""The nouns of the boss: job, task, attempt, worker, VM, pool. Plain data; what may change is changed by the reactor only.

Rules:
- Texts with parameters are parsed once, at the push (``Text``), and rendered when a task is dealt out.
- Resources are a map of named counts: ``cpus``, ``memory`` (bytes), ``gpus``, ``disk`` (bytes), anything a pool declares.
- Times are Unix seconds (float) as the loop clock tells them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from worker.grid import Dimension
from worker.texts import Text
from worker.trust import TrustedKey

Resources = Mapping[str, float]


class TaskState(StrEnum):
    """Where a task stands; DESIGN's table of task states."""

    WAITING = "waiting"  #: a dependency is not done
    READY = "ready"  #: may run as soon as a worker has room
    ASSIGNED = "assigned"  #: sent to a worker as an attempt, start not yet confirmed
    RUNNING = "running"  #: the worker said that it started
    PROMOTING = "promoting"  #: finished with exit 0; its manifest is committed, its files are being accepted
    DELAYED = "delayed"  #: failed, will be tried again at a time
    SUCCEEDED = "succeeded"  #: done, results accepted
    FAILED = "failed"  #: failed for good
    SKIPPED = "skipped"  #: a dependency failed for good, was skipped or cancelled
    CANCELLED = "cancelled"  #: a user said so


ACTIVE_STATES = frozenset({TaskState.ASSIGNED, TaskState.RUNNING, TaskState.PROMOTING})
FINAL_STATES = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED})


class Phase(StrEnum):
    """Where a failure happened."""

    VERIFY = "verify"  #: a worker found that it is not what was signed; nothing was run

    FETCH = "fetch"  #: inputs could not be had
    RUN = "run"  #: the command failed, timed out or was killed
    UPLOAD = "upload"  #: outputs were missing or could not be sent
    PROMOTE = "promote"  #: the datastore rejected the upload
    INFRASTRUCTURE = "infrastructure"  #: worker lost, folder or process could not be made


class Wanted(StrEnum):
    """What a user wants of a job; kept apart from what is observed."""

    RUN = "run"  #: deal its tasks out
    PAUSE = "pause"  #: let what runs finish, deal nothing new
    CANCEL = "cancel"  #: end what can be ended


class JobState(StrEnum):
    """How far a job's push has come."""

    STAGING = "staging"  #: its rows are still coming in; a restart drops it
    OPEN = "open"  #: its tasks are scheduled


class WorkerState(StrEnum):
    """What the boss knows of a worker process."""

    EXPECTED = "expected"  #: its VM is asked for; it has never been heard
    ONLINE = "online"  #: heard within its interval
    OFFLINE = "offline"  #: last will or silence: no new tasks, its attempts stay its own
    LOST = "lost"  #: its lease ran out; its attempts were given up, a comeback may still adopt them
    GONE = "gone"  #: said goodbye, or its VM is deleted


class Refusal(StrEnum):
    """What kind of no a cloud has said: each has its own consequence (``boss.core.fleet``)."""

    QUOTA = "quota"  #: the project's quota is used up: wait until servers are gone
    NO_HOST = "no host"  #: no host has room for this flavor in this zone: try the next one
    CONFLICT = "conflict"  #: 409: something is changing at this moment; try again
    BUSY = "busy"  #: 413 or 429: too many requests; try again when the cloud says
    UNAVAILABLE = "unavailable"  #: 5xx, refused connections, time-outs
    CREDENTIAL = "credential"  #: 401 or 403 with credentials that are fresh: a person must look
    INVALID = "invalid"  #: 400 or 404: the settings name what is not there; a person must look
    BROKEN = "broken"  #: the server went to ERROR, or never became a worker
    UNKNOWN = "unknown"  #: anything else


class VmState(StrEnum):
    """The life of a claim on a server; DESIGN's table of VM states."""

    CLAIMED = "claimed"  #: recorded, waits for our own rate limit
    CREATING = "creating"  #: the one create call is (or may be) under way
    BOOTING = "booting"  #: the cloud gave a server, its worker was not heard yet
    JOINED = "joined"  #: its worker was heard
    DRAINING = "draining"  #: its worker takes nothing new; deleted when it holds nothing
    DELETING = "deleting"  #: deletion asked for, not yet confirmed
    GONE = "gone"  #: the cloud has no such server any more
    FAILED = "failed"  #: never became a worker, or was lost; the reason is kept


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input: ``source`` in the job's folder (path, folder ``x/`` or glob) or outside of it (``datastore.sources``).

    ``to`` is its place in the attempt's folder; None: the same, or for one from outside the last part of its name.
    """

    source: Text
    to: Text | None = None


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """An output: ``path`` in the attempt's folder (path, folder ``x/`` or glob), ``to`` its place in the job's folder (None: the same)."""

    path: Text
    to: Text | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """Who has signed a template: the sha256 of the signed document, its ``entry`` there, the key's fingerprint and its owner's name.

    ``expires`` in Unix seconds.
    """

    document: str
    entry: int
    key: str
    signer: str
    expires: float


@dataclass(frozen=True, slots=True)
class Template:
    """What the tasks of one entry of a task file share. ``number`` counts from 0 within the job; ``timeout`` in seconds.

    ``grid`` is empty for a plain task; else row r of the template takes row ``(r // stride) % len`` of each dimension, the last
    one running fastest. ``needs`` holds what the user wrote plus ``cpus``; ``memory`` is absent when not asked for.
    """

    number: int
    name: Text
    commands: tuple[Text, ...]
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[OutputSpec, ...] = ()
    env: tuple[tuple[str, Text], ...] = ()
    needs: Resources = field(default_factory=lambda: {"cpus": 1})
    timeout: float = 86400.0
    retries: int = 0
    priority: int = 0
    init: bool = False
    grid: tuple[Dimension, ...] = ()
    metrics: Text = ""  #: the JSON file among its outputs whose numbers are columns of the job's table; empty: none
    runtime: float = 0.0  #: how long a task of it will run, as whoever pushed it expects (seconds); 0: nobody has said
    signed: Signature | None = None


@dataclass(frozen=True, slots=True)
class FileRef:
    """A pushed file: sha256 (hex), size in bytes, permission bits (0o644 or 0o755)."""

    digest: str
    size: int
    mode: int = 0o644


#: The pushed files that an attempt is given, sorted: ``(path in the job's folder, sha256 in hex, permission bits)`` of each.
InputSet = tuple[tuple[str, str, int], ...]
#: In place of an input set's number (those of a job count from 1): no pushed file is read; nobody knows what made the result; the
#: result was made by another definition than the task has now.
NO_FILES, UNKNOWN_FILES, OTHER_DEFINITION = 0, -1, -2


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task as expansion hands it over: its index in the job, the indices it depends on, the longest chain below it."""

    index: int
    name: str
    template: int
    row: int = 0
    dependencies: tuple[int, ...] = ()
    rank: int = 0
    done: bool = False  #: its results exist already: counts as succeeded


@dataclass(slots=True, eq=False)
class Job:
    """A pushed task file. ``uid`` is unique for ever (it names attempts on the datastore); ``name`` is unique among jobs.

    ``counts`` of tasks by state is kept by ``lifecycle.advance``. ``tasks`` by index; empty while ``loaded`` is False
    (a finished job whose tasks are only in the store).
    """

    uid: str
    name: str
    owner: str
    created: float
    state: JobState = JobState.STAGING
    wanted: Wanted = Wanted.RUN
    reason: str = ""  #: why it is paused, when the boss paused it
    priority: int = 0
    submission: str = ""  #: idempotency key of the push that made it
    files: dict[str, FileRef] = field(default_factory=dict)
    templates: list[Template] = field(default_factory=list)
    tasks: list["Task"] = field(default_factory=list)
    counts: dict[TaskState, int] = field(default_factory=dict)
    inits: list[int] = field(default_factory=list)  #: indices of its init tasks
    input_sets: dict[InputSet, int] = field(default_factory=dict)  #: each with its number
    stale: int = 0  #: how many of its tasks are stale
    loaded: bool = True
    finished: float | None = None
    since: float | None = (
        None  #: when it was pushed, added to, or opened again at last; None when that was in an earlier life of the boss
    )


@dataclass(slots=True, eq=False)
class Attempt:
    """One execution of a task by one worker. ``id`` is ``<job uid>.<task index>.<number>``.

    ``seq`` is the number of the message that dealt it out in this life of the boss (0: not yet sent in this life).
    ``files`` is the manifest: ``(path in the job's folder, size, sha256)``, None when only the datastore has it.
    """

    job: str
    index: int
    number: int
    worker: str
    assigned: float
    state: str = "assigned"  # assigned | running | promoting | succeeded | failed | cancelled | lost | recalled
    phase: str = ""
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    started: float | None = None
    finished: float | None = None
    usage: Mapping[str, float] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""
    stdout_size: int = 0
    stderr_size: int = 0
    stored_logs: bool = False
    files: tuple[tuple[str, int, str], ...] | None = ()
    seq: int = 0
    init: bool = False
    input_set: int = UNKNOWN_FILES  #: number of the pushed files that it was given
    needs: Resources = field(default_factory=dict)  #: what it takes of its worker, memory filled in
    template: int = 0  #: the number of its task's template while a worker holds it

    @property
    def id(self) -> str:
        return f"{self.job}.{self.index}.{self.number}"


@dataclass(slots=True, eq=False)
class Task:
    """One node of a job's graph. ``missing`` counts dependencies that have not succeeded; ``attempt`` is the current one.

    ``failures`` counts what used up the user's retries, ``losses`` what the infrastructure did. ``exit_code``, ``phase``,
    ``reason``, ``worker``, ``started`` and ``finished`` speak of the last attempt (or of why it was skipped).

    ``input_set`` numbers the pushed files that the last attempt was given, ``result`` is a fingerprint of the last accepted files (0:
    none yet). ``stale``: 0, or the task whose newer result this one was not made from: ``index + 1`` if this task waits for that one
    itself, ``-(index + 1)`` if by way of another stale one (``boss.core.stale``).
    """

    job: Job
    index: int
    name: str
    template: Template
    row: int = 0
    dependencies: Sequence[int] = ()  #: indices, packed in an array when there are any
    dependents: list[int] = field(default_factory=list)
    rank: int = 0
    state: TaskState = TaskState.WAITING
    missing: int = 0
    number: int = 0
    attempt: Attempt | None = None
    failures: int = 0
    losses: int = 0
    not_before: float = 0.0
    exit_code: int | None = None
    phase: str = ""
    reason: str = ""
    worker: str = ""
    started: float | None = None
    finished: float | None = None
    input_set: int = UNKNOWN_FILES
    result: int = 0
    stale: int = 0


@dataclass(slots=True, eq=False)
class Worker:
    """A process that runs attempts. ``id`` is its VM's id, or a host's name.

    ``held`` is what it was given and has not finished (by attempt id); ``resources`` what it offered at its hello.
    ``sent`` is the number of the last message to it in this life of the boss. ``keep_until`` protects it from scale-down.
    """

    id: str
    pool: str = ""
    state: WorkerState = WorkerState.EXPECTED
    draining: bool = False
    keep_until: float = 0.0
    resources: dict[str, float] = field(default_factory=dict)
    confinement: dict[str, str] = field(default_factory=dict)  #: what its tasks are held to, and how; not stored
    address: str = ""
    session: str = ""
    held: dict[str, Attempt] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)  #: sum of what ``held`` needs
    load: dict[tuple[str, int], tuple[int, Resources]] = field(
        default_factory=dict
    )  #: of each job's template: held, needs of one
    last_seen: float = 0.0
    idle_since: float = 0.0
    sent: int = 0
    beats: float = 0.0  #: the longest interval between its heartbeats that it may be keeping (``boss.core.rhythm``)
    told: float = 0.0  #: the interval that it was told last, by the message of number ``told_by``
    told_by: int = 0
    done: int = 0  #: attempts that it has finished
    failures_in_a_row: int = 0
    trip: float | None = None  #: how far away it is, in seconds (``boss.core.distance``)
    probe: tuple[str, float] | None = None  #: the attempt that this is being measured on, and when it was dealt
    certified: float = -math.inf  #: when its certificates were renewed at last (loop clock)
    undelivered: frozenset[str] = frozenset()  #: attempts that have ended and whose results it cannot deliver
    trouble: str = ""  #: why it cannot
    datastore_full: bool = False  #: it was told that there is no room
    cached: dict[str, float] = field(default_factory=dict)  #: bytes of the largest inputs that it keeps, by ``cache_name``
    barred: set[str] = field(default_factory=set)  #: job uids whose init failed here
    prepared: dict[str, set[int]] = field(default_factory=dict)  #: job uid -> init tasks done here, this session


@dataclass(slots=True, eq=False)
class Vm:
    """A claim on a server: our row, written before the cloud is asked. ``deadline`` is None where the state has none."""

    id: str
    pool: str
    flavor: str
    created: float
    state: VmState = VmState.CLAIMED
    server: str = ""  #: the cloud's id
    address: str = ""
    deadline: float | None = None
    reason: str = ""
    keep_until: float = 0.0
    since: float = 0.0  #: when it entered its state
    group: str = ""  #: the first claim of the create call that asked for its server (its own id where it was asked for alone)
    key: str = ""  #: fingerprint of the public key of the worker that joined from its server; empty: none has


@dataclass(frozen=True, slots=True)
class Flavor:
    """A size of VM: what its worker will offer, and what it costs per hour (any unit; 0 if unknown)."""

    name: str
    resources: Resources
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class Pool:
    """A kind of VM. ``limits`` bounds the sum of resources over its VMs (``cpus`` of the local pool); times in seconds."""

    name: str
    provider: str
    flavors: tuple[Flavor, ...]
    minimum: int = 0
    maximum: int = 4
    limits: Resources = field(default_factory=dict)
    cooldown: float = 60.0
    boot_timeout: float = 600.0
    haste: float = 0.5  #: 0: as few VM hours as there can be; 1: as soon as can be
    head_room: Resources = field(default_factory=dict)  #: what is left of the project's quota to its people
    boots_per_minute: float = 0.0  #: 0: no bound
    billing: float = 0.0  #: the seconds that are paid for as a whole
    quiet: tuple[tuple[float, float], ...] = ()  #: seconds of the local day between which no VM is created
    takes: Resources = field(default_factory=dict)  #: what each VM takes of the project beside its flavor, an address and itself
    signers: tuple[TrustedKey, ...] = ()  #: only jobs that one of these keys has signed; empty: any
    paused: bool = False  #: an admin wants no new VM of it (``boss.core.pools``)


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers that the core decides by, all in seconds unless said otherwise."""

    pools: tuple[Pool, ...] = ()
    heartbeat: float = 5.0  #: how often a worker says that it lives
    heartbeat_rate: float = 250.0  #: heartbeats a second of all workers: of more, each beats less often (``boss.core.rhythm``)
    offline_after: float = 15.0  #: silence until a worker counts as offline; longer where workers beat less often
    lease: float = 60.0  #: silence until a worker counts as lost and its attempts run elsewhere; likewise
    worker_lease: float = 1800.0  #: how long a worker lives on without an answer from its boss
    create_timeout: float = 120.0
    delete_timeout: float = 300.0
    drain_timeout: float = 86400.0
    stop_grace: float = 10.0  #: how long a stopping boss waits for its local workers' running attempts
    stray_grace: float = 60.0  #: how long a server that no claim knows is left alone
    list_interval: float = 30.0  #: how often the cloud's servers are compared with the claims
    retry_base: float = 2.0  #: first delay before a retry
    retry_limit: float = 300.0  #: longest delay before a retry
    pool_pause: float = 60.0  #: first interval after which a paused pool tries again; doubled each time, up to an hour
    infrastructure_budget: int = 5  #: losses of one task that are repeated without asking
    prefetch_seconds: float = 0.25  #: work that may wait on a worker beyond what its slots run
    prefetch_limit: int = 128  #: attempts that may wait on a worker beyond what its slots run, per slot
    worker_failures: int = 3  #: infrastructure failures in a row that drain a worker
    budget: float = 0.0  #: vCPU hours of all VMs together; 0: no bound
    job_budget: float = 0.0  #: vCPU hours of the tasks of one job; 0: no bound
    zone: tuple[tuple[float, float], ...] = ()  #: local time: from when on (Unix seconds) so many seconds are added
    check: bool = False  #: state.check() after every turn
