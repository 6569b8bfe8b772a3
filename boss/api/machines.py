"""Workers' VMs, for admins: looking into them, and where they reach the boss."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from boss.adapters.address import FACT, is_host
from boss.api.answers import Refusal
from boss.api.bodies import Address
from boss.api.house import House, TheHouse, blocking
from boss.api.roles import Guarded, needs
from boss.core.requests import ContextSet
from boss.core.tokens import Role
from boss.ports import MachineDown

router = APIRouter(tags=["look"], route_class=Guarded)

NDJSON = "application/x-ndjson"
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {NDJSON: {}}, "description": "One JSON object a line"}}
#: Seconds of silence after which a stream says that it lives.
ALIVE = 5.0


@router.get("/workers/{worker}/debug", response_class=StreamingResponse, responses=_STREAM, openapi_extra=needs(Role.ADMIN))
async def debug(house: TheHouse, worker: str) -> StreamingResponse:
    """Run ``debug.sh`` on a worker's VM: how it stands, and its start-up again with every command printed, as ``{"line"}`` objects."""
    view = house.view()
    vm = next((vm for vm in view.vms if vm.id == worker), None)
    if vm is None:
        known = [vm.id for vm in view.vms]
        raise Refusal(404, f"there is no VM {worker!r}; there are: {', '.join(known[:20]) or 'none'}", known)
    if house.facts.debug is None:
        raise Refusal(
            409, f"{worker} is a process of the boss's machine: its log is worker.log in workers/{worker} of the state folder"
        )
    try:
        lines = await blocking(house.facts.debug, vm.id, vm.pool, vm.address, lambda: _console_of(house, vm.id, vm.server))
    except MachineDown as error:
        raise Refusal(503, str(error)) from None
    return StreamingResponse(_told(lines), media_type=NDJSON)


class BossPlace(BaseModel):
    """Where VMs reach the boss from its next start on."""

    boss_address: str


@router.put("/context/boss", openapi_extra=needs(Role.ADMIN))
async def set_boss_address(house: TheHouse, body: Address) -> BossPlace:
    """Say under which name or address VMs reach the boss; it wins over the settings, and counts from the boss's next start on."""
    if not is_host(body.address):
        raise Refusal(422, f"{body.address!r} is neither a host name nor an IP address")
    await house.ask(lambda reply: ContextSet({FACT: body.address}, reply))
    return BossPlace(boss_address=body.address)


def _console_of(house: House, vm: str, server: str) -> str:
    """What a VM's cloud shows of its console; only one cloud knows the server."""
    return next((text for cloud in house.facts.clouds if (text := cloud.read_console(vm, server))), "")


async def _told(lines: Iterator[str]) -> AsyncIterator[str]:
    """The lines as objects; an empty line is a sign of life."""
    while True:
        waiting = asyncio.ensure_future(asyncio.to_thread(next, lines, None))
        while not (await asyncio.wait({waiting}, timeout=ALIVE))[0]:
            yield "\n"
        line = waiting.result()
        if line is None:
            return
        yield json.dumps({"line": line}) + "\n"
