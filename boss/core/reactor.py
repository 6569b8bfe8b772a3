"""``handle(state, event, now) -> effects``: the only writer of state. Facts in, wishes out.

Rules:
- ``handle`` changes the state for one event; ``settle`` ends a turn: acknowledges, deals, scales. Both return what to perform
  after the turn's commit, in order.
- ``resume`` derives every unfinished effect from the states alone, after each load; it is the only way back from anything.
- Messages of unknown workers are answered only by telling them to stop; results are judged by their attempt alone.
"""

from fnmatch import fnmatchcase

from boss.core import (
    accounts,
    again,
    audit,
    basis,
    bindings,
    clouds,
    deadlines,
    explain,
    explain_pool,
    explain_vm,
    fleet,
    hosts,
    jobs,
    noise,
    outcomes,
    pools,
    quotas,
    rhythm,
    scaling,
    setback,
    trials,
)
from boss.core.deals import deal
from boss.core.deeds import DeedsSeen
from boss.core.effects import AcceptResult, CreateVms, DeleteVm, Effect, ReadRecord, RejectResult, Send, ShutOut
from boss.core.events import (
    BrokerConnected,
    BrokerDisconnected,
    CloudFailed,
    ConsoleRead,
    DatastoreSeen,
    Event,
    FlavorsSeen,
    LimitsSeen,
    MessagesDropped,
    RecordRead,
    ResultAccepted,
    ResultRefused,
    ServersListed,
    TimePassed,
    VmCreated,
    VmCreateFailed,
    VmDeleted,
    VmDeleteFailed,
    WorkerSaid,
    WorkerStatusSeen,
)
from boss.core.model import JobState, Task, TaskState, VmState, Worker, WorkerState
from boss.core.requests import (
    BasisAsked,
    ContextSet,
    FailedRetried,
    FleetClosed,
    FleetOpened,
    HostAdded,
    HostRemoved,
    JobExtended,
    JobOpened,
    JobPaused,
    JobResumed,
    JobStaged,
    JoinAsked,
    LogFollowed,
    PoolSet,
    StagingDropped,
    StopWanted,
    TasksCancelled,
    TasksRedone,
    TasksStaged,
    TokenMade,
    TokensRevoked,
    TokensUsed,
    TrialAsked,
    TrialStopped,
    WhyAsked,
    WorkersDrained,
    WorkersWanted,
)
from boss.core.restored import is_restored
from boss.core.state import LIVE_VMS, State
from boss.core.tokens import REVOKED_FACT, still_revoked
from worker.protocol import (
    SILENCE,
    Acknowledge,
    Cancel,
    Certify,
    Drain,
    Follow,
    Goodbye,
    Heartbeat,
    Hello,
    Recalled,
    Result,
    Results,
    Resync,
    Started,
)

#: After a load, how many attempts before the current one are said to be rejected: the datastore may not have heard it.
EARLIER = 8


def handle(state: State, event: Event, now: float) -> list[Effect]:
    """Let one thing happen. Returns the effects in the order in which they are to be performed."""
    state.last_turn = now
    match event:
        case WorkerSaid():
            _worker_said(state, event, now)
        case WorkerStatusSeen():
            fleet.on_status(state, event.worker, event.online, now)
        case MessagesDropped():
            noise.on_dropped(state, event)
        case ResultAccepted():
            outcomes.on_accepted(state, event.attempt, now)
        case ResultRefused():
            outcomes.on_refused(state, event.attempt, event.reason, now)
        case RecordRead():
            _record_read(state, event, now)
        case TimePassed():
            deadlines.expire(state, now)
        case BrokerConnected():
            _connected(state, now)
        case BrokerDisconnected():
            state.connected = False
        case DatastoreSeen():
            state.datastore_up, state.datastore_reason, state.datastore_full = event.up, event.reason, event.full
            state.datastore_place = event.place or state.datastore_place
        case VmCreated():
            fleet.on_created(state, event, now)
        case VmCreateFailed():
            fleet.on_create_failed(state, event, now)
        case VmDeleted():
            fleet.on_deleted(state, event.vm, now)
        case VmDeleteFailed():
            fleet.on_delete_failed(state, event.vm, event.reason)
        case ServersListed():
            fleet.on_listed(state, event, now)
            trials.on_listed(state, event, now)
        case LimitsSeen():
            clouds.on_limits(state, event, now)
        case FlavorsSeen():
            clouds.on_flavors(state, event)
        case CloudFailed():
            clouds.on_cloud_failed(state, event, now)
        case ConsoleRead():
            clouds.on_console(state, event, now)
        case JoinAsked():
            clouds.on_join(state, event, now)
        case JobStaged():
            jobs.on_job_staged(state, event, now)
        case TasksStaged():
            jobs.on_tasks_staged(state, event, now)
        case JobOpened():
            jobs.on_job_opened(state, event, now)
        case StagingDropped():
            jobs.on_staging_dropped(state, event, now)
        case JobExtended():
            jobs.on_job_extended(state, event, now)
        case TasksCancelled():
            jobs.on_cancelled(state, event, now)
        case JobPaused():
            jobs.on_paused(state, event, now)
        case JobResumed():
            jobs.on_resumed(state, event, now)
        case TasksRedone():
            again.on_redone(state, event, now)
        case FailedRetried():
            again.on_retried(state, event, now)
        case WorkersWanted():
            _workers_wanted(state, event, now)
        case WorkersDrained():
            _workers_drained(state, event, now)
        case FleetClosed():
            _fleet_closed(state, event, now)
        case FleetOpened():
            _fleet_opened(state, event)
        case PoolSet():
            pools.on_set(state, event, now)
        case TrialAsked():
            trials.on_asked(state, event, now)
        case TrialStopped():
            trials.on_stopped(state, event, now)
        case HostAdded():
            hosts.on_added(state, event, now)
        case HostRemoved():
            hosts.on_removed(state, event, now)
        case ContextSet():
            _context_set(state, event)
        case WhyAsked():
            _why_asked(state, event, now)
        case BasisAsked():
            jobs.answer(state, event.reply, 200, **basis.basis_of(state, now))
        case LogFollowed():
            _log_followed(state, event)
        case TokenMade():
            accounts.on_token_made(state, event, now)
        case TokensRevoked():
            accounts.on_tokens_revoked(state, event, now)
        case TokensUsed():
            accounts.on_tokens_used(state, event)
        case DeedsSeen():
            audit.on_deeds_seen(state, event, now)
            jobs.answer(state, event.reply, 200)
        case StopWanted():
            _stop_wanted(state, now)
    return _take_effects(state)


