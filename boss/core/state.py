"""The whole picture in memory, and the invariants that it keeps. The reactor is its only writer.

Rules:
- ``move`` is the one door through which a task changes state: it keeps counts, ready index, delays and changes in step.
- ``hold`` and ``release`` are the one door to what a worker has been given.
- Whoever changes a worker or a claim says so (``touch_worker``, ``touch_vm``, or ``roster.changed`` where nothing is stored); who comes
  and who goes is noted by itself.
- Times are of the loop clock; ``wall(now)`` is what people are shown.
- ``check()`` states the invariants; it runs after every core test, and in production under a setting.
"""

from collections import deque
from dataclasses import dataclass, field
from heapq import heappush

from boss.core import credible
from boss.core.changes import Changes
from boss.core.effects import Effect
from boss.core.events import Limit, MessagesDropped
from boss.core.learned import Learned
from boss.core.lifecycle import TaskCause, advance
from boss.core.model import (
    ACTIVE_STATES,
    FINAL_STATES,
    Attempt,
    Job,
    JobState,
    Policy,
    Pool,
    Refusal,
    Resources,
    Task,
    TaskState,
    Vm,
    VmState,
    Worker,
    WorkerState,
)
from boss.core.outlook import Outlook
from boss.core.placement import Turns, needs_on
from boss.core.ready import ReadyTasks, Shape
from boss.core.roster import Roster
from boss.core.tokens import Token
from boss.core.view import Shown

#: States of a claim that count as capacity, now or soon.
LIVE_VMS = frozenset({VmState.CLAIMED, VmState.CREATING, VmState.BOOTING, VmState.JOINED, VmState.DRAINING})


@dataclass(slots=True)
class PoolHealth:
    """What failures have taught about a pool: no create call before ``resume_at``; ``bursts`` of failures in a row."""

    bursts: int = 0
    resume_at: float = 0.0
    reason: str = ""
    kind: Refusal = Refusal.UNKNOWN


@dataclass(slots=True)
class Ended:
    """Why a VM is given up, and the ``attempts`` of it that the datastore is asked for first."""

    reason: str
    attempts: set[str]


