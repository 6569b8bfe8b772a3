"""One thing that is worth telling, in words that can do no harm.

Rules:
- A notice is made once, has an id for ever, and is plain data: it lies in the database until everybody has been told.
- What others have written (names, reasons) is one line of bounded length without characters that steer anything, from the start: whatever
  shows a notice later, a header, a terminal or a page, gets nothing else.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

#: Characters of a word (a name) and of a sentence that are kept.
WORD, SENTENCE = 200, 600
_STEERS = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]+"
)


class Kind(StrEnum):
    """What has happened."""

    JOB_DONE = "job_done"  #: a job has succeeded
    JOB_FAILED = "job_failed"  #: a job has ended with tasks that failed
    JOB_PAUSED = "job_paused"  #: the boss has paused a job, because its preparation fails
    FAILURES = "failures"  #: many attempts of a job fail in a short time
    POOL_PAUSED = "pool_paused"  #: no VM of a pool is asked for, because they do not come up
    LEAK = "leak"  #: a cloud has something of this cluster that nobody owns
    DISK = "disk"  #: the disk of the boss or of the datastore is nearly full
    TEST = "test"  #: somebody tries whether messages arrive


class Severity(StrEnum):
    """How much it matters; in rising order."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    def covers(self, other: "Severity") -> bool:
        """Whether whoever asked for this and worse wants the other."""
        order = list(Severity)
        return order.index(other) >= order.index(self)


SEVERITY = {
    Kind.JOB_DONE: Severity.INFO,
    Kind.JOB_FAILED: Severity.WARNING,
    Kind.JOB_PAUSED: Severity.WARNING,
    Kind.FAILURES: Severity.WARNING,
    Kind.POOL_PAUSED: Severity.ERROR,
    Kind.LEAK: Severity.ERROR,
    Kind.DISK: Severity.ERROR,
    Kind.TEST: Severity.INFO,
}
#: What the settings may ask for.
KINDS = tuple(kind.value for kind in Kind if kind is not Kind.TEST)


@dataclass(frozen=True, slots=True)
class Notice:
    """``at`` in Unix seconds; ``about`` names the job, pool, disk ...; ``owner`` is whose job it is, empty for what is everybody's.

    ``text`` is a whole sentence, ``remedy`` the command or the advice that comes next, ``facts`` numbers and names for programs.
    """

    id: str
    kind: Kind
    at: float
    about: str
    text: str
    owner: str = ""
    remedy: str = ""
    facts: Mapping[str, str | float] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        return SEVERITY[self.kind]


def made(
    ident: str,
    kind: Kind,
    at: float,
    about: str,
    text: str,
    owner: str = "",
    remedy: str = "",
    facts: Mapping[str, str | float] | None = None,
) -> Notice:
    """A notice of words that may come from anywhere."""
    clean = {name: harmless(value) if isinstance(value, str) else value for name, value in (facts or {}).items()}
    return Notice(ident, kind, at, harmless(about), harmless(text, SENTENCE), harmless(owner), harmless(remedy, SENTENCE), clean)


def harmless(text: str, longest: int = WORD) -> str:
    """One line without what steers a terminal, a header or the direction of writing; cut where it is too long."""
    line = " ".join(_STEERS.sub(" ", text).split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def to_text(notice: Notice, units: Sequence[str]) -> str:
    """As it lies in the database, with whom is still to be told."""
    row: dict[str, Any] = {name: getattr(notice, name) for name in ("id", "kind", "at", "about", "text", "owner", "remedy")}
    return json.dumps({**row, "facts": dict(notice.facts), "for": list(units)}, separators=(",", ":"))


def from_text(text: str) -> tuple[Notice, list[str]]:
    """The other way round. Raises ValueError for what is none."""
    try:
        row = json.loads(text)
        units = [str(unit) for unit in row.pop("for")]
        return Notice(**{**row, "kind": Kind(row["kind"]), "at": float(row["at"]), "facts": dict(row["facts"])}), units
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no notice: {error}") from None
