"""What people ask of jobs: push, extend, cancel, pause. Part of the reactor; what is run again is in ``boss.core.again``.

Rules:
- A request either happens whole and is answered with what it did, or changes nothing and is answered with one sentence.
- A staging job has rows but no edges and no ready tasks; opening it links them in one small commit.
- Old results stay until new ones are accepted: nothing here touches files.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

from boss.core import dag, inits, stale
from boss.core.effects import Announce, RejectResult, Reply
from boss.core.lifecycle import TaskCause
from boss.core.model import (
    ACTIVE_STATES,
    FINAL_STATES,
    OTHER_DEFINITION,
    UNKNOWN_FILES,
    Job,
    JobState,
    Task,
    TaskSpec,
    TaskState,
    Wanted,
)
from boss.core.outcomes import OPEN_ATTEMPTS, announce, close_if_done, job_state, send_cancel, skip_below
from boss.core.requests import (
    Answer,
    JobExtended,
    JobOpened,
    JobPaused,
    JobResumed,
    JobStaged,
    StagingDropped,
    TasksCancelled,
    TasksStaged,
)
from boss.core.state import State

C = TaskCause
S = TaskState


def answer(state: State, reply: int, code: int = 200, /, **detail: object) -> None:
    """Answer whoever asked, after the commit (nobody, when ``reply`` is 0)."""
    if reply:
        state.out.append(Reply(reply, Answer(code, detail)))


# ---- pushing -------------------------------------------------------------------------------------------------------


def on_job_staged(state: State, event: JobStaged, now: float) -> None:
    """A push was validated: take its name; the rows follow."""
    known = next((job for job in state.jobs.values() if event.submission and job.submission == event.submission), None)
    if known is not None:
        answer(state, event.reply, 200, job=known.name, uid=known.uid, repeated=True)
        return
    if event.name in state.names:
        answer(state, event.reply, 409, error=f"there is a job named {event.name!r} already")
        return
    job = Job(event.uid, event.name, event.owner, state.wall(now), priority=event.priority, submission=event.submission)
    state.jobs[job.uid] = job
    state.names[job.name] = job.uid
    state.changes.new_jobs[job.uid] = job
    answer(state, event.reply, 200, job=job.name, uid=job.uid, repeated=False)


def on_tasks_staged(state: State, event: TasksStaged, now: float) -> None:
    """One slice of a staging job's rows."""
    job = state.jobs.get(event.uid)
    if job is None or job.state is not JobState.STAGING:
        answer(state, event.reply, 404, error="this push is not known any more; push again")
        return
    job.templates += event.templates
    state.changes.new_templates += [(job.uid, template) for template in event.templates]
    for spec in event.tasks:
        _enter(state, job, spec)
    answer(state, event.reply, 200, tasks=len(job.tasks))


def _enter(state: State, job: Job, spec: TaskSpec) -> Task:
    """A new task of a job, not linked yet. What depends on nothing is ready from the start, so that opening the job writes no rows."""
    assert spec.index == len(job.tasks), f"{job.name}: task {spec.index} came after {len(job.tasks)} others"
    template = job.templates[spec.template]
    task = Task(job, spec.index, spec.name, template, spec.row, array("I", spec.dependencies), rank=spec.rank)
    if spec.done:
        task.state, task.reason, task.result = S.SUCCEEDED, "its results existed already", stale.FOREIGN_RESULT
    elif not spec.dependencies and not template.init:
        task.state = S.READY  # not in the index of ready tasks before the job is open
    if template.init:
        job.inits.append(spec.index)
    job.tasks.append(task)
    job.counts[task.state] = job.counts.get(task.state, 0) + 1
    state.changes.new_tasks[job.uid, task.index] = task
    return task


def on_job_opened(state: State, event: JobOpened, now: float) -> None:
    """All rows are in and all files uploaded: link the graph and let it run."""
    job = state.jobs.get(event.uid)
    if job is None:
        answer(state, event.reply, 404, error="this push is not known any more; push again")
        return
    if job.state is JobState.STAGING:
        job.files = dict(event.files)
        job.state = JobState.OPEN
        job.since = job.created
        state.touch_job(job)
        dag.link(job, job.tasks)
        _admit(state, job.tasks)
        close_if_done(state, job, now)
        state.out.append(Announce("job", {"job": job.name, "state": job_state(job), "tasks": len(job.tasks)}))
    answer(state, event.reply, 200, job=job.name)


def _admit(state: State, tasks: Iterable[Task]) -> None:
    """Let new tasks be dealt out that are ready, or that depend on nothing but finished ones; init tasks wait for the workers."""
    for task in tasks:
        if task.state is S.READY:
            state.ready.add(task)
        else:
            _release(state, task)


def _release(state: State, task: Task) -> None:
    if task.state is S.WAITING and not task.missing and not task.template.init:
        state.move(task, C.DEPENDENCIES_DONE)


