"""From what the store has loaded to a state, and from a state to what the API may see."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from boss.core import backlog, explain, health, inits, noise, overdue, pools, scaling, trials, usage
from boss.core.learned import Learned
from boss.core.model import Job, JobState, Policy, TaskState, Vm, Worker, WorkerState
from boss.core.outcomes import job_state
from boss.core.state import State
from boss.core.tokens import Token
from boss.core.view import JobView, View, VmView, WorkerView

#: Seconds by which the clock of the day must have been set for all times to be shown anew.
CLOCK_SET = 0.5
#: Seconds over which the rate is taken.
RATE_WINDOW = 10.0


def state_of(
    policy: Policy,
    epoch: int,
    context: Mapping[str, str],
    jobs: Iterable[Job],
    workers: Iterable[Worker],
    vms: Iterable[Vm],
    tokens: Iterable[Token] = (),
) -> State:
    """The state that these rows describe: indices, holdings and shares are derived, never stored."""
    state = State(
        pools.in_force(policy, context),
        epoch,
        given=policy,
        context=dict(context),
        learned=Learned.of(context),
        used=usage.jobs_of(context),
    )
    for one in workers:
        state.workers[one.id] = one
    for vm in vms:
        state.vms[vm.id] = vm
    state.tokens = {token.id: token for token in tokens}
    for worker in state.workers.values():
        if worker.state is WorkerState.ONLINE:
            worker.state = WorkerState.OFFLINE  # until it is heard
    for job in jobs:
        state.jobs[job.uid] = job
        state.names[job.name] = job.uid
        job.inits = [task.index for task in job.tasks if task.template.init]
        for task in job.tasks:
            if task.state is TaskState.READY:
                state.ready.add(task)
            elif task.state is TaskState.DELAYED:
                state.delayed.append((task.not_before, job.uid, task.index))
            elif task.state in (TaskState.ASSIGNED, TaskState.RUNNING) and task.attempt is not None:
                worker_of_it = state.workers.get(task.attempt.worker)
                if worker_of_it is not None:
                    state.hold(worker_of_it, task.attempt, task)
    state.delayed.sort()
    trials.find_again(state)
    return state


def publish(state: State, now: float, started: float) -> View:
    """The picture of now, for any thread."""
    _draw(state)
    totals: dict[str, int] = {}
    jobs = []
    for job in state.jobs.values():
        if job.state is not JobState.OPEN:
            continue
        counts = {str(task_state): count for task_state, count in job.counts.items() if count}
        for name, count in counts.items():
            totals[name] = totals.get(name, 0) + count
        jobs.append(
            JobView(
                job.uid,
                job.name,
                job.owner,
                job_state(job),
                job.reason,
                job.created,
                job.finished,
                counts,
                job.stale,
                job.since,
                tuple(task.name for task in inits.failing(job)),
            )
        )
    while state.finished and state.finished[0][0] < now - RATE_WINDOW:
        state.finished.popleft()
    span = min(RATE_WINDOW, max(1.0, now - started))
    return View(
        taken=state.wall(now),
        epoch=state.epoch,
        started=started,
        jobs=tuple(jobs),
        tasks=totals,
        workers=tuple(state.shown.workers.values()),
        vms=tuple(state.shown.vms.values()),
        context=dict(state.context),
        rate=sum(count for _, count in state.finished) / span,
        notes=tuple(_notes(state, now)),
        pools=pools.views(state, now),
        cores=_cores(state),
    )


def _draw(state: State) -> None:
    """Paint those workers and claims again that have changed since the last picture, and everybody if the clock of the day was set."""
    shown, names = state.shown, state.roster.unshown()
    if abs(state.lag - shown.lag) > CLOCK_SET:
        shown.lag, names = state.lag, list(dict.fromkeys((*state.workers, *state.vms, *names)))
    for name in names:
        worker, vm = state.workers.get(name), state.vms.get(name)
        if worker is not None and worker.state is not WorkerState.GONE:
            shown.workers[name] = _worker(state, worker)
        else:
            shown.workers.pop(name, None)
        if vm is not None:
            shown.vms[name] = _vm(state, vm)
        else:
            shown.vms.pop(name, None)
    if state.policy.check:
        wrong = [name for name, worker in state.workers.items() if not _is_shown(state, worker)]
        wrong += [name for name, vm in state.vms.items() if not _is_like(_vm(state, vm), shown.vms.get(name))]
        assert not wrong, f"the picture does not show what has become of {', '.join(wrong)}"


def _is_shown(state: State, worker: Worker) -> bool:
    there = state.shown.workers.get(worker.id)
    return there is None if worker.state is WorkerState.GONE else _is_like(_worker(state, worker), there)


def _is_like(fresh: WorkerView | VmView, shown: WorkerView | VmView | None) -> bool:
    """Whether they say the same, but for times: how far the loop's clock is behind that of the day changes a little all the time."""
    if isinstance(fresh, VmView):
        return isinstance(shown, VmView) and replace(fresh, deadline=shown.deadline) == shown
    return (
        isinstance(shown, WorkerView) and replace(fresh, last_seen=shown.last_seen, cached=shown.cached, done=shown.done) == shown
    )


