"""The picture that the loop publishes after its commits: immutable, complete in itself, safe to read from any thread."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class JobView:
    """One job: counts of tasks by state; ``state`` is staging, running, paused, succeeded, failed or cancelled.

    ``since`` is when it was pushed, added to, or opened again at last; None when that was in an earlier life of the boss.
    """

    uid: str
    name: str
    owner: str
    state: str
    reason: str
    created: float
    finished: float | None
    tasks: Mapping[str, int]
    stale: int = 0
    since: float | None = None
    failing_inits: tuple[str, ...] = ()  #: ids of init tasks whose last attempts have failed


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker; ``slots`` are its cpus, ``running`` the names ``job:task`` of what it runs.

    ``confinement`` is what its tasks are held to, and how.
    """

    id: str
    state: str
    address: str
    slots: float
    running: tuple[str, ...]
    last_seen: float
    pool: str
    draining: bool
    held: int
    confinement: Mapping[str, str] = field(default_factory=dict)
    dropped: int = 0  #: messages of it that the boss has dropped in this life, the last ones because of ``dropped_why``
    dropped_why: str = ""
    memory: float = 0.0  #: bytes that it offers
    disk: float = 0.0  #: the same of its disk
    used: float = 0.0  #: cpus that are in use
    done: int = 0  #: attempts that it has finished in this life of the boss
    cached: float = 0.0  #: bytes of the largest inputs that it keeps


@dataclass(frozen=True, slots=True)
class PoolView:
    """One pool: what holds of it, and what the settings say (``given_*``). ``resting``: why none of it is asked for just now."""

    name: str
    provider: str
    flavors: tuple[str, ...]
    minimum: int
    maximum: int
    paused: bool
    given_minimum: int
    given_maximum: int
    resting: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VmView:
    """One claim that is not gone; ``deadline`` is None where its state has none."""

    id: str
    state: str
    pool: str
    flavor: str
    address: str
    deadline: float | None
    reason: str
    created: float
    server: str = ""
    group: str = ""


@dataclass(slots=True)
class Shown:
    """What the last picture has shown of workers and claims, by name, and how far the clock of the day was ahead of the loop's then."""

    workers: dict[str, WorkerView] = field(default_factory=dict)
    vms: dict[str, VmView] = field(default_factory=dict)
    lag: float = 0.0


@dataclass(frozen=True, slots=True)
class View:
    """Everything that ``status`` shows. ``rate`` is tasks that ran to their end per second over the last ten seconds.

    ``notes`` are sentences about what is wrong outside (broker or datastore not reachable, pool paused).
    """

    taken: float
    epoch: int
    started: float
    jobs: tuple[JobView, ...] = ()
    tasks: Mapping[str, int] = field(default_factory=dict)
    workers: tuple[WorkerView, ...] = ()
    vms: tuple[VmView, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    rate: float = 0.0
    notes: tuple[str, ...] = ()
    pools: tuple[PoolView, ...] = ()
    cores: tuple[float, float, float] = (
        0.0,
        0.0,
        0.0,
    )  #: in use, that workers offer, that are waited for
