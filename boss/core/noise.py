"""Workers whose messages were dropped: how many, why, and what becomes of one that goes on and on. Part of the reactor.

Rules:
- Dropping is done where messages arrive, before they cost anything; here it is told to people.
- A worker that was put aside gets nothing new. Nothing of it is heard, so its lease runs out: its attempts run elsewhere, its VM is
  deleted.
"""

from boss.core.events import MessagesDropped
from boss.core.model import Worker, WorkerState
from boss.core.state import State

#: Of so many workers the newest word is kept.
KEPT = 1000
#: A note is worth an admin's while from so many dropped messages on: a single one may be an accident.
WORTH_A_NOTE = 10
#: So many workers are named in notes at most.
NAMED = 5


def on_dropped(state: State, event: MessagesDropped) -> None:
    """Remember it; a worker that was put aside gets nothing new."""
    state.dropped.pop(event.worker, None)
    state.dropped[event.worker] = event
    state.roster.said(event.worker)
    while len(state.dropped) > KEPT:
        oldest = next(iter(state.dropped))
        state.roster.said(oldest)
        del state.dropped[oldest]
    worker = state.workers.get(event.worker)
    if event.aside and worker is not None and worker.state is not WorkerState.GONE and not worker.draining:
        worker.draining = True
        state.touch_worker(worker)


def aside(state: State, worker: Worker) -> str:
    """Why a worker was put aside; empty if it was not."""
    event = state.dropped.get(worker.id)
    return f"it was put aside: {event.why}" if event is not None and event.aside else ""


def of(state: State, worker: Worker) -> tuple[int, str]:
    """How many of a worker's messages were dropped, and why the last ones were."""
    event = state.dropped.get(worker.id)
    return (0, "") if event is None else (event.count, event.why)


def notes(state: State) -> list[str]:
    """Sentences for ``status``, the noisiest first."""
    loud = [event for event in state.dropped.values() if event.aside or event.count >= WORTH_A_NOTE]
    loud.sort(key=lambda event: (not event.aside, -event.count))
    told = [_sentence(event) for event in loud[:NAMED]]
    if len(loud) > NAMED:
        told.append(f"Messages of {len(loud) - NAMED:,} more workers were dropped; `admin.py show_workers` has them all.")
    return told


def _sentence(event: MessagesDropped) -> str:
    dropped = f"{event.count:,} messages dropped: {event.why}"
    if event.aside:
        consequence = "nothing of it is heard, and what it had runs elsewhere when its lease is over"
        return f"Worker {event.worker} is put aside ({dropped}); {consequence}."
    return f"Worker {event.worker}: {dropped}."
