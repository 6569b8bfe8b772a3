"""The axis of time. PURE.

What is long and empty is cut out, so that a task that was run again a week later does not make a week of paper.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

#: A gap is cut when it is longer than this part of all that happened, and than so many seconds.
PART, LEAST = 0.2, 60.0
#: Gaps that are cut at most: the longest.
CUTS = 12
#: What a cut takes on the axis, as a part of what is left.
WIDTH = 0.012


@dataclass(frozen=True, slots=True)
class Period:
    """A piece of the axis: from ``begin`` to ``end`` (Unix seconds), drawn from ``left`` to ``right`` (0 to 1)."""

    begin: float
    end: float
    left: float
    right: float


class Axis:
    """Where times are, from 0 to 1; ``periods`` in order, with cuts between them."""

    def __init__(self, spans: Iterable[tuple[float, float]], begin: float, end: float) -> None:
        """``spans`` are when something happened; the axis reaches from ``begin`` to ``end`` at least."""
        pieces = _joined(sorted([*spans, (begin, begin), (max(begin, end), max(begin, end))]))
        self.periods = _laid_out(_cut(pieces))
        self._begins = [one.begin for one in self.periods]

    @property
    def begin(self) -> float:
        """The first moment."""
        return self.periods[0].begin

    @property
    def end(self) -> float:
        """The last one."""
        return self.periods[-1].end

    @property
    def seconds(self) -> float:
        """How long all is that was not cut out."""
        return sum(one.end - one.begin for one in self.periods)

    @property
    def cuts(self) -> list[tuple[float, float]]:
        """What was cut out: where (0 to 1), and how many seconds."""
        return [((left.right + right.left) / 2, right.begin - left.end) for left, right in pairwise(self.periods)]

    def at(self, moment: float) -> float:
        """Where a moment is; one that was cut out, or is outside, is at the nearest edge."""
        one = self.periods[max(0, bisect_right(self._begins, moment) - 1)]
        if one.end <= one.begin:
            return one.left
        part = min(1.0, max(0.0, (moment - one.begin) / (one.end - one.begin)))
        return one.left + part * (one.right - one.left)

    def bins(self, count: int) -> list[tuple[float, float]]:
        """The axis in about so many equal pieces of time (at least one for each period)."""
        step = self.seconds / max(1, count) or 1.0
        found = []
        for one in self.periods:
            pieces = max(1, round((one.end - one.begin) / step))
            size = (one.end - one.begin) / pieces
            found += [(one.begin + size * place, one.begin + size * (place + 1)) for place in range(pieces)]
        return found

    def ticks(self, most: int = 8) -> list[float]:
        """Round moments to name, a few."""
        wanted = self.seconds / most
        steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
        step = next((one for one in steps if one >= wanted), 604800 * max(1, round(wanted / 604800)))
        found: list[float] = []
        for one in self.periods:
            first = one.begin - one.begin % step + step
            found += [first + step * number for number in range(int((one.end - first) // step) + 1 if one.end >= first else 0)]
        return found


def _joined(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for begin, end in spans:
        if found and begin <= found[-1][1]:
            if end > found[-1][1]:
                found[-1] = found[-1][0], end
        else:
            found.append((begin, end))
    return found


def _cut(pieces: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The pieces with the gaps between them filled, but the longest ones."""
    busy = sum(end - begin for begin, end in pieces)
    gaps = sorted(((right[0] - left[1], place) for place, (left, right) in enumerate(pairwise(pieces))), reverse=True)
    least = max(LEAST, PART * busy)
    cut = {place for gap, place in gaps[:CUTS] if gap > least}
    found = [pieces[0]]
    for place, one in enumerate(pieces[1:]):
        if place in cut:
            found.append(one)
        else:
            found[-1] = found[-1][0], one[1]
    return found


def _laid_out(pieces: list[tuple[float, float]]) -> list[Period]:
    total = sum(end - begin for begin, end in pieces)
    room = 1.0 - WIDTH * (len(pieces) - 1)
    found, left = [], 0.0
    for begin, end in pieces:
        right = left + (room * (end - begin) / total if total else room / len(pieces))
        found.append(Period(begin, end, left, right))
        left = right + WIDTH
    return found
