"""What each attempt is made of: pushed files, by digest, and results of other tasks, by attempt. Part of the reactor.

Rules:
- Recorded when an attempt is dealt, because later pushes replace the job's files; never changed afterwards.
- Attempts that are given the same files share one numbered input set: a hundred thousand tasks that read three scripts store one.
- A result is named by the attempt that it was accepted from, whose manifest has its digests; by 0 where no attempt of ours made it.
"""

from array import array
from collections.abc import Iterable

from boss.core.model import NO_FILES, Attempt, Job, Task
from boss.core.stale import FOREIGN_RESULT
from boss.core.state import State
from worker.protocol import Input


def record(state: State, task: Task, attempt: Attempt, inputs: Iterable[Input]) -> None:
    """Remember what an attempt is given that is being dealt."""
    attempt.input_set = task.input_set = _number(state, task.job, inputs)
    if task.dependencies:
        tasks = task.job.tasks
        pairs = array("I")
        for index in task.dependencies:
            other = tasks[index]
            pairs.append(index)
            pairs.append(0 if other.result == FOREIGN_RESULT else other.number)
        state.changes.read_results[attempt.id] = pairs


def _number(state: State, job: Job, inputs: Iterable[Input]) -> int:
    """The number of the set of pushed files among these inputs; a new set gets the next one."""
    files = {(item.source, item.digest, item.mode) for item in inputs if item.digest}
    if not files:
        return NO_FILES
    chosen = tuple(sorted(files))
    number = job.input_sets.get(chosen)
    if number is None:
        number = job.input_sets[chosen] = len(job.input_sets) + 1
        state.changes.new_input_sets.append((job.uid, number, chosen))
    return number
