"""All that is left to chance, from one seed.

Rules:
- Each kind of fault draws from a stream of its own: leaving one fault out does not reshuffle the others.
- What belongs to a name (how long an attempt runs, what it yields) follows from the seed and that name alone.
- ``only``: replayed runs are told which faults happen, as ``(kind, n-th moment)``.
"""

from collections.abc import Mapping
from random import Random
from zlib import crc32

from simulator.hostile.faults import CHANCES

Fault = tuple[str, int]


class Chance:
    """The dice of one run. ``fired`` are the faults that have happened, in order."""

    def __init__(self, seed: int, rates: Mapping[str, float], only: frozenset[Fault] | None = None) -> None:
        self._seed, self._rates, self._only = seed, rates, only
        self._streams: dict[str, Random] = {}
        self._moments: dict[str, int] = {}
        self._happened: dict[str, int] = {}
        self.fired: list[Fault] = []
        self.calm = False

    def fault(self, kind: str) -> bool:
        """Whether this moment goes wrong."""
        rate = self._rates.get(kind)
        if not rate or self.calm:
            return False
        moment = self._moments.get(kind, 0)
        self._moments[kind] = moment + 1
        if self._only is not None:
            wrong = (kind, moment) in self._only
        else:
            wrong = self._stream(kind).random() < rate and self._happened.get(kind, 0) < CHANCES[kind].most
        if wrong:
            self._happened[kind] = self._happened.get(kind, 0) + 1
            self.fired.append((kind, moment))
        return wrong

    def detail(self, low: float, high: float) -> float:
        """A number that belongs to the fault that has happened last."""
        kind, moment = self.fired[-1] if self.fired else ("", 0)
        return low + (high - low) * self.of(f"{kind}/{moment}/{low}/{high}")

    def of(self, name: str) -> float:
        """A number in [0, 1) that belongs to a name."""
        mixed = (crc32(name.encode(), self._seed & 0xFFFFFFFF) * 2654435761 + self._seed * 40503) & 0xFFFFFFFF
        return ((mixed ^ (mixed >> 15)) * 2246822519 & 0xFFFFFFFF) / 2**32

    def _stream(self, kind: str) -> Random:
        stream = self._streams.get(kind)
        if stream is None:
            stream = self._streams[kind] = Random(f"{self._seed}/{kind}")  # noqa: S311 (a simulation)
        return stream
