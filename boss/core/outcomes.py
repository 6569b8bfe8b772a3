"""What becomes of an attempt: its result, its acceptance, its loss. Part of the reactor.

Rules:
- A result is judged by its attempt alone: current and not finished yet, or stale. Stale ones are counted, acknowledged and dropped.
- A worker is acknowledged only when the outcome is committed; with outputs, only after they were accepted.
- An attempt stays current until the next one is dealt: a lost worker that comes back before is believed.
"""

from collections.abc import Iterable

from boss.core import credible, dag, distance, health, inits, pace, remedies, stale, usage
from boss.core.effects import AcceptResult, Announce, ReadRecord, RejectResult, Send
from boss.core.lifecycle import TaskCause
from boss.core.model import FINAL_STATES, Attempt, Job, Phase, Task, TaskState, Wanted, Worker
from boss.core.restored import is_restored
from boss.core.retry import LOSSES, judge
from boss.core.state import State
from worker.protocol import Cancel, Recalled, Result, Results, Started

C = TaskCause
S = TaskState

#: An attempt in one of these states has no outcome yet; a lost or recalled one is believed until the next is dealt.
OPEN_ATTEMPTS = frozenset({"assigned", "running", "lost", "recalled"})
#: A task in one of these states can be finished by its current attempt (a ready one, by an attempt that was given up too early).
AWAITING = frozenset({S.READY, S.ASSIGNED, S.RUNNING})
#: Ends of tasks that count as throughput: what was skipped or cancelled took nobody's time.
RAN = frozenset({S.SUCCEEDED, S.FAILED})


def on_started(state: State, worker: Worker, message: Started, now: float) -> None:
    """These attempts run."""
    for name, said in message.attempts.items():
        attempt = worker.held.get(name)
        if attempt is None:
            continue
        began = credible.began(said, attempt.assigned, state.wall(now))
        if attempt.init:
            attempt.state, attempt.started = "running", began
            state.touch_attempt(attempt)
            continue
        task = state.current(name)
        if task is not None and task.state is S.ASSIGNED:
            started(state, task, began)


def started(state: State, task: Task, began: float) -> None:
    """The worker says that the task's current attempt runs since ``began``."""
    attempt = task.attempt
    assert attempt is not None
    attempt.state, attempt.started = "running", began
    task.started, task.finished, task.worker = began, None, attempt.worker
    state.move(task, C.STARTED)
    state.touch_attempt(attempt)
    announce(state, task)


def on_recalled(state: State, worker: Worker, message: Recalled, now: float) -> None:
    """These attempts were never started and never will be by this worker."""
    for name in message.attempts:
        attempt = worker.held.get(name)
        if attempt is None:
            continue
        state.release(worker, name, now)
        attempt.state = "recalled"
        state.touch_attempt(attempt)
        task = state.current(name)
        if task is not None and task.state is S.ASSIGNED:
            pace.slow_down(state, task, state.wall(now) - attempt.assigned)
            state.move(task, C.GIVEN_BACK)


def on_results(state: State, worker: Worker, message: Results, now: float) -> None:
    """Attempts have ended on a worker."""
    for result in message.results:
        on_result(state, worker, result, now)


def on_result(state: State, worker: Worker, result: Result, now: float) -> None:
    """One attempt has ended, as its worker says (or as the datastore's record says)."""
    name = result.attempt
    found = state.find(name)
    task = found[0] if found is not None else None
    if found is not None and task is not None and task.template.init:
        _on_init_result(state, worker, task, found[1], result, now)
        return
    attempt = task.attempt if task is not None else None
    if task is None or attempt is None or attempt.id != name or attempt.worker != worker.id:
        _drop_stale(state, worker, task, result, now)
        return
    if task.state is S.PROMOTING:
        return  # acknowledged when its outputs are accepted
    if attempt.state not in OPEN_ATTEMPTS or task.state not in AWAITING:
        _drop_stale(state, worker, task, result, now)
        return
    result = credible.result(result, attempt.assigned, state.wall(now))
    if result.outcome == "succeeded" and result.files is None:
        attempt.files = None  # the manifest is too long for a message: only the datastore's record has it
        state.out.append(ReadRecord(name))
        return
    wrong = credible.wrong_file(result.files or ())
    if wrong:
        result = result._replace(outcome="failed", phase=Phase.PROMOTE, reason=wrong, files=())
    state.release(worker, name, now)
    _record(attempt, result)
    state.touch_attempt(attempt)
    pace.learn(state, task, result)
    distance.learn(worker, result, now)
    state.roster.changed(worker.id)
    task.worker, task.exit_code = attempt.worker, result.exit_code
    task.started, task.finished = attempt.started, attempt.finished
    if result.outcome == "succeeded":
        worker.failures_in_a_row = 0
        vm = state.vms.get(worker.id)
        health.worked(state, worker.pool, vm.flavor if vm is not None else "")
        task.phase = task.reason = ""
        if result.files:
            attempt.state = "promoting"
            state.move(task, C.FINISHED)
            state.out.append(AcceptResult(name, task.job.name, result.files, is_restored(state, task.job)))
            return
        complete(state, task, now)
    elif result.outcome == "failed":
        fail(state, task, result.phase or Phase.RUN, result.reason, now)
    else:
        fail(state, task, Phase.INFRASTRUCTURE, result.reason or "the worker ended it", now)
    acknowledge(state, worker, name)


