"""What the core can wish for, imperative. The loop performs these after the commit; each may be performed twice without harm."""

from collections.abc import Mapping
from dataclasses import dataclass

from boss.core.requests import Answer
from worker.protocol import ToWorker


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to a worker (lost if either side is not connected: the next hello repairs it)."""

    worker: str
    message: ToWorker


@dataclass(frozen=True, slots=True)
class Certify:
    """Sign a worker's public keys again and send it the certificates, as its message ``seq``."""

    worker: str
    tls_key: str
    ssh_key: str
    seq: int


@dataclass(frozen=True, slots=True)
class AcceptResult:
    """Have the gate accept an attempt's upload into ``jobs/<job>/``; ends as ResultAccepted or ResultRefused.

    With ``keep`` a file there that differs is put aside instead of being replaced.
    """

    attempt: str
    job: str
    files: tuple[tuple[str, int, str], ...]
    keep: bool = False


@dataclass(frozen=True, slots=True)
class RejectResult:
    """Have the gate move an upload that must never be accepted to the trash (if it exists)."""

    attempt: str


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """Look whether the datastore has a complete upload of this attempt; ends as RecordRead."""

    attempt: str


@dataclass(frozen=True, slots=True)
class ShutOut:
    """Let nobody into the datastore any more by access that was given for these tokens: id -> until when it could hold (Unix time)."""

    tokens: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CreateVms:
    """Ask the cloud for the servers of these claims by one call: the only create call that they ever get.

    The claims are of one pool and flavor, and numbered one after the other.
    """

    vms: tuple[str, ...]
    pool: str
    flavor: str


@dataclass(frozen=True, slots=True)
class DeleteVm:
    """Have the cloud delete the server of this claim, known by its id or only by its tag."""

    vm: str
    pool: str
    server: str


@dataclass(frozen=True, slots=True)
class ReadConsole:
    """Fetch the end of a server's console log before it is deleted; ends as ConsoleRead, whether there is one or not."""

    vm: str
    pool: str
    server: str


@dataclass(frozen=True, slots=True)
class ListServers:
    """Ask the cloud for all servers of this cluster and for what the project may still have; ends as ServersListed and LimitsSeen."""

    provider: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell those who listen: ``kind`` is ``task``, ``job``, ``worker`` or ``vm``; ``facts`` plain data."""

    kind: str
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the person who waits under this number."""

    reply: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class Stop:
    """All that had to end has ended: leave the loop."""


Effect = (
    Send
    | Certify
    | AcceptResult
    | RejectResult
    | ReadRecord
    | ShutOut
    | CreateVms
    | DeleteVm
    | ReadConsole
    | ListServers
    | Announce
    | Reply
    | Stop
)
