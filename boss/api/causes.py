"""Failed tasks by cause: what thousands of failures have in common, in a few groups that can be read at a glance. Pure.

Rules:
- A cause is the phase, the exit code or signal, and the last line of stderr that is not blank; where the reason says more than that
  (a timeout, no memory, anything outside of the command) the reason stands for the line.
- Lines are compared as they are. When that leaves more than ``FEW`` causes in a job, numbers in them count as equal (and are written
  ``#`` where they differ); when that still does, so do quoted texts and paths (``...``).
- Whatever fails in whatever ways, at most ``MOST`` causes are kept; what comes after is counted with the others.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from boss.core.lines import LINE, last_line
from boss.core.model import Phase
from boss.ports import FailureRow

#: So many causes of one job are told apart by their exact lines; more are folded.
FEW = 12
#: Causes of one job that are kept while its failures are looked at.
MOST = 4096

_PLAIN = re.compile(r"exit code \d+(?: \([^()]*\))?|killed by \w+")
_NUMBER = re.compile(
    r"0[xX][0-9a-fA-F]+|(?<![\w])(?=[0-9a-fA-F-]*\d)[0-9a-fA-F]{8}(?:[0-9a-fA-F-]*[0-9a-fA-F])?(?![\w])"
    r"|(?:(?<![\w.])[-+])?\d+(?:[.,:]\d+)*(?:[eE][-+]?\d+)?"
)
_NAME = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\S*/\S*")
#: Phase, exit code, signal, reason, line.
_Key = tuple[str, int | None, int | None, str, str]


@dataclass(slots=True)
class Cause:
    """Why ``count`` tasks failed; ``example`` is the id of the first of them. ``folded``: what varies in the line is left out of it."""

    phase: str
    exit_code: int | None
    signal: int | None
    reason: str
    line: str
    count: int
    example: str
    folded: bool = False


@dataclass(slots=True)
class _Group:
    """Failures that count as one; ``exact`` is their cause as it was said, None when it was not always the same."""

    exact: _Key | None
    example: str
    count: int = 0

    def take(self, count: int, exact: _Key | None) -> None:
        """More of the same."""
        self.count += count
        if exact != self.exact:
            self.exact = None


class Causes:
    """The causes of one job's failures, as they are looked at one by one."""

    def __init__(self) -> None:
        self.looked_at = 0
        self.others = 0  #: failures beyond the causes that are kept
        self._level = 0
        self._found: dict[_Key, _Group] = {}

    def add(self, rows: Iterable[FailureRow]) -> None:
        """Look at failures."""
        for row in rows:
            self.looked_at += 1
            exact = _key(row)
            key = _folded(exact, self._level)
            while key not in self._found and len(self._found) >= MOST and self._level < len(_FOLDS):
                self._fold()
                key = _folded(key, self._level)
            if key not in self._found and len(self._found) >= MOST:
                self.others += 1
            else:
                self._found.setdefault(key, _Group(exact, row.id)).take(1, exact)

    def causes(self) -> list[Cause]:
        """What was found, folded as far as it must be, the largest first."""
        while len(self._found) > FEW and self._level < len(_FOLDS):
            self._fold()
        found = [
            Cause(*(group.exact or key), group.count, group.example, folded=group.exact is None)
            for key, group in self._found.items()
        ]
        return sorted(found, key=lambda cause: -cause.count)

    def _fold(self) -> None:
        self._level += 1
        found, self._found = self._found, {}
        for key, group in found.items():
            folded = _folded(key, self._level)
            self._found.setdefault(folded, _Group(group.exact, group.example)).take(group.count, group.exact)


def _key(row: FailureRow) -> _Key:
    if row.phase == Phase.RUN and _PLAIN.fullmatch(row.reason):
        return row.phase, row.exit_code, row.signal, row.reason, last_line(row.stderr)
    return row.phase, row.exit_code, row.signal, row.reason[:LINE], ""


def _without_numbers(text: str) -> str:
    return _NUMBER.sub("#", text)


def _without_names(text: str) -> str:
    return _NAME.sub("...", text)


_FOLDS = (_without_numbers, _without_names)


def _folded(key: _Key, level: int) -> _Key:
    """The cause without what varies: numbers at level 1, quoted texts and paths besides at level 2."""
    if not level:
        return key
    phase, exit_code, signal, reason, line = key
    for fold in _FOLDS[:level]:
        line = fold(line)
        reason = reason if _PLAIN.fullmatch(reason) else fold(reason)
    return phase, exit_code, signal, reason, line
