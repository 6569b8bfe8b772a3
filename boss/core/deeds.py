"""What people have done or tried, for the audit: who, when, what, and what came of it. Plain data.

Rules:
- A change is noted in the turn that makes it, so that one is never durable without the other (``boss.core.audit``); what is refused
  before it gets to the loop comes as ``DeedsSeen``.
- No text of a token, key or file is ever part of it.
"""

from dataclasses import dataclass

#: The longest target, and the longest sentence of an outcome, in characters.
LONGEST = 500


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: a name, a role and the id of the token (all empty for a stranger), and the address."""

    who: str
    role: str
    token: str
    address: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit. ``at`` is Unix time (0.0: when it gets to the loop).

    ``code`` follows HTTP; ``said`` is empty when it was done.
    """

    at: float
    asker: Asker
    verb: str
    job: str = ""
    target: str = ""
    code: int = 200
    said: str = ""

    def shortened(self) -> "Entry":
        """The same, no longer than an entry may be."""
        return Entry(self.at, self.asker, self.verb, self.job, self.target[:LONGEST], self.code, self.said[:LONGEST])


@dataclass(frozen=True, slots=True)
class DeedsSeen:
    """What was refused, or done, without a change of the state: log-ins, requests that the API turned down, certificates that it gave."""

    entries: tuple[Entry, ...]
    reply: int = 0
