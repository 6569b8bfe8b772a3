"""Failed tasks by cause: what thousands of failures have in common, in a few groups that can be read at a glance. Pure.

Rules:
- A cause is the phase, the exit code or signal, and the last line of stderr that is not blank; where the reason says more than that
  (a timeout, no memory, anything outside of the command) the reason stands for the line.
- Numbers in lines count as equal, and are written ``#`` where they differ: the tasks of a sweep fail in one way with a number each.
  When that leaves more than ``FEW`` causes in a job, quoted texts and paths count as equal, too (``...``). What is the same in all
  of them is shown, so a line that only one text has is shown as it is. Exit codes and signals are never folded.
- Whatever fails in whatever ways, at most ``MOST`` causes are kept; what comes after is counted with the others.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from boss.api.wording import LEVELS, NUMBERS, Wording
from boss.core.lines import LINE, last_line
from boss.core.model import Phase
from boss.ports import FailureRow

#: So many causes of one job are told apart by the names in their lines; more are folded.
FEW = 12
#: Causes of one job that are kept while its failures are looked at.
MOST = 4096

_PLAIN = re.compile(r"exit code \d+(?: \([^()]*\))?|killed by \w+")
#: Phase, exit code, signal, reason, line.
_Key = tuple[str, int | None, int | None, str, str]


@dataclass(slots=True)
class Cause:
    """Why ``count`` tasks failed; ``example`` is the id of the first of them. ``folded``: what varies in line or reason is
    left out.

    ``example_line`` is what the example itself has said, where that was folded; else empty.
    """

    phase: str
    exit_code: int | None
    signal: int | None
    reason: str
    line: str
    count: int
    example: str
    folded: bool = False
    example_line: str = ""


class _Group:
    """Failures that count as one, worded as the first of them."""

    __slots__ = ("code", "count", "example", "line", "reason")

    def __init__(self, exact: _Key, example: str, level: int) -> None:
        *_, reason, line = exact
        self.code = exact[:3]
        self.example = example
        self.count = 0
        self.reason = Wording(reason, 0 if _PLAIN.fullmatch(reason) else level)
        self.line = Wording(line, level)

    @property
    def key(self) -> _Key:
        """Equal for failures that count as one."""
        return (*self.code, self.reason.alike, self.line.alike)

    def take(self, other: "_Group") -> None:
        """More of the same."""
        self.count += other.count
        self.reason.meet(other.reason)
        self.line.meet(other.line)

    def raise_to(self, level: int) -> None:
        """Let more count as the same."""
        self.line = self.line.raised(level)
        if not _PLAIN.fullmatch(self.reason.text):
            self.reason = self.reason.raised(level)

    def cause(self) -> Cause:
        """What is told of it."""
        folded = self.line.varies or self.reason.varies
        said = self.line.text or self.reason.text
        return Cause(*self.code, self.reason.shown(), self.line.shown(), self.count, self.example, folded, said if folded else "")


class Causes:
    """The causes of one job's failures, as they are looked at one by one."""

    def __init__(self) -> None:
        self.looked_at = 0
        self.others = 0  #: failures beyond the causes that are kept
        self._level = NUMBERS
        self._found: dict[_Key, _Group] = {}

    def add(self, rows: Iterable[FailureRow]) -> None:
        """Look at failures."""
        for row in rows:
            self.looked_at += 1
            one = _Group(_key(row), row.id, self._level)
            one.count = 1
            while one.key not in self._found and len(self._found) >= MOST and self._level < LEVELS:
                self._fold()
                one.raise_to(self._level)
            if one.key not in self._found and len(self._found) >= MOST:
                self.others += 1
            else:
                self._put(one)

    def causes(self) -> list[Cause]:
        """What was found, folded as far as it must be, the largest first."""
        while len(self._found) > FEW and self._level < LEVELS:
            self._fold()
        return sorted((group.cause() for group in self._found.values()), key=lambda cause: -cause.count)

    def _fold(self) -> None:
        self._level += 1
        found, self._found = self._found, {}
        for group in found.values():
            group.raise_to(self._level)
            self._put(group)

    def _put(self, group: _Group) -> None:
        known = self._found.setdefault(group.key, group)
        if known is not group:
            known.take(group)


def _key(row: FailureRow) -> _Key:
    if row.phase == Phase.RUN and _PLAIN.fullmatch(row.reason):
        return row.phase, row.exit_code, row.signal, row.reason, last_line(row.stderr)
    return row.phase, row.exit_code, row.signal, row.reason[:LINE], ""


def line_of(row: FailureRow) -> str:
    """The last line that a failed task wrote to stderr; empty where there is none, or where the reason says more."""
    return _key(row)[-1]
