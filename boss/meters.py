"""What is counted of a running boss, for whoever measures it: plain numbers that the loop's thread adds to, and any thread reads.

Rules:
- Everything is derived after a commit, from what it made durable, or from the state as it stands: the core knows nothing of it.
- A turn costs a few additions, an attempt that ended a few more; what needs a look at all workers is taken with the loop's pictures.
- Counters begin at 0 with each life of the boss; nothing is counted by job, task, attempt, worker or person.
- A reader may see a histogram between two additions of one observation; each number by itself is right.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from boss.core import health
from boss.core.changes import Changes
from boss.core.model import Attempt, Job, JobState, Vm, VmState, Wanted, WorkerState
from boss.core.outcomes import job_state
from boss.core.state import State

#: Upper bounds of what is put together, in seconds: of waits and runs, of what follows a result, of the loop's own work, of boots.
TASKS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
COMMITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
TURNS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
BOOTS = (1.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1200.0)
_OVER = (VmState.GONE, VmState.FAILED)


class Histogram:
    """Observations by size: ``counts[i]`` are those up to ``bounds[i]``, the last one all that are larger; ``total`` is their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def see(self, value: float) -> None:
        """Add one observation; what clocks that differ make negative counts as 0."""
        value = max(0.0, value)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(frozen=True, slots=True)
class Standing:
    """How the fleet stands, as of a picture of the loop. Workers and VMs by ``(pool, state)``, cpus by pool.

    ``wanted`` are the cpus of all that may run now: dealt out, or ready in a job that is not paused. ``paused`` says of pools that are
    paused for failures (and tried again at growing intervals) why; ``strays`` counts servers that no claim knows, by provider.
    """

    workers: Mapping[tuple[str, str], int] = field(default_factory=dict)
    vms: Mapping[tuple[str, str], int] = field(default_factory=dict)
    had: Mapping[str, float] = field(default_factory=dict)
    used: Mapping[str, float] = field(default_factory=dict)
    wanted: float = 0.0
    limits: Mapping[str, int] = field(default_factory=dict)
    paused: Mapping[str, str] = field(default_factory=dict)
    strays: Mapping[str, int] = field(default_factory=dict)
    connected: bool = False
    datastore_up: bool = True
    datastore_full: bool = False


