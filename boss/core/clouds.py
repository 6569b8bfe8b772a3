"""What clouds say beside their answers to create and delete, and VMs that want to join. Part of the reactor.

Rules:
- A claim takes one worker's key, for good: the same key asking again gets the same answer, another one is refused.
- Limits, flavors and troubles are what was heard last; they are not stored and come anew after each start.
"""

from boss.core import fleet, health, jobs, overdue, sizes
from boss.core.events import CloudFailed, ConsoleRead, FlavorsSeen, LimitsSeen
from boss.core.lines import last_line
from boss.core.model import Refusal, Vm, VmState
from boss.core.requests import JoinAsked
from boss.core.state import State

#: Characters of a console's end that are kept for the one who asks why a VM never joined.
CONSOLE = 4000
#: How many of them.
CONSOLES = 50
#: States of a claim whose server may still become its worker, or is it.
_JOINABLE = frozenset({VmState.CREATING, VmState.BOOTING, VmState.JOINED, VmState.DRAINING})


def on_limits(state: State, event: LimitsSeen, now: float) -> None:
    """What a project may have: room in it ends the wait for the quota."""
    state.limits[event.provider] = dict(event.limits)
    state.outlook.limited[event.provider] = now
    state.cloud_trouble.pop(event.provider, None)
    if all(limit.used < limit.total for limit in event.limits.values()):
        for pool in state.policy.pools:
            rest = state.health.get((pool.name, ""))
            if pool.provider == event.provider and rest is not None and rest.kind is Refusal.QUOTA:
                rest.resume_at = min(rest.resume_at, now)


def on_flavors(state: State, event: FlavorsSeen) -> None:
    """What the flavors offer, and which of them are not there."""
    state.sizes.update(event.flavors)
    pools = {pool.name for pool in state.policy.pools if pool.provider == event.provider}
    state.absent = {key: said for key, said in state.absent.items() if key[0] not in pools} | dict(event.absent)
    state.cloud_trouble.pop(event.provider, None)


def on_cloud_failed(state: State, event: CloudFailed, now: float) -> None:
    """A cloud does not answer, or not us."""
    state.cloud_trouble[event.provider] = event.reason
    overdue.answered(state, event.provider)
    for pool in state.policy.pools:
        if pool.provider == event.provider:
            health.failed(state, pool.name, "", event.kind, event.reason, now, event.retry_after)


def on_console(state: State, event: ConsoleRead, now: float) -> None:
    """Keep the end of what a server has written; one that waited for this before it is deleted goes now."""
    if event.text.strip():
        state.consoles[event.vm] = event.text[-CONSOLE:]
        while len(state.consoles) > CONSOLES:
            del state.consoles[next(iter(state.consoles))]
    vm = state.vms.get(event.vm)
    if vm is not None and vm.id in state.last_words:
        reason = state.last_words.pop(vm.id)
        if line := last_line(event.text):
            ends = f"; its console ends with: {line}"
            health.add(state, vm.pool, vm.flavor, f"{vm.id}: ", ends)
            reason += ends
        fleet.condemn(state, vm, reason, now)


def on_join(state: State, event: JoinAsked, now: float) -> None:
    """A VM with a good token of a claim group wants to be a worker: bind it to a claim, or say why not."""
    rows = [vm for vm in state.vms.values() if vm.group == event.group]
    vm = next((row for row in rows if row.key == event.key), None)
    if vm is None and event.bound:
        jobs.answer(state, event.reply, 403, error="the time of this join token is over, and no claim is bound to this key")
        return
    vm = vm or _free_row(rows, event)
    if not rows:
        error = f"the claim {event.group} is not known here (any more): it was given up, or another boss made it"
    elif vm is None:
        left = next((row for row in rows if not row.key), None)
        if left is None:
            error = f"every claim of {event.group} has its worker already"
        elif left.state not in _JOINABLE:
            error = f"the claim {left.id} is {left.state}"
        else:
            error = f"no claim of {event.group} is free for the server {event.server}: the cloud has given others for them"
    elif vm.state not in _JOINABLE:
        error = f"the claim {vm.id} is {vm.state}"
    else:
        _bind(state, vm, event, now)
        return
    jobs.answer(state, event.reply, 403, error=error)


def _free_row(rows: list[Vm], event: JoinAsked) -> Vm | None:
    """The claim that this server was made for: by its id, by the number at the end of its name, or any that nobody has.

    A machine that names a server is let into no claim that the cloud has given another server for.
    """
    if event.server:
        known = next((row for row in rows if _is_server(row, event.server)), None)
        if known is not None:
            return known if not known.key else None
    suffix = event.name.rpartition("-")[2]
    named = rows[int(suffix) - 1] if len(rows) > 1 and suffix.isdecimal() and 0 < int(suffix) <= len(rows) else None
    free = [row for row in rows if not row.key and row.state in _JOINABLE]
    if event.server:
        free = [row for row in free if not row.server]
    return named if named in free else next(iter(free), None)


def _is_server(vm: Vm, server: str) -> bool:
    """Whether this is the claim's server; firmware may tell the first three fields of the id with their bytes the other way round."""
    fields = server.split("-")
    turned = "-".join(
        ["".join(reversed([field[at : at + 2] for at in range(0, len(field), 2)])) for field in fields[:3]] + fields[3:]
    )
    return bool(vm.server) and vm.server in (server, turned)


def _bind(state: State, vm: Vm, event: JoinAsked, now: float) -> None:
    vm.key = event.key
    vm.server = vm.server or event.server
    vm.address = vm.address or event.address
    state.touch_vm(vm)
    flavor = sizes.flavor_of(state, vm)
    resources = dict(flavor.resources) if flavor is not None else {}
    if vm.id in state.trials and resources:
        resources[sizes.TRIAL] = 1.0
    jobs.answer(state, event.reply, 200, worker=vm.id, pool=vm.pool, flavor=vm.flavor, resources=resources)