def _find_done(state: State, task: Task) -> None:
    """A task that was opened again turns out to have its results already."""
    task.attempt, task.reason = None, "its results existed already"
    task.input_set, task.result = UNKNOWN_FILES, task.result or stale.FOREIGN_RESULT
    state.move(task, C.FOUND_DONE)
    for dependent in dag.freed_by(task):
        state.move(dependent, C.DEPENDENCIES_DONE)


def on_staging_dropped(state: State, event: StagingDropped, now: float) -> None:
    """The push was given up: forget its rows."""
    job = state.jobs.get(event.uid)
    if job is not None and job.state is JobState.STAGING:
        forget(state, job)
    answer(state, event.reply)


def forget(state: State, job: Job) -> None:
    """Remove a job and all its rows (only a staging one: results of others may exist)."""
    del state.jobs[job.uid]
    del state.names[job.name]
    state.changes.dropped_jobs.add(job.uid)


def on_job_extended(state: State, event: JobExtended, now: float) -> None:
    """New tasks for a job that exists, and new definitions for tasks that it has."""
    job = state.jobs.get(event.uid)
    if job is None or job.state is not JobState.OPEN:
        answer(state, event.reply, 404, error="there is no such job any more")
        return
    if event.submission and event.submission == job.submission:
        answer(state, event.reply, 200, job=job.name)
        return
    outdated = event.templates and event.templates[0].number != len(job.templates)
    if len(job.tasks) != event.expected or outdated:
        answer(state, event.reply, 409, error=f"job {job.name} was changed by another push meanwhile; push again")
        return
    replaced = [job.tasks[spec.index] for spec in event.tasks if spec.index < event.expected]
    busy = next((task for task in replaced if task.state in ACTIVE_STATES), None)
    if busy is not None:
        answer(state, event.reply, 409, error=f"task {busy.name} of job {job.name} is {busy.state}; cancel it or wait, then push")
        return
    found = dag.active_below(replaced)
    if found is not None:
        error = f"task {found[1].name} of job {job.name} is {found[1].state} and uses what would be replaced; cancel it or wait"
        answer(state, event.reply, 409, error=error)
        return
    mended = any(task.template.init for task in replaced)
    job.templates += event.templates
    state.changes.new_templates += [(job.uid, template) for template in event.templates]
    job.files.update(event.files)
    job.submission = event.submission or job.submission
    job.finished, job.since = None, state.wall(now)
    state.touch_job(job)
    fresh = [_enter(state, job, spec) for spec in event.tasks if spec.index >= event.expected]
    dag.link(job, fresh)
    _redefine(state, job, [spec for spec in event.tasks if spec.index < event.expected])
    done = {spec.index for spec in event.tasks if spec.done}
    again = [task for task in replaced if task.state in FINAL_STATES]
    reopen(state, [task for task in again if task.index not in done or task.state is not S.SUCCEEDED], now)
    _admit(state, fresh)
    for task in replaced:
        if task.index in done and task.state is not S.SUCCEEDED:
            _find_done(state, task)
        elif task.index in done:
            task.input_set = OTHER_DEFINITION
        else:
            _release(state, task)
    for task in fresh + replaced:
        if task.state is S.WAITING and (bad := dag.bad_dependency(task)) is not None:
            skip_below(state, bad, now)
    resumed = mended and inits.mended(state, job)
    paused = job.wanted is Wanted.PAUSE
    close_if_done(state, job, now)
    if resumed:
        state.out.append(Announce("job", {"job": job.name, "state": job_state(job)}))
    answer(state, event.reply, 200, job=job.name, resumed=resumed, paused=paused, reason=job.reason if paused else "")


def _redefine(state: State, job: Job, specs: Iterable[TaskSpec]) -> None:
    """Give tasks that do not run another template and other dependencies."""
    moved: dict[int, Sequence[int]] = {}  # those whose dependencies are others than before
    for spec in specs:
        task = job.tasks[spec.index]
        if task.state in (S.READY, S.DELAYED):
            state.move(task, C.DEPENDENCY_REOPENED)
        _supersede(state, task)
        was_init = task.template.init
        task.template = job.templates[spec.template]
        task.row, task.rank = spec.row, spec.rank
        if was_init or task.template.init:
            job.inits = [other.index for other in job.tasks if other.template.init]
            _unprepare(state, task)
        if tuple(task.dependencies) != tuple(spec.dependencies):
            moved[task.index] = spec.dependencies
        state.changes.redefined_tasks[job.uid, task.index] = task
        state.touch(task)
    tasks = [job.tasks[index] for index in moved]
    dag.unlink(job, tasks)
    for task in tasks:
        task.dependencies = array("I", moved[task.index])
    dag.link(job, tasks)


def _supersede(state: State, task: Task) -> None:
    """What an attempt of the old definition yields is not believed any more, even if its lost worker comes back."""
    attempt = task.attempt
    task.attempt = None
    if attempt is not None and attempt.state in OPEN_ATTEMPTS:
        attempt.state, attempt.reason = "cancelled", "the task was replaced"
        state.touch_attempt(attempt)
        if task.template.outputs:
            state.out.append(RejectResult(attempt.id))


# ---- changing ------------------------------------------------------------------------------------------------------


