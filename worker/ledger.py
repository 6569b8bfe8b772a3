"""What this worker holds, and what it ever held: each attempt, the step it is at, and how steps may follow each other. Pure.

Rules:
- An attempt is entered once. What has left (acknowledged, or given back) is remembered for the session, up to a bound, so that
  a late repeat of its assignment never starts it again.
- Only ``Entry.advance`` changes a step; an illegal pair raises and changes nothing.
- What is held must fit into one message (``Hello``, ``Heartbeat``): the ledger says when it is full.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

from collections import OrderedDict
from enum import Enum
from typing import Dict, FrozenSet, List, Optional

from worker.protocol import Assignment, Result

#: How many attempts that have left are remembered.
MAX_GONE = 100_000
#: How many bytes of a message the list of held attempts may take.
MAX_HELD_BYTES = 200_000


class Step(Enum):
    """Where an attempt stands on this worker."""

    QUEUED = "queued"  #: given; its inputs are not asked for yet
    FETCHING = "fetching"  #: its inputs are on their way
    READY = "ready"  #: needs nothing but room
    RUNNING = "running"  #: its process was asked for, or runs
    DELIVERING = "delivering"  #: ended; outputs or long logs are on their way to the datastore
    UNDELIVERED = "undelivered"  #: its delivery met trouble (no connection, no room) and waits to be repeated
    FINISHED = "finished"  #: its result waits for the boss's acknowledgement


TRANSITIONS: Dict[Step, FrozenSet[Step]] = {
    Step.QUEUED: frozenset(
        {
            Step.FETCHING,
            Step.READY,  # it has no inputs
            Step.FINISHED,  # cancelled, or it can never fit
        }
    ),
    Step.FETCHING: frozenset(
        {
            Step.READY,
            Step.QUEUED,  # connection trouble: again later
            Step.FINISHED,  # cancelled, or an input cannot be had
        }
    ),
    Step.READY: frozenset(
        {
            Step.RUNNING,
            Step.FINISHED,  # cancelled
        }
    ),
    Step.RUNNING: frozenset(
        {
            Step.DELIVERING,
            Step.FINISHED,  # nothing to deliver
        }
    ),
    Step.DELIVERING: frozenset(
        {
            Step.UNDELIVERED,
            Step.FINISHED,
        }
    ),
    Step.UNDELIVERED: frozenset(
        {
            Step.DELIVERING,
            Step.FINISHED,  # cancelled, or the worker leaves
        }
    ),
    Step.FINISHED: frozenset(),
}

#: How each step is called in ``Hello`` and ``Heartbeat``.
_ON_THE_WIRE: Dict[Step, str] = {
    Step.QUEUED: "queued",
    Step.FETCHING: "fetching",
    Step.READY: "queued",
    Step.RUNNING: "running",
    Step.DELIVERING: "running",
    Step.UNDELIVERED: "running",
    Step.FINISHED: "finished",
}


class Left(Enum):
    """How an attempt left this worker."""

    ACKNOWLEDGED = "acknowledged"  #: the boss has its result, or does not want it
    RECALLED = "recalled"  #: given back unstarted


class Entry:
    """One attempt that this worker holds. ``assignment`` is None for a result of an earlier life and for a cancelled stranger.

    ``given`` is when it was assigned (monotonic seconds), ``trouble`` why it could not be delivered the last time, ``full`` whether that
    was for lack of room.
    """

    __slots__ = (
        "assignment",
        "attempt",
        "cancelled",
        "full",
        "given",
        "needs",
        "number",
        "result",
        "started",
        "step",
        "tries",
        "trouble",
    )

    def __init__(self, attempt: str, number: int, assignment: Optional[Assignment] = None) -> None:
        self.attempt = attempt
        self.number = number
        self.assignment = assignment
        self.step = Step.QUEUED
        self.needs: Dict[str, float] = {}
        self.given = 0.0
        self.started = 0.0
        self.result: Optional[Result] = None
        self.cancelled = ""
        self.tries = 0
        self.trouble = ""
        self.full = False

    def advance(self, step: Step) -> None:
        """Move to another step. Raises ValueError when TRANSITIONS does not have the pair."""
        if step not in TRANSITIONS[self.step]:
            raise ValueError("attempt %s cannot go from %s to %s" % (self.attempt, self.step.value, step.value))
        self.step = step

    @property
    def order(self) -> Assignment:
        """The assignment of an attempt that was given to us. Raises ValueError for one that was not."""
        if self.assignment is None:
            raise ValueError("attempt %s was never given to this worker" % self.attempt)
        return self.assignment


class Ledger:
    """All entries by attempt, and the memory of those that left."""

    def __init__(self) -> None:
        self.entries: Dict[str, Entry] = {}
        self._left: "OrderedDict[str, Left]" = OrderedDict()
        self._count = 0
        self._bytes = 0

    def enter(self, attempt: str, assignment: Optional[Assignment] = None) -> Entry:
        """A new entry, numbered in the order given."""
        self._count += 1
        entry = self.entries[attempt] = Entry(attempt, self._count, assignment)
        self._bytes += _weight(attempt)
        return entry

    def leave(self, attempt: str, how: Left) -> None:
        """Take out an attempt and remember it (also one that was never entered)."""
        if self.entries.pop(attempt, None) is not None:
            self._bytes -= _weight(attempt)
        self._left[attempt] = how
        if len(self._left) > MAX_GONE:
            self._left.popitem(last=False)

    def left(self, attempt: str) -> Optional[Left]:
        """How an attempt left this worker, if it did."""
        return self._left.get(attempt)

    def full(self, attempt: str) -> bool:
        """Whether one more attempt would make the list of held ones too long for a message."""
        return self._bytes + _weight(attempt) > MAX_HELD_BYTES

    def held(self) -> Dict[str, str]:
        """Attempt -> ``queued``, ``fetching``, ``running`` or ``finished``, as ``Hello`` and ``Heartbeat`` name it."""
        return {attempt: _ON_THE_WIRE[entry.step] for attempt, entry in self.entries.items()}

    def at(self, *steps: Step) -> List[Entry]:
        """The entries at any of these steps, in the order given."""
        return [entry for entry in self.entries.values() if entry.step in steps]


def _weight(attempt: str) -> int:
    """Bytes of ``"attempt":"finished",`` (or ``fetching``) in a message."""
    return len(attempt.encode("utf-8", "replace")) + 14
