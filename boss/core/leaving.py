"""Which idle VMs are let go, and when. Reads the state; remembers in ``Outlook`` when those that stay are needed.

Rules:
- An idle VM is kept over a gap that is shorter than deleting it and booting another, and fetching again what it keeps of the inputs that
  waiting tasks need; it is let go as soon as nothing in sight needs it before.
- Of several the dearest goes first, then the one whose deletion wastes the least: the rest of the period that is paid for, and the time
  that it takes to fetch again what waiting tasks need of its cache. Of equals that goes first which keeps the least, then which has done
  the least.
- A VM that is paid for by the hour stays until shortly before the hour is over.
"""

from dataclasses import dataclass, field
from math import inf

from boss.core.caches import kept, needed_by, worth
from boss.core.forecast import Forecast
from boss.core.machines import Machines, is_slow, told
from boss.core.model import Pool, Vm, VmState, Worker, WorkerState
from boss.core.rollout import PATIENCE, Machine, Outcome
from boss.core.sizes import flavor_of
from boss.core.state import State

#: Seconds before the end of a paid period in which an idle VM is let go.
END_OF_PERIOD = 90.0


@dataclass(slots=True)
class Choice:
    """``buy``: pool, flavor and reason of each VM to ask for now; ``release``: workers to let go, with reasons; ``due``.

    When to look again.
    """

    buy: list[tuple[str, str, str]] = field(default_factory=list)
    release: list[tuple[str, str]] = field(default_factory=list)
    due: float = inf


class Leaving:
    """The idle workers that may go, in the ``order`` in which they would; ``dropped`` says why some of them do though they are needed."""

    def __init__(self, state: State, forecast: Forecast, machines: Machines, now: float) -> None:
        self.state, self.machines, self.now = state, machines, now
        self.needed = needed_by(forecast.waiting) if any(worker.cached for worker in machines.idle) else set()
        self.order = sorted(machines.idle, key=self._dispensable)
        self.dropped: dict[str, str] = {}

    def _dispensable(self, worker: Worker) -> tuple[float, float, float, float]:
        vm = self.state.vms[worker.id]
        pool = self.state.pool(vm.pool)
        wasted = (paid_for(pool, vm, self.machines.wall) if pool else 0.0) + worth(worker, self.needed)
        return -self.machines.rate(flavor_of(self.state, vm)), wasted, kept(worker), float(worker.done)

    def release(self, choice: Choice, machines: list[Machine], outcome: Outcome) -> None:
        """Let go what nothing in sight needs soon, by the outcome of the way that was chosen."""
        needed = {machine.name: (outcome.first[number], machine.boot) for number, machine in enumerate(machines)}
        spare: dict[str, int] = {}
        self.state.outlook.needed = {}
        for worker in self.order:
            vm = self.state.vms[worker.id]
            pool = self.state.pool(vm.pool)
            if pool is None or not is_slow(self.state, pool, vm.flavor):
                continue
            first, boot = needed.get(worker.id, (None, 0.0))
            gap = PATIENCE * boot + worth(worker, self.needed)
            if worker.id not in self.dropped and first is not None and first <= gap:
                self.state.outlook.needed[worker.id] = self.now + first
                continue
            left = spare.setdefault(pool.name, self.state.roster.standing(pool.name) - pool.minimum)
            if left <= 0:
                continue
            wait = max(worker.idle_since + pool.cooldown - self.now, paid_for(pool, vm, self.machines.wall) - END_OF_PERIOD)
            if wait > 0:
                choice.due = min(choice.due, self.now + wait)
                continue
            spare[pool.name] -= 1
            reason = self.dropped.get(worker.id) or (
                "nothing in sight needs it"
                if first is None
                else f"nothing in sight needs it for {told(first)}, a boot takes {told(boot)}"
            )
            choice.release.append((worker.id, f"{reason}; idle for {told(self.now - worker.idle_since)}"))

    def recall(self, choice: Choice) -> None:
        """Nothing is left to do (it was cancelled): VMs that still boot for it are given up. What a person or the minimum wants stays."""
        spare: dict[str, int] = {}
        for vm in self.state.vms.values():
            pool, worker = self.state.pool(vm.pool), self.state.workers.get(vm.id)
            coming = (
                vm.state in (VmState.CREATING, VmState.BOOTING) and worker is not None and worker.state is WorkerState.EXPECTED
            )
            if not coming or pool is None or vm.keep_until or not is_slow(self.state, pool, vm.flavor):
                continue
            left = spare.setdefault(pool.name, self.state.roster.standing(pool.name) - pool.minimum)
            wait = vm.created + pool.cooldown - self.machines.wall
            if left > 0 and wait > 0:
                choice.due = min(choice.due, self.now + wait)
            elif left > 0:
                spare[pool.name] -= 1
                choice.release.append((vm.id, "nothing is left that it could do when it is up"))


def paid_for(pool: Pool, vm: Vm, wall: float) -> float:
    """The seconds left of the period that is paid for as a whole; 0 where each second is paid."""
    return pool.billing - (wall - vm.created) % pool.billing if pool.billing else 0.0