def _drop_stale(state: State, worker: Worker, task: Task | None, result: Result, now: float) -> None:
    """A result that changes nothing: a repeat, or of an attempt that is not current. Its upload, if any, goes to the trash.

    What is another worker's current attempt, or no attempt at all, is not this one's to throw away.
    """
    attempt = task.attempt if task is not None else None
    repeat = attempt is not None and attempt.id == result.attempt and attempt.state == "succeeded"
    if not repeat:
        state.stale += 1
        uploaded = result.files != () or (task is not None and task.template.outputs)
        if uploaded and credible.attempt_name(result.attempt) and not state.is_anothers(worker, result.attempt):
            state.out.append(RejectResult(result.attempt))
    held = worker.held.get(result.attempt)
    if held is not None and held.state not in ("cancelled", "lost"):
        _record(held, credible.result(result, held.assigned, state.wall(now)))
        state.touch_attempt(held)
    state.release(worker, result.attempt, now)
    acknowledge(state, worker, result.attempt)


def _record(attempt: Attempt, result: Result) -> None:
    attempt.state = result.outcome
    attempt.phase = result.phase
    attempt.exit_code = result.exit_code
    attempt.signal = result.signal
    attempt.reason = result.reason
    attempt.started = result.started or attempt.started
    attempt.finished = result.finished or None
    attempt.usage = result.usage
    attempt.stdout, attempt.stderr = result.stdout, result.stderr
    attempt.stdout_size, attempt.stderr_size = result.stdout_size, result.stderr_size
    attempt.stored_logs = result.stored_logs
    attempt.files = result.files


def _on_init_result(state: State, worker: Worker, task: Task, number: int, result: Result, now: float) -> None:
    """A job's init task has ended on one worker: prepared, or barred for this job."""
    job = task.job
    attempt = worker.held.get(result.attempt)
    if attempt is None and state.is_held(result.attempt):
        state.stale += 1  # it is being run by another worker, which will say itself how it ends
        acknowledge(state, worker, result.attempt)
        return
    result = credible.result(result, now if attempt is None else attempt.assigned, state.wall(now))
    state.release(worker, result.attempt, now)
    if attempt is not None and result.started:
        usage.add(state, job.uid, task.template.needs.get("cpus", 0.0), result.finished - result.started)
    acknowledge(state, worker, result.attempt)
    known = task.index in worker.prepared.get(job.uid, ()) or job.uid in worker.barred
    if number > task.number or result.attempt in state.ended_inits:
        return  # a repeat, because the acknowledgement was late: what it says was counted
    state.ended_inits.add(result.attempt)
    held = attempt is not None
    if attempt is None:
        attempt = Attempt(job.uid, task.index, number, worker.id, now, init=True)
    _record(attempt, result)
    state.touch_attempt(attempt)
    if known and not held:
        return  # a repeat from before a load, or of what was given up here: it is on record, and nothing follows from it
    task.worker, task.exit_code = worker.id, result.exit_code
    task.started, task.finished = attempt.started, attempt.finished
    state.touch(task)
    if result.outcome == "succeeded":
        worker.prepared.setdefault(job.uid, set()).add(task.index)
        state.touch_worker(worker)
        task.failures = task.losses = 0
        task.phase = task.reason = ""
        if task.state is S.WAITING:
            state.move(task, C.COMPLETED)
            announce(state, task)
    elif result.outcome == "failed":
        _init_failed(state, worker, task, result)


