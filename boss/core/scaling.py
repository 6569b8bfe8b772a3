"""Which VMs to create and which workers to drain: a snapshot in, a plan with reasons out. Asks placement "what if".

Rules:
- VMs that are up at once (processes of this machine) are asked for when they are needed: what is ready is placed on what is there and what
  is coming; only what finds no room asks for more, and an idle worker goes when it has held nothing for its pool's cool-down.
- For VMs that take their time to come up the work in sight is played through (``ahead``): at most once a second, when something has
  changed, and when the last look said so.
- A VM is wanted only if the real placement gives it work, and only within its pool's limits (``limits``) and outside its back-off.
- A worker that is kept, or that its pool's minimum needs, is not drained; one that holds anything never is, except to make room:
- When a pool's limits keep out a task that a larger VM could run, idle workers of that pool make room at once; busy ones are drained
  (never killed) once the task has waited for a cool-down. From then on the room is kept for it: nothing smaller comes to that pool, and its
  VM comes first.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import inf
from typing import Final

from boss.core import backlog, forecast, health, limits, quotas
from boss.core.ahead import Chooser
from boss.core.deals import demands_of, offers_for
from boss.core.limits import members
from boss.core.machines import is_slow
from boss.core.model import Flavor, Pool, Vm, VmState, Wanted, Worker, WorkerState
from boss.core.placement import Demand, Offer, Shares, can_ever, place
from boss.core.quotas import obtainable
from boss.core.ready import Shape
from boss.core.roster import COMING
from boss.core.sizes import flavor_of
from boss.core.state import State
from boss.core.trust import is_over

#: The fact in the context that says since when no VM may come.
CLOSED: Final = "fleet_closed"
#: Seconds between two looks ahead, at least; more when much is in sight.
PAUSE = 1.0
#: Seconds after which it is looked again though nothing has happened here: quotas, quiet hours and back-offs change by themselves.
RELOOK = 15.0


@dataclass(slots=True)
class ScalingPlan:
    """What to do: ``create`` (pool, flavor, reason), ``drain`` (worker, reason)."""

    create: list[tuple[str, str, str]] = field(default_factory=list)
    drain: list[tuple[str, str]] = field(default_factory=list)

    def groups(self) -> dict[tuple[str, str], list[str]]:
        """The reasons by pool and flavor: what one create call can ask for."""
        found: dict[tuple[str, str], list[str]] = {}
        for pool, flavor, reason in self.create:
            found.setdefault((pool, flavor), []).append(reason)
        return found


def plan(state: State, now: float) -> ScalingPlan:
    """What the queue needs now, beyond what is there and coming; and what it does not need any more."""
    wish = ScalingPlan()
    if state.stopping or state.fenced or CLOSED in state.context:
        return wish
    left = unplaced(state)
    kept = _kept(state, left, now)
    if not backlog.is_full(state):  # its results would only wait on one more machine
        _grow(state, left, kept, wish, now)
    _look_ahead(state, kept, wish, now)
    _keep_minimum(state, wish, now)
    _shrink(state, left, wish, now)
    return wish


def _look_ahead(state: State, kept: Mapping[str, Shape], wish: ScalingPlan, now: float) -> None:
    """Play the work in sight through, if there are pools whose VMs take their time, and it is time to look."""
    if not any(is_slow(state, pool, flavor.name) for pool in state.policy.pools for flavor in pool.flavors):
        return
    outlook = state.outlook
    seen = _seen(state, now)
    urgent = seen[:4] != outlook.seen[:4]  # jobs or VMs have come or gone, or clouds say something else
    if now < outlook.due and (seen == outlook.seen or (not urgent and now < outlook.looked + outlook.pause)):
        return
    work = forecast.look(state, now, lambda shape: _may_be_held(state, shape))
    planned = [(pool, flavor) for pool, flavor, _ in wish.create]
    choice = Chooser(state, work, planned, now).choose()
    if not backlog.is_full(state):
        for pool, flavor, reason in choice.buy:  # bounded again: several smaller ones may have taken the place of one
            if _may_come(state, kept, pool, flavor) and _has_room(state, *_named(state, pool, flavor), wish, now):
                wish.create.append((pool, flavor, reason))
    for name, reason in choice.release:
        wish.drain.append((name, reason))
        vm = state.vms[name]
        outlook.dropped[vm.pool, vm.flavor] = now
    outlook.looked, outlook.seen = now, seen
    outlook.pause = PAUSE * (1.0 + len(work.sight.kind) / 300)
    # a VM may become idle, or be kept no longer, and a job may be resumed, without a word in what is seen
    again = now + RELOOK if work.jobs or state.vms or state.ready.buckets else inf
    outlook.due = max(min(choice.due, again), now + outlook.pause)


def _seen(state: State, now: float) -> tuple[int, ...]:
    """What tells whether anything has changed since the last look, at the cost of a few sums."""
    joined, held, done = state.roster.seen()
    ready = sum(bucket.count for bucket in state.ready.buckets.values())
    resting = sum(1 for health in state.health.values() if now < health.resume_at)
    said = hash((resting, len(state.sizes), *(tuple(limits.items()) for limits in state.limits.values())))
    going = {job for job, _, _ in state.ready.buckets if state.jobs[job].wanted is Wanted.RUN}
    return len(going), len(state.vms), joined, said, ready, held, done


def _may_be_held(state: State, shape: Shape) -> bool:
    """Whether some VM that may be had, or a worker that is there, can hold a task of this shape."""
    if is_over(shape, state.wall(state.last_turn)):
        return False
    if any(can_ever(shape, flavor.resources) for pool in state.policy.pools for flavor in obtainable(state, pool)):
        return True
    return any(can_ever(shape, worker.resources) for worker in state.workers.values() if worker.state is WorkerState.ONLINE)


def unplaced(state: State) -> list[Demand]:
    """The ready tasks for which there is no room on any worker, real or coming."""
    demands = demands_of(state, 1.0)
    if not demands:
        return []
    offers = offers_for(state, demands) + list(_coming(state, demands))
    if offers and demands:
        place(demands, offers, Shares())  # how much finds no room is asked, not whose
    return [demand for demand in demands if demand.count]


def _coming(state: State, demands: Sequence[Demand]) -> Iterator[Offer]:
    """What is to come; of each flavor no more than there are tasks, for those that nobody refuses are all alike."""
    most = sum(demand.count for demand in demands)
    refused = frozenset[str]().union(*(demand.refused for demand in demands))
    made: dict[tuple[str, str], tuple[int, Flavor | None]] = {}
    for name in state.roster.coming():
        vm = state.vms[name]
        kind = (vm.pool, vm.flavor)
        count, flavor = made[kind] if kind in made else (0, flavor_of(state, vm))
        made[kind] = count + (name not in refused), flavor
        if flavor is not None and count < most:
            yield Offer(vm.id, flavor.resources, dict(flavor.resources), vm.pool)


def is_coming(state: State, pool: str, flavor: str = "") -> bool:
    """Whether a VM of this pool (and flavor) is under way."""
    return any(vm.pool == pool and flavor in ("", vm.flavor) and vm.state in COMING for vm in state.vms.values())


def _kept(state: State, left: Sequence[Demand], now: float) -> dict[str, Shape]:
    """Of each pool whose smaller VMs go, or have gone, for a task that has waited for a cool-down: what that task needs."""
    kept: dict[str, Shape] = {}
    pools = [pool for pool in state.policy.pools if len(pool.flavors) > 1]
    if not pools:  # no VM is smaller than another
        return kept
    for shape in sorted(dict.fromkeys(demand.shape for demand in left), key=lambda shape: state.blocked.get(shape, now)):
        for pool in pools:
            if pool.name in kept or now - state.blocked.get(shape, now) < pool.cooldown:
                continue
            flavor = _smallest_for(state, pool, shape)
            if flavor is None or all(can_ever(shape, one.resources) for one in obtainable(state, pool)):
                continue
            smaller = {vm.id for vm in members(state, pool.name) if not _holds(state, vm, shape)}
            if may_add(state, pool, flavor, ScalingPlan(), smaller):
                kept[pool.name] = shape
    return kept


def _smallest_for(state: State, pool: Pool, shape: Shape) -> Flavor | None:
    fitting = [flavor for flavor in obtainable(state, pool) if can_ever(shape, flavor.resources)]
    return min(fitting, key=lambda flavor: (flavor.price, flavor.resources.get("cpus", 0.0)), default=None)


def _holds(state: State, vm: Vm, shape: Shape) -> bool:
    flavor = flavor_of(state, vm)
    return flavor is not None and can_ever(shape, flavor.resources)


def _may_come(state: State, kept: Mapping[str, Shape], pool: str, name: str) -> bool:
    """Whether a VM of this flavor takes no room that is kept for a larger one."""
    shape, there = kept.get(pool), state.pool(pool)
    flavor = next((other for other in obtainable(state, there) if other.name == name), None) if there is not None else None
    return shape is None or (flavor is not None and can_ever(shape, flavor.resources))


def _grow(state: State, left: Sequence[Demand], kept: Mapping[str, Shape], wish: ScalingPlan, now: float) -> None:
    """Add the cheapest VM that fits, place again, until nothing is left or nothing may be added."""
    shares = Shares()
    overdue = set(kept.values())
    for demand in sorted(left, key=lambda demand: (demand.shape not in overdue, -demand.priority)):
        while demand.count:
            choice = _cheapest(state, demand.shape, kept, wish, now)
            if choice is None:
                break
            pool, flavor = choice
            offer = Offer(f"new-{len(wish.create)}", flavor.resources, dict(flavor.resources), pool.name)
            place([demand, *(other for other in left if other is not demand)], [offer], shares)
            if not offer.got:
                break
            wish.create.append((pool.name, flavor.name, f"{offer.got} ready task(s) have no room"))


def _cheapest(state: State, shape: Shape, kept: Mapping[str, Shape], wish: ScalingPlan, now: float) -> tuple[Pool, Flavor] | None:
    """The cheapest flavor, over all pools that may grow, that an empty VM of could run this shape."""
    best: tuple[tuple[float, float, int], Pool, Flavor] | None = None
    for rank, pool in enumerate(state.policy.pools):
        for flavor in obtainable(state, pool):
            if is_slow(state, pool, flavor.name) or health.resting(state, pool.name, flavor.name, now) is not None:
                continue
            if not _has_room(state, pool, flavor, wish, now):
                continue
            comes = _may_come(state, kept, pool.name, flavor.name)
            if comes and can_ever(shape, flavor.resources) and may_add(state, pool, flavor, wish):
                cost = (flavor.price, flavor.resources.get("cpus", 0.0), rank)
                if best is None or cost < best[0]:
                    best = (cost, pool, flavor)
    return None if best is None else best[1:]


def _named(state: State, pool: str, flavor: str) -> tuple[Pool, Flavor]:
    """A pool and its flavor that the look ahead has chosen."""
    return next(
        (there, one)
        for there in state.policy.pools
        if there.name == pool
        for one in obtainable(state, there)
        if one.name == flavor
    )


def _has_room(state: State, pool: Pool, flavor: Flavor, wish: ScalingPlan, now: float) -> bool:
    """Whether one more VM may be created now, beside what is wished for already."""
    return limits.room(state, pool, flavor, [(name, other) for name, other, _ in wish.create], now).count > 0


def may_add(state: State, pool: Pool, flavor: Flavor, wish: ScalingPlan, without: AbstractSet[str] = frozenset()) -> bool:
    """Whether one more VM of this flavor stays within the pool's maximum and limits, with what is wished for already.

    The claims in ``without`` are left out: would it stay within them once those are gone?
    """
    planned = [name for pool_name, name, _ in wish.create if pool_name == pool.name]
    return limits.within(state, pool, flavor, planned, without).count > 0


def _keep_minimum(state: State, wish: ScalingPlan, now: float) -> None:
    for pool in state.policy.pools:
        flavor = quotas.first(state, pool)
        if flavor is None or health.resting(state, pool.name, flavor.name, now) is not None:
            continue
        planned = sum(1 for pool_name, _, _ in wish.create if pool_name == pool.name)
        missing = pool.minimum - state.roster.standing(pool.name) - planned
        if missing > 0:
            there = [name for pool_name, name, _ in wish.create if pool_name == pool.name]
            count = min(missing, limits.within(state, pool, flavor, there).count)
            wish.create += [(pool.name, flavor.name, f"the minimum of pool {pool.name} is {pool.minimum}")] * count


def _shrink(state: State, left: Sequence[Demand], wish: ScalingPlan, now: float) -> None:
    still = [demand for demand in left if demand.count]
    state.blocked = {demand.shape: state.blocked.get(demand.shape, now) for demand in still}
    for pool in state.policy.pools:
        spare = state.roster.standing(pool.name) - pool.minimum
        for name in state.roster.idle(pool.name, now, pool.cooldown) if spare > 0 else ():
            if is_slow(state, pool, state.vms[name].flavor):
                continue  # the look ahead decides
            if spare > 0 and _drainable(state, state.workers[name], now):
                wish.drain.append((name, f"idle for {pool.cooldown:.0f} s"))
                spare -= 1
        if still:
            _make_room(state, pool, still, wish, now)


def _drainable(state: State, worker: Worker, now: float) -> bool:
    vm = state.vms.get(worker.id)
    return vm is not None and vm.state is VmState.JOINED and not worker.draining and worker.keep_until <= now


def _make_room(state: State, pool: Pool, still: Sequence[Demand], wish: ScalingPlan, now: float) -> None:
    """Drain workers that are too small for what waits, so that the pool's limits allow a larger VM; for one demand at a time."""
    for demand in still:
        flavor = _smallest_for(state, pool, demand.shape)
        if flavor is None or may_add(state, pool, flavor, wish):
            continue
        waited = now - state.blocked.get(demand.shape, now)
        small = _too_small(state, pool, demand.shape, now)
        chosen = [worker for worker in small if not worker.held or waited >= pool.cooldown]
        chosen.sort(key=lambda worker: len(worker.held))
        leaving = {*state.roster.leaving(pool.name), *(name for name, _ in wish.drain)}
        going: list[Worker] = []
        for worker in chosen:
            if may_add(state, pool, flavor, wish, leaving):
                break
            if worker.id not in leaving:
                leaving.add(worker.id)
                going.append(worker)
        if may_add(state, pool, flavor, wish, leaving):  # else nobody's going would help
            reason = f"makes room for a VM of {flavor.name}, which {demand.count} waiting task(s) need"
            wish.drain += [(worker.id, reason) for worker in going]
            return


def _too_small(state: State, pool: Pool, shape: Shape, now: float) -> list[Worker]:
    """The workers of a pool that may be drained and can never run a task of this shape; mostly there are none, nor a look at all."""
    if all(can_ever(shape, offered) for offered in state.roster.kinds(pool.name)):
        return []
    workers = [worker for worker in state.workers.values() if worker.pool == pool.name and _drainable(state, worker, now)]
    return [worker for worker in workers if not can_ever(shape, worker.resources)]
