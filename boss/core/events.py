"""What can happen to the boss, past tense. Plain data; the reactor answers each with effects. What is asked of it: ``boss.core.requests``.

Rules:
- Whoever learns something outside (broker, cloud, datastore, HTTP) puts one of these into the inbox and does nothing else.
- Chance comes in as data: new uids are in the event, never made in the core.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from boss.core.model import Refusal, Resources
from boss.core.requests import Request
from worker.protocol import ToBoss

# ---- from the broker ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerSaid:
    """A worker's message arrived."""

    worker: str
    message: ToBoss


@dataclass(frozen=True, slots=True)
class WorkerStatusSeen:
    """The retained status of a worker: a hint (an old last will may be late)."""

    worker: str
    online: bool


@dataclass(frozen=True, slots=True)
class MessagesDropped:
    """So many of a worker's messages were dropped by now, the last ones for this reason; ``aside``: nothing of it is heard any more."""

    worker: str
    count: int
    why: str
    aside: bool = False


@dataclass(frozen=True, slots=True)
class BrokerConnected:
    """The boss's link to the broker is up (again): nothing that was sent before may be relied on."""


@dataclass(frozen=True, slots=True)
class BrokerDisconnected:
    """The boss's link to the broker is down: silence says nothing about the workers."""

    reason: str = ""


# ---- from the cloud ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VmCreated:
    """The cloud gave a server for a claim."""

    vm: str
    server: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class VmCreateFailed:
    """The create call was refused; ``final`` is False when nobody knows whether a server exists.

    ``retry_after``: seconds that the cloud asked us to wait, 0 where it did not say.
    """

    vm: str
    reason: str
    final: bool = True
    kind: Refusal = Refusal.UNKNOWN
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class VmDeleted:
    """The cloud has no such server any more."""

    vm: str


@dataclass(frozen=True, slots=True)
class VmDeleteFailed:
    """The delete call failed; it will be repeated."""

    vm: str
    reason: str


@dataclass(frozen=True, slots=True)
class Server:
    """One line of a server list: the cloud's id, the claim it was made for (from its tag), its status and address.

    ``vm`` is empty where only the claim ``group`` is known of a server of several that one call made. ``status`` is Nova's word
    (BUILD, ACTIVE, ERROR, SHUTOFF ...), ``reason`` its fault's text. ``epoch`` is the life of the boss that asked for it.
    """

    server: str
    vm: str
    pool: str
    status: str = "ACTIVE"
    address: str = ""
    group: str = ""
    reason: str = ""
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class ServersListed:
    """A complete list of this cluster's servers in one provider's pools, as of ``asked`` (loop clock at the request)."""

    provider: str
    asked: float
    servers: tuple[Server, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """What a project may have of one thing, and has of it now, whoever uses it. ``total`` is infinite where there is no limit."""

    total: float
    used: float


@dataclass(frozen=True, slots=True)
class LimitsSeen:
    """What one provider's project may have: ``instances``, ``cpus``, ``memory`` (bytes), ``addresses`` of its subnets, ``volumes`` ..."""

    provider: str
    limits: Mapping[str, Limit]


@dataclass(frozen=True, slots=True)
class FlavorsSeen:
    """What the flavors of one provider's pools offer: ``(pool, flavor) -> resources``; ``absent`` says of the others why not."""

    provider: str
    flavors: Mapping[tuple[str, str], Resources]
    absent: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CloudFailed:
    """A cloud could not be asked (for its servers, limits or flavors); it will be asked again."""

    provider: str
    reason: str
    kind: Refusal = Refusal.UNKNOWN
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class ConsoleRead:
    """The end of what a server has written to its console; empty where the cloud has none."""

    vm: str
    text: str


# ---- from the datastore ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResultAccepted:
    """An attempt's outputs lie in the job's folder, as its manifest says."""

    attempt: str


@dataclass(frozen=True, slots=True)
class ResultRefused:
    """The gate has no such upload, or it differs from the manifest: never accepted, never will be."""

    attempt: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordRead:
    """What the datastore's record of an attempt says; ``result`` is None when there is no complete upload."""

    attempt: str
    result: object | None  # worker.protocol.Result


@dataclass(frozen=True, slots=True)
class DatastoreSeen:
    """The datastore became reachable, or stopped being so (``reason`` says why); or it became full, or has room again.

    ``place`` is where it is, ``HOST:FOLDER``; empty where that is not known.
    """

    up: bool
    reason: str = ""
    full: bool = False
    place: str = ""


# ---- from the clock ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The inbox was empty, so that silence means something: look for what has expired."""


BrokerEvent = WorkerSaid | WorkerStatusSeen | MessagesDropped | BrokerConnected | BrokerDisconnected
CloudEvent = (
    VmCreated | VmCreateFailed | VmDeleted | VmDeleteFailed | ServersListed | LimitsSeen | FlavorsSeen | CloudFailed | ConsoleRead
)
DatastoreEvent = ResultAccepted | ResultRefused | RecordRead | DatastoreSeen
Event = BrokerEvent | CloudEvent | DatastoreEvent | Request | TimePassed