def _init_failed(state: State, worker: Worker, task: Task, result: Result) -> None:
    """Bar the worker from the job; a failure of the infrastructure counts against the worker, and may be tried there again.

    Too many in a row pause the job, however few workers there are at a time: new VMs would fail like those before.
    """
    job = task.job
    task.phase, task.reason = result.phase or Phase.RUN, inits.reason_of(result)
    _note_unverified(state, task, worker.id)
    if task.phase == Phase.INFRASTRUCTURE:
        task.losses += 1
        _count_against_worker(state, worker.id, task.phase)
    else:
        task.failures += 1
        worker.barred.add(job.uid)
        state.touch_worker(worker)
    barred = len(inits.barred_from(state, job))
    in_a_row = task.failures >= inits.INIT_FAILURES or task.losses > state.policy.infrastructure_budget
    if (in_a_row or barred >= inits.INIT_FAILURES) and job.wanted is Wanted.RUN and job.finished is None:
        job.wanted = Wanted.PAUSE
        often = f"{max(task.failures, task.losses)} times in a row" if in_a_row else f"too, and {barred} workers are barred"
        job.reason = f"init task {task.name} failed {often}, the last time on {worker.id}: {task.reason}"
        state.touch_job(job)
        state.out.append(Announce("job", {"job": job.name, "state": "paused", "reason": job.reason}))


def on_accepted(state: State, name: str, now: float) -> None:
    """The outputs of an attempt lie in the job's folder."""
    task = state.current(name)
    if task is None or task.state is not S.PROMOTING or task.attempt is None:
        return
    task.attempt.state = "succeeded"
    state.touch_attempt(task.attempt)
    complete(state, task, now)
    worker = state.workers.get(task.attempt.worker)
    if worker is not None:
        acknowledge(state, worker, name)


def on_no_record(state: State, task: Task, now: float) -> None:
    """The datastore has no complete upload of the current attempt; that matters only if its worker says that there is one."""
    attempt = task.attempt
    if attempt is None or attempt.files is not None or attempt.state not in OPEN_ATTEMPTS or task.state not in AWAITING:
        return
    worker = state.workers.get(attempt.worker)
    if worker is not None:
        state.release(worker, attempt.id, now)
    _refuse(state, task, attempt, "the datastore has no record of its upload", now)


def on_refused(state: State, name: str, reason: str, now: float) -> None:
    """The gate has no such upload, or another one: it will never be accepted."""
    task = state.current(name)
    if task is not None and task.state is S.PROMOTING and task.attempt is not None:
        _refuse(state, task, task.attempt, reason, now)


def _refuse(state: State, task: Task, attempt: Attempt, reason: str, now: float) -> None:
    attempt.state, attempt.phase, attempt.reason = "failed", Phase.PROMOTE, reason
    state.touch_attempt(attempt)
    fail(state, task, Phase.PROMOTE, reason, now)
    worker = state.workers.get(attempt.worker)
    if worker is not None:
        acknowledge(state, worker, attempt.id)


def complete(state: State, task: Task, now: float) -> None:
    """The task has succeeded: free what waited for it."""
    state.move(task, C.COMPLETED)
    announce(state, task)
    for dependent in dag.freed_by(task):
        state.move(dependent, C.DEPENDENCIES_DONE)
    stale.spread(state, task)
    close_if_done(state, task.job, now)


def fail(state: State, task: Task, phase: str, reason: str, now: float) -> None:
    """The current attempt has failed: again later, or never and skip what waited for it."""
    attempt = task.attempt
    assert attempt is not None
    loss = phase in LOSSES
    if loss:
        task.losses += 1
    else:
        task.failures += 1
    task.phase, task.reason = phase, reason
    _note_unverified(state, task, attempt.worker)
    _count_against_worker(state, attempt.worker, phase)
    verdict = judge(task, phase, attempt.id, state.policy)
    if verdict.again:
        task.not_before = now + verdict.delay
        state.move(task, C.FAILED_AGAIN)
        announce(state, task)
        return
    state.move(task, C.FAILED_FOR_GOOD)
    announce(state, task)
    skip_below(state, task, now)
    close_if_done(state, task.job, now)


def _note_unverified(state: State, task: Task, worker: str) -> None:
    """Keep in mind, for all to see, that a worker has refused what it was told, because that is not what was signed."""
    if task.phase == Phase.VERIFY:
        state.unverified = state.unverified[0] + 1, f"{worker} did not run {task.job.name}:{task.name}: {task.reason}"


def _count_against_worker(state: State, name: str, phase: str) -> None:
    """A worker on which the infrastructure fails again and again is drained; a user's failing command is not its fault."""
    worker = state.workers.get(name)
    if worker is None:
        return
    if phase != Phase.INFRASTRUCTURE:
        worker.failures_in_a_row = 0
        return
    worker.failures_in_a_row += 1
    if worker.failures_in_a_row >= state.policy.worker_failures and not worker.draining:
        worker.draining = True
        state.touch_worker(worker)


