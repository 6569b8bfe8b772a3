"""Trials: one VM of a pool is made, joins, runs one task and is deleted, so that an admin sees each step. Part of the reactor.

Rules:
- A trial is a claim like any other, with deadlines and all, and a fact in the context (``trial:<pool>``), which stays as the last word on
  whether that pool's VMs reach the boss. One at a time for each pool.
- Its worker offers next to nothing and the mark ``trial``, its task needs that mark: no other task goes there, and it goes nowhere else.
- It is no part of scaling: nothing that waits counts on it, and it keeps no pool's minimum. It counts against the maximum.
- Machines that run signed work only would refuse its task: there a trial ends with the join, and has worked when it comes to it.
- Whatever happens its VM is deleted, and its job is over when it is. Who has asked may go away; a boss that is started again goes on.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from boss.core import fleet, jobs, limits, sizes
from boss.core.effects import ListServers
from boss.core.events import ServersListed
from boss.core.model import OutputSpec, Pool, TaskSpec, TaskState, Template, Vm, VmState
from boss.core.requests import JobOpened, JobStaged, TasksCancelled, TasksStaged, TrialAsked, TrialStopped
from boss.core.scaling import CLOSED
from boss.core.state import State

#: Context facts about trials begin with this.
FACT: Final = "trial:"
#: What happens, in this order: the cloud has given a server; the server is ACTIVE; it has shown its token at the join door; its worker
#: has spoken over the broker; its task has ended well and its result lies on the datastore; deletion was asked for; the cloud has it no
#: more.
STEPS: Final = ("accepted", "active", "called", "joined", "ran", "leaving", "deleted")
#: Seconds from the join on in which the task must have ended.
PATIENCE: Final = 180.0
#: Seconds between two looks at the servers while one is awaited to be ACTIVE.
LOOK: Final = 2.0
#: Seconds without scale-down: for ever.
_KEEP = 1e9
#: Why a trial ended whose asker did not want it any more.
STOPPED: Final = "it was stopped by hand"
#: What the task of a trial says of its VM, and the file that brings it to the datastore.
REPORT: Final = "trial.txt"
_COMMAND = f"{{ hostname; uname -srm; python3 --version; id -un; }} >{REPORT} && cat {REPORT}"


#: Where to look when a step does not come.
_REMEDIES: Final = {
    "accepted": "`admin.py doctor` looks at all that [pools.{pool}] names, and at the quota",
    "active": "the cloud could not start the server: the reason is its own; try another of the pool's flavors or availability_zones",
    "called": (
        "the server runs and nothing came from it to {boss} at [vms] join_port (8444): is that address reachable from the pool's networks "
        "(boss_address), do the boss's security group and firewall let the port in, does the pool's group let it out, has the image "
        "cloud-init and Python 3.9? `admin.py console {vm}` has the end of what it wrote"
    ),
    "joined": (
        "it has shown its token at the join door, so address and routes are right; then it has to reach the broker: {boss} at [vms] "
        "broker_port (8883), or [broker] host and port. `admin.py console {vm}` has the end of what it wrote"
    ),
    "ran": (
        "its worker speaks with the boss; what is left is the datastore, which it has to reach at {boss} and [vms] gate_port (2222), or "
        "at [datastore] address. `admin.py why {job}:trial` and `admin.py logs {job}:trial` say more"
    ),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial: ``steps`` has the time of day of each that has happened; ``reason`` says why the step ``stage`` did not.

    ``over`` is when its VM was gone, None while it goes on; ``unrun`` says why no task was run on a VM that had none to run.
    """

    pool: str
    vm: str
    flavor: str
    owner: str
    asked: float
    uid: str
    steps: Mapping[str, float] = field(default_factory=dict)
    stage: str = ""
    reason: str = ""
    over: float | None = None
    unrun: str = ""

    @property
    def job(self) -> str:
        """The name of its job."""
        return f"trial-{self.vm}"

    @property
    def worked(self) -> bool:
        """Whether the task of the trial has run and its result was accepted, or the VM has come as far as one without a task can."""
        return "ran" in self.steps or bool(self.unrun)


def known(facts: Mapping[str, str]) -> dict[str, Trial]:
    """The last trial of each pool, by pool; those that go on too."""
    return {name.removeprefix(FACT): Trial(**json.loads(value)) for name, value in facts.items() if name.startswith(FACT)}


def where_to_look(trial: Trial, boss: str = "the boss's address") -> str:
    """What to do about a trial that has failed; ``boss`` is where its VM looked for the boss. Empty for one that has not."""
    mended = _REMEDIES.get(trial.stage, "")
    return mended.format(boss=boss, vm=trial.vm, pool=trial.pool, job=trial.job) if trial.reason else ""


