"""Who occupies the workers, and what would be free if nobody's short tasks were waiting there. What placement is fair by.

Rules:
- What is counted is slots (cpus), not tasks: a task of eight cpus weighs eight.
- Short tasks are dealt ahead, in rows: together they weigh the slots that they keep busy on their worker, however long the rows are;
  among each other they weigh by the time that they will take.
- What has never been seen to end counts as long.
- Derived from what the workers hold whenever somebody asks; only whose turn was when is kept, until the boss ends.
"""

from boss.core import pace
from boss.core.model import Worker
from boss.core.placement import Shares, Turns
from boss.core.state import State


def weight(state: State, seconds: float | None) -> float:
    """The part of ``policy.prefetch_seconds`` that a task runs (None: unknown), at most 1: then it is a long one."""
    window = state.policy.prefetch_seconds
    return 1.0 if seconds is None or not window else min(1.0, seconds / window)


def occupied(state: State, turns: Turns) -> Shares:
    """How many slots each owner and each job occupies on all workers; ``turns`` are those to go on with."""
    shares = Shares(turns=turns)
    for worker in state.workers.values():
        short: list[tuple[str, float]] = []
        held, left = 0.0, worker.resources.get("cpus", 0.0)
        for (uid, template), (count, needs) in worker.load.items():
            slots, part = count * needs.get("cpus", 0.0), weight(state, pace.of(state, uid, template))
            if part >= 1.0:
                left -= slots
                _add(state, shares, uid, slots)
            else:
                held += slots
                short.append((uid, slots * part))
        if short:
            rows = sum(row for _, row in short)
            busy = max(0.0, min(held, left))
            for uid, row in short:
                _add(state, shares, uid, busy * row / rows if rows > 0 else 0.0)
    return shares


def drained(state: State, worker: Worker) -> dict[str, float]:
    """What would be free on a worker within ``policy.prefetch_seconds`` if nothing more were dealt to it: what only long tasks leave."""
    room = dict(worker.resources)
    for (uid, template), (count, needs) in worker.load.items():
        if weight(state, pace.of(state, uid, template)) >= 1.0:
            for name, amount in needs.items():
                room[name] = room.get(name, 0.0) - count * amount
    return room


def _add(state: State, shares: Shares, uid: str, slots: float) -> None:
    job = state.jobs.get(uid)
    if job is not None:
        shares.add(job.owner, uid, slots)
