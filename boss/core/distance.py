"""How far away workers are: how long a free slot waits there until the next task has come. Decides how much is dealt ahead. Pure.

Rules:
- Measured on what is dealt to free room, one attempt of each worker at a time: from the dealing until its result is here, less the time
  that it ran. So whatever delays counts (links, broker, commits, inputs, outputs), and a row that was dealt ahead does not count itself.
- A row of tasks outlasts that time with a margin, for tasks that run differently long and results that wait for company.
- One task that hides less than ``WORTH`` of its run time stays with the boss: whoever is free first gets it.
- A row never lasts so long that it would be asked back (``fleet.QUEUED_TOO_LONG``).
"""

from functools import lru_cache
from math import ceil

from boss.core.model import Worker
from worker.protocol import Result

#: By how much a row outlasts the trip, and how long a result may wait for company beside it (``worker.outbox``), in seconds.
MARGIN, LINGER = 1.5, 0.05
#: The part of a task's run time that its trip must be for the task to be dealt ahead.
WORTH = 0.05
#: Longer trips than this count as this long, and longer tasks are never dealt ahead, in seconds.
LONGEST_TRIP, LONGEST_TASK = 0.5, 1.5
#: The weight of the newest trip when it is longer than what was thought; a shorter one is believed at once.
WEIGHT = 0.3


def probe(worker: Worker, attempt: str, now: float) -> None:
    """An attempt was dealt to free room of a worker: if nothing is being measured there, it is."""
    if worker.probe is None or worker.probe[0] not in worker.held:
        worker.probe = attempt, now


def learn(worker: Worker, result: Result, now: float) -> None:
    """An attempt has ended: if it is the measured one, its worker is as far away as it took longer than it ran."""
    if worker.probe is None or worker.probe[0] != result.attempt:
        return
    (_, dealt), worker.probe = worker.probe, None
    if not result.started or result.finished < result.started:
        return
    trip = min(LONGEST_TRIP, max(0.0, now - dealt - (result.finished - result.started)))
    known = worker.trip
    worker.trip = trip if known is None or trip < known else known + WEIGHT * (trip - known)


@lru_cache(maxsize=4096)  # asked for each worker in each turn
def ahead(trip: float, seconds: float) -> int:
    """How many tasks of this run time one slot needs waiting at a worker that is so far away."""
    if seconds > LONGEST_TASK or trip < WORTH * seconds:
        return 0
    return ceil((MARGIN * trip + LINGER) / max(seconds, 0.001))