def _cores(state: State) -> tuple[float, float, float]:
    """Cores that are in use, that workers offer, and that ready tasks wait for, and what waits on a worker beyond its cores."""
    online = [worker for worker in state.workers.values() if worker.state is WorkerState.ONLINE]
    given = sum(worker.used.get("cpus", 0.0) for worker in online)
    used = sum(_in_use(worker) for worker in online)
    waiting = given - used + sum(bucket.count * dict(bucket.shape).get("cpus", 0.0) for bucket in state.ready.buckets.values())
    return used, sum(worker.resources.get("cpus", 0.0) for worker in online), waiting


def _in_use(worker: Worker) -> float:
    """The cores of a worker that are in use: what it was given beyond them waits."""
    return min(worker.used.get("cpus", 0.0), worker.resources.get("cpus", 0.0))


def _worker(state: State, worker: Worker) -> WorkerView:
    running = []
    for attempt in worker.held.values():
        found = state.find(attempt.id) if attempt.state == "running" else None
        if found is not None:
            running.append(f"{found[0].job.name}:{found[0].name}")
    return WorkerView(
        worker.id,
        worker.state.value,
        worker.address,
        worker.resources.get("cpus", 0.0),
        tuple(running),
        state.wall(worker.last_seen),
        worker.pool,
        worker.draining,
        len(worker.held),
        dict(worker.confinement),
        *noise.of(state, worker),
        worker.resources.get("memory", 0.0),
        worker.resources.get("disk", 0.0),
        _in_use(worker),
        worker.done,
        sum(worker.cached.values()),
    )


def _vm(state: State, vm: Vm) -> VmView:
    deadline = None if vm.deadline is None else state.wall(vm.deadline)
    reason = f"{vm.reason}; held up: {state.doubts[vm.id]}" if vm.id in state.doubts else vm.reason
    return VmView(vm.id, vm.state.value, vm.pool, vm.flavor, vm.address, deadline, reason, vm.created, vm.server, vm.group)


def _notes(state: State, now: float) -> list[str]:
    notes = []
    if not state.connected:
        notes.append("The broker cannot be reached; workers go on with what they have.")
    if not state.datastore_up:
        notes.append(f"The datastore cannot be reached ({state.datastore_reason}); finished results wait.")
    notes += backlog.notes(state)
    if state.unverified[0]:
        notes.append(
            f"NOT WHAT WAS SIGNED ({state.unverified[0]} x since the boss was started), the last time: {state.unverified[1]}."
        )
    notes += noise.notes(state)
    if scaling.CLOSED in state.context:
        notes.append("The fleet is shut down: no VM is created, whatever waits; `admin.py open` lets them come again.")
    notes += pools.notes(state)
    if state.fenced:
        notes.append(f"{state.fenced}.")
    for provider, reason in state.cloud_trouble.items():
        notes.append(f"Cloud {provider} does not answer as it should: {reason}.")
    for (name, flavor), rest in state.health.items():
        pool = state.pool(name)
        if pool is not None and now < rest.resume_at:
            notes.append(health.sentence(pool, rest, now, flavor))
        elif pool is not None and rest.bursts and scaling.is_coming(state, name, flavor):
            notes.append(health.trying(pool, rest, flavor))
    notes += overdue.notes(state, now)
    notes += explain.notes(state)
    if usage.is_spent(state, now):
        notes.append(usage.spent_sentence(state, now))
    for job in state.jobs.values():
        if state.policy.job_budget and job.finished is None and usage.is_spent_by(state, job, now):
            notes.append(usage.job_sentence(state, job, now))
        if job.reason and job.finished is None:
            notes.append(f"Job {job.name} is paused: {job.reason}.")
    if state.stopping:
        notes.append("The boss is stopping.")
    return notes
