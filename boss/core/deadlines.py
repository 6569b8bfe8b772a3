"""What has expired at ``now``, and when to look next. Part of the reactor.

Rules:
- Called only in a turn whose drain emptied the inbox: nothing expires on old news.
- Silence of workers means nothing before ``state.settled_at`` (after a load or a reconnect), nor while the boss itself is cut off.
- Retries come on time; everything else is looked at once a second while there is anything to look at.
"""

from heapq import heappop

from boss.core import backlog, fleet, health, hosts, noise, overdue, rhythm, usage
from boss.core.effects import Stop
from boss.core.lifecycle import TaskCause, WorkerCause, advance_worker
from boss.core.model import Pool, Refusal, TaskState, VmState, WorkerState
from boss.core.state import LIVE_VMS, State

#: Seconds between two looks at workers and VMs.
SWEEP = 1.0
#: Seconds between two times that what was learned is stored, at least.
KEPT_EVERY = 60.0


def next_look(state: State, now: float) -> float | None:
    """When something may expire next (loop clock); None when nothing ever will without an event."""
    looks = []
    if state.delayed:
        looks.append(state.delayed[0][0])
    if state.workers or state.vms or state.stopping or state.ready.buckets or state.strays:
        looks.append(state.next_sweep)
    looks += [max(state.next_sweep, state.listed.get(pool.provider, 0.0) + state.policy.list_interval) for pool in _clouds(state)]
    return max(now, min(looks)) if looks else None


def _clouds(state: State) -> list[Pool]:
    """Pools whose provider may have something of ours that nobody here knows: looked at also when there is nothing to do."""
    return [pool for pool in state.policy.pools if pool.provider.startswith("openstack")]


def expire(state: State, now: float) -> None:
    """Let everything happen that the time has come for."""
    while state.delayed and state.delayed[0][0] <= now:
        due, uid, index = heappop(state.delayed)
        job = state.jobs.get(uid)
        task = job.tasks[index] if job is not None and index < len(job.tasks) else None
        if task is not None and task.state is TaskState.DELAYED and task.not_before == due:
            state.move(task, TaskCause.TIME_CAME)
    if now < state.next_sweep:
        return
    state.next_sweep = now + SWEEP
    _silent_workers(state, now)
    _late_vms(state, now)
    _empty_drained(state, now)
    hosts.keep_up(state, now)
    _remember(state, now)
    if any(state.listed.get(pool.provider, 0.0) + state.policy.list_interval <= now for pool in state.policy.pools):
        for pool in state.policy.pools:
            state.listed[pool.provider] = now
        fleet.list_servers(state, now)
    if state.stopping:
        _end(state, now)


def _remember(state: State, now: float) -> None:
    """Store what was learned and used, at most once a minute while jobs run, and when one has ended."""
    if now < state.outlook.save_at:
        return
    state.outlook.save_at = now + KEPT_EVERY
    for name, value in (state.learned.facts() | usage.facts(state)).items():
        state.set_context(name, value)


def _silent_workers(state: State, now: float) -> None:
    if not state.connected or now < state.settled_at:
        return
    for worker in list(state.workers.values()):
        silence = now - worker.last_seen
        if silence <= state.policy.offline_after and worker.state is WorkerState.ONLINE:
            continue  # nearly all of them, at the least cost
        if worker.state is WorkerState.ONLINE and silence > rhythm.offline_after(state, worker):
            advance_worker(worker, WorkerCause.LEFT)
            state.touch_worker(worker)
            fleet.announce_worker(state, worker)
        if worker.state is WorkerState.OFFLINE and silence > rhythm.lease(state, worker):
            fleet.lose_worker(state, worker, f"nothing was heard of worker {worker.id} for {silence:.0f} s", now)
        if worker.state is WorkerState.GONE and worker.id not in state.vms:
            del state.workers[worker.id]


def _late_vms(state: State, now: float) -> None:
    for vm in list(state.vms.values()):
        if vm.deadline is None or now <= vm.deadline or now < state.settled_at:
            continue
        state_was = vm.state
        if state_was in (VmState.CREATING, VmState.BOOTING):
            if state_was is VmState.CREATING and vm.id in state.unsure:
                state.unsure.discard(vm.id)
                fleet.condemn(state, vm, "the boss was started again while it was being asked for", now)
                continue
            what = (
                overdue.never_answered(state, vm, now) if state_was is VmState.CREATING else overdue.never_heard(state, vm, now)
            )
            if vm.id not in state.last_words:  # its console was waited for: it has failed once already
                health.failed(state, vm.pool, vm.flavor, Refusal.BROKEN, f"{vm.id}: {what}", now)
            fleet.give_up(state, vm, state.last_words.get(vm.id, what), now)
        elif state_was is VmState.DRAINING and _holds_results(state, vm.id):
            vm.deadline = now + state.policy.drain_timeout  # its results are all that it is waited for
            state.touch_vm(vm)
        elif state_was is VmState.DRAINING:
            fleet.condemn(state, vm, "its tasks did not end in time", now)
        elif state_was is VmState.DELETING:
            fleet.condemn(state, vm, vm.reason, now)  # ask again


def _holds_results(state: State, name: str) -> bool:
    worker = state.workers.get(name)
    return worker is not None and worker.state is not WorkerState.LOST and backlog.waits_on(worker) > 0


def _empty_drained(state: State, now: float) -> None:
    """A drained worker that holds nothing lets its VM go, even when its goodbye was lost; a silent lost one too."""
    for name in state.roster.going():
        vm, worker = state.vms.get(name), state.workers.get(name)
        if vm is None or worker is None:
            continue
        if (
            vm.state is VmState.DRAINING
            and not worker.held
            and now - max(vm.since, worker.idle_since) > 2 * rhythm.beats(state, worker)
        ):
            fleet.condemn(state, vm, vm.reason or "drained", now)
        elif vm.state in (VmState.JOINED, VmState.DRAINING) and worker.state is WorkerState.LOST:
            fleet.condemn(state, vm, f"its worker was lost: silent for more than {rhythm.lease(state, worker):.0f} s", now)
        elif vm.state is VmState.JOINED and worker.draining:
            failed = worker.failures_in_a_row >= state.policy.worker_failures
            reason = "its worker failed again and again" if failed else noise.aside(state, worker) or vm.reason
            fleet.drain(state, worker, reason, now)


def _end(state: State, now: float) -> None:
    """A stopping boss: condemn what has not drained in time; stop when no local VM is left."""
    local = {pool.name for pool in state.policy.pools if pool.provider == "local"}
    left = [vm for vm in state.vms.values() if vm.pool in local and (vm.state in LIVE_VMS or vm.state is VmState.DELETING)]
    if now >= state.stop_deadline:
        for vm in left:
            if vm.state is not VmState.DELETING:
                fleet.condemn(state, vm, "the boss stops", now)
    if not left or now >= state.stop_deadline + state.policy.stop_grace:
        state.out.append(Stop())
