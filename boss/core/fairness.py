"""Who occupies the workers, and what would be free if nobody's short tasks were waiting there. What placement is fair by.

Rules:
- What is counted is slots (cpus), not tasks: a task of eight cpus weighs eight.
- Short tasks are dealt ahead, in rows: together they weigh the slots that they keep busy on their worker, however long the rows are;
  among each other they weigh by the time that they will take.
- What has never been seen to end counts as long.
- Derived from what the workers hold whenever somebody asks (``boss.core.roster`` counts it); only whose turn was when is kept, until the
  boss ends.
"""

from collections.abc import Sequence

from boss.core import pace
from boss.core.model import Worker
from boss.core.placement import Offer, Shares
from boss.core.state import State


def weight(state: State, seconds: float | None) -> float:
    """The part of ``policy.prefetch_seconds`` that a task runs (None: unknown), at most 1: then it is a long one."""
    window = state.policy.prefetch_seconds
    return 1.0 if seconds is None or not window else min(1.0, seconds / window)


def shares_on(state: State, offers: Sequence[Offer]) -> Shares:
    """How many slots each owner and each job occupies on these workers; also tells each offer what would soon be free of it.

    One pass over the kinds of tasks that each worker holds: it runs in every turn of a boss whose owners compete.
    """
    weights: dict[tuple[str, int], float] = {}
    jobs: dict[str, float] = {}
    for offer in offers:
        offer.drained = _look(state, state.workers[offer.worker], jobs, weights)
    shares = Shares(turns=state.turns)
    for uid, slots in jobs.items():
        job = state.jobs.get(uid)
        if job is not None:
            shares.add(job.owner, uid, slots)
    return shares


def shares_of_long_tasks(state: State) -> Shares | None:
    """The same, from the roster's counts, where everybody holds long tasks only, which nobody waits for; None where that is not so."""
    shares = Shares(turns=state.turns)
    for (uid, template, cpus), count in state.roster.load().items():
        if weight(state, pace.of(state, uid, template)) < 1.0:
            return None
        job = state.jobs.get(uid)
        if job is not None:
            shares.add(job.owner, uid, cpus * count)
    return shares


def _look(state: State, worker: Worker, jobs: dict[str, float], weights: dict[tuple[str, int], float]) -> dict[str, float]:
    """Add what jobs occupy on one worker; returns what only its long tasks leave free."""
    room = dict(worker.resources)
    short: list[tuple[str, float]] = []
    held = rows = 0.0
    for kind, (count, needs) in worker.load.items():
        part = weights.get(kind)
        if part is None:
            part = weights[kind] = weight(state, pace.of(state, *kind))
        slots = count * needs.get("cpus", 0.0)
        if part >= 1.0:
            jobs[kind[0]] = jobs.get(kind[0], 0.0) + slots
            for name, amount in needs.items():
                room[name] = room.get(name, 0.0) - count * amount
        else:
            held += slots
            rows += slots * part
            short.append((kind[0], slots * part))
    if rows > 0.0:
        scale = max(0.0, min(held, room.get("cpus", 0.0))) / rows
        for uid, row in short:
            jobs[uid] = jobs.get(uid, 0.0) + row * scale
    return room
