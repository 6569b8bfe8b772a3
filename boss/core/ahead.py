"""How many VMs the work in sight is worth: plays it through with more and with fewer, and takes the best. Reads the state.

Remembers in ``Outlook``.

Rules:
- More VMs end jobs sooner and cost more. What counts are ratios: a job that ends 10 % sooner is worth so many per cent of what all VMs
  cost, by the pool's ``haste``; so the rule is the same for minutes and weeks, one VM and hundreds.
- Only what would be up when it is needed, and needed when it is up, is asked for. For a layer that is known to come VMs are asked for one
  boot time before it opens; a VM that would come up after the work is gone is not asked for.
- An idle VM is kept over a gap that is shorter than deleting it and booting another, and let go as soon as nothing in sight needs it
  before.
- Where a VM was let go, no equal one is asked for within one and a half boot times, unless a job has come since.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import floor, inf, log

from boss.core import health, limits
from boss.core.forecast import Forecast
from boss.core.model import Flavor, Pool, Resources, Vm, VmState, Worker, WorkerState
from boss.core.placement import Demand, Offer, Shares, can_ever, needs_on, place
from boss.core.quotas import obtainable
from boss.core.ready import Shape
from boss.core.rollout import EPSILON, PATIENCE, Machine, Outcome, roll
from boss.core.sizes import flavor_of, flavors
from boss.core.state import State

#: What a per cent of cost weighs against a per cent of time, at haste 0 and at haste 1.
THRIFTY, HASTY = 1.6, 0.1
#: So much more the cost weighs where nothing is known of the run times.
CAUTION = 1.0
#: Numbers of VMs that are tried; between the best two neighbours the middle is tried too.
STEPS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 26, 30, 36, 43, 50, 60, 75, 100, 130, 170, 220, 300, 400, 600, 1000)
#: So many tries in a row without a gain end the search; flavors that are tried for a kind of work; kinds of work.
PATIENT, FLAVORS, GROUPS = 5, 3, 3
#: Seconds: a VM that is first needed this much later than it could be up is still asked for now.
NEAR = 0.5
#: Boot times after one was let go in which no equal VM is asked for: some take longer than the mean.
REST = 1.5
#: Seconds before the end of a paid period in which an idle VM is let go.
END_OF_PERIOD = 90.0
#: Seconds: VMs that are up sooner are asked for when they are needed.
SLOW = 5.0


#: A worker that is silent for a moment (after a restart of the boss all are) is not replaced before it counts as lost.
_THERE = frozenset({WorkerState.ONLINE, WorkerState.OFFLINE})


@dataclass(slots=True)
class Choice:
    """``buy``: pool, flavor and reason of each VM to ask for now; ``release``: workers to let go, with reasons; ``due``.

    When to look again.
    """

    buy: list[tuple[str, str, str]] = field(default_factory=list)
    release: list[tuple[str, str]] = field(default_factory=list)
    due: float = inf


@dataclass(slots=True)
class _Fleet:
    """The machines of one way to go on, with what they stand for."""

    machines: list[Machine] = field(default_factory=list)
    idle: list[Worker] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)


class Chooser:
    """One look ahead."""

    def __init__(self, state: State, forecast: Forecast, planned: list[tuple[str, str]], now: float) -> None:
        self.state, self.forecast, self.planned, self.now = state, forecast, list(planned), now
        self.wall = state.wall(now)
        self.priced = any(flavor.price for pool in state.policy.pools for flavor in pool.flavors)
        self._shares: dict[tuple[tuple[str, float], ...], list[float | None]] = {}
        self._cuts: dict[tuple[str, str], str] = {}
        self.fleet = _Fleet()
        self._there()
        self.spent = self._account()

    # ---- what there is

    def rate(self, flavor: Flavor | None) -> float:
        """What a second of a VM costs: its price, or where nothing has one its cpus."""
        if flavor is None:
            return 0.0
        return flavor.price / 3600.0 if self.priced else flavor.resources.get("cpus", 1.0)

    def shares(self, resources: Resources) -> list[float | None]:
        """What a task of each kind takes of a machine with these resources."""
        key = tuple(sorted(resources.items()))
        found = self._shares.get(key)
        if found is None:
            found = self._shares[key] = [share_of(shape, resources) for shape in self.forecast.shapes]
        return found

    def boot(self, pool: Pool, flavor: str) -> float:
        """How long such a VM takes to come up."""
        return self.state.learned.boot(pool.name, flavor, pool.provider)

    def _there(self) -> None:
        closed: list[float | None] = [None] * len(self.forecast.shapes)
        coming: list[Machine] = []
        for name in sorted(self.state.workers):
            worker = self.state.workers[name]
            vm = self.state.vms.get(name)
            flavor = flavor_of(self.state, vm) if vm is not None else None
            pool = self.state.pool(vm.pool) if vm is not None else None
            boot = self.boot(pool, flavor.name) if pool is not None and flavor is not None else 0.0
            held = tuple((node, share_of(shape, worker.resources) or 1.0) for node, shape in self.forecast.held.get(name, ()))
            there = worker.state in _THERE and not worker.draining
            usable = there and bool(worker.resources)
            if usable or held:
                shares = self.shares(worker.resources) if usable else closed
                self.fleet.machines.append(Machine(name, shares, self.rate(flavor), boot, held=held))
                online = worker.state is WorkerState.ONLINE
                if usable and online and vm is not None and not worker.held and self._may_go(vm, worker):
                    self.fleet.idle.append(worker)
            elif vm is not None and flavor is not None and self._comes(vm, worker):
                waited = self.wall - vm.created
                up = max(boot - waited, 0.1 * boot, NEAR)
                coming.append(Machine(name, self.shares(flavor.resources), self.rate(flavor), boot, up))
        for name, flavor_name in self.planned:
            pool = self.state.pool(name)
            planned = next((one for one in flavors(self.state, pool) if one.name == flavor_name), None) if pool else None
            if pool is not None and planned is not None:
                boot = self.boot(pool, flavor_name)
                coming.append(Machine("", self.shares(planned.resources), self.rate(planned), boot, max(boot, NEAR)))
        self.fleet.machines += sorted(coming, key=lambda machine: machine.up)

    @staticmethod
    def _comes(vm: Vm, worker: Worker) -> bool:
        silent = worker.state is WorkerState.EXPECTED or not worker.resources
        return vm.state in (VmState.CLAIMED, VmState.CREATING, VmState.BOOTING) or (vm.state is VmState.JOINED and silent)

    def _may_go(self, vm: Vm, worker: Worker) -> bool:
        return vm.state is VmState.JOINED and max(vm.keep_until, worker.keep_until) <= self.now

    def _account(self) -> float:
        """What the VMs have cost since the queue was empty at last; those of the look before that are gone are counted to the end."""
        outlook = self.state.outlook
        if not self.forecast.jobs:
            outlook.busy, outlook.spent, outlook.alive = None, 0.0, {}
            return 0.0
        if outlook.busy is None:
            outlook.busy = self.now
        alive: dict[str, tuple[float, float]] = {}
        for vm in self.state.vms.values():
            since = outlook.alive.get(vm.id, (0.0, max(outlook.busy, vm.created - self.state.lag)))[1]
            alive[vm.id] = (self.rate(flavor_of(self.state, vm)), since)
        for name, (rate, since) in outlook.alive.items():
            if name not in alive:
                outlook.spent += rate * (self.now - since)
        outlook.alive = alive
        return outlook.spent + sum(rate * (self.now - since) for rate, since in alive.values())

    # ---- how good a way is

    def judge(self, machines: list[Machine], weight: float) -> tuple[int, float, Outcome]:
        """How many jobs would not end, and the mean of the logarithms of their times plus that of the cost, weighed. Less is better."""
        outcome = roll(self.forecast.sight, machines)
        never, times = 0, 0.0
        for job, end in zip(self.forecast.jobs, outcome.ends, strict=True):
            if end == inf:
                never += 1
                continue
            since = job.since if job.since is not None else self.state.wall(self.state.started)
            times += log(max(1e-3, self.wall - since + end))
        count = len(self.forecast.jobs)
        return never, (times / count if count else 0.0) + weight * log(max(1e-9, self.spent + outcome.cost)), outcome

    # ---- the search

    def options(self) -> Iterator[list[tuple[Pool, Flavor, int]]]:
        """For each kind of work that waits, the most of it first.

        The flavors that would do, the cheapest first, with how many there may be.
        """
        sight = self.forecast.sight
        work: dict[int, float] = {}
        taken = {node for nodes in self.forecast.held.values() for node, _ in nodes}
        for node, seconds in enumerate(sight.seconds):
            kind = sight.kind[node]
            if kind >= 0 and node not in taken:
                work[kind] = work.get(kind, 0.0) + max(seconds, 0.01)
        groups: dict[tuple[str, str], tuple[float, list[tuple[float, float, int, Pool, Flavor]]]] = {}
        for kind, seconds in work.items():
            ranked = self._ranked(self.forecast.shapes[kind])
            if ranked:
                key = (ranked[0][3].name, ranked[0][4].name)
                before, most = groups.get(key, (0.0, ranked))
                groups[key] = (before + seconds, most if before > seconds else ranked)
        for _, ranked in sorted(groups.values(), key=lambda group: -group[0])[:GROUPS]:
            found = []
            for _, _, _, pool, flavor in ranked:
                room = limits.room(self.state, pool, flavor, self.planned, self.now)
                self._cuts[pool.name, flavor.name] = room.cut
                if not room.count:
                    self.state.outlook.binding.append(room.cut)
                if room.count:
                    found.append((pool, flavor, room.count))
            yield found[:FLAVORS]

    def _ranked(self, shape: Shape) -> list[tuple[float, float, int, Pool, Flavor]]:
        """The flavors of slow pools that can hold a task of this shape.

        By what one slot costs, then by size, then by the settings' order.
        """
        found = []
        for number, pool in enumerate(self.state.policy.pools):
            for flavor in obtainable(self.state, pool):
                if not is_slow(self.state, pool, flavor.name) or health.resting(self.state, pool.name, flavor.name, self.now):
                    continue
                share = share_of(shape, flavor.resources)
                if share is not None:
                    found.append((self.rate(flavor) * share, flavor.resources.get("cpus", 0.0), number, pool, flavor))
        return sorted(found, key=lambda entry: entry[:3])

    def choose(self) -> Choice:
        """The best way to go on from here."""
        choice = Choice()
        self.state.outlook.binding.clear()
        machines = self.fleet.machines
        weight = self._weight(self.state.policy.pools[0])
        best = plain = self.judge(machines, weight)
        for options in self.options():
            base = best
            for pool, flavor, most in options:
                weight = self._weight(pool)
                base = self.judge(self.fleet.machines, weight) if base is best else base
                tried = self._more(pool, flavor, most, self.fleet.machines, base, weight)
                if tried is not None and tried[0][:2] < (best[0], best[1] - EPSILON):
                    best, machines = tried
            self.fleet.machines = machines
        if best is plain:
            best, machines = self._fewer(machines, best, weight)
        self._buy(choice, machines, best[2], plain[2])
        self._release(choice, machines, best[2])
        if not self.forecast.jobs:
            self._recall(choice)
        self.state.outlook.ends = max(best[2].ends, default=0.0) + self.now
        return choice

    def _weight(self, pool: Pool) -> float:
        weight: float = THRIFTY * (HASTY / THRIFTY) ** min(1.0, max(0.0, pool.haste))
        return weight * (1.0 + CAUTION * self.forecast.doubt)

    def _more(
        self, pool: Pool, flavor: Flavor, most: int, machines: list[Machine], base: tuple[int, float, Outcome], weight: float
    ) -> tuple[tuple[int, float, Outcome], list[Machine]] | None:
        """With so many more VMs of a flavor as are best; None if none is."""
        boot = self.boot(pool, flavor.name)
        most = min(most, len(self.forecast.sight.seconds) + 1)
        another = Machine(
            f"{pool.name}/{flavor.name}", self.shares(flavor.resources), self.rate(flavor), boot, max(boot, NEAR), new=True
        )
        judged = {0: base}

        def tried(count: int) -> tuple[int, float, Outcome]:
            if count not in judged:
                judged[count] = self.judge(machines + [another] * count, weight)
            return judged[count]

        best, worse = 0, 0
        for count in [step for step in STEPS if step < most] + [most]:
            if tried(count)[:2] < (judged[best][0], judged[best][1] - EPSILON):
                best, worse = count, 0
            elif (worse := worse + 1) >= PATIENT:
                break
        for _ in range(2):
            lower, upper = max((n for n in judged if n < best), default=best), min((n for n in judged if n > best), default=best)
            for count in ((lower + best) // 2, (best + upper) // 2):
                if tried(count)[:2] < (judged[best][0], judged[best][1] - EPSILON):
                    best = count
        if best == most:
            self.state.outlook.binding.append(self._cuts[pool.name, flavor.name])
        return (judged[best], machines + [another] * best) if best else None

    def _fewer(
        self, machines: list[Machine], best: tuple[int, float, Outcome], weight: float
    ) -> tuple[tuple[int, float, Outcome], list[Machine]]:
        """Without some of the idle VMs, if that is better."""
        order = sorted(self.fleet.idle, key=self._dispensable)
        base, kept, worse = best, machines, 0
        for count in [step for step in STEPS if step < len(order)] + ([len(order)] if order else []):
            gone = {worker.id for worker in order[:count]}
            tried = self.judge([machine for machine in machines if machine.name not in gone], weight)
            if tried[:2] < (base[0], base[1] - EPSILON):
                base, kept, worse = tried, [machine for machine in machines if machine.name not in gone], 0
                self.fleet.dropped = dict.fromkeys(gone, "what is in sight is cheaper without it, and hardly later")
            elif (worse := worse + 1) >= PATIENT:
                break
        return base, kept

    def _dispensable(self, worker: Worker) -> tuple[float, float, float]:
        """Of idle workers the dearest goes first, then the one whose paid period ends first, then the one that has done the least."""
        vm = self.state.vms[worker.id]
        pool = self.state.pool(vm.pool)
        return -self.rate(flavor_of(self.state, vm)), paid_for(pool, vm, self.wall) if pool else 0.0, float(worker.done)

    # ---- what to do now

    def _buy(self, choice: Choice, machines: list[Machine], outcome: Outcome, without: Outcome) -> None:
        new: dict[str, list[int]] = {}
        for number, machine in enumerate(machines):
            if machine.new and outcome.first[number] is not None:
                new.setdefault(machine.name, []).append(number)
        for name, numbers in new.items():
            pool_name, _, flavor_name = name.partition("/")
            pool = self.state.pool(pool_name)
            assert pool is not None
            boot = machines[numbers[0]].boot
            needed = [number for number in numbers if (outcome.first[number] or 0.0) <= max(boot, NEAR) + NEAR]
            later = [outcome.first[number] or 0.0 for number in numbers if number not in needed]
            if later:
                choice.due = min(choice.due, self.now + min(later) - boot)
            dropped = self.state.outlook.dropped.get((pool_name, flavor_name), -inf)
            if needed and self.now < dropped + REST * boot and not self._news_since(dropped):
                choice.due = min(choice.due, dropped + REST * boot)
                continue
            reason = self._reason(len(needed), boot, outcome, without)
            for number in needed:
                choice.buy += [(pool_name, one, reason) for one in self._flavors_for(pool, flavor_name, outcome.peak[number])]

    def _news_since(self, moment: float) -> bool:
        """Whether a job has come, or was opened again, since then."""
        return any(job.since is not None and job.since > self.state.wall(moment) for job in self.forecast.jobs)

    def _flavors_for(self, pool: Pool, flavor: str, peak: dict[int, int]) -> list[str]:
        """The cheapest flavors of the pool on which the real placement finds room for all that this VM would hold at most."""
        chosen = next(one for one in flavors(self.state, pool) if one.name == flavor)
        best, cost = [flavor], self.rate(chosen)
        for other in obtainable(self.state, pool):
            if other.name == flavor or not 0 < self.rate(other) < cost:
                continue
            if health.resting(self.state, pool.name, other.name, self.now) or not is_slow(self.state, pool, other.name):
                continue
            most = min(
                limits.room(self.state, pool, other, self.planned, self.now).count, int((cost - EPSILON) / self.rate(other))
            )
            demands = [Demand(kind, 0, "", "", self.forecast.shapes[kind], count) for kind, count in peak.items() if count]
            offers = [Offer(f"new-{number:04}", other.resources, dict(other.resources), pool.name) for number in range(most)]
            place(demands, offers, Shares())
            used = sum(1 for offer in offers if offer.got)
            if used and not any(demand.count for demand in demands):
                best, cost = [other.name] * used, used * self.rate(other)
        return best

    def _recall(self, choice: Choice) -> None:
        """Nothing is left to do (it was cancelled): VMs that still boot for it are given up. What a person or the minimum wants stays."""
        spare: dict[str, int] = {}
        for vm in self.state.vms.values():
            pool, worker = self.state.pool(vm.pool), self.state.workers.get(vm.id)
            coming = (
                vm.state in (VmState.CREATING, VmState.BOOTING) and worker is not None and worker.state is WorkerState.EXPECTED
            )
            if not coming or pool is None or vm.keep_until or not is_slow(self.state, pool, vm.flavor):
                continue
            left = spare.setdefault(pool.name, len(limits.members(self.state, pool.name)) - pool.minimum)
            wait = vm.created + pool.cooldown - self.wall
            if left > 0 and wait > 0:
                choice.due = min(choice.due, self.now + wait)
            elif left > 0:
                spare[pool.name] -= 1
                choice.release.append((vm.id, "nothing is left that it could do when it is up"))

    def _reason(self, count: int, boot: float, outcome: Outcome, without: Outcome) -> str:
        after, before = max(outcome.ends, default=0.0), max(without.ends, default=0.0)
        gain = f"instead of {told(before)}" if before != inf else "which nothing that is there could do"
        return f"{count} more VM(s), up in about {told(boot)}: the work in sight ends in {told(after)} {gain}"

    def _release(self, choice: Choice, machines: list[Machine], outcome: Outcome) -> None:
        needed = {machine.name: (outcome.first[number], machine.boot) for number, machine in enumerate(machines)}
        spare: dict[str, int] = {}
        self.state.outlook.needed = {}
        for worker in sorted(self.fleet.idle, key=self._dispensable):
            vm = self.state.vms[worker.id]
            pool = self.state.pool(vm.pool)
            if pool is None or not is_slow(self.state, pool, vm.flavor):
                continue
            first, boot = needed.get(worker.id, (None, 0.0))
            if worker.id not in self.fleet.dropped and first is not None and first <= PATIENCE * boot:
                self.state.outlook.needed[worker.id] = self.now + first
                continue
            left = spare.setdefault(pool.name, len(limits.members(self.state, pool.name)) - pool.minimum)
            if left <= 0:
                continue
            wait = max(worker.idle_since + pool.cooldown - self.now, paid_for(pool, vm, self.wall) - END_OF_PERIOD)
            if wait > 0:
                choice.due = min(choice.due, self.now + wait)
                continue
            spare[pool.name] -= 1
            reason = self.fleet.dropped.get(worker.id) or (
                "nothing in sight needs it"
                if first is None
                else f"nothing in sight needs it for {told(first)}, a boot takes {told(boot)}"
            )
            choice.release.append((worker.id, f"{reason}; idle for {told(self.now - worker.idle_since)}"))


def paid_for(pool: Pool, vm: Vm, wall: float) -> float:
    """The seconds left of the period that is paid for as a whole; 0 where each second is paid."""
    return pool.billing - (wall - vm.created) % pool.billing if pool.billing else 0.0


def is_slow(state: State, pool: Pool, flavor: str) -> bool:
    """Whether VMs take so long to come up that looking ahead is worth it."""
    return pool.provider != "local" and state.learned.boot(pool.name, flavor, pool.provider) > SLOW


def share_of(shape: Shape, resources: Resources) -> float | None:
    """The part of an empty machine that a task takes, by the scarcest resource; None if it does not fit."""
    if not resources or not can_ever(shape, resources):
        return None
    slots = inf
    for name, count in needs_on(shape, resources).items():
        if count > 0:
            slots = min(slots, floor(resources.get(name, 0.0) / count + 1e-9))
    return 1.0 / max(1.0, slots) if slots != inf else 1e-3


def told(seconds: float) -> str:
    """A time for people."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