def find_again(state: State) -> None:
    """After a load: the claims of trials that go on."""
    for trial in known(state.context).values():
        if trial.over is None:
            gone = Vm(
                trial.vm, trial.pool, trial.flavor, trial.asked, VmState.GONE, reason="the boss was started again meanwhile"
            )
            state.trials[trial.vm] = state.vms.get(trial.vm, gone)


def on_asked(state: State, event: TrialAsked, now: float) -> None:
    """Claim one VM of a pool to see whether it becomes a worker, or say why not."""
    pool = _pool(state, event.pool)
    if pool is None:
        names = ", ".join(pool.name for pool in state.policy.pools if _is_cloud(pool)) or "none"
        what = f"there is no pool of VMs named {event.pool!r}" if event.pool else "no pool of the settings has VMs"
        jobs.answer(state, event.reply, 404, error=f"{what}; there are: {names}")
        return
    names = ", ".join(flavor.name for flavor in pool.flavors)
    if event.flavor and event.flavor not in [flavor.name for flavor in pool.flavors]:
        jobs.answer(state, event.reply, 404, error=f"pool {pool.name} has no flavor {event.flavor!r}; it has: {names}")
        return
    flavor = next((one for one in sizes.flavors(state, pool) if event.flavor in ("", one.name)), None)
    if flavor is None:
        there_is_none = sizes.absent(state, pool, event.flavor)
        if there_is_none:
            jobs.answer(state, event.reply, 409, error=there_is_none[0].rstrip("."))
            return
        trouble = state.cloud_trouble.get(pool.provider, "it has not answered yet; try again in a moment")
        error = f"the cloud has not said what {event.flavor or names} of pool {pool.name} offers: {trouble}"
        jobs.answer(state, event.reply, 409, error=error)
        return
    room = limits.within(state, pool, flavor, [])
    before = known(state.context).get(pool.name)
    if state.fenced or state.stopping or CLOSED in state.context:
        closed = "the fleet is shut down; `admin.py open` lets VMs come again"
        jobs.answer(state, event.reply, 409, error=state.fenced or ("the boss is stopping" if state.stopping else closed))
    elif before is not None and before.over is None:
        jobs.answer(state, event.reply, 409, error=f"pool {pool.name} is being tried already, with {before.vm}")
    elif not room.count:
        jobs.answer(state, event.reply, 409, error=room.cut)
    else:
        [vm] = fleet.claim(state, pool.name, flavor.name, 1, _KEEP, f"a trial, asked for by {event.owner}", now)
        state.trials[vm.id] = vm
        _remember(state, Trial(pool.name, vm.id, flavor.name, event.owner, state.wall(now), event.uid))
        jobs.answer(state, event.reply, 200, pool=pool.name, vm=vm.id)


def on_stopped(state: State, event: TrialStopped, now: float) -> None:
    """Whoever wanted the trial does not any more: its VM goes now."""
    trial = known(state.context).get(event.pool)
    if trial is None or trial.over is not None:
        jobs.answer(state, event.reply, 404, error=f"no trial of pool {event.pool!r} goes on")
        return
    _end(state, trial, state.trials[trial.vm], STOPPED, now)
    jobs.answer(state, event.reply, 200, pool=trial.pool, vm=trial.vm)


def on_listed(state: State, event: ServersListed, now: float) -> None:
    """The cloud's word for the servers of trials: ACTIVE is a step of its own."""
    active = [server for server in event.servers if server.status == "ACTIVE"]
    for vm in state.trials.values():
        if _of(state, vm) and any(server.vm == vm.id or server.server == vm.server for server in active):
            _step(state, vm, now, "active")


def observe(state: State, now: float) -> None:
    """At the end of a turn: note what has happened, let the task run, and end what is over or takes too long."""
    look = now >= state.trial_look
    for vm in list(state.trials.values()):
        if _of(state, vm) is None:  # its fact was dropped
            del state.trials[vm.id]
            if vm.id in state.vms:
                fleet.condemn(state, vm, "its trial is not known any more", now)
            continue
        trial = _step(state, vm, now, *_seen(state, vm))
        if vm.id not in state.vms:
            _over(state, trial, vm, now)
        elif vm.state is VmState.JOINED:
            _run(state, trial, vm, now)
        elif look and vm.state is VmState.BOOTING and "active" not in trial.steps and (pool := state.pool(vm.pool)) is not None:
            state.trial_look = now + LOOK
            state.out.append(ListServers(pool.provider))


