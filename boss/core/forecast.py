"""The work in sight: what runs, what is ready, and what comes next in the real graph, as arrays that can be played through.

Reads the state only.

Rules:
- About ``LIMIT`` tasks are looked at one by one, however many there are: what runs, the ready ones with the longest chains below, and
  those below them of which everything that they wait for is in sight.
- Of more ready tasks than ``EACH`` of a kind, pieces stand for several, as many side by side as the smallest machine holds and one after
  the other beyond. There are enough pieces to fill all machines that there are or may be had, up to ``MOST``. What a job has beyond that
  waits behind what is in sight, as wide as it is deep.
- Tasks that no VM that may be had and no worker can hold are left out: nothing is bought for them.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import nsmallest

from boss.core import limits, usage
from boss.core.caches import TASKS
from boss.core.guess import WAYS, Guess, Times, alike
from boss.core.model import Flavor, Job, JobState, Pool, Resources, Task, TaskState, Wanted, Worker, WorkerState
from boss.core.placement import share_of
from boss.core.quotas import obtainable
from boss.core.ready import Bucket, Shape
from boss.core.rollout import Sight
from boss.core.state import State

#: Tasks that are looked at one by one, at most; and ready tasks of one kind.
LIMIT, EACH = 600, 200
#: Pieces of one kind, where so many machines may be had.
MOST = 1000
#: What is unknown matters from this part of the work on.
DOUBTED = 0.2
#: Attempts of one worker that are looked at one by one, and kinds of ready tasks.
HELD, KINDS = 32, 48


@dataclass(slots=True)
class Forecast:
    """``sight`` with what its numbers mean: ``shapes`` by kind, of which ``sides`` stand side by side; ``jobs`` by number; ``held`` nodes
    by worker; ``waiting`` the first tasks that have not been dealt.
    """

    sight: Sight = field(default_factory=lambda: Sight([[] for _ in range(WAYS)]))
    shapes: list[Shape] = field(default_factory=list)
    sides: list[int] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    held: dict[str, list[tuple[int, Shape]]] = field(default_factory=dict)
    waiting: list[Task] = field(default_factory=list)


class _Builder:
    def __init__(self, state: State, now: float, fits: Callable[[Shape], bool]) -> None:
        self.state, self.now, self.fits = state, now, fits
        self.made = Forecast()
        self.numbers: dict[tuple[str, int, Shape, int], int] = {}
        self.spans: dict[Shape, tuple[int, int]] = {}
        self.counts: dict[tuple[str, str], int] = {}
        #: Workers that are no VMs, by what they offer.
        self.hosts = Counter(
            tuple(sorted(worker.resources.items()))
            for worker in state.workers.values()
            if worker.id not in state.vms and worker.state is WorkerState.ONLINE
        )
        self.job_numbers: dict[str, int] = {}
        self.going: dict[str, bool] = {}
        self.nodes: set[tuple[str, int]] = set()
        self.real: list[tuple[Task, int]] = []
        self.bulk: dict[str, list[int]] = {}
        self.guess = Guess(state.learned)
        self.unsure: dict[str, list[int]] = {}

    def kind(self, job: Job, priority: int, shape: Shape, side: int = 1) -> int:
        """The number of a kind of task, or of a piece that stands for ``side`` of them at once."""
        key = (job.uid, priority, shape, side)
        found = self.numbers.get(key)
        if found is None:
            number = self.job_numbers.get(job.uid)
            if number is None:
                number = self.job_numbers[job.uid] = self.made.sight.jobs
                self.made.sight.jobs += 1
                self.made.jobs.append(job)
            found = self.numbers[key] = len(self.made.shapes)
            self.made.shapes.append(shape)
            self.made.sides.append(side)
            self.made.sight.kinds.append((number, priority, job.owner))
        return found

    def kind_of(self, task: Task) -> int:
        return self.kind(task.job, task.job.priority + task.template.priority, self.state.ready.shape(task))

    def goes_on(self, job: Job) -> bool:
        """Whether tasks of the job are dealt out."""
        found = self.going.get(job.uid)
        if found is None:
            spent = usage.is_spent(self.state, self.now) or usage.is_spent_by(self.state, job, self.now)
            found = self.going[job.uid] = job.state is JobState.OPEN and job.wanted is Wanted.RUN and not spent
        return found

    def span(self, shape: Shape) -> tuple[int, int]:
        """How many tasks of a shape the smallest machine holds, and about how many all that are there or may be had."""
        found = self.spans.get(shape)
        if found is None:
            least, slots = 0, 0
            for pool in self.state.policy.pools:
                sizes = [(held, flavor) for flavor in obtainable(self.state, pool) if (held := _slots(shape, flavor.resources))]
                slots += max((held * self.count(pool, flavor) for held, flavor in sizes), default=0)
                least = min([held for held, _ in sizes] + [least] * (least > 0), default=0)
            for offers, number in self.hosts.items():
                held = _slots(shape, dict(offers))
                slots += held * number
                least = min(held, least or held) if held else least
            found = self.spans[shape] = (max(1, least), max(1, slots))
        return found

    def count(self, pool: Pool, flavor: Flavor) -> int:
        """The VMs that a pool has, and those of a flavor that it may have besides."""
        key = (pool.name, flavor.name)
        if key not in self.counts:
            room = limits.room(self.state, pool, flavor, (), self.now).count
            self.counts[key] = len(limits.members(self.state, pool.name)) + room
        return self.counts[key]

    # ---- what runs

    def running(self) -> None:
        """What the workers have been given: one by one as long as that is few, else a worker's row as one."""
        told: list[tuple[Worker, Task, float, bool]] = []
        rows: list[Worker] = []
        for worker in self.state.workers.values():
            if not worker.held or worker.state is WorkerState.GONE:
                continue
            if len(worker.held) > HELD or len(told) > LIMIT:
                rows.append(worker)
                continue
            for attempt in worker.held.values():
                found = self.state.find(attempt.id)
                if found is not None:
                    began = attempt.started if attempt.state == "running" and attempt.started else None
                    spent = max(0.0, self.state.wall(self.now) - (began or attempt.assigned))
                    told.append((worker, found[0], spent, not attempt.init))
        self.guess = Guess(self.state.learned, [(task, spent) for _, task, spent, _ in told])
        for worker, task, spent, real in told:
            node = self.made.sight.add(self.guess.left(task, spent), self.kind_of(task), task.rank)
            self.made.held.setdefault(worker.id, []).append((node, self.state.ready.shape(task)))
            if real:
                self._see(task, node)
        for worker in rows:
            self._row(worker)

    def _row(self, worker: Worker) -> None:
        """Many short tasks on one worker: they take all of it, one after the other."""
        first = next((found[0] for name in worker.held if (found := self.state.find(name)) is not None), None)
        if first is None:
            return
        seconds = 0.0
        for key, (count, needs) in worker.load.items():
            mean = self.state.learned.templates.get(key)
            each = self.guess.supposed(key[0]) if mean is None else mean.seconds
            seconds += count * each * needs.get("cpus", 1.0) / (worker.resources.get("cpus", 1.0) or 1.0)
        node = self.made.sight.add(alike(seconds), self.kind_of(first), first.rank)
        self.made.held[worker.id] = [(node, tuple(sorted(worker.resources.items())))]
        self.bulk.setdefault(first.job.uid, []).append(node)

    def _see(self, task: Task, node: int) -> None:
        if self.guess.is_unsure(task):
            self.unsure.setdefault(self.state.learned.program(task), []).append(node)
        if task.attempt is None and len(self.made.waiting) < TASKS:
            self.made.waiting.append(task)
        self.nodes.add((task.job.uid, task.index))
        self.real.append((task, node))

    # ---- what is ready, or will be at a time

    def ready(self) -> None:
        """The ready tasks of jobs that are dealt out, and those that are tried again soon."""
        buckets = [bucket for bucket in self.state.ready.buckets.values() if self.goes_on(bucket.job) and self.fits(bucket.shape)]
        rest: dict[Shape, list[Bucket]] = {}
        for number, bucket in enumerate(buckets):
            if number < KINDS:
                self._bucket(bucket, self._pieces_of(bucket.shape, len(buckets)))
            else:
                rest.setdefault(bucket.shape, []).append(bucket)
        for shape, others in rest.items():
            count = sum(bucket.count for bucket in others)
            seconds = sum(bucket.count * self.guess.supposed(bucket.job.uid) for bucket in others)
            self._pieces(others[0], 0, alike(seconds), count, self._pieces_of(shape, len(buckets)))
        for due, uid, index in self.state.delayed[:EACH]:
            job = self.state.jobs.get(uid)
            task = job.tasks[index] if job is not None and index < len(job.tasks) else None
            if task is None or task.state is not TaskState.DELAYED or task.not_before != due or not self.goes_on(task.job):
                continue
            if self.fits(self.state.ready.shape(task)) and (uid, index) not in self.nodes:
                self._root(task, max(0.0, due - self.now))

    def _pieces_of(self, shape: Shape, kinds: int) -> int:
        """How many ready tasks, or pieces, of a shape are looked at, beside others of so many kinds in all."""
        least, slots = self.span(shape)
        wanted = min(MOST, 2 * slots // least)
        return max(8, min(max(EACH, wanted), max(LIMIT, wanted) // kinds))

    def _root(self, task: Task, at: float = 0.0) -> None:
        node = self.made.sight.add(self.guess.of(task), self.kind_of(task), task.rank)
        self.made.sight.roots.append((at, node))
        self._see(task, node)

    def _bucket(self, bucket: Bucket, each: int) -> None:
        job = bucket.job
        few = bucket.count <= each and len(bucket.heap) <= 4 * max(EACH, each)
        seen: set[int] = set()
        sample: list[Task] = []
        for _, index in sorted(bucket.heap) if few else nsmallest(each, bucket.heap[: 8 * each]):
            task = job.tasks[index]
            if task.state is TaskState.READY and index not in seen and self.state.ready.shape(task) == bucket.shape:
                seen.add(index)
                sample.append(task)
        if few and len(sample) == bucket.count:
            for task in sample:
                self._root(task)
            return
        self.made.waiting += sample[: max(0, TASKS - len(self.made.waiting))]
        times = [self.guess.of(task) for task in sample] or [alike(self.guess.supposed(job.uid))]
        whole = tuple(sum(way) * bucket.count / len(times) for way in zip(*times, strict=True))
        self._pieces(bucket, sample[0].rank if sample else 0, whole, bucket.count, each)

    def _pieces(self, bucket: Bucket, rank: int, whole: Times, count: int, each: int) -> None:
        """Many tasks as a few that stand for several, side by side and one after the other."""
        uid = bucket.job.uid
        least, slots = self.span(bucket.shape)
        side = min(least, -(-count // each), -(-2 * slots // each))
        kind = self.kind(bucket.job, bucket.priority, bucket.shape, side)
        pieces = min(each, -(-count // side))
        piece = tuple(seconds / (pieces * side) for seconds in whole)
        for _ in range(pieces):
            node = self.made.sight.add(piece, kind, rank)
            if min(whole) < max(whole):
                self.unsure.setdefault(uid, []).append(node)
            self.made.sight.roots.append((0.0, node))
            self.bulk.setdefault(uid, []).append(node)

    def weigh_doubt(self) -> None:
        """Keep the ways apart only if what is unknown is a good part of the work; the kind of it that is the most is what is waited for."""
        sight = self.made.sight
        totals = [sum(way) for way in sight.seconds]
        work: dict[str, float] = {}
        for name, nodes in self.unsure.items():
            work[name] = sum(way[node] for way in sight.seconds for node in nodes)
        if sum(work.values()) < DOUBTED * sum(totals):
            sight.seconds = [[sorted(times)[len(times) // 2] for times in zip(*sight.seconds, strict=True)]]
        else:
            sight.doubtful = set(self.unsure[max(work, key=lambda name: work[name])])

    # ---- what comes next

    def coming(self) -> None:
        """Down the graph, each task when all that it waits for is in sight; then what lies beyond."""
        sight = self.made.sight
        hits: dict[tuple[str, int], list[int]] = {}
        position = 0
        while position < len(self.real):
            task, node = self.real[position]
            position += 1
            uid, tasks = task.job.uid, task.job.tasks
            if not self.goes_on(task.job):
                continue
            for index in task.dependents[:LIMIT]:
                dependent = tasks[index]
                if dependent.state is not TaskState.WAITING or dependent.template.init:
                    continue
                above = hits.setdefault((uid, index), [])
                above.append(node)
                if len(above) < dependent.missing or len(sight.kind) >= LIMIT:
                    continue
                if not self.fits(self.state.ready.shape(dependent)):
                    continue
                below = sight.add(self.guess.of(dependent), self.kind_of(dependent), dependent.rank, len(above))
                for other in above:
                    sight.below[other].append(below)
                self._see(dependent, below)
        self._beyond()

    def _beyond(self) -> None:
        """What a job has that is not in sight, behind all that is."""
        sight = self.made.sight
        seen: dict[str, int] = {}
        ends = {uid: list(nodes) for uid, nodes in self.bulk.items()}
        for task, node in self.real:
            uid = task.job.uid
            seen[uid] = seen.get(uid, 0) + (task.state is TaskState.WAITING)
            if not sight.below[node]:
                ends.setdefault(uid, []).append(node)
        for uid, last in ends.items():
            job = self.state.jobs[uid]
            left = job.counts.get(TaskState.WAITING, 0) - seen.get(uid, 0) - len(job.inits)
            levels = max(sight.rank[node] for node in last)
            if left <= 0 or levels <= 0 or not self.goes_on(job):
                continue
            first = sight.kind[last[0]]
            shape, level = self.made.shapes[first], max(1, left // levels)
            side = min(self.span(shape)[0], -(-level // EACH))
            kind = self.kind(job, sight.kinds[first][1], shape, side)
            width = min(EACH, -(-level // side))
            barrier = sight.add(alike(0.0), -1, missing=len(last))
            for node in last:
                sight.below[node].append(barrier)
            for _ in range(width):
                sight.below[barrier].append(sight.add(alike(self.guess.supposed(uid) * left / (width * side)), kind, 0, 1))


def _slots(shape: Shape, resources: Resources) -> int:
    """How many tasks of a shape such a machine holds."""
    share = share_of(shape, resources)
    return round(1.0 / share) if share else 0


def look(state: State, now: float, fits: Callable[[Shape], bool]) -> Forecast:
    """All work in sight; ``fits`` says whether anything that is there or may be had can hold a task of a shape."""
    builder = _Builder(state, now, fits)
    builder.running()
    builder.ready()
    builder.coming()
    if builder.guess.sure:
        del builder.made.sight.seconds[1:]
    else:
        builder.weigh_doubt()
    return builder.made
