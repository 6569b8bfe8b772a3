"""A clock that was set back while no boss lived. Part of the reactor.

Rules:
- Within a life the loop's clock never goes back. A new life begins with the time of day: where that was set back meanwhile, times that have
  been stored lie in the future, and what waits for one would wait so much longer.
- How far it was set back is seen in what has certainly been before now. Everything that is waited for comes nearer by as much.
- The loop's clock stands still while the boss is stopped, the time of day does not: that it is behind is no setting back.
"""

from boss.core.state import State


def bring_back(state: State, now: float) -> float:
    """Move stored times back if the clock was; by how many seconds. To be called once, after a load."""
    been = [vm.since for vm in state.vms.values()] + [worker.last_seen for worker in state.workers.values()]
    for job in state.jobs.values():
        been += [task.attempt.assigned - state.lag for task in job.tasks if task.attempt is not None]
    by = max(been, default=now) - now
    if by <= 0:
        return 0.0
    for vm in state.vms.values():
        vm.since = min(vm.since, now)
        vm.keep_until = vm.keep_until and vm.keep_until - by
        if vm.deadline is not None:
            vm.deadline -= by
        state.touch_vm(vm)
    for worker in state.workers.values():
        worker.keep_until = worker.keep_until and worker.keep_until - by
        state.touch_worker(worker)
    for _, uid, index in state.delayed:
        task = state.jobs[uid].tasks[index]
        task.not_before -= by
        state.touch(task)
    state.delayed = [(due - by, uid, index) for due, uid, index in state.delayed]
    return by