def choose(
    state: State, job_name: str, pattern: str, reply: int, fitting: Callable[[Task], bool], wanted: str, at: int = -1
) -> tuple[Job, list[Task]] | None:
    """The job and those of its tasks that a pattern names and that fit; None when it was answered with an error.

    ``at`` is where the only task is that the pattern names, which saves the search in a large job.
    """
    job = state.job_named(job_name)
    if job is None:
        answer(state, reply, 404, error=f"there is no job named {job_name!r}")
        return None

    def is_named(task: Task) -> bool:
        return pattern in ("*", task.name) or fnmatchcase(task.name, pattern)

    only = job.tasks[at : at + 1] if at >= 0 else []
    named = [task for task in only if is_named(task)] or [task for task in job.tasks if is_named(task)]
    if not named:
        answer(state, reply, 404, error=f"job {job_name} has no task {pattern!r}")
        return None
    chosen = [task for task in named if fitting(task)]
    if not chosen and pattern != "*":
        states = sorted({str(task.state) for task in named})
        answer(state, reply, 409, error=f"{job_name}:{pattern} is {', '.join(states)}; {wanted}")
        return None
    return job, chosen


def on_cancelled(state: State, event: TasksCancelled, now: float) -> None:
    """End these tasks; what is being accepted already succeeds."""
    wanted = "only tasks that are not finished can be cancelled"
    cancellable = FINAL_STATES | {S.PROMOTING}
    choice = choose(state, event.job, event.pattern, event.reply, lambda task: task.state not in cancellable, wanted, event.at)
    if choice is None:
        return
    job, chosen = choice
    kills: dict[str, list[str]] = {}
    for task in chosen:
        if task.state in FINAL_STATES:  # skipped by the cancelling of another one
            continue
        attempt = task.attempt
        if attempt is not None and task.state in ACTIVE_STATES:
            attempt.state, attempt.reason = "cancelled", "cancelled"
            state.touch_attempt(attempt)
            kills.setdefault(attempt.worker, []).append(attempt.id)
        task.reason, task.finished = "cancelled", state.wall(now)
        state.move(task, C.CANCELLED)
        announce(state, task)
    for task in chosen:
        if task.state is S.CANCELLED:
            skip_below(state, task, now)
    for worker, attempts in kills.items():
        send_cancel(state, worker, attempts, "cancelled")
    close_if_done(state, job, now)
    answer(state, event.reply, 200, job=job.name, cancelled=len(chosen), accepting=job.counts.get(S.PROMOTING, 0))


def on_paused(state: State, event: JobPaused, now: float) -> None:
    """Deal out nothing new of this job."""
    _want(state, event.job, Wanted.PAUSE, event.reply)


def on_resumed(state: State, event: JobResumed, now: float) -> None:
    """Deal out this job's tasks again; workers that were barred from it get another chance."""
    job = state.job_named(event.job)
    if job is not None:
        inits.forgive(state, job)
    _want(state, event.job, Wanted.RUN, event.reply)


def _want(state: State, name: str, wanted: Wanted, reply: int) -> None:
    job = state.job_named(name)
    if job is None:
        answer(state, reply, 404, error=f"there is no job named {name!r}")
        return
    if job.finished is not None:
        answer(state, reply, 409, error=f"job {name} is {job_state(job)}: nothing of it is left to run")
        return
    job.wanted, job.reason = wanted, ""
    state.touch_job(job)
    state.out.append(Announce("job", {"job": job.name, "state": job_state(job)}))
    answer(state, reply, 200, job=job.name, state=job_state(job))


def reopen(state: State, tasks: list[Task], now: float) -> None:
    """Open finished tasks again as new attempts, and what was skipped because of them."""
    if not tasks:
        return
    job = tasks[0].job
    if job.finished is not None:
        job.finished, job.since = None, state.wall(now)
    state.touch_job(job)
    for task in tasks:
        was = task.state
        _open(state, task)
        if was is S.SUCCEEDED:
            for dependent in dag.held_up_by(task):
                state.move(dependent, C.DEPENDENCY_REOPENED)
    for task in tasks:
        for skipped in dag.skipped_below(task):
            _open(state, skipped)
    for task in tasks:
        bad = dag.bad_dependency(task)
        if bad is not None and task.state is S.WAITING:
            skip_below(state, bad, now)
    close_if_done(state, job, now)


def _unprepare(state: State, task: Task) -> None:
    """What this init task has done on the workers counts no more."""
    for worker in state.workers.values():
        if task.index in worker.prepared.get(task.job.uid, ()):
            worker.prepared[task.job.uid].discard(task.index)
            state.touch_worker(worker)


def _open(state: State, task: Task) -> None:
    task.failures = task.losses = 0
    task.reason = task.phase = ""
    task.exit_code = task.started = task.finished = None
    stale.clear(state, task)
    if task.template.init:
        _unprepare(state, task)
    if task.missing or task.template.init:
        state.move(task, C.REOPENED_WAITING)
    else:
        state.move(task, C.REOPENED)
    announce(state, task)