def settle(state: State, now: float) -> list[Effect]:
    """End a turn: deal what is ready, scale what is there, acknowledge what this turn's commit makes durable."""
    state.last_turn = now
    trials.observe(state, now)
    deal(state, now)
    if state.connected and not state.stopping:
        wish = scaling.plan(state, now)
        for (pool, flavor), reasons in wish.groups().items():
            fleet.claim(state, pool, flavor, len(reasons), 0.0, reasons[0], now)
        for name, reason in wish.drain:
            fleet.drain(state, state.workers[name], reason, now)
    for name, attempts in state.acknowledgements.items():
        worker = state.workers.get(name)
        seq = fleet.next_seq(worker) if worker is not None else 0
        state.out.append(Send(name, Acknowledge(state.epoch, seq, tuple(attempts))))
    state.acknowledgements.clear()
    return _take_effects(state)


def resume(state: State, now: float) -> list[Effect]:
    """After a load: every effect that may not have been performed, derived from the states alone."""
    state.started = state.last_turn = now
    rhythm.loaded(state)
    state.settled_at = now + 2 * rhythm.interval(state)
    state.next_sweep = now
    setback.bring_back(state, now)
    for job in state.jobs.values():
        for task in job.tasks:
            _resume_task(state, task, now)
    for worker in state.workers.values():
        worker.last_seen = worker.idle_since = now
        state.roster.changed(worker.id)
    for vm in state.vms.values():
        if vm.state is VmState.DELETING:
            state.out.append(DeleteVm(vm.id, vm.pool, vm.server))
        if vm.state is VmState.CREATING:  # perhaps it was never asked for: a complete list will tell
            state.unsure.add(vm.id)
            vm.deadline = state.settled_at + state.policy.list_interval
            state.roster.said(vm.id)
        elif vm.deadline is not None:
            vm.deadline = max(vm.deadline, state.settled_at + state.policy.list_interval)
            state.roster.said(vm.id)
    shut_out = still_revoked(state.context.get(REVOKED_FACT), state.wall(now))
    if shut_out:
        state.out.append(ShutOut(shut_out))
    fleet.list_servers(state, now)
    for pool in state.policy.pools:
        state.listed[pool.provider] = now
    return _take_effects(state)


def _resume_task(state: State, task: Task, now: float) -> None:
    attempt = task.attempt
    if attempt is None or task.state is TaskState.SUCCEEDED:
        return
    for number in range(
        max(1, attempt.number - EARLIER), attempt.number
    ):  # what a killed boss meant to say when it dealt the next
        state.out.append(RejectResult(f"{attempt.job}.{attempt.index}.{number}"))
    if task.state is TaskState.PROMOTING:
        state.out.append(AcceptResult(attempt.id, task.job.name, attempt.files or (), is_restored(state, task.job)))
    elif task.state in (TaskState.ASSIGNED, TaskState.RUNNING, TaskState.READY):
        # a worker puts a result without files there only when it has not heard a boss for a while
        deposited = state.wall(now) - attempt.assigned > SILENCE * state.policy.worker_lease
        if task.template.outputs or deposited:
            state.out.append(ReadRecord(attempt.id))


