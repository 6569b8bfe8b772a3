"""What workers keep of the inputs that waiting tasks need: which idle VM is worth the most. Reads the state only.

Rules:
- Workers say at each heartbeat what the largest files of their caches are. What the boss knows by content (pushed files) is compared by
  that; results of other tasks and shared data by their paths; of folders and globs only what was pushed.
- Of the tasks in sight the first ``TASKS`` are asked what they need. Each input that would have to be fetched again elsewhere is worth the
  time that takes.
"""

from collections.abc import Iterable

from boss.core.deals import inputs_of
from boss.core.model import Task, Worker
from worker.protocol import cache_name

#: Tasks that are asked what they need.
TASKS = 100
#: Bytes a second at which an input is supposed to come to a VM that has not got it.
FETCHED = 50e6


def needed_by(tasks: Iterable[Task]) -> set[str]:
    """The names of the inputs that these tasks need."""
    return {cache_name(task.job.name, item.source, item.digest) for task in tasks for item in inputs_of(task)}


def worth(worker: Worker, needed: set[str]) -> float:
    """The seconds that it would take to fetch again what a worker keeps of what is needed."""
    return sum(size for name, size in worker.cached.items() if name in needed) / FETCHED


def kept(worker: Worker) -> float:
    """All bytes that a worker has told of."""
    return sum(worker.cached.values())
