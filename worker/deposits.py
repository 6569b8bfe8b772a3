"""Results that only this machine has: put at the datastore when the boss stays silent, so that they outlive the machine. Pure.

Rules:
- Only successes without files: those with outputs are there already, with their result; what failed is run again anyway.
- Each once; trouble on the way is tried again after ``RETRY``. An attempt of an earlier process of this worker has no grant any more.
- Nothing is put there while the boss answers: it is told, and that is all.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

from typing import Callable, Dict, Optional, Tuple

from worker import events as ev
from worker.protocol import Assignment, Result

#: How long after trouble with the datastore it is tried again, in seconds.
RETRY = 30.0


class Deposits:
    """Of one worker process. ``now`` is monotonic seconds; what is to be done goes to ``wish``."""

    def __init__(self, wish: Callable[[ev.Effect], None]) -> None:
        self._wish = wish
        self._waiting: Dict[str, Tuple[Assignment, Result]] = {}
        self._sent: Dict[str, Optional[Tuple[Assignment, Result]]] = {}  # on their way; None: nobody needs it any more
        self._again = float("-inf")

    def finished(self, order: Assignment, result: Result) -> None:
        """A result waits for the boss's acknowledgement."""
        if result.outcome == "succeeded" and result.files == () and order.grant and not order.init:
            self._waiting[order.attempt] = (order, result)

    def forget(self, attempt: str) -> None:
        """The boss has it."""
        self._waiting.pop(attempt, None)
        if attempt in self._sent:
            self._sent[attempt] = None

    def deadline(self, silent_at: float) -> float:
        """When to call ``send``, if the boss counts as off at ``silent_at``; infinite when there is nothing to put anywhere."""
        return max(silent_at, self._again) if self._waiting else float("inf")

    def send(self, now: float) -> None:
        """The boss is off: what waits goes to the datastore."""
        if now < self._again:
            return
        for attempt, (order, result) in self._waiting.items():
            self._wish(ev.Deposit(order, result))
            self._sent[attempt] = (order, result)
        self._waiting.clear()

    def arrived(self, attempt: str) -> None:
        """One is there."""
        self._sent.pop(attempt, None)

    def failed(self, attempt: str, final: bool, now: float) -> bool:
        """Something of an attempt did not get there; whether that was its deposit."""
        if attempt not in self._sent:
            return False
        held = self._sent.pop(attempt)
        if held is not None and not final:
            self._waiting[attempt] = held
            self._again = now + RETRY
        return True
