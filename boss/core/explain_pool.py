"""Why a pool has the VMs that it has and no more: sentences for people, from the state alone.

Rules: the first sentence says how it stands, then what keeps it from more, the remedy last; nothing is guessed.
"""

from collections import Counter

from boss.core import backlog, health, limits, sizes
from boss.core.model import Pool
from boss.core.placement import can_ever
from boss.core.scaling import CLOSED
from boss.core.state import State

#: Flavors that are told one by one.
FEW = 3


def standing(state: State, pool: Pool, now: float) -> str:
    """One word: paused, waiting (before it asks again), full, or open."""
    rest = health.resting(state, pool.name, "", now)
    if rest is not None:
        return "paused" if rest.bursts >= health.PAUSED_AFTER else "waiting"
    return "full" if len(limits.members(state, pool.name)) >= pool.maximum else "open"


def why(state: State, pool: Pool, now: float) -> list[str]:
    """How a pool stands, what keeps it from more VMs, and what would help."""
    there = limits.members(state, pool.name)
    counts = Counter(vm.state.value for vm in there)
    has = ", ".join(f"{count} {name}" for name, count in counts.items())
    said = [f"Pool {pool.name} ({pool.provider}) has {len(there)} of at most {pool.maximum} VM(s){f': {has}' if has else ''}."]
    if CLOSED in state.context:
        return [*said, "The fleet is shut down: no VM is created, whatever waits.", "`admin.py open` lets them come again."]
    bounds = _bounds(state, pool, now)
    trouble = state.cloud_trouble.get(pool.provider)
    if trouble and not any(trouble in one for one in bounds):
        bounds.append(f"Cloud {pool.provider} does not answer as it should: {trouble}.")
    if backlog.is_full(state):
        bounds.append(f"No VM is added while {backlog.full(state)}.")
    said += bounds + sizes.absent(state, pool)[:FEW]
    said += _wanted(state, pool)
    if health.resting(state, pool.name, "", now) is not None and not any("admin.py doctor" in one for one in said):
        said.append(
            "`admin.py doctor` checks the way to its cloud, `admin.py doctor --boot` tries one VM and says where it ends."
        )
    return said


def _bounds(state: State, pool: Pool, now: float) -> list[str]:
    """What keeps the pool from creating a VM now, each bound once."""
    rest = health.resting(state, pool.name, "", now)
    if rest is not None:
        return [health.sentence(pool, rest, now)]
    found: list[str] = []
    unknown = sizes.unknown(state, pool)
    if unknown:
        found.append(f"What {', '.join(unknown[:FEW])} offers is not known yet: its cloud has not said.")
    known = sizes.flavors(state, pool)
    for flavor in known:
        rest = health.resting(state, pool.name, flavor.name, now)
        if rest is not None:
            found.append(health.sentence(pool, rest, now, flavor.name))
    rooms = [limits.room(state, pool, flavor, (), now) for flavor in known]
    if rooms and not any(room.count for room in rooms):
        found.append(min(rooms, key=lambda room: len(room.cut)).cut)
    return list(dict.fromkeys(found))[: FEW + 1]


def _wanted(state: State, pool: Pool) -> list[str]:
    """Whether anything waits that the pool could hold."""
    flavors = sizes.flavors(state, pool)
    count = sum(
        bucket.count
        for bucket in state.ready.buckets.values()
        if any(can_ever(bucket.shape, flavor.resources) for flavor in flavors)
    )
    if count:
        return [f"{count:,} ready task(s) could run on its VMs."]
    return ["No task is ready that its VMs could hold, so none is needed."]
