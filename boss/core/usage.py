"""vCPU seconds: of all VMs, and of the tasks of each job; and when a budget is used up. Part of the reactor.

Rules:
- A VM counts with all its cpus from its claim until it is gone, once the cloud has given it a server; one that has only failed to come up
  (ERROR, and nothing of it ever joined) has had no cpus. A task counts with the cpus that it asked for while it ran, whatever became
  of it.
- A budget that is used up means: no new VMs and no new tasks, of that job or of all; what runs finishes.
- The sum is stored when a VM ends, that of jobs at most once a minute.
"""

import json
from collections.abc import Mapping

from boss.core.model import Job, Vm
from boss.core.sizes import flavor_of
from boss.core.state import State

#: Names of the facts in the context: vCPU seconds of VMs that are gone, and of jobs by uid.
TOTAL_FACT, JOBS_FACT = "usage_total", "usage_jobs"
#: Jobs that are remembered; the newest.
JOBS = 500
_HOUR = 3600.0


def add(state: State, uid: str, cpus: float, seconds: float) -> None:
    """A task of this job has had so many cpus for so long."""
    if seconds > 0:
        state.used[uid] = state.used.get(uid, 0.0) + cpus * seconds


def vm_ended(state: State, vm: Vm, now: float) -> None:
    """A VM is gone."""
    state.set_context(TOTAL_FACT, f"{_gone(state) + _of_vm(state, vm, now):.1f}")


def total(state: State, now: float) -> float:
    """vCPU seconds of all VMs that there were and are."""
    return _gone(state) + sum(_of_vm(state, vm, now) for vm in state.vms.values())


def of_job(state: State, uid: str, now: float) -> float:
    """vCPU seconds of a job's tasks so far, with those that run now."""
    running = 0.0
    for worker in state.workers.values():
        if any(held == uid for held, _ in worker.load):
            for attempt in worker.held.values():
                if attempt.job == uid and attempt.started:
                    running += attempt.needs.get("cpus", 0.0) * max(0.0, state.wall(now) - attempt.started)
    return state.used.get(uid, 0.0) + running


def is_spent(state: State, now: float) -> bool:
    """Whether the budget of all is used up."""
    budget = state.policy.budget
    return bool(budget) and total(state, now) >= budget * _HOUR


def is_spent_by(state: State, job: Job, now: float) -> bool:
    """Whether a job has used up what a job may have."""
    budget = state.policy.job_budget
    return bool(budget) and of_job(state, job.uid, now) >= budget * _HOUR


def spent_sentence(state: State, now: float) -> str:
    """What has been used of what there was."""
    used = total(state, now) / _HOUR
    return (
        f"The budget is used up: {used:.1f} of {state.policy.budget:g} vCPU hours; "
        "no VM is created and no task dealt out until `budget` in the settings is larger."
    )


def job_sentence(state: State, job: Job, now: float) -> str:
    """The same of one job."""
    used = of_job(state, job.uid, now) / _HOUR
    return (
        f"Job {job.name} has used {used:.1f} of the {state.policy.job_budget:g} vCPU hours that a job may use; "
        "none of its tasks is dealt out until `job_budget` in the settings is larger."
    )


def facts(state: State) -> dict[str, str]:
    """What has changed of the jobs' sums, by the facts' names."""
    while len(state.used) > JOBS:
        state.used.pop(next(iter(state.used)))
    text = json.dumps({uid: round(seconds, 1) for uid, seconds in state.used.items()}, separators=(",", ":"))
    return {JOBS_FACT: text} if text != state.context.get(JOBS_FACT, "{}") else {}


def jobs_of(context: Mapping[str, str]) -> dict[str, float]:
    """The jobs' sums of an earlier life."""
    try:
        return {str(uid): float(seconds) for uid, seconds in json.loads(context.get(JOBS_FACT, "{}")).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _gone(state: State) -> float:
    try:
        return float(state.context.get(TOTAL_FACT, "0"))
    except ValueError:
        return 0.0


def _of_vm(state: State, vm: Vm, now: float) -> float:
    if not vm.server or (state.statuses.get(vm.id) == "ERROR" and not vm.key):
        return 0.0
    flavor = flavor_of(state, vm)
    cpus = flavor.resources.get("cpus", 0.0) if flavor is not None else 0.0
    return cpus * max(0.0, state.wall(now) - vm.created)
