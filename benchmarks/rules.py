"""Rules to compare the boss's own scaling with: what others do, as plans over the same state. None of them looks ahead."""

from collections.abc import Callable
from math import ceil, inf

from boss.core.model import Vm, VmState, Worker, WorkerState
from boss.core.scaling import ScalingPlan
from boss.core.state import LIVE_VMS, State
from simulator.elastic import Rule
from simulator.workload import Workload

#: The most VMs that any rule may have.
MOST = 50


def per_ready_task(part: float, patience: float = 60.0) -> Rule:
    """VMs for this part of the tasks that are ready and have no room, each let go when it has been idle for ``patience`` seconds."""

    def rule(state: State, now: float) -> ScalingPlan:
        plan = ScalingPlan()
        waiting = sum(bucket.count for bucket in state.ready.buckets.values())
        there = _alive(state)
        coming = sum(1 for vm in there if vm.state is not VmState.JOINED)
        _buy(plan, state, min(ceil(part * waiting) - coming, MOST - len(there)), now)
        if not waiting:
            _drain_idle(plan, state, patience, now)
        return plan

    return rule


def fixed(count: int) -> Rule:
    """So many VMs from the beginning to the end."""

    def rule(state: State, now: float) -> ScalingPlan:
        plan = ScalingPlan()
        if any(job.finished is None for job in state.jobs.values()):
            _buy(plan, state, count - len(_alive(state)), now)
        else:
            _drain_idle(plan, state, 0.0, now)
        return plan

    return rule


def by_work(factor: float, load: Workload, boot: float, patience: float = 60.0) -> Rule:
    """``work of the ready tasks / (factor x max(boot, longest chain left))`` VMs; an idle one is let go after ``patience`` seconds."""
    below = _chains(load)

    def rule(state: State, now: float) -> ScalingPlan:
        plan = ScalingPlan()
        tasks = [task for job in state.jobs.values() for task in job.tasks]
        ready = [task.index for task in tasks if task.state == "ready"]
        left = [below[task.index] for task in tasks if task.state not in ("succeeded", "failed")]
        there = _alive(state)
        busy = sum(1 for worker in state.workers.values() if worker.held)
        work = sum(load.runtimes[index] for index in ready)
        wanted = ceil(work / (factor * max(boot, max(left, default=0.0)))) if ready else 0
        idle_or_coming = len(there) - busy
        _buy(plan, state, min(wanted - idle_or_coming, len(ready) - idle_or_coming, MOST - len(there)), now)
        if not ready:
            _drain_idle(plan, state, patience, now)
        return plan

    return rule


#: The baselines by name; each is made for a workload and a boot time.
BASELINES: dict[str, Callable[[Workload, float], Rule]] = {
    "a VM per ready task": lambda _load, _boot: per_ready_task(1.0),
    "half of that": lambda _load, _boot: per_ready_task(0.5),
    "8 VMs": lambda _load, _boot: fixed(8),
    "50 VMs": lambda _load, _boot: fixed(50),
    "by work, k = 0.25": lambda load, boot: by_work(0.25, load, boot),
    "by work, k = 0.5": lambda load, boot: by_work(0.5, load, boot),
    "by work, k = 1": lambda load, boot: by_work(1.0, load, boot),
}


def _chains(load: Workload) -> list[float]:
    """The longest chain from each task to an end, in seconds."""
    chains = [0.0] * len(load.tasks)
    for task in sorted(load.tasks, key=lambda task: task.rank):
        chains[task.index] += load.runtimes[task.index]
        for other in task.dependencies:
            chains[other] = max(chains[other], chains[task.index])
    return chains


def _alive(state: State) -> list[Vm]:
    return [vm for vm in state.vms.values() if vm.state in LIVE_VMS and vm.state is not VmState.DRAINING]


def _buy(plan: ScalingPlan, state: State, count: int, now: float) -> None:
    pool = state.policy.pools[0]
    plan.create += [(pool.name, pool.flavors[0].name, "the rule says so")] * max(0, count)


def _drain_idle(plan: ScalingPlan, state: State, patience: float, now: float) -> None:
    def idle(worker: Worker) -> float:
        vm = state.vms.get(worker.id)
        if (
            worker.held
            or worker.state is not WorkerState.ONLINE
            or worker.draining
            or vm is None
            or vm.state is not VmState.JOINED
        ):
            return -inf
        return now - worker.idle_since

    plan.drain += [(worker.id, "idle") for worker in state.workers.values() if idle(worker) >= patience]
