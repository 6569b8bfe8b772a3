"""Virtual time: what happens when. Nothing here knows the real clock.

Two clocks are told apart, as on a real machine: the steady one never jumps, the time of day may.
"""

from collections.abc import Callable
from heapq import heappop, heappush

from simulator.hostile.faults import Broken

#: So many things at one moment are no life, but a circle.
CIRCLE = 20_000
#: When each world begins: after 2026, from which restored databases count.
BEGIN = 1_800_000_000.0


class Clock:
    """The steady time ``now`` in seconds, and what is to happen later, in the order of its time and of its entry."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.offset = 0.0  #: by which the time of day is ahead
        self._heap: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._entered = 0
        self._moment, self._at_once = 0.0, 0

    def wall(self) -> float:
        """The time of day."""
        return self.now + self.offset

    def steady(self) -> float:
        """Time that never jumps."""
        return self.now

    def after(self, seconds: float, what: Callable[..., None], *args: object) -> None:
        """Let something happen so many seconds from now."""
        self._entered += 1
        heappush(self._heap, (self.now + seconds, self._entered, what, args))

    def pass_until(self, end: float, enough: Callable[[], bool]) -> None:
        """Let time pass until ``end``, or until what has happened is enough."""
        heap = self._heap
        while not enough():
            if not heap or heap[0][0] > end:
                self.now = max(self.now, end)
                return
            when, _, what, args = heappop(heap)
            if when > self.now:
                self.now = when
            if self.now > self._moment + 1e-3:
                self._moment, self._at_once = self.now, 0
            self._at_once += 1
            if self._at_once > CIRCLE:
                raise Broken("time goes on", f"{CIRCLE} things happen within a moment, the last one {what.__qualname__}")
            what(*args)
