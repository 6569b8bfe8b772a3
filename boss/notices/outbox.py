"""When which unit of one target gets a message: gathered, one at a time, tried again, given up. Pure: time and chance come in.

Rules:
- The first notice waits a little for others, and all that has come goes into one message. While they keep coming, messages come at growing
  intervals: a flood is a few messages, whatever its size.
- A message that was tried stays as it is until it is delivered or given up, so that its id says whether it is the same; what comes
  meanwhile waits for the next one.
- Nothing is tried for longer than notices are worth it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from boss.notices.notice import Notice

#: Seconds: the first and the longest wait before a message is tried again, and the longest interval between two messages of a flood.
FIRST_RETRY, LONGEST_RETRY, LONGEST_GATHER = 5.0, 600.0, 900.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What one message tells one unit."""

    unit: str
    notices: tuple[Notice, ...]


@dataclass(slots=True)
class _Lane:
    """One unit: ``at`` is when its next message may go, ``last`` and ``batch_last`` when what waits, or is tried, is given up."""

    waiting: list[Notice] = field(default_factory=list)
    batch: Batch | None = None
    under_way: bool = False
    at: float = 0.0
    last: float = 0.0
    batch_last: float = 0.0
    tries: int = 0
    pause: float = 0.0
    quiet_until: float = 0.0


class Outbox:
    """The lanes of a target. ``jitter(text)`` is a number between 0 and 1. One thread at a time."""

    def __init__(self, gather: float, retry_for: float, jitter: Callable[[str], float]) -> None:
        self._gather, self._retry_for, self._jitter = gather, retry_for, jitter
        self._lanes: dict[str, _Lane] = {}

    def put(self, unit: str, notice: Notice, now: float, age: float = 0.0) -> None:
        """A notice for a unit, which happened ``age`` seconds ago."""
        lane = self._lanes.setdefault(unit, _Lane())
        if not lane.waiting and lane.batch is None:
            if now >= lane.quiet_until:
                lane.pause = 0.0  # it was quiet: no flood, or one that is over
            lane.at = max(now + self._gather, lane.quiet_until)
        lane.waiting.append(notice)
        lane.last = max(lane.last, now + self._retry_for - max(0.0, age))

    def due(self, now: float) -> list[Batch]:
        """The messages to be sent now; each ends as ``delivered`` or ``failed``."""
        found = []
        for unit, lane in self._lanes.items():
            if lane.under_way or now < lane.at or not (lane.batch or lane.waiting):
                continue
            if lane.batch is None:
                lane.batch = Batch(unit, tuple(lane.waiting))
                lane.waiting, lane.batch_last, lane.last = [], lane.last, 0.0
            lane.under_way = True
            found.append(lane.batch)
        return found

    def next(self) -> float | None:
        """When to look again; None: when something is put."""
        times = [lane.at for lane in self._lanes.values() if not lane.under_way and (lane.batch or lane.waiting)]
        return min(times, default=None)

    def delivered(self, batch: Batch, now: float) -> None:
        """A message has arrived."""
        lane = self._over(batch)
        lane.pause = min(LONGEST_GATHER, max(self._gather, 2 * lane.pause))
        lane.quiet_until = lane.at = now + lane.pause

    def failed(self, batch: Batch, now: float, for_good: bool = False, wait: float = 0.0) -> bool:
        """A message did not arrive; whether it is given up. ``wait``: so long the receiver wants to be left alone."""
        lane = self._lanes[batch.unit]
        delay = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(lane.tries, 20)) * (0.75 + 0.5 * self._jitter(batch.unit))
        again = now + max(delay, min(wait, LONGEST_RETRY * 6))
        if for_good or again > lane.batch_last:
            lane = self._over(batch)
            lane.at = now + self._gather
            return True
        lane.under_way, lane.tries, lane.at = False, lane.tries + 1, again
        return False

    def waiting(self) -> int:
        """How many notices are on their way."""
        return sum(len(lane.waiting) + (len(lane.batch.notices) if lane.batch else 0) for lane in self._lanes.values())

    def _over(self, batch: Batch) -> _Lane:
        lane = self._lanes[batch.unit]
        lane.batch, lane.under_way, lane.tries = None, False, 0
        return lane