def _take_effects(state: State) -> list[Effect]:
    taken, state.out = state.out, []
    if state.fenced:
        return [effect for effect in taken if not isinstance(effect, CreateVms | DeleteVm)]
    return taken


# ---- dispatch of what is more than one line ------------------------------------------------------------------------


def _worker_said(state: State, event: WorkerSaid, now: float) -> None:
    worker = state.workers.get(event.worker)
    if worker is None or worker.state is WorkerState.GONE:
        _stranger_said(state, worker or Worker(event.worker, state=WorkerState.GONE), event, now)
        return
    fleet.heard(state, worker, now)
    match event.message:
        case Results():
            outcomes.on_results(state, worker, event.message, now)
        case Started():
            outcomes.on_started(state, worker, event.message, now)
        case Heartbeat():
            fleet.on_heartbeat(state, worker, event.message, now)
        case Hello():
            fleet.on_hello(state, worker, event.message, now)
        case Recalled():
            outcomes.on_recalled(state, worker, event.message, now)
        case Goodbye():
            fleet.on_goodbye(state, worker, event.message, now)
        case Certify():
            bindings.on_certify(state, worker, event.message)
        case _:
            state.stale += 1


def _stranger_said(state: State, worker: Worker, event: WorkerSaid, now: float) -> None:
    """A worker that was given up, or that this database never knew: its results count, its work does not go on."""
    message = event.message
    if isinstance(message, Results):
        outcomes.on_results(state, worker, message, now)
    elif isinstance(message, Hello | Heartbeat):
        running = tuple(name for name, what in message.held.items() if what != "finished")
        if running:
            state.out.append(Send(worker.id, Cancel(state.epoch, message.seq + 1, running, "its worker was given up")))
        state.out.append(Send(worker.id, Drain(state.epoch, message.seq + 2)))


def _record_read(state: State, event: RecordRead, now: float) -> None:
    """The datastore's record of an attempt: as good as its worker's own word."""
    _take_record(state, event, now)
    fleet.on_record(state, event.attempt, now)


def _take_record(state: State, event: RecordRead, now: float) -> None:
    task = state.current(event.attempt)
    if task is None or task.attempt is None:
        return
    if not isinstance(event.result, Result):
        outcomes.on_no_record(state, task, now)
        return
    worker = state.workers.get(task.attempt.worker) or Worker(task.attempt.worker, state=WorkerState.GONE)
    outcomes.on_result(state, worker, event.result, now)
    if event.result.files == ():  # there is nothing to accept: the record has done its service
        state.out.append(RejectResult(event.attempt))


def _connected(state: State, now: float) -> None:
    """The link is up (again): nothing sent before may be relied on, so everybody is asked what they hold."""
    state.connected = True
    state.settled_at = max(state.settled_at, now + 2 * rhythm.interval(state))
    for worker in state.workers.values():
        worker.last_seen = max(worker.last_seen, now)
        state.roster.said(worker.id)
        if worker.state not in (WorkerState.GONE, WorkerState.EXPECTED):
            fleet.send(state, worker, Resync(state.epoch, fleet.next_seq(worker)))


def _workers_wanted(state: State, event: WorkersWanted, now: float) -> None:
    pool = state.pool(event.pool)
    if pool is None or not pool.flavors:
        known = ", ".join(pool.name for pool in state.policy.pools) or "none"
        jobs.answer(state, event.reply, 404, error=f"there is no pool named {event.pool!r}; there are: {known}")
        return
    wish = scaling.ScalingPlan()
    if scaling.CLOSED in state.context or state.fenced:
        error = state.fenced or "the fleet is shut down; `admin.py open` lets VMs come again"
        jobs.answer(state, event.reply, 409, error=error)
        return
    flavor = quotas.first(state, pool)
    if flavor is None:
        jobs.answer(state, event.reply, 409, error=" ".join(quotas.notes(state)) or f"pool {pool.name} can have no VM at all")
        return
    for _ in range(event.count):
        if not scaling.may_add(state, pool, flavor, wish):
            error = f"pool {pool.name} has room for {len(wish.create)} more VM(s), not for {event.count} (its maximum is {pool.maximum})"
            jobs.answer(state, event.reply, 409, error=error)
            return
        wish.create.append((pool.name, flavor.name, "asked for by hand"))
    keep = event.keep or pool.cooldown
    made = fleet.claim(state, pool.name, flavor.name, event.count, keep, "asked for by hand", now)
    jobs.answer(state, event.reply, 200, workers=[vm.id for vm in made])