@dataclass(slots=True)
class State:
    """All that the boss knows. ``started`` is when it was loaded, ``settled_at`` the time before which silence means nothing (after a load
    or a reconnect).
    """

    policy: Policy
    epoch: int = 1
    started: float = 0.0
    lag: float = 0.0
    settled_at: float = 0.0
    connected: bool = False
    datastore_up: bool = True
    datastore_reason: str = ""
    datastore_full: bool = False
    datastore_place: str = ""
    stopping: bool = False
    stop_deadline: float = 0.0
    context: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    roster: Roster = field(default_factory=Roster)  #: ``workers``, ``vms`` and ``trials`` by what each turn asks about them
    workers: dict[str, Worker] = field(init=False)
    vms: dict[str, Vm] = field(init=False)
    tokens: dict[str, Token] = field(default_factory=dict)
    ready: ReadyTasks = field(default_factory=ReadyTasks)
    delayed: list[tuple[float, str, int]] = field(default_factory=list)
    turns: Turns = field(default_factory=Turns)
    pace: dict[tuple[str, int], float] = field(default_factory=dict)
    health: dict[tuple[str, str], PoolHealth] = field(default_factory=dict)  #: by pool and flavor; "" is the whole pool
    limits: dict[str, dict[str, Limit]] = field(default_factory=dict)  #: of each provider's project
    unanswered: dict[str, float] = field(default_factory=dict)  #: since when a provider owes us the answer to a list
    statuses: dict[str, str] = field(default_factory=dict)  #: the cloud's word for how a VM's server stands
    doubts: dict[str, str] = field(default_factory=dict)  #: by what a VM is held up in the state that it is in, as the cloud says
    cloud_trouble: dict[str, str] = field(default_factory=dict)  #: why a provider could not be asked at last
    sizes: dict[tuple[str, str], Resources] = field(default_factory=dict)  #: what the cloud says of a pool's flavor
    absent: dict[tuple[str, str], str] = field(
        default_factory=dict
    )  #: flavors that the cloud did not have at last, and its words
    offered: dict[tuple[str, str], Resources] = field(default_factory=dict)  #: what the last worker on one offered
    fenced: str = ""  #: why nothing is created or deleted: a later life of this cluster's boss has worked there
    unsure: set[str] = field(default_factory=set)  #: claims of an earlier life whose create call was perhaps never made
    last_words: dict[str, str] = field(
        default_factory=dict
    )  #: VMs whose console is being read before they are deleted, and why they are
    ended: dict[str, Ended] = field(default_factory=dict)  #: VMs that ended by themselves, until it is known what they left
    used: dict[str, float] = field(default_factory=dict)  #: vCPU seconds of jobs' tasks that have ended, by uid
    learned: Learned = field(default_factory=Learned)
    outlook: Outlook = field(default_factory=Outlook)
    consoles: dict[str, str] = field(default_factory=dict)  #: the end of what servers wrote that did not become workers
    blocked: dict[Shape, float] = field(default_factory=dict)
    strays: dict[tuple[str, str], float] = field(default_factory=dict)
    listed: dict[str, float] = field(default_factory=dict)
    trials: dict[str, Vm] = field(init=False)  #: claims that are only to be tried, until they are gone
    trial_look: float = 0.0
    acknowledgements: dict[str, list[str]] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)
    out: list[Effect] = field(default_factory=list)
    ended_inits: set[str] = field(default_factory=set)  #: init attempts of unfinished jobs whose result was counted
    dropped: dict[str, MessagesDropped] = field(default_factory=dict)  #: the newest word about each worker, by its id
    stale: int = 0
    unverified: tuple[int, str] = (0, "")  #: how often workers have refused what was not signed so, and the last time in words
    finished: deque[tuple[float, int]] = field(default_factory=deque)
    next_sweep: float = 0.0
    last_turn: float = 0.0
    shown: Shown = field(default_factory=Shown)  #: painted again only where something has changed

    def __post_init__(self) -> None:
        self.workers, self.vms, self.trials = self.roster.workers, self.roster.vms, self.roster.trials

    given: Policy | None = None  #: the policy as the settings have it, where that was changed since (``boss.core.pools``)

    # ---- looking ---------------------------------------------------------------------------------------------------

    def wall(self, now: float) -> float:
        """The time of day (Unix seconds) at loop time ``now``."""
        return now + self.lag

    def pool(self, name: str) -> Pool | None:
        """The pool of this name, or the first one when the name is empty."""
        if not name:
            return self.policy.pools[0] if self.policy.pools else None
        return next((pool for pool in self.policy.pools if pool.name == name), None)

    def job_named(self, name: str) -> Job | None:
        """The job of this name that is not staging."""
        job = self.jobs.get(self.names.get(name, ""))
        return job if job is not None and job.state is JobState.OPEN else None

    def find(self, attempt: str) -> tuple[Task, int] | None:
        """The task and the number of an attempt's id; None when the job is unknown (or its tasks are only in the store)."""
        uid, _, rest = attempt.partition(".")
        job = self.jobs.get(uid)
        if job is None or not credible.attempt_name(attempt):
            return None
        index, _, number = rest.partition(".")
        if int(index) >= len(job.tasks):
            return None
        return job.tasks[int(index)], int(number)

    def is_held(self, attempt: str) -> bool:
        """Whether any worker has been given this attempt and has not finished it."""
        return any(attempt in worker.held for worker in self.workers.values())

    def current(self, attempt: str) -> Task | None:
        """The task whose current attempt this is."""
        found = self.find(attempt)
        if found is None or found[0].attempt is None or found[0].attempt.number != found[1]:
            return None
        return found[0]

    def is_anothers(self, worker: Worker, attempt: str) -> bool:
        """Whether this is the current attempt of another worker: this one has no say in what becomes of it."""
        task = self.current(attempt)
        return task is not None and task.attempt is not None and task.attempt.worker != worker.id

    # ---- changing --------------------------------------------------------------------------------------------------

    def move(self, task: Task, cause: TaskCause) -> None:
        """Change a task's state; raises IllegalTransition and changes nothing when the table does not allow it."""
        old = task.state
        new = advance(task, cause)
        if old is TaskState.READY:
            self.ready.discard(task)
        if new is TaskState.READY:
            self.ready.add(task)
        elif new is TaskState.DELAYED:
            heappush(self.delayed, (task.not_before, task.job.uid, task.index))
        self.touch(task)

    def touch(self, task: Task) -> None:
        """The task's row must be written."""
        key = (task.job.uid, task.index)
        if key not in self.changes.new_tasks:
            self.changes.tasks[key] = task

    def touch_attempt(self, attempt: Attempt) -> None:
        """The attempt's row must be written."""
        self.roster.changed(attempt.worker)
        if attempt.id not in self.changes.new_attempts:
            self.changes.attempts[attempt.id] = attempt

    def touch_job(self, job: Job) -> None:
        """The job's row must be written."""
        if job.uid not in self.changes.new_jobs:
            self.changes.jobs[job.uid] = job

    def touch_worker(self, worker: Worker) -> None:
        """The worker's row must be written."""
        self.roster.changed(worker.id)
        if worker.id not in self.changes.new_workers:
            self.changes.workers[worker.id] = worker

    def touch_vm(self, vm: Vm) -> None:
        """The claim's row must be written."""
        self.roster.changed(vm.id)
        if vm.id not in self.changes.new_vms:
            self.changes.vms[vm.id] = vm

    def set_context(self, name: str, value: str | None) -> None:
        """Remember (or, with None, forget) a fact that survives restarts."""
        self.changes.context[name] = value
        if value is None:
            self.context.pop(name, None)
        else:
            self.context[name] = value

    def hold(self, worker: Worker, attempt: Attempt, task: Task) -> None:
        """The worker has been given (or turned out to have) this attempt."""
        self.roster.changed(worker.id)
        attempt.needs = needs_on(self.ready.shape(task), worker.resources)
        worker.held[attempt.id] = attempt
        attempt.template = task.template.number
        kind = (attempt.job, attempt.template)
        worker.load[kind] = (worker.load.get(kind, (0, attempt.needs))[0] + 1, attempt.needs)
        for name, count in attempt.needs.items():
            worker.used[name] = worker.used.get(name, 0.0) + count

    def release(self, worker: Worker, attempt: str, now: float) -> None:
        """The worker has finished it, given it back, or will never finish it."""
        gone = worker.held.pop(attempt, None)
        if gone is None:
            return
        self.roster.changed(worker.id)
        worker.done += 1
        for name, count in gone.needs.items():
            worker.used[name] -= count
        kind = (gone.job, gone.template)
        left = worker.load[kind][0] - 1
        if left:
            worker.load[kind] = (left, gone.needs)
        else:
            del worker.load[kind]
        if not worker.held:
            worker.used.clear()  # no drift of fractional sums
            worker.idle_since = now

    def forget(self, job: Job) -> None:
        """Drop what is remembered beside a finished job's tasks: they leave the memory."""
        self.ready.forget(job.uid)
        self.learned.forget(job.uid)
        self.turns.jobs.pop(job.uid, None)
        for key in [(job.uid, number) for uid, number in self.pace if uid == job.uid]:
            del self.pace[key]
        self.ended_inits -= {name for name in self.ended_inits if name.startswith(f"{job.uid}.")}

    def take_changes(self) -> Changes:
        """What this turn has to make durable; a new turn begins."""
        taken, self.changes = self.changes, Changes()
        return taken

    # ---- invariants ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise AssertionError with a sentence for each invariant that does not hold."""
        wrong: list[str] = []
        ready: dict[str, int] = {}
        for job in self.jobs.values():
            wrong += check_job(job)
            for task in job.tasks:
                if task.state is TaskState.READY and job.state is JobState.OPEN:
                    ready[job.uid] = ready.get(job.uid, 0) + 1
                if task.state in (TaskState.ASSIGNED, TaskState.RUNNING) and not task.template.init:
                    worker = self.workers.get(task.attempt.worker) if task.attempt else None
                    if worker is None or task.attempt is None or task.attempt.id not in worker.held:
                        wrong.append(f"{job.name}:{task.name} is {task.state}, but no worker holds its attempt")
        indexed: dict[str, int] = {}
        for bucket in self.ready.buckets.values():
            indexed[bucket.job.uid] = indexed.get(bucket.job.uid, 0) + bucket.count
        if indexed != ready:
            wrong.append(f"the ready index has {indexed}, the tasks say {ready}")
        wrong += self.roster.wrong()
        for worker in self.workers.values():
            if worker.state is WorkerState.GONE and worker.held:
                wrong.append(f"worker {worker.id} is gone and holds {len(worker.held)} attempts")
            if sum(count for count, _ in worker.load.values()) != len(worker.held):
                wrong.append(f"worker {worker.id} holds {len(worker.held)} attempts, its load says {worker.load}")
            for name in set(worker.used) | {name for held in worker.held.values() for name in held.needs}:
                total = sum(held.needs.get(name, 0.0) for held in worker.held.values())
                if abs(worker.used.get(name, 0.0) - total) > 1e-6 * max(1.0, total):
                    wrong.append(f"worker {worker.id} uses {worker.used.get(name)} {name}, its attempts need {total}")
        assert not wrong, "; ".join(wrong)


