"""The few verbs that the loop and the API need from outside, in domain words. Adapters implement them; tests have fakes of them.

Rules:
- Verbs that may take long return at once and end as an event in the inbox (``put``).
- Nothing here raises for what the outside does, except ``Store`` (``StoreError``): the loop then drops its state and reloads.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from boss.core.changes import Changes
from boss.core.deeds import Asker, Entry
from boss.core.events import Event
from boss.core.model import Attempt, FileRef, InputSet, Job, Task, TaskSpec, TaskState, Template, Vm, Worker
from boss.core.requests import Answer, Request
from boss.core.tokens import Role, Token
from boss.core.view import View
from boss.past import Past
from worker.protocol import ToWorker

#: Puts one event into the loop's inbox, from any thread; False when the inbox is full (only workers' messages are ever refused).
Put = Callable[[Event], bool]


class StoreError(Exception):
    """The database could not do what was asked; whether a commit took effect is unknown."""


class Superseded(StoreError):
    """Another boss has opened the database since (its epoch is higher): this one changes nothing any more and must end."""


class LeaseHeld(StoreError):
    """Another boss has the database, and its lease runs.

    ``place`` is where that boss is, ``left`` for how many seconds more its lease runs at least, ``same_keys`` whether it has our keys.
    """

    def __init__(self, sentence: str, place: str, left: float, same_keys: bool) -> None:
        super().__init__(sentence)
        self.place, self.left, self.same_keys = place, left, same_keys


@dataclass(slots=True)
class Picture:
    """All that the store knows at a load: unfinished jobs with their tasks and current attempts, finished jobs without."""

    context: dict[str, str]
    jobs: list[Job]
    workers: list[Worker]
    vms: list[Vm]
    tokens: list[Token] = field(default_factory=list)


class Store(Protocol):
    """The database, for the one writer."""

    def open(self) -> int:
        """Migrate to the newest schema, raise the boss's epoch by one (starting at 1) and return it."""

    def load(self) -> Picture:
        """Unfinished jobs with their tasks, finished ones without, workers and VMs that live. Staging jobs are removed first."""

    def load_tasks(self, job: Job) -> list[Task]:
        """All tasks of a job, by index, with the current attempts of active ones; fills ``job.templates`` and ``job.files`` too."""

    def commit(self, changes: Changes) -> None:
        """All of it in one transaction, durable when this returns. Raises StoreError."""

    def assure(self) -> None:
        """Return while the database is surely this boss's; costs nothing while its lease runs. Raises Superseded, or StoreError when
        that cannot be known: then nothing may be done outside either."""

    def close(self) -> None:
        """Close the connection; another boss may have the database from now on."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as listings show it; its texts are made of its ``template`` and its ``row`` of the grid. Times are Unix seconds."""

    job: str
    id: str
    index: int
    state: str
    attempt: int
    exit_code: int | None
    phase: str
    reason: str
    worker: str
    started: float | None
    finished: float | None
    template: int
    row: int
    failures: int
    losses: int
    stale: str = ""  #: why its result is stale; empty when it is not


#: The accepted files of an attempt: ``(path in the job's folder, size, sha256)`` of each.
Manifest = tuple[tuple[str, int, str], ...]


@dataclass(frozen=True, slots=True)
class Origins:
    """What an attempt was made of: pushed files ``(path, sha256, mode)``, and results as ``(task's index, number of the attempt)``.

    Number 0: no attempt that is known here has made that result.
    """

    files: InputSet
    results: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class FailureRow:
    """A task that failed for good, with what its last attempt says: ``signal`` and ``stderr``, the end of what it wrote there."""

    index: int
    id: str
    phase: str
    exit_code: int | None
    signal: int | None
    reason: str
    stderr: str


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as listings show it; ``counts`` of tasks by state, ``stale`` of stale tasks.

    ``state``: staging, running, paused, succeeded, failed or cancelled.
    """

    uid: str
    name: str
    owner: str
    state: str
    wanted: str
    reason: str
    created: float
    finished: float | None
    counts: Mapping[str, int] = field(default_factory=dict)
    stale: int = 0


class StructureRow(NamedTuple):
    """A task (its index) in its job's graph: ``dependencies`` are the indices of the tasks that it waits for."""

    task: int
    template: int
    state: str
    dependencies: Sequence[int]


class SpanRow(NamedTuple):
    """When one attempt of a task (its index) has run, and where. Times are Unix seconds; ``finished`` is None while it runs."""

    task: int
    number: int
    worker: str
    state: str
    started: float
    finished: float | None


