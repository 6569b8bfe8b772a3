"""Room on this worker: named resources, taken and given back, and who gets them next. Pure.

Rules:
- Resources are named counts (``cpus``, ``memory`` in bytes, ``gpus``, ...); what is not offered is offered zero times.
- First come, first served. An attempt that does not fit reserves what it needs before those behind it are looked at: a later
  one may pass only through room that no earlier one waits for. So nothing starves, and a busy GPU does not idle the cpus.
- An attempt that does not say how much memory it needs counts with its share: the worker's memory x its cpus / all cpus.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import heapq
from typing import Dict, List, Mapping, NamedTuple, Set, Tuple

#: Amounts closer than this share of the whole are equal (a third of the cpus fits three times).
_TOLERANCE = 1e-9


class Claim(NamedTuple):
    """One attempt's place in the queue: its number in the order given, its id, what it needs."""

    number: int
    attempt: str
    needs: Mapping[str, float]


class Slots:
    """What the worker offers, what of it is free, and the queue of attempts that could start at once."""

    def __init__(self, total: Mapping[str, float]) -> None:
        self.total = dict(total)
        self._free = dict(total)
        self._slack = {name: amount * _TOLERANCE for name, amount in total.items()}
        self._queue: List[Tuple[int, str, Mapping[str, float]]] = []
        self._waiting: Set[str] = set()  # of those in the queue; others have been withdrawn

    def needs(self, asked: Mapping[str, float]) -> Dict[str, float]:
        """What an attempt takes: what it asked for, one cpu if it did not say, and its share of the memory if it did not say."""
        needs = {name: amount for name, amount in asked.items() if amount > 0}
        cpus = float(asked.get("cpus", 1))
        if "cpus" not in asked:
            needs["cpus"] = cpus
        if "memory" not in asked and self.total.get("cpus") and self.total.get("memory"):
            needs["memory"] = self.total["memory"] * min(1.0, cpus / self.total["cpus"])
        return needs

    def lacking(self, needs: Mapping[str, float]) -> str:
        """Why these needs can never be met here ("needs 8 cpus, this worker has 4"); empty when they can."""
        for name, amount in needs.items():
            offered = self.total.get(name, 0)
            if amount > offered + self._slack.get(name, 0):
                return "needs %.12g %s, this worker has %.12g" % (amount, name, offered)
        return ""

    def enqueue(self, claim: Claim) -> None:
        """Put an attempt into the queue, at the place of its number."""
        heapq.heappush(self._queue, (claim.number, claim.attempt, claim.needs))
        self._waiting.add(claim.attempt)

    def withdraw(self, attempt: str) -> None:
        """Take an attempt out of the queue, if it is there."""
        self._waiting.discard(attempt)

    @property
    def backlog(self) -> int:
        """How many attempts could start at once if there were room."""
        return len(self._waiting)

    def admit(self) -> List[str]:
        """The attempts that start now, in order; their room is taken."""
        if self._free.get("cpus", 0) <= self._slack.get("cpus", 0):
            return []
        started: List[str] = []
        passed: List[Tuple[int, str, Mapping[str, float]]] = []
        room = dict(self._free)
        while self._queue and room.get("cpus", 0) > self._slack.get("cpus", 0):
            place = heapq.heappop(self._queue)
            _, attempt, needs = place
            if attempt not in self._waiting:
                continue
            if all(amount <= room.get(name, 0) + self._slack.get(name, 0) for name, amount in needs.items()):
                self._take(needs)
                self._waiting.discard(attempt)
                started.append(attempt)
            else:
                passed.append(place)
            for name, amount in needs.items():
                room[name] = room.get(name, 0) - amount
        for place in passed:
            heapq.heappush(self._queue, place)
        return started

    def give(self, needs: Mapping[str, float]) -> None:
        """Free the room of an attempt that was admitted."""
        for name, amount in needs.items():
            self._free[name] = min(self._free.get(name, 0) + amount, self.total.get(name, 0))

    def _take(self, needs: Mapping[str, float]) -> None:
        for name, amount in needs.items():
            self._free[name] = self._free.get(name, 0) - amount