def check_job(job: Job) -> list[str]:
    """What is wrong within one job, as sentences."""
    wrong: list[str] = []
    counts: dict[TaskState, int] = {}
    for task in job.tasks:
        counts[task.state] = counts.get(task.state, 0) + 1
        if task.attempt is not None and task.attempt.number != task.number:
            wrong.append(f"{job.name}:{task.name} is at attempt {task.number} but holds {task.attempt.number}")
        if task.state in ACTIVE_STATES and task.attempt is None and not task.template.init:
            wrong.append(f"{job.name}:{task.name} is {task.state} without an attempt")
        if task.state is TaskState.SUCCEEDED and task.attempt is not None and task.attempt.state not in ("succeeded", ""):
            wrong.append(f"{job.name}:{task.name} succeeded by an attempt that is {task.attempt.state}")
        if job.state is JobState.OPEN:
            missing = sum(1 for index in task.dependencies if job.tasks[index].state is not TaskState.SUCCEEDED)
            if missing != task.missing:
                wrong.append(f"{job.name}:{task.name} counts {task.missing} missing dependencies, there are {missing}")
            if not missing and task.state is TaskState.WAITING and not task.template.init:
                wrong.append(f"{job.name}:{task.name} waits for nothing")
        if task.stale and (task.state is not TaskState.SUCCEEDED or abs(task.stale) > len(job.tasks)):
            wrong.append(f"{job.name}:{task.name} is {task.state} and stale by task {abs(task.stale) - 1}")
    if job.loaded:
        stale = sum(1 for task in job.tasks if task.stale)
        if stale != job.stale:
            wrong.append(f"{job.name} counts {job.stale} stale tasks, there are {stale}")
        recorded = {state: count for state, count in job.counts.items() if count}
        if recorded != counts:
            wrong.append(f"{job.name} counts {recorded}, its tasks say {counts}")
    done = all(state in FINAL_STATES for state in counts) and job.state is JobState.OPEN
    if job.loaded and done != (job.finished is not None) and job.tasks:
        wrong.append(f"{job.name}: finished is {job.finished}, but its tasks are {counts}")
    return wrong