class Reader(Past, Protocol):
    """The database, for listings, on connections of its own; safe to call from several threads. Jobs are asked for by name."""

    def jobs(self) -> list[JobRow]:
        """All jobs that are not staging, oldest first."""

    def job(self, name: str) -> JobRow | None:
        """One job by its name."""

    def job_of_submission(self, submission: str) -> JobRow | None:
        """The job that a push with this idempotency key made."""

    def tasks_at(self, job: str, indices: Sequence[int]) -> Mapping[int, TaskRow]:
        """These tasks of a job, by index; those that there are. Why they are stale is not told."""

    def links(self, job: str, index: int) -> tuple[list[int], list[int]]:
        """Indices of the tasks that a task of the job of this name waits for, and of those that wait for it."""

    def pushed(self, job: str) -> Mapping[str, FileRef]:
        """The files that were pushed with a job, by their path in its folder."""

    def families(self, job: str) -> Mapping[tuple[int, str], tuple[int, int]]:
        """Of each template of a job and state: how many tasks there are, and the index of the first."""
        ...

    def structure(self, job: str) -> list[StructureRow]:
        """Every task of a job with what it waits for, by index."""
        ...

    def spans(self, job: str, limit: int) -> list[SpanRow]:
        """The newest so many attempts of a job that have begun, by the time of their start."""
        ...

    def full_job(self, name: str) -> Job | None:
        """One job with files, templates and tasks (fresh objects, no attempts), for pushes that extend it."""

    def tasks(
        self,
        job: str | None = None,
        states: Iterable[TaskState] = (),
        pattern: str = "*",
        limit: int = 1000,
        after: tuple[str, int] | None = None,
        stale: bool = False,
    ) -> list[TaskRow]:
        """Tasks (of one job or all), in states (all if none are given), whose name is or fits the pattern; with ``stale`` only those.

        By job (in the order of creation) and index. The next page comes ``after`` the last row's ``(job, index)``.
        """

    def templates(self, job: str, numbers: Iterable[int]) -> Mapping[int, Template]:
        """These templates of a job; those that there are."""

    def failures(self, job: str, pattern: str = "*", after: int = -1) -> Iterator[FailureRow]:
        """The failed tasks of a job whose name is or fits the pattern, by index, from ``after`` on; read page by page."""

    def jobs_with_task(self, task: str) -> list[str]:
        """Names of the jobs that have a task of this name, newest first."""

    def attempts(self, job: str, index: int) -> list[Attempt]:
        """All attempts of one task, by number."""

    def origins(self, job: str, index: int, attempt: int) -> Origins | None:
        """What an attempt of a task was made of; None when nobody knows."""

    def manifests(self, job: str, attempts: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, Manifest | None]]:
        """Index, number and accepted files of these attempts (task's index, number); None where they are not known."""

    def accepted(self, job: str) -> Sequence[tuple[int, int]]:
        """The attempt whose result was accepted last, of each task that has one: task's index, number."""
        ...

    def vm(self, name: str) -> Vm | None:
        """A claim by its id, also one that is gone or has failed."""

    def audit(self, job: str = "", who: str = "", since: float = 0.0, limit: int = 1000) -> list[Entry]:
        """The newest entries of the audit, newest first: of a job, of a name, from a Unix time on."""
        ...

    def context(self) -> dict[str, str]:
        """The facts that survive restarts."""


class Broker(Protocol):
    """MQTT, seen from the boss."""

    def start(self, put: Put) -> None:
        """Connect, and keep connecting; puts BrokerConnected, BrokerDisconnected, WorkerSaid, WorkerStatusSeen."""

    def send(self, worker: str, message: ToWorker) -> None:
        """Publish to one worker; dropped while not connected."""

    def announce(self, kind: str, facts: Sequence[Mapping[str, object]]) -> None:
        """Publish events for listeners; dropped while not connected."""

    def stop(self) -> None:
        """Publish offline, disconnect and end the thread."""


class HostRefused(Exception):
    """A plain SSH host cannot have a worker as things stand; the message says why and what helps."""


class CloudDown(Exception):
    """A cloud could not be asked, or refused; the message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something in a cloud that carries this cluster's tag: ``kind`` is server, volume, port or floating ip.

    ``claim`` is the claim (or the first one of the group) that it was made for; ``created`` Unix seconds, None where nobody knows;
    ``uses`` is the id of the server that has it, empty for servers and for what no server has.
    """

    provider: str
    kind: str
    id: str
    name: str
    claim: str
    status: str
    created: float | None = None
    cluster: str = ""
    uses: str = ""


@dataclass(frozen=True, slots=True)
class Certificates:
    """A worker's certificates: TLS (PEM), SSH (the text of a ``-cert.pub`` file), and how long they last, in seconds."""

    tls: str
    ssh: str
    lifetime: float


class Certifier(Protocol):
    """The boss's certificate authority, seen from the loop and the join door."""

    def certify(self, worker: str, tls_key: str, ssh_key: str) -> Certificates:
        """Sign a worker's public keys (OpenSSH's form) for the broker and the datastore's gate. Raises ValueError for what is no key."""


