"""The tasks that may run, kept so that placement works on counts and never walks a queue.

Rules:
- Tasks of one job with equal needs and priority are interchangeable for placement: one ``Bucket``. Within a bucket the longest chain
  below goes first, then the lower index.
- Entries are dropped lazily: a popped task that is not READY any more (adopted, cancelled), or is of another kind since a merge
  replaced it, is passed over.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from boss.core.model import Job, Task, TaskState, Template
from boss.core.trust import mark_of

#: Needs in a form that can be compared and hashed.
Shape = tuple[tuple[str, float], ...]
BucketKey = tuple[str, int, Shape]


def shape_of(template: Template) -> Shape:
    """What a task of this template needs, sorted by name; what is asked for as 0 does not count. Of a signed one the mark is the last."""
    needs = tuple(sorted((name, count) for name, count in template.needs.items() if count))
    return needs if template.signed is None else (*needs, (mark_of(template.signed), 0.0))


@dataclass(slots=True, eq=False)
class Bucket:
    """Ready tasks of one job with equal needs and priority. ``count`` is exact, ``heap`` may hold stale entries besides."""

    job: Job
    priority: int
    shape: Shape
    count: int = 0
    heap: list[tuple[int, int]] = field(default_factory=list)

    def pop(self, avoid: str = "") -> Task | None:
        """The next task, removed; one whose last attempt failed on worker ``avoid`` only if nothing else is there."""
        kept: tuple[int, int] | None = None
        found: Task | None = None
        while self.heap:
            entry = heappop(self.heap)
            task = self.job.tasks[entry[1]]
            if task.state is not TaskState.READY or not self._holds(task):
                continue
            if avoid and kept is None and task.worker == avoid and (task.failures or task.losses):
                kept = entry
                continue
            found = task
            break
        if kept is not None:
            if found is None:
                return self.job.tasks[kept[1]]
            heappush(self.heap, kept)
        return found

    def _holds(self, task: Task) -> bool:
        """Whether it is still of this kind: a merge may have replaced it by one that needs more."""
        template = task.template
        return self.priority == self.job.priority + template.priority and self.shape == shape_of(template)


@dataclass(slots=True)
class ReadyTasks:
    """All ready tasks of all jobs. ``add`` and ``discard`` follow the task's state; they are called by the reactor's one door."""

    buckets: dict[BucketKey, Bucket] = field(default_factory=dict)
    shapes: dict[tuple[str, int], Shape] = field(default_factory=dict)

    def shape(self, task: Task) -> Shape:
        """The task's needs, computed once per template."""
        key = (task.job.uid, task.template.number)
        found = self.shapes.get(key)
        if found is None:
            found = self.shapes[key] = shape_of(task.template)
        return found

    def add(self, task: Task) -> None:
        """The task has become READY."""
        shape = self.shape(task)
        priority = task.job.priority + task.template.priority
        key = (task.job.uid, priority, shape)
        bucket = self.buckets.get(key)
        if bucket is None:
            bucket = self.buckets[key] = Bucket(task.job, priority, shape)
        bucket.count += 1
        heappush(bucket.heap, (-task.rank, task.index))

    def discard(self, task: Task) -> None:
        """The task was READY and is not any more (dealt, adopted, cancelled, held up)."""
        key = (task.job.uid, task.job.priority + task.template.priority, self.shape(task))
        bucket = self.buckets[key]
        bucket.count -= 1
        if not bucket.count:
            del self.buckets[key]

    def forget(self, uid: str) -> None:
        """Drop everything of one job (it is being replaced or unloaded)."""
        for key in [key for key in self.buckets if key[0] == uid]:
            del self.buckets[key]
        for template in [key for key in self.shapes if key[0] == uid]:
            del self.shapes[template]

    def of(self, uid: str) -> Iterator[Bucket]:
        """The buckets of one job."""
        return (bucket for key, bucket in self.buckets.items() if key[0] == uid)
