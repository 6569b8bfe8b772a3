"""Who may come in: roles, names, and the tokens that carry them. A token's text is nowhere in the boss, only its digest.

Rules:
- A token is 256 random bits, so a plain SHA-256 of it is safe to keep, and a look-up by that digest tells nothing by its time.
- A job belongs to a name. A name may have several tokens (a laptop, a script); all of them have one role.
- A revoked token is forgotten; an expired one is kept for those who ask, and opens nothing.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

#: The id of the token in the boss's own state folder: no row of the store has it.
LOCAL = "local"
#: How long access to the datastore is given for, in seconds; and the fact in the context with the tokens that were revoked while
#: access that was given for them may still hold: JSON, id -> until when (Unix time).
ACCESS = 3600.0
REVOKED_FACT = "revoked_tokens"
#: Clocks differ: for so long, in seconds, a revoked token is remembered beyond its accesses.
_SLACK = 300.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_ID = re.compile(r"tok-[0-9a-f]{8}")


class Role(StrEnum):
    """What a token lets its name do; each may do what the ones before it may."""

    VIEWER = "viewer"  #: sees everything, fetches results, changes nothing
    RESEARCHER = "researcher"  #: pushes jobs and changes the own ones
    ADMIN = "admin"  #: changes all jobs, workers, context and tokens

    def covers(self, needed: "Role") -> bool:
        """Whether this role may do what takes ``needed``."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(slots=True, eq=False)
class Token:
    """One token. ``digest`` is the SHA-256 of its text in hex; times are Unix seconds, ``expires`` None means never."""

    id: str
    name: str
    role: Role
    digest: str
    created: float
    expires: float | None = None
    used: float | None = None

    def expired(self, wall: float) -> bool:
        """Whether it opens nothing any more at this time of day."""
        return self.expires is not None and wall >= self.expires


def check_name(name: str) -> str:
    """The name, if somebody may be called so. Raises ValueError with the rule."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of an owner: letters, digits, '.', '_', '-' and '@', at most 64, the first a letter or digit"
        )
    if name == LOCAL or _ID.fullmatch(name):
        raise ValueError(f"{name!r} is no name of an owner: it looks like the id of a token; choose another")
    return name


def still_revoked(fact: str | None, wall: float) -> dict[str, float]:
    """The tokens of ``REVOKED_FACT`` for which access may still hold."""
    found = json.loads(fact) if fact else {}
    return {str(name): float(until) for name, until in found.items() if float(until) > wall}


def with_revoked(fact: str | None, tokens: Iterable[str], wall: float) -> str:
    """``REVOKED_FACT`` with these tokens, without those whose time is over."""
    return json.dumps(still_revoked(fact, wall) | dict.fromkeys(tokens, wall + ACCESS + _SLACK), sort_keys=True)
