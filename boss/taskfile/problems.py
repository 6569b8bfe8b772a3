"""What is wrong with a task file, in sentences: where, what, and the remedy.

Rules:
- Every problem found is counted; the first ``LIMIT`` are kept, and the list ends with how many more there are.
- Reading goes on after a problem, with a harmless value in place of the bad one, so that one push shows all of them.
"""

import difflib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

#: How many problems of one file are told in full.
LIMIT = 100
#: How many names on each side in the alphabet are compared letter by letter in search of the nearest one.
_POOL = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong. ``task`` is ``tasks[3] 'sim-7'`` (empty: the file as a whole), ``field`` ``inputs[0]`` or ``line 3, column 7``."""

    task: str
    field: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.task, self.field, self.message) if part)


class Outside(NamedTuple):
    """An input from outside the job, which only the datastore knows to be there: its source, and the first task and field that name it."""

    source: str
    task: str
    field: str


class Refused(Exception):
    """A push that changes nothing, because of these problems (at least one)."""

    def __init__(self, problems: list[Problem], outside: Sequence[Outside] = ()) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
        self.outside = tuple(outside)  #: what else may be wrong: only the datastore knows


class Problems:
    """The problems of one file as they are found."""

    def __init__(self) -> None:
        self.count = 0
        self.outside: dict[str, Outside] = {}  #: by source
        self._kept: list[Problem] = []

    def add(self, task: str, field: str, message: str) -> None:
        """One more."""
        self.count += 1
        if self.count <= LIMIT:
            self._kept.append(Problem(task, field, message))

    @property
    def full(self) -> bool:
        """Whether the next problem would only be counted: its sentence need not be made."""
        return self.count >= LIMIT

    def raise_if_any(self) -> None:
        """Raise Refused with all of them."""
        if self.count > LIMIT:
            raise Refused([*self._kept, Problem("", "", f"and {self.count - LIMIT:,} more problems")])
        if self.count:
            raise Refused(list(self._kept), list(self.outside.values()))


class Neighbours:
    """Known names, asked for the one that is most like an unknown one. Of many only the neighbours in the alphabet are compared."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = known
        self._sorted: list[str] | None = None

    def hint(self, name: str) -> str:
        """``" (did you mean 'x'?)"``; empty when no name is like this one."""
        if self._sorted is None:
            self._sorted = sorted(self._known)
        place = bisect_left(self._sorted, name)
        pool = self._sorted[max(0, place - _POOL) : place + _POOL]
        lowered = {word.lower(): word for word in reversed(pool)}
        near = difflib.get_close_matches(name.lower(), lowered, 1, 0.6)
        return f" (did you mean {quoted(lowered[near[0]])}?)" if near else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """``Neighbours`` for one question."""
    return Neighbours(known).hint(name)


def quoted(text: str) -> str:
    """A name or path of a user's between quotes, cut when it is long."""
    cut = text if len(text) <= 120 else text[:100] + "..."
    return "'" + "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in cut) + "'"
