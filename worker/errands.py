"""Which attempts go to the datastore next: fetches a few ahead of the slots, and repeats after connection trouble. Pure.

Rules:
- Inputs are fetched in the order given, ``FETCHERS`` at once, and only so far ahead that ``2 * FETCHERS`` attempts are
  fetching or wait fetched: a long queue does not fill the disk.
- Connection trouble, and a full datastore, are repeated with doubling waits until the attempt is cancelled or given back.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import heapq
from collections import deque
from typing import Deque, List, Tuple

#: How many attempts fetch at once.
FETCHERS = 8
#: How many attempts may be delivering before no new one is started (the disk would fill).
MAX_DELIVERIES = 64
#: First and longest wait before an errand is repeated, in seconds.
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0


class Errands:
    """The queue of fetches, the counts of what is under way, and the repeats that wait for their time."""

    def __init__(self) -> None:
        self.fetching = 0  #: attempts whose inputs are on their way
        self.fetched = 0  #: attempts whose inputs wait in their folder for a start
        self.delivering = 0  #: attempts whose outputs or logs are on their way, or wait for a repeat
        self._queue: Deque[str] = deque()
        self._repeats: List[Tuple[float, str]] = []

    def enqueue(self, attempt: str) -> None:
        """This attempt wants its inputs."""
        self._queue.append(attempt)

    def next_fetch(self) -> str:
        """The attempt to fetch for now; empty when there is none, or enough are under way."""
        if self._queue and self.fetching < FETCHERS and self.fetching + self.fetched < 2 * FETCHERS:
            return self._queue.popleft()
        return ""

    @property
    def any(self) -> bool:
        """Whether anything waits to be fetched, to be repeated, or is being delivered."""
        return bool(self._queue or self._repeats or self.delivering)

    @property
    def congested(self) -> bool:
        """Whether deliveries lag so far behind that nothing new should be started."""
        return self.delivering >= MAX_DELIVERIES

    def postpone(self, attempt: str, tries: int, jitter: float, now: float) -> None:
        """Repeat an attempt's errand after connection trouble, the ``tries``-th time (from 0)."""
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(tries, 10)) * (0.5 + jitter / 2)
        heapq.heappush(self._repeats, (now + wait, attempt))

    def due(self, now: float) -> List[str]:
        """The attempts whose errand is to be repeated now."""
        attempts = []
        while self._repeats and self._repeats[0][0] <= now:
            attempts.append(heapq.heappop(self._repeats)[1])
        return attempts

    def deadline(self) -> float:
        """When the next repeat is due; infinite when there is none."""
        return self._repeats[0][0] if self._repeats else float("inf")