def _workers_drained(state: State, event: WorkersDrained, now: float) -> None:
    there = [worker.id for worker in state.workers.values() if worker.state is not WorkerState.GONE]
    meant = {text: [text] if text in there else [name for name in there if fnmatchcase(name, text)] for text in event.workers}
    unknown = [text for text, named in meant.items() if not named]
    if unknown:
        jobs.answer(state, event.reply, 404, error=f"there is no worker {', '.join(unknown)}")
        return
    names = list(dict.fromkeys(name for named in meant.values() for name in named)) if event.workers else there
    for name in names:
        vm = state.vms.get(name)
        if event.now and vm is not None:
            fleet.condemn(state, vm, "terminated by hand", now)
        else:
            fleet.drain(state, state.workers[name], "drained by hand", now)
    jobs.answer(state, event.reply, 200, workers=list(names), now=event.now)


def _fleet_closed(state: State, event: FleetClosed, now: float) -> None:
    """Nobody comes, everybody goes; that survives restarts."""
    state.set_context(scaling.CLOSED, repr(state.wall(now)))
    for vm in [vm for vm in state.vms.values() if vm.state in LIVE_VMS]:
        worker = state.workers.get(vm.id)
        if event.now or worker is None:
            fleet.condemn(state, vm, "shut down by hand", now)
        else:
            fleet.drain(state, worker, "shut down by hand", now)
    left = [vm.id for vm in state.vms.values() if vm.state in LIVE_VMS or vm.state is VmState.DELETING]
    jobs.answer(state, event.reply, 200, workers=left, now=event.now)


def _fleet_opened(state: State, event: FleetOpened) -> None:
    if scaling.CLOSED in state.context:
        state.set_context(scaling.CLOSED, None)
    jobs.answer(state, event.reply, 200)


def _context_set(state: State, event: ContextSet) -> None:
    for name, value in event.facts.items():
        state.set_context(name, value)
    jobs.answer(state, event.reply, 200, **{name: value for name, value in event.facts.items() if value is not None})


def _task_named(state: State, job_name: str, task_name: str, reply: int, at: int = -1) -> Task | None:
    """A task by its name; ``at`` is where it was, which saves the search in a large job."""
    job = state.job_named(job_name)
    tasks = job.tasks if job is not None else ()
    if 0 <= at < len(tasks) and tasks[at].name == task_name:
        return tasks[at]
    task = next((task for task in tasks if task.name == task_name), None)
    if task is None:
        jobs.answer(state, reply, 404, error=f"there is no task {job_name}:{task_name}")
    return task


def _why_asked(state: State, event: WhyAsked, now: float) -> None:
    if not event.job:
        vm, pool = state.vms.get(event.task), state.pool(event.task)
        if vm is not None:
            standing, sentences = vm.state.value, explain_vm.why(state, vm, now)
        elif pool is not None:
            standing, sentences = explain_pool.standing(state, pool, now), explain_pool.why(state, pool, now)
        else:
            jobs.answer(state, event.reply, 404, error=f"there is no VM and no pool {event.task}")
            return
        jobs.answer(state, event.reply, 200, job="", id=event.task, state=standing, why=sentences, never="")
        return
    task = _task_named(state, event.job, event.task, event.reply, event.at)
    if task is not None:
        sentences = explain.why(state, task, now)
        never = explain.never(state, task) if task.state in (TaskState.READY, TaskState.WAITING) else ""
        jobs.answer(state, event.reply, 200, job=event.job, id=task.name, state=task.state.value, why=sentences, never=never)


def _log_followed(state: State, event: LogFollowed) -> None:
    task = _task_named(state, event.job, event.task, event.reply, event.at)
    if task is None:
        return
    attempt = task.attempt
    worker = state.workers.get(attempt.worker) if attempt is not None else None
    running = attempt is not None and worker is not None and task.state in (TaskState.ASSIGNED, TaskState.RUNNING)
    if running and attempt is not None and worker is not None:
        state.out.append(Send(worker.id, Follow(state.epoch, fleet.next_seq(worker), attempt.id, event.on)))
    jobs.answer(state, event.reply, 200, attempt=attempt.id if attempt else "", running=running, state=task.state.value)


def _stop_wanted(state: State, now: float) -> None:
    """Deal nothing new, drain the local pools; a second wish does not wait for running attempts."""
    if state.stopping:
        state.stop_deadline = now
    else:
        state.stopping = True
        state.stop_deadline = now + state.policy.stop_grace
        local = {pool.name for pool in state.policy.pools if pool.provider == "local"}
        for worker in list(state.workers.values()):
            if worker.pool in local and worker.state is not WorkerState.GONE:
                fleet.drain(state, worker, "the boss stops", now)
    for job in [job for job in state.jobs.values() if job.state is JobState.STAGING]:
        jobs.forget(state, job)
    state.next_sweep = now
