"""How many more VMs of a flavor there may be, and what bounds it. Reads the state only.

Rules:
- A pool has a maximum, and limits on the sum of what its VMs offer; VMs count until the cloud has confirmed that they are gone.
- Of the project's quota and of the subnets' free addresses the pool leaves its ``head_room`` to people. Claims that are newer than what the
  cloud has said count on top of it. Boot volumes and floating IPs count like cpus.
- No more boots a minute than the pool allows, none in its quiet hours, none when the budget is used up.
- Each bound says so in a sentence with its numbers and the setting that would change it.
"""

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from math import floor, inf

from boss.core import usage
from boss.core.model import Flavor, Pool, Vm, VmState
from boss.core.sizes import flavors
from boss.core.sizes import takes as takes_of
from boss.core.state import LIVE_VMS, State

_DAY = 86400.0
#: How people count what has another name, or another unit, here.
_UNITS = {
    "memory": (2.0**30, " GiB of memory"),
    "volume_space": (2.0**30, " GiB of volumes"),
    "floating_ips": (1.0, " floating IPs"),
}


@dataclass(frozen=True, slots=True)
class Room:
    """So many more VMs; ``cut`` says in a sentence what keeps it from being more."""

    count: int
    cut: str


def members(state: State, pool: str) -> list[Vm]:
    """The pool's claims that count against its maximum: everything that is not gone yet."""
    return [vm for vm in state.vms.values() if is_member(vm, pool)]


def is_member(vm: Vm, pool: str) -> bool:
    """Whether a claim counts against this pool's maximum."""
    return vm.pool == pool and (vm.state in LIVE_VMS or vm.state is VmState.DELETING)


def within(state: State, pool: Pool, flavor: Flavor, planned: Sequence[str], without: AbstractSet[str] = frozenset()) -> Room:
    """What the pool's maximum and its own limits leave, beside VMs of the ``planned`` flavors, without the claims in ``without``."""
    there = Counter(planned)
    there.update(state.roster.members(pool.name))
    there.subtract(vm.flavor for name in without if (vm := state.vms.get(name)) is not None and is_member(vm, pool.name))
    left = pool.maximum - there.total()
    cut = f"Pool {pool.name} has its maximum of {pool.maximum} VM(s); a larger `maximum` in the settings would help."
    sizes = {other.name: other.resources for other in flavors(state, pool)}
    for name, limit in pool.limits.items():
        takes = flavor.resources.get(name, 0.0)
        if not takes:
            continue
        used = sum(sizes[other].get(name, 0.0) * count for other, count in there.items() if other in sizes)
        more = floor((limit - used) / takes + 1e-9)
        if more < left:
            left, cut = more, f"Pool {pool.name} uses {used:g} of {limit:g} {name} that `limits` in the settings allows."
    if pool.paused:
        left, cut = 0, f"Pool {pool.name} is paused by an admin: `admin.py set_pool {pool.name} --resume` lets VMs come again."
    return Room(max(0, left), cut)


def room(state: State, pool: Pool, flavor: Flavor, planned: Sequence[tuple[str, str]], now: float) -> Room:
    """How many VMs of this flavor may be created now, with what is ``planned`` (pool, flavor) already."""
    least = within(state, pool, flavor, [name for other, name in planned if other == pool.name])
    for bound in (_quota(state, pool, flavor, planned, now), _boots(state, pool, planned, now)):
        if bound is not None and bound.count < least.count:
            least = bound
    closed = closed_until(state, pool, now)
    if closed is not None:
        least = Room(0, f"Pool {pool.name} has quiet hours: no VM is created for another {closed / 60:.0f} min.")
    if usage.is_spent(state, now):
        least = Room(0, usage.spent_sentence(state, now))
    return least


def _quota(state: State, pool: Pool, flavor: Flavor, planned: Sequence[tuple[str, str]], now: float) -> Room | None:
    limits = state.limits.get(pool.provider)
    if not limits:
        return None
    heard = state.outlook.limited.get(pool.provider, now)
    pools = {other.name: other for other in state.policy.pools if other.provider == pool.provider}
    newer = [
        (vm.pool, vm.flavor)
        for vm in state.vms.values()
        if vm.pool in pools and (not vm.server or vm.created >= state.wall(heard))
    ]
    newer += [entry for entry in planned if entry[0] in pools]
    sizes = {(name, other.name): takes_of(one, other.resources) for name, one in pools.items() for other in flavors(state, one)}
    least: Room | None = None
    for name, takes in takes_of(pool, flavor.resources).items():
        limit = limits.get(name)
        if limit is None or not takes or limit.total == inf:
            continue
        taken = sum(sizes.get(entry, takes_of(pools[entry[0]], {})).get(name, 0.0) for entry in newer)
        kept = pool.head_room.get(name, 0.0)
        more = max(0, floor((limit.total - limit.used - taken - kept) / takes + 1e-9))
        if least is None or more < least.count:
            least = Room(more, _quota_sentence(pool, name, limit.used + taken, limit.total, kept))
    return least


def _quota_sentence(pool: Pool, name: str, used: float, total: float, kept: float) -> str:
    unit, suffix = _UNITS.get(name, (1.0, f" {name}"))
    head = f", and {kept / unit:g} are left to people (`head_room`)" if kept else ""
    if name == "addresses":
        return f"Pool {pool.name}: {used:g} of {total:g} addresses of its subnet are taken{head}; a larger subnet or fewer VMs would help."
    return (
        f"Pool {pool.name}: the project uses {used / unit:g} of its quota of {total / unit:g}{suffix}{head}; "
        "it goes on when servers of the project are deleted, or with a larger quota."
    )


def _boots(state: State, pool: Pool, planned: Sequence[tuple[str, str]], now: float) -> Room | None:
    if not pool.boots_per_minute:
        return None
    recent = sum(1 for vm in state.vms.values() if vm.pool == pool.name and vm.created > state.wall(now) - 60.0)
    recent += sum(1 for other, _ in planned if other == pool.name)
    more = max(0, floor(max(1.0, pool.boots_per_minute) - recent + 1e-9))
    return Room(more, f"Pool {pool.name} creates at most {pool.boots_per_minute:g} VM(s) a minute (`boots_per_minute`).")


def closed_until(state: State, pool: Pool, now: float) -> float | None:
    """In quiet hours: the seconds until they end."""
    wall = state.wall(now)
    added = 0.0
    for begins, seconds in state.policy.zone:
        if begins <= wall:
            added = seconds
    moment = (wall + added) % _DAY
    for begin, end in pool.quiet:
        left = (end - moment) % _DAY
        if left and left <= (end - begin) % _DAY:
            return left
    return None