class Cloud(Protocol):
    """Servers of one provider. Calls return at once; their ends are events. ``inventory`` and ``remove`` are for people and block."""

    provider: str

    def start(self, put: Put) -> None:
        """Begin to work; finds what an earlier life of the boss left."""

    def create(self, vms: tuple[str, ...], pool: str, flavor: str) -> None:
        """One create call for these claims, consecutive ones of a pool. Each ends as VmCreated or VmCreateFailed.

        Idempotent by claim where the provider can be. A server that the answer does not name is found by the next list.
        """

    def delete(self, vm: str, pool: str, server: str) -> None:
        """Ends as VmDeleted or VmDeleteFailed. A server that does not exist counts as deleted.

        An empty ``server`` means the one that carries the claim's tag. What was made for it (volume, floating IP) goes too.
        """

    def console(self, vm: str, pool: str, server: str) -> None:
        """Ends as ConsoleRead, with an empty text where there is none."""

    def read_console(self, vm: str, server: str) -> str:
        """What a claim's server has written to its console until now; empty where there is none. For people: blocks."""

    def inventory(self) -> Sequence[Thing]:
        """Everything that carries this cluster's tag, at this moment. Blocks; raises CloudDown."""

    def remove(self, thing: Thing) -> None:
        """Delete one of them and wait until it is gone. Blocks; raises CloudDown."""

    def list(self, asked: float) -> None:
        """Ends as ServersListed with ``asked`` (and LimitsSeen, where there are limits), or as CloudFailed."""

    def stop(self) -> None:
        """End the threads; servers stay."""


class Results(Protocol):
    """The datastore's gate, seen from the boss."""

    def start(self, put: Put) -> None:
        """Connect, and keep connecting; puts DatastoreSeen."""

    def accept(self, attempt: str, job: str, files: Sequence[tuple[str, int, str]], keep: bool = False) -> None:
        """Ends as ResultAccepted or ResultRefused; repeated inside until the datastore has answered.

        With ``keep`` a file of the job that differs is put aside instead of being replaced.
        """

    def reject(self, attempt: str) -> None:
        """Move an upload to the trash, if it is there."""

    def read_record(self, attempt: str) -> None:
        """Ends as RecordRead."""

    def shut_out(self, tokens: Mapping[str, float]) -> None:
        """Let nobody in any more who was given access for these tokens (id -> until when, Unix time); said until the datastore knows."""

    def grant(self, worker: str, attempt: str, job: str, task: str, inputs: Sequence[Sequence[object]]) -> str:
        """The proof that goes with an assignment (``datastore.layout.grant`` with the shared secret)."""

    def stop(self) -> None:
        """Close the channel and end the threads."""


class Desk(Protocol):
    """The running boss, seen from the API: ask, look, listen."""

    def ask(self, request: Callable[[int], Request], asker: Asker | None = None) -> "Future[Answer]":
        """Put the request that ``request(reply)`` makes into the inbox; the future ends after its commit.

        What a person (``asker``) changes by it is put into the audit by the same commit.
        """

    def put(self, event: Event) -> bool:
        """Put an event that nobody waits for."""

    def view(self) -> View:
        """The newest published picture of counts, jobs, workers and VMs."""

    def tokens(self) -> Mapping[str, Token] | None:
        """The tokens by their digests, as the last commit left them; None before the store was loaded."""

    def listen(self, receive: Callable[[str, Mapping[str, object]], None]) -> Callable[[], None]:
        """Call ``receive(kind, facts)`` (on the loop's thread: it must only hand over) for each announcement; returns the way to stop."""


class DatastoreDown(Exception):
    """The datastore did not answer in time; the message says what was tried."""


class MachineDown(Exception):
    """A worker's VM cannot be looked into; the message says why, and what helps."""


class Datastore(Protocol):
    """The datastore's gate, seen from the API: calls block (for seconds at most) and raise DatastoreDown."""

    def listing(self, job: str) -> list[tuple[str, int, str]]:
        """``(path, size, sha256)`` of every accepted result of a job; sha256 is empty where the manifest does not know it."""

    def read_log(self, job: str, task: str, number: int, stream: str, offset: int, limit: int) -> bytes:
        """A part of an attempt's stored ``stdout`` or ``stderr``; empty when nothing is stored there."""

    def read_results(self, job: str, files: Sequence[tuple[str, int, int]]) -> list[bytes | None]:
        """Parts of a job's results: ``(path, offset, limit)`` in bytes; None for a file that is not there."""
        ...

    def space(self) -> tuple[str, int, int]:
        """Where its folder is, and how much room is left and was there from the beginning, in bytes."""
        ...

    def taken(self, jobs: Sequence[str]) -> list[str]:
        """Which of these names have a folder of results or logs already."""

    def shared(self, prefix: str) -> list[tuple[str, int, str, float, str]]:
        """``(name, size, sha256, when, by whom)`` of shared data whose name begins with this; empty where nobody knows."""

    def locate(self, sources: Sequence[str]) -> list[tuple[str, str]]:
        """Those sources from outside a job (``datastore.sources``) that are not there, each with a sentence that says so."""

    def check(self) -> str:
        """Log in, write, read back and remove a small file; returns one sentence of what was seen."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a person's program needs to reach the datastore: an address, and an hour-long SSH certificate for its own key.

    ``known_hosts`` is the text of a known_hosts file that pins the host key; ``user`` the login name.
    """

    host: str
    port: int
    user: str
    certificate: str
    known_hosts: str
    expires: float


