"""What the loop takes from outside: what has happened, in order, and a time that does not run ahead of it.

Rules:
- Many threads put, the loop drains, in the order in which it came. Of workers' messages no more wait than can be handled, and of none so
  many that others' find no room.
- Time advances by what has passed, at most one second more than the loop asked to wait: a stopped boss does not see everybody time out.
"""

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from boss.core.events import Event, WorkerSaid, WorkerStatusSeen

#: Events handled in one turn at most: bounds the size of a commit.
TURN = 4096
#: Workers' messages are refused beyond this, of all and of one; they are sent again.
INBOX, SHARE = 100_000, 5_000


class LoopClock:
    """Time of day that does not run while the process is stopped or swapped out.

    ``advance(asked)`` moves it by the real time since the last call, but at most by ``asked`` + 1 seconds.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._wall, self.steady, self.sleep = wall, steady, sleep
        self._last = steady()
        self.now = wall()

    def advance(self, asked: float) -> float:
        """The loop's time now, after a wait of at most ``asked`` seconds."""
        steady = self.steady()
        self.now += max(0.0, min(steady - self._last, asked + 1.0))
        self._last = steady
        return self.now

    def lag(self) -> float:
        """Seconds by which the time of day is ahead of the loop's time."""
        return self._wall() - self.now


class Inbox:
    """What has happened, in order. Many threads put, one drains."""

    def __init__(self, limit: int = INBOX, share: int = SHARE) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._sifted: deque[Event] = deque()  # came before what is in the queue
        self._limit = limit
        self._share = share
        self._waiting: Counter[str] = Counter()  # of each worker's messages
        self._lock = threading.Lock()

    def put(self, event: Event) -> bool:
        """Add an event; False (and nothing added) for a worker's message while the inbox is full, or has too many of it."""
        if isinstance(event, WorkerSaid | WorkerStatusSeen):
            with self._lock:
                if self._events.qsize() + len(self._sifted) >= self._limit or self._waiting[event.worker] >= self._share:
                    return False
                self._waiting[event.worker] += 1
        self._events.put(event)
        return True

    def drain(self, wait: float) -> list[Event]:
        """Everything that has arrived, at most ``TURN`` events; waits up to ``wait`` seconds for the first."""
        events = [self._sifted.popleft() for _ in range(min(TURN, len(self._sifted)))]
        if not events:
            try:
                events.append(self._events.get(timeout=wait) if wait > 0 else self._events.get_nowait())
            except queue.Empty:
                return []
        while len(events) < TURN:
            try:
                events.append(self._events.get_nowait())
            except queue.Empty:
                break
        taken = Counter(event.worker for event in events if isinstance(event, WorkerSaid | WorkerStatusSeen))
        with self._lock:
            for worker, count in taken.items():
                self._waiting[worker] -= count
                if not self._waiting[worker]:
                    del self._waiting[worker]
        return events

    def sift(self, is_over: Callable[[Event], bool]) -> None:
        """Take out those that are over, which no worker's message is; the others wait on in the order in which they came."""
        for _ in range(self._events.qsize()):
            event = self._events.get_nowait()
            if not is_over(event):
                self._sifted.append(event)

    def depth(self) -> int:
        """How many events wait, about."""
        return self._events.qsize() + len(self._sifted)

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._sifted and self._events.empty()