def skip_below(state: State, task: Task, now: float) -> None:
    """Skip everything that waited for a task which has ended badly; the cause is kept."""
    reason = remedies.skip_reason(task)
    for dependent in dag.waiting_below(task):
        dependent.reason = reason
        dependent.phase = ""
        dependent.finished = state.wall(now)
        state.move(dependent, C.DEPENDENCY_ENDED)
        announce(state, dependent)


def lose(state: State, worker: Worker, attempt: Attempt, reason: str, now: float) -> None:
    """The worker will not finish this attempt, as far as anyone knows; it stays current until the next one is dealt."""
    state.release(worker, attempt.id, now)
    if attempt.started and attempt.state == "running":
        usage.add(state, attempt.job, attempt.needs.get("cpus", 0.0), state.wall(now) - attempt.started)
    task = state.current(attempt.id)
    if attempt.init or task is None or task.state not in (S.ASSIGNED, S.RUNNING):
        if attempt.state in ("assigned", "running"):
            attempt.state, attempt.reason = "lost", reason
            state.touch_attempt(attempt)
        return
    attempt.state, attempt.phase, attempt.reason = "lost", Phase.INFRASTRUCTURE, reason
    state.touch_attempt(attempt)
    task.losses += 1
    if task.losses > state.policy.infrastructure_budget:
        task.phase, task.reason = Phase.INFRASTRUCTURE, f"{reason} (for the {task.losses}th time)"
        task.finished = state.wall(now)
        state.move(task, C.FAILED_FOR_GOOD)
        announce(state, task)
        skip_below(state, task, now)
        close_if_done(state, task.job, now)
        return
    task.reason = reason
    state.move(task, C.WORKER_LOST)


def acknowledge(state: State, worker: Worker, name: str) -> None:
    """Tell the worker, after this turn's commit, that it may forget the attempt."""
    state.acknowledgements.setdefault(worker.id, []).append(name)


def announce(state: State, task: Task) -> None:
    """Tell listeners how the task stands."""
    if task.state in RAN:
        if state.finished and state.finished[-1][0] == state.last_turn:
            state.finished[-1] = (state.last_turn, state.finished[-1][1] + 1)
        else:
            state.finished.append((state.last_turn, 1))
    state.out.append(
        Announce(
            "task",
            {
                "job": task.job.name,
                "id": task.name,
                "state": task.state.value,
                "attempt": task.number,
                "exit_code": task.exit_code,
                "phase": task.phase,
                "reason": task.reason,
                "worker": task.worker,
            },
        )
    )


def close_if_done(state: State, job: Job, now: float) -> None:
    """Mark the job finished when nothing of it is left to do; init tasks that no worker needed count as done."""
    counts = job.counts
    left = sum(count for task_state, count in counts.items() if task_state not in FINAL_STATES)
    if left and job.inits:
        waiting = [job.tasks[index] for index in job.inits if job.tasks[index].state not in FINAL_STATES]
        if len(waiting) == left:
            for task in waiting:
                task.reason = "no worker needed it"
                state.move(task, C.FOUND_DONE)
            left = 0
    if left or job.finished is not None:
        return
    job.finished = state.wall(now)
    state.outlook.save_at = now
    state.touch_job(job)
    if job.inits:
        _end_inits(state, job)
    state.out.append(Announce("job", {"job": job.name, "state": job_state(job)}))


def _end_inits(state: State, job: Job) -> None:
    """Stop the preparation of workers that nothing of the job will use."""
    for worker in state.workers.values():
        under_way = [name for name, attempt in worker.held.items() if attempt.init and attempt.job == job.uid]
        if under_way:
            for name in under_way:
                worker.held[name].state = "cancelled"
                state.touch_attempt(worker.held[name])
            send_cancel(state, worker.id, under_way, f"job {job.name} is {job_state(job)}")


def send_cancel(state: State, worker_name: str, attempts: Iterable[str], reason: str) -> None:
    """Tell a worker to stop these attempts."""
    worker = state.workers.get(worker_name)
    if worker is not None:
        worker.sent += 1
        state.out.append(Send(worker.id, Cancel(state.epoch, worker.sent, tuple(attempts), reason)))


def job_state(job: Job) -> str:
    """staging, running, paused, succeeded, failed or cancelled: one word for people."""
    if job.state != "open":
        return str(job.state)
    if job.finished is None:
        return "paused" if job.wanted is Wanted.PAUSE else "running"
    if job.counts.get(S.FAILED) or job.counts.get(S.SKIPPED):
        return "failed"
    return "cancelled" if job.counts.get(S.CANCELLED) else "succeeded"
