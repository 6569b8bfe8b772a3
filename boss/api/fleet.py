"""The fleet as a whole: shut it down and open it again; what lies in the clouds under this cluster's name, and what of it nobody owns."""

from fastapi import APIRouter
from pydantic import BaseModel

from boss.api.house import House, TheHouse, blocking
from boss.api.roles import Guarded, needs
from boss.core.events import FleetClosed, FleetOpened
from boss.core.tokens import Role
from boss.ports import CloudDown, Thing

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
    for leak in found.things:
        if leak.owner:
            continue
        try:
            clouds[leak.provider].remove(things[leak.provider, leak.kind, leak.id])
            leak.removed = True
        except CloudDown as error:
            leak.error = str(error)
    return found
