"""The boss, its workers and VMs, and where things are, as the API answers them. The rules are those of ``boss.api.shapes``."""

from pydantic import BaseModel

from boss.api.shapes import JobOut, Plain


class WorkerOut(Plain):
    """A worker. ``slots`` are its cpus; ``running`` what it runs, as job:id; ``held`` what it was given and has not finished.

    ``confinement``: what its tasks are held to (memory, processes, cpus, user), and how; empty until it has said so.
    ``dropped`` counts its messages that the boss has dropped since it was started, ``dropped_why`` says of the last ones why.
    ``memory`` and ``disk`` are what it offers, in bytes, ``used`` its cpus that are in use, ``done`` how many attempts it has finished
    in this life of the boss, ``cached`` the bytes of the largest inputs that it keeps.
    """

    id: str
    state: str
    address: str
    slots: float
    running: list[str]
    last_seen: float
    pool: str
    draining: bool
    held: int
    confinement: dict[str, str] = {}
    dropped: int = 0
    dropped_why: str = ""
    memory: float = 0.0
    disk: float = 0.0
    used: float = 0.0
    done: int = 0
    cached: float = 0.0


class PoolOut(Plain):
    """A pool: what holds of it, and what the settings say (``given_*``).

    ``paused``: an admin wants no new VM of it; ``resting`` says why the boss asks for none just now, else it is empty.
    """

    name: str
    provider: str
    flavors: list[str]
    minimum: int
    maximum: int
    paused: bool
    given_minimum: int
    given_maximum: int
    resting: str
    limits: dict[str, float]


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


class FleetOut(BaseModel):
    """How many workers and VMs there are; ``busy`` are workers that run something."""

    workers: int
    online: int
    busy: int
    vms: int


class Status(BaseModel):
    """How things stand. ``rate`` is tasks of all jobs finished per second of late; ``notes`` say what is wrong outside.

    ``workers`` and ``vms`` are empty in a brief one, which has only their numbers in ``fleet``.
    """

    jobs: list[JobOut]
    tasks: dict[str, int]
    fleet: FleetOut
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
