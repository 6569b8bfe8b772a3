"""The machines that the work in sight is played through on: those that are there, and those that come. Reads the state.

Remembers in ``Outlook`` what they have cost.

Rules:
- A second of a VM costs its price, or where no flavor has one its cpus.
- A worker that is silent for a moment counts; one that drains only runs what it holds.
- What VMs have cost since the queue was empty at last counts too: what is spent makes more of it weigh less.
"""

from boss.core.forecast import Forecast
from boss.core.model import Flavor, Pool, Resources, Vm, VmState, Worker, WorkerState
from boss.core.placement import share_of
from boss.core.rollout import Machine
from boss.core.sizes import flavor_of, flavors
from boss.core.state import State

#: Seconds: a VM that is first needed this much later than it could be up is still asked for now.
NEAR = 0.5
#: Seconds: VMs that are up sooner are asked for when they are needed.
SLOW = 5.0
#: A worker that is silent for a moment (after a restart of the boss all are) is not replaced before it counts as lost.
_THERE = frozenset({WorkerState.ONLINE, WorkerState.OFFLINE})


class Machines:
    """``all`` that there are, and the ``idle`` workers among them that may go; ``spent`` is what VMs have cost so far."""

    def __init__(self, state: State, forecast: Forecast, planned: list[tuple[str, str]], now: float) -> None:
        self.state, self.forecast, self.planned, self.now = state, forecast, planned, now
        self.wall = state.wall(now)
        self.priced = any(flavor.price for pool in state.policy.pools for flavor in pool.flavors)
        self._shares: dict[tuple[tuple[str, float], ...], list[float | None]] = {}
        self.all: list[Machine] = []
        self.idle: list[Worker] = []
        self._there()
        self.spent = self._account()

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
            alone = [share_of(shape, resources) for shape in self.forecast.shapes]
            pairs = zip(alone, self.forecast.sides, strict=True)
            found = self._shares[key] = [None if share is None else min(1.0, share * side) for share, side in pairs]
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
                shares = self._shares_of(worker) if usable else closed
                self.all.append(Machine(name, shares, self.rate(flavor), boot, held=held))
                online = worker.state is WorkerState.ONLINE
                if usable and online and vm is not None and not worker.held and self._may_go(vm, worker):
                    self.idle.append(worker)
            elif vm is not None and flavor is not None and name not in self.state.trials and self._comes(vm, worker):
                waited = self.wall - vm.created
                up = max(boot - waited, 0.1 * boot, NEAR)
                coming.append(Machine(name, self.shares(flavor.resources), self.rate(flavor), boot, up))
        for name, flavor_name in self.planned:
            pool = self.state.pool(name)
            planned = next((one for one in flavors(self.state, pool) if one.name == flavor_name), None) if pool else None
            if pool is not None and planned is not None:
                boot = self.boot(pool, flavor_name)
                coming.append(Machine("", self.shares(planned.resources), self.rate(planned), boot, max(boot, NEAR)))
        self.all += sorted(coming, key=lambda machine: machine.up)

    def _shares_of(self, worker: Worker) -> list[float | None]:
        """What a task of each kind takes of a worker; nothing of a job that it is barred from runs there."""
        shares = self.shares(worker.resources)
        if not worker.barred:
            return shares
        uids = [self.forecast.jobs[job].uid for job, _, _ in self.forecast.sight.kinds]
        return [None if uid in worker.barred else share for uid, share in zip(uids, shares, strict=True)]

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

    def another(self, pool: Pool, flavor: Flavor) -> Machine:
        """One more, asked for now."""
        boot = self.boot(pool, flavor.name)
        name = f"{pool.name}/{flavor.name}"
        return Machine(name, self.shares(flavor.resources), self.rate(flavor), boot, max(boot, NEAR), new=True)


def is_slow(state: State, pool: Pool, flavor: str) -> bool:
    """Whether VMs take so long to come up that looking ahead is worth it."""
    return pool.provider != "local" and state.learned.boot(pool.name, flavor, pool.provider) > SLOW


def told(seconds: float) -> str:
    """A time for people."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
