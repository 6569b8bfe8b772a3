"""The fleet as a whole: shut it down and open it again; what lies in the clouds under this cluster's name, and what of it nobody owns."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from boss.api.answers import Refusal
from boss.api.house import House, TheHouse, blocking
from boss.api.roles import Guarded, needs
from boss.api.shapes_house import PoolOut
from boss.core.pools import MOST
from boss.core.requests import FleetClosed, FleetOpened, HostAdded, HostRemoved, PoolSet
from boss.core.tokens import Role
from boss.ports import CloudDown, HostRefused, Thing

router = APIRouter(route_class=Guarded, tags=["fleet"])


class Closing(BaseModel):
    """Whether to wait for what runs."""

    now: bool = False


class Closed(BaseModel):
    """The claims that are there still and on their way out."""

    workers: list[str]
    now: bool


class Opened(BaseModel):
    """VMs come again for what waits."""

    open: bool = True


class Leak(BaseModel):
    """One thing in a cloud that carries this cluster's tag. ``owner`` is the claim that has it, empty where none has: a leak.

    ``kind`` is server, volume, port or floating ip; ``created`` is null where the cloud does not say; ``removed`` is true when it was
    removed just now, ``error`` says why it could not be.
    """

    provider: str
    kind: str
    id: str
    name: str
    claim: str
    owner: str
    status: str
    created: float | None
    removed: bool = False
    error: str = ""


class Leaks(BaseModel):
    """What there is, and which clouds did not answer, with the reason: of those nothing is known."""

    things: list[Leak]
    silent: dict[str, str]


@router.post("/fleet/close", openapi_extra=needs(Role.ADMIN))
async def close(house: TheHouse, body: Closing) -> Closed:
    """Create no VM any more, whatever waits, and let all that are there go: drained first, unless ``now``."""
    return Closed.model_validate(await house.ask(lambda reply: FleetClosed(body.now, reply)))


@router.post("/fleet/open", openapi_extra=needs(Role.ADMIN))
async def reopen(house: TheHouse) -> Opened:
    """Let VMs come again for what waits."""
    await house.ask(FleetOpened)
    return Opened()


class PoolWish(BaseModel):
    """What is to change of a pool; what is left out stays as it is. Whole numbers, the minimum not above the maximum."""

    model_config = ConfigDict(extra="forbid")

    minimum: StrictInt | None = Field(default=None, ge=0, le=MOST)
    maximum: StrictInt | None = Field(default=None, ge=0, le=MOST)
    paused: StrictBool | None = None


@router.get("/pools", openapi_extra=needs(Role.VIEWER))
async def pools(house: TheHouse) -> list[PoolOut]:
    """The pools, as they are in force."""
    return [PoolOut.of(pool) for pool in house.view().pools]


@router.put("/pools/{pool}", openapi_extra=needs(Role.ADMIN))
async def set_pool(house: TheHouse, pool: str, body: PoolWish) -> PoolOut:
    """Change a pool while the boss runs; it holds after a restart too, until it is taken back."""
    changes = {name: value for name, value in body.model_dump().items() if value is not None}
    if not changes:
        raise Refusal(422, "say what is to change: minimum, maximum or paused")
    return await _set_pool(house, pool, changes)


@router.delete("/pools/{pool}", openapi_extra=needs(Role.ADMIN))
async def reset_pool(house: TheHouse, pool: str) -> PoolOut:
    """Let a pool be as the settings say again."""
    return await _set_pool(house, pool, {})


async def _set_pool(house: House, pool: str, changes: dict[str, int | bool]) -> PoolOut:
    return PoolOut.model_validate(await house.ask(lambda reply: PoolSet(pool, changes, reply)))


class Host(BaseModel):
    """A plain SSH host, as ssh takes it; ``cpus`` bounds the slots of its worker (default: all that it has)."""

    login: str = Field(pattern=r"^([A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9._-]*(:\d{1,5})?$", max_length=60)
    cpus: int | None = Field(default=None, ge=1)


class HostMade(BaseModel):
    """The worker of a host that was added, and what it offers."""

    worker: str
    login: str
    resources: dict[str, float]


class HostGone(BaseModel):
    """The workers of a host that was removed, on their way out."""

    workers: list[str]


@router.post("/hosts", openapi_extra=needs(Role.ADMIN))
async def add_host(house: TheHouse, body: Host) -> HostMade:
    """Install and start a worker on any host that the boss's user can log in to with ssh."""
    try:
        resources = dict(await blocking(house.facts.probe_host, body.login))
    except HostRefused as error:
        raise Refusal(409, str(error)) from None
    if body.cpus is not None:
        there = resources.get("cpus", 0.0)
        if body.cpus > there:
            raise Refusal(422, f"{body.login} has {there:g} cpus, not {body.cpus}")
        part = body.cpus / there
        resources |= {"cpus": float(body.cpus), "memory": resources["memory"] * part}
    return HostMade.model_validate(await house.ask(lambda reply: HostAdded(body.login, resources, reply)))


@router.delete("/hosts/{login}", openapi_extra=needs(Role.ADMIN))
async def remove_host(house: TheHouse, login: str, now: bool = False) -> HostGone:
    """End a host's worker (it finishes what it has, unless ``now``) and remove every trace of it there."""
    return HostGone.model_validate(await house.ask(lambda reply: HostRemoved(login, now, reply)))


@router.get("/fleet/leaks", openapi_extra=needs(Role.ADMIN))
async def leaks(house: TheHouse) -> Leaks:
    """Everything in the clouds that carries this cluster's tag, with the claim that owns it."""
    return (await blocking(_look, house))[0]


@router.delete("/fleet/leaks", openapi_extra=needs(Role.ADMIN))
async def remove_leaks(house: TheHouse) -> Leaks:
    """Remove what nobody owns; the answer has all that there was."""
    return await blocking(_remove, house)


def _look(house: House) -> tuple[Leaks, dict[tuple[str, str, str], Thing]]:
    """Look into each cloud first and at the claims after: what was made in between has its owner already."""
    things: list[Thing] = []
    silent: dict[str, str] = {}
    for cloud in house.facts.clouds:
        try:
            things += cloud.inventory()
        except CloudDown as error:
            silent[cloud.provider] = str(error)
    claims = {vm.id for vm in house.view().vms}
    groups = {vm.group: vm.id for vm in house.view().vms}
    found = [
        Leak(
            provider=thing.provider,
            kind=thing.kind,
            id=thing.id,
            name=thing.name,
            claim=thing.claim,
            owner=thing.claim if thing.claim in claims else groups.get(thing.claim, ""),
            status=thing.status,
            created=thing.created,
        )
        for thing in things
    ]
    return Leaks(things=found, silent=silent), {(thing.provider, thing.kind, thing.id): thing for thing in things}


def _remove(house: House) -> Leaks:
    found, things = _look(house)
    clouds = {cloud.provider: cloud for cloud in house.facts.clouds}
    gone: set[str] = set()
    for leak in found.things:  # servers first
        thing = things[leak.provider, leak.kind, leak.id]
        if leak.owner:
            continue
        if thing.uses and thing.uses in gone:  # its cloud takes it away with its server
            leak.removed = True
            continue
        try:
            clouds[leak.provider].remove(thing)
            leak.removed = True
            gone.add(thing.id)
        except CloudDown as error:
            leak.error = str(error)
    return found