class Issuer(Protocol):
    """The boss's certificate authority, seen from the API."""

    def access(self, public_key: str, name: str, role: Role, until: float | None = None, token: str = "") -> Access:
        """Sign an OpenSSH public key for the datastore's gate as ``<role>:<name>``, for an hour, but not beyond the Unix time ``until``.

        ``token`` is the id of the token that it is given for; empty for one that cannot be revoked. Raises ValueError for what is no key.
        """


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What was received: ``text`` is the file with the task file's bytes, ``file_name`` what it was called by whoever pushes it.

    ``name`` asks for a new job, ``job`` (or ``merge``: ignore, keep-succeeded, replace, changed) for an existing one, which is then
    ``existing``, with its tasks. ``files`` is the inventory of local files, ``path in the job's folder -> file``;
    ``existing_results`` the paths that lie in the job's folder on the datastore already. ``tables`` are the CSV files that came along,
    by the name that the text has for them; ``unread_tables`` says of others why the sender could not read them.
    ``replay`` is the scale at which a workflow's trace is replayed. ``beside``: what the sender has found beside the task file and not
    sent, among the requirements of the original's dialects. ``signed`` is a signed document of the job (``worker.signed``) that is
    ``owner``'s.
    """

    text: Path
    file_name: str = "tasks.json"
    name: str | None = None
    job: str | None = None
    merge: str | None = None
    skip_existing: bool = False
    replay: float | None = None
    files: Mapping[str, FileRef] = field(default_factory=dict)
    existing: Job | None = None
    existing_results: frozenset[str] = frozenset()
    tables: Mapping[str, Path] = field(default_factory=dict)
    unread_tables: Mapping[str, str] = field(default_factory=dict)
    beside: Sequence[str] = ()
    signed: Path | None = None
    owner: str = ""


#: ``(task, why it runs, how many more run for a reason of the same kind and are not named)``.
Reason = Sequence[str | int]


@dataclass(frozen=True, slots=True)
class Plan:
    """A valid push: ``tasks`` = ``new_tasks`` + ``replaced``; ``kept`` are left alone by the merge, ``done`` have their results already.

    ``job_name`` is the job that is extended, or the name that a new one should have (taken or not). ``expected`` is the
    task count of the existing job that the plan was made for. ``bytes`` is the size of ``files``; ``folder`` holds the slices. ``makes``
    are files that must be made and sent by whoever pushes, ``path in the job's folder -> bytes``. ``reasons`` say why the tasks of a
    merge ``changed`` or ``keep-succeeded`` run; ``more_reasons`` counts the tasks of which none is told. ``outside`` are inputs from
    outside the job, ``(source, task, field)``, which only the datastore knows to be there. ``example`` is a task of the first sweep.
    ``signed``: by which ``key``, whose that is (``signer``), until when it is good (``expires``, Unix seconds), which ``pools`` trust it;
    empty: by none.
    """

    job_name: str
    extends: bool
    tasks: int
    new_tasks: int
    replaced: int
    kept: int
    done: int
    expected: int
    files: Mapping[str, FileRef]
    bytes: int
    unread_files: list[str]
    warnings: list[str]
    folder: Path
    makes: Mapping[str, int] = field(default_factory=dict)
    reasons: Sequence[Reason] = ()
    more_reasons: int = 0
    outside: list[tuple[str, str, str]] = field(default_factory=list)
    example: str = ""
    signed: Mapping[str, Any] = field(default_factory=dict)


class Intake(Protocol):
    """Parsing, validation and expansion of pushed files. Calls block; they run on threads of their own."""

    def plan(self, request: PushRequest) -> Plan:
        """Read a task file. Raises boss.taskfile.problems.Refused with everything that is wrong."""

    def slices(self, plan: Plan) -> Iterator[tuple[tuple[Template, ...], tuple[TaskSpec, ...]]]:
        """The plan's rows, at most 5,000 tasks at a time, each with the templates that it is the first to use."""

    def discard(self, plan: Plan) -> None:
        """Forget a plan and its files."""