class Meters:
    """All of it. Only the loop's thread calls the methods."""

    def __init__(self) -> None:
        self.waits, self.runs, self.commits = Histogram(TASKS), Histogram(TASKS), Histogram(COMMITS)
        self.turns, self.stores = Histogram(TURNS), Histogram(TURNS)
        self.boots: dict[str, Histogram] = {}
        self.ended: Counter[str] = Counter()  #: attempts, by outcome
        self.jobs: Counter[str] = Counter()  #: jobs that have finished, by state
        self.failed_vms: Counter[str] = Counter()  #: by pool
        self.events = self.dealt = self.recoveries = self.faults = self.stale = self.dropped = 0
        self.accepted_files = self.accepted_bytes = 0
        self.standing = Standing()
        self._dropped: dict[str, int] = {}
        self._finished: dict[str, float] = {}  # when jobs finished that were counted, by uid

    def loaded(self, state: State) -> None:
        """A state was loaded: jobs that have finished in it were counted, or are not this life's."""
        self._finished = {job.uid: job.finished for job in state.jobs.values() if job.finished is not None}

    def turned(self, events: int, seconds: float) -> None:
        """A turn is over, the wait for its events not counted."""
        self.events += events
        self.turns.see(seconds)

    def committed(self, state: State, changes: Changes, now: float, seconds: float) -> None:
        """This was made durable just now, which took so long."""
        self.stores.see(seconds)
        self.dealt += len(changes.new_attempts)
        if changes.attempts:
            wall = state.wall(now) + seconds
            for attempt in changes.attempts.values():
                if attempt.state != "running" and attempt.state != "promoting":
                    self._attempt(state, attempt, wall)
        for job in (*changes.jobs.values(), *changes.new_jobs.values()):
            self._job(job)
        for vm in changes.vms.values():
            if vm.since == now:
                self._vm(state, vm, now)

    def look(self, state: State, now: float) -> None:
        """Take how the fleet stands."""
        workers: Counter[tuple[str, str]] = Counter()
        had: dict[str, float] = {}
        used: dict[str, float] = {}
        held = 0.0
        for worker in state.workers.values():
            if worker.state is WorkerState.GONE:
                continue
            workers[worker.pool, worker.state.value] += 1
            cpus = worker.used.get("cpus", 0.0)
            held += cpus
            if worker.state is WorkerState.ONLINE:
                had[worker.pool] = had.get(worker.pool, 0.0) + worker.resources.get("cpus", 0.0)
                used[worker.pool] = used.get(worker.pool, 0.0) + cpus
        ready = sum(
            bucket.count * dict(bucket.shape).get("cpus", 0.0)
            for bucket in state.ready.buckets.values()
            if bucket.job.wanted is Wanted.RUN and bucket.job.state is JobState.OPEN
        )
        self.stale = state.stale
        self._count_dropped(state)
        self.standing = Standing(
            workers=workers,
            vms=Counter((vm.pool, vm.state.value) for vm in state.vms.values() if vm.state not in _OVER),
            had=had,
            used=used,
            wanted=held + ready,
            limits={pool.name: pool.maximum for pool in state.policy.pools if pool.flavors},
            paused={pool: rest.reason for (pool, _flavor), rest in state.health.items() if rest.bursts >= health.PAUSED_AFTER},
            strays=Counter(provider for provider, _server in state.strays),
            connected=state.connected,
            datastore_up=state.datastore_up,
            datastore_full=state.datastore_full,
        )

    def _attempt(self, state: State, attempt: Attempt, wall: float) -> None:
        if attempt.finished is None:
            if attempt.state in ("lost", "cancelled", "recalled"):
                self.ended[attempt.state] += 1
            return
        if attempt.state != "succeeded" and attempt.state != "failed":
            return  # what was cancelled was counted then; this is its worker's word about it
        self.ended[attempt.state] += 1
        self.commits.see(wall - attempt.finished)
        if attempt.files and attempt.state == "succeeded":
            self.accepted_files += len(attempt.files)
            self.accepted_bytes += sum(size for _, size, _ in attempt.files)
        if not attempt.started:
            return
        self.runs.see(attempt.finished - attempt.started)
        if attempt.number == 1 and not attempt.init:  # a retry waits for its time, a redone task for a person
            self.waits.see(attempt.started - _ready_at(state.jobs.get(attempt.job), attempt))

    def _job(self, job: Job) -> None:
        if job.finished is None:
            self._finished.pop(job.uid, None)
        elif self._finished.get(job.uid) != job.finished:
            self._finished[job.uid] = job.finished
            self.jobs[job_state(job)] += 1

    def _vm(self, state: State, vm: Vm, now: float) -> None:
        if vm.state is VmState.JOINED:
            self.boots.setdefault(vm.pool, Histogram(BOOTS)).see(state.wall(now) - vm.created)
        elif vm.state is VmState.FAILED:
            self.failed_vms[vm.pool] += 1

    def _count_dropped(self, state: State) -> None:
        for worker, event in state.dropped.items():
            self.dropped += max(0, event.count - self._dropped.get(worker, 0))
        self._dropped = {worker: event.count for worker, event in state.dropped.items()}


def _ready_at(job: Job | None, attempt: Attempt) -> float:
    """When a task could run at last: its job was there, and the last of what it waits for had ended. Unix seconds."""
    if job is None or attempt.index >= len(job.tasks):
        return attempt.assigned
    tasks, ready = job.tasks, job.since or job.created
    for index in tasks[attempt.index].dependencies:
        ended = tasks[index].finished
        if ended is not None and ended > ready:
            ready = ended
    return ready