def _seen(state: State, vm: Vm) -> list[str]:
    """What the state itself shows of a trial's claim."""
    shown = []
    if vm.server:
        shown.append("accepted")
    if vm.key:
        shown.append("called")
    if vm.state in (VmState.JOINED, VmState.DRAINING):
        shown.append("joined")
    if vm.state is VmState.DELETING:
        shown.append("leaving")
    return shown


def _run(state: State, trial: Trial, vm: Vm, now: float) -> None:
    """Give the worker that has joined its task, and look how that goes."""
    job = state.jobs.get(trial.uid)
    worker = state.workers.get(vm.id)
    pool = state.pool(vm.pool)
    if pool is not None and pool.signers:
        unrun = f"pool {pool.name} runs only what is signed, which a trial's task is not: nothing was run"
        joined = replace(trial, unrun=trial.unrun or unrun)
        _remember(state, joined)
        _end(state, joined, vm, joined.unrun, now)
    elif job is None and worker is not None and worker.resources:
        needs = dict(worker.resources)
        template = Template(0, "trial", (_COMMAND,), outputs=(OutputSpec(REPORT),), needs=needs, timeout=PATIENCE)
        jobs.on_job_staged(state, JobStaged(trial.uid, trial.job, trial.owner, trial.uid), now)
        jobs.on_tasks_staged(state, TasksStaged(trial.uid, (template,), (TaskSpec(0, "trial", 0),)), now)
        jobs.on_job_opened(state, JobOpened(trial.uid, {}), now)
    elif job is not None and job.finished is not None:
        if job.counts.get(TaskState.SUCCEEDED):
            _end(state, _step(state, vm, now, "ran"), vm, "its trial is over", now)
        else:
            task = next(iter(job.tasks), None)
            said = f"{task.phase}: {task.reason}" if task is not None and task.phase else "it was cancelled"
            _end(state, trial, vm, f"its task did not succeed: {said}", now)
    elif state.wall(now) - trial.steps.get("joined", state.wall(now)) > PATIENCE:
        task = next(iter(job.tasks), None) if job is not None else None
        why = (worker.trouble if worker is not None else "") or (task.reason if task is not None else "")
        _end(state, trial, vm, f"its task did not end within {PATIENCE:.0f} s{f': {why}' if why else ''}", now)


def _end(state: State, trial: Trial, vm: Vm, reason: str, now: float) -> None:
    """Have the VM deleted; without its task's result the reason is the trial's."""
    _fail(state, trial, reason)
    if vm.id in state.vms and vm.state is not VmState.DELETING:
        fleet.condemn(state, vm, reason, now)
    _step(state, vm, now, "leaving")


def _over(state: State, trial: Trial, vm: Vm, now: float) -> None:
    """The claim is no more, whatever has become of it."""
    trial = _fail(state, trial, vm.reason or "its VM is gone")
    if "accepted" in trial.steps:
        trial = _step(state, vm, now, "leaving", "deleted")
    _remember(state, replace(trial, over=state.wall(now)))
    del state.trials[vm.id]
    job = state.jobs.get(trial.uid)
    if job is not None and job.finished is None:
        jobs.on_cancelled(state, TasksCancelled(job.name, "*"), now)


def _fail(state: State, trial: Trial, reason: str) -> Trial:
    """Note why the trial did not come to its end, once."""
    if trial.worked or trial.reason:
        return trial
    stage = next(step for step in STEPS if step not in trial.steps and step != "active")
    if stage == "called" and "active" not in trial.steps:
        stage = "active"
    failed = replace(trial, stage=stage, reason=reason)
    _remember(state, failed)
    return failed


def _step(state: State, vm: Vm, now: float, *steps: str) -> Trial:
    """Note the time of what has happened to a trial's claim, once for each step."""
    trial = known(state.context)[vm.pool]
    new = {step: state.wall(now) for step in steps if step not in trial.steps}
    if not new:
        return trial
    after = replace(trial, steps={**trial.steps, **new})
    if "leaving" in new and not after.reason and not after.worked:
        after = _fail(state, after, vm.reason)
    _remember(state, after)
    return after


def _remember(state: State, trial: Trial) -> None:
    state.set_context(FACT + trial.pool, json.dumps(asdict(trial)))


def _of(state: State, vm: Vm) -> Trial | None:
    """The trial that a claim is for."""
    trial = known(state.context).get(vm.pool)
    return trial if trial is not None and trial.vm == vm.id else None


def _pool(state: State, name: str) -> Pool | None:
    """The pool of this name if its VMs are bought; without a name the first such."""
    return next((pool for pool in state.policy.pools if _is_cloud(pool) and name in ("", pool.name)), None)


def _is_cloud(pool: Pool) -> bool:
    return bool(pool.flavors) and pool.provider != "local"
