"""Results that cannot get to their place: how many, where they wait, why, and what a person should do. Part of the reactor.

Rules:
- Workers say at each heartbeat which attempts have ended and wait for their delivery; the datastore's own channel says whether
  there is room for what is accepted. Either is enough to call the datastore full.
- While it is full nothing is given up and nothing fails: deliveries and acceptances are repeated until there is room. What is held back is
  what would make it worse: no new VM is bought, and no task is dealt ahead of a free slot.
- A machine that holds such results is not let go, however long it takes.
"""

from boss.core.model import Task, TaskState, Worker, WorkerState
from boss.core.state import State
from worker.protocol import Heartbeat


def on_heartbeat(worker: Worker, message: Heartbeat) -> None:
    """Remember what a worker cannot deliver."""
    worker.undelivered = frozenset(message.undelivered)
    worker.trouble = message.trouble if message.undelivered else ""
    worker.datastore_full = message.full and bool(message.undelivered)


def forget(worker: Worker) -> None:
    """It is another process now, or none: what it held is told anew, or is lost."""
    worker.undelivered, worker.trouble, worker.datastore_full = frozenset(), "", False


def waits_on(worker: Worker) -> int:
    """How many results wait on this worker for the datastore."""
    return len(worker.undelivered & worker.held.keys())


def is_full(state: State) -> bool:
    """Whether the datastore has no room, as far as anybody has said."""
    return state.datastore_full or bool(state.roster.stuck())


def full(state: State) -> str:
    """``the datastore is full: 3 results wait on the workers; free space at HOST:FOLDER``."""
    waiting = sum(waits_on(worker) for worker in _living(state))
    promoting = sum(job.counts.get(TaskState.PROMOTING, 0) for job in state.jobs.values()) if state.datastore_full else 0
    there = f" and {promoting} at the datastore" if promoting else ""
    place = state.datastore_place or "the datastore"
    return f"the datastore is full: {_results(waiting)} on the workers{there}; free space at {place}"


def notes(state: State) -> list[str]:
    """Sentences for ``status``."""
    if is_full(state):
        sentence = full(state)
        return [f"{sentence[0].upper()}{sentence[1:]}; then everything goes on by itself."]
    told = []
    stuck = [worker for worker in state.workers.values() if worker.trouble and waits_on(worker)]
    if stuck:
        told.append(f"{_results(sum(map(waits_on, stuck)))} on the workers until they can be delivered: {stuck[0].trouble}.")
    return told


def why(state: State, task: Task) -> list[str]:
    """Why the results of a task that has ended are not accepted yet; nothing if it has not ended, or nothing is in the way."""
    worker = state.workers.get(task.worker)
    waits = task.attempt is not None and worker is not None and task.attempt.id in worker.undelivered
    if task.state is TaskState.PROMOTING and is_full(state):
        return [f"It has finished; its results are at the datastore, but cannot be moved into place: {full(state)}.", _REMEDY]
    if not waits or worker is None:
        return []
    if is_full(state):
        return [f"It has ended on {worker.id}, where its results wait: {full(state)}.", _REMEDY]
    return [f"It has ended on {worker.id}, where its results wait until they can be delivered: {worker.trouble}."]


_REMEDY = "Nothing is lost: once there is room, it goes on by itself within half a minute."


def _living(state: State) -> list[Worker]:
    return [worker for worker in state.workers.values() if worker.state is not WorkerState.GONE]


def _results(count: int) -> str:
    return f"{count:,} result waits" if count == 1 else f"{count:,} results wait"
