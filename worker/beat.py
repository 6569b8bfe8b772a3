"""When this worker says that it lives: as often as its boss wants, and sooner when it has news. Pure.

Rules:
- In a large fleet the boss wants long intervals. What a boss would have to act on is not kept back for so long: results that cannot be
  delivered, and attempts that wait for room although the boss thought that there is some.
- Heartbeats that are not answered become fewer: a boss that cannot keep up is not asked to read more.
- Nothing is said sooner than after the interval that this worker was made with, unless it is in a hurry.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

from typing import Callable

from worker.protocol import Heartbeat

#: How many heartbeats in a row may be without an answer until the pauses double, and the longest pause in seconds.
PATIENT, LONGEST = 2, 30.0


class Beat:
    """Of one worker process. ``now`` is monotonic seconds."""

    def __init__(self, interval: float, now: float) -> None:
        self._own = self._interval = interval
        self._beaten = self._looked = now
        self._told = Heartbeat("", 0, 0, {})
        self._unanswered = 0

    def keep(self, interval: float) -> None:
        """The boss has answered, and wants to hear so often."""
        self._interval = interval
        self._unanswered = 0

    def hurry(self, now: float) -> None:
        """Beat at the end of this turn."""
        self._beaten = now - self._pause

    def said(self, now: float) -> None:
        """A hello was said, which tells as much as a heartbeat."""
        self._unanswered += 1
        self._beaten = self._looked = now

    def due(self, now: float, news: Callable[[Heartbeat], bool]) -> bool:
        """Whether to beat now; ``news`` says whether there is more to say than in that heartbeat, and is seldom asked."""
        if now >= self._beaten + self._pause:
            return True
        if now < self._looked + self._own:
            return False
        self._looked = now
        return news(self._told)

    def beaten(self, heartbeat: Heartbeat, now: float) -> None:
        """This heartbeat was said."""
        self._told = heartbeat
        self.said(now)

    def deadline(self, restless: bool) -> float:
        """When to ask ``due`` again at the latest; ``restless``: there may soon be news."""
        end = self._beaten + self._pause
        if not (restless or self._told.undelivered):
            return end
        return min(end, self._looked + self._own)

    @property
    def _pause(self) -> float:
        """From the last heartbeat to the next."""
        doubled = self._interval * 2.0 ** min(16, max(0, self._unanswered - PATIENT))
        return max(self._interval, min(doubled, LONGEST))
