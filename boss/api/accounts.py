"""Who is at the door: a bearer token becomes a caller, as long as it holds.

Rules:
- Tokens are looked up by their SHA-256: what a stranger sends is hashed before it is compared with anything, so time tells nothing.
- What was revoked opens nothing from the commit on, and what expired nothing from its second on: also not what is open already.
- The tokens of the boss's own state folder are admins; no command takes them away.
- When a token was used is noted in memory, and handed to the loop at most once a minute.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from boss.api.answers import Refusal
from boss.core.requests import TokensUsed
from boss.core.tokens import LOCAL, Role, Token
from boss.ports import Desk

#: Seconds between two notes of one token's use.
NOTED = 60.0
NO_TOKEN = "this needs a token: set ECLOUD_TOKEN to yours, or ask on the boss's machine as its user"  # noqa: S105 (a sentence)
UNKNOWN = (
    "this token was revoked, or is not known: set ECLOUD_TOKEN to a valid one; an admin makes them with `admin.py create_token`"
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a name and a role, by the token of this id. ``digest`` is the token's; ``expires`` is None for never.

    ``session`` is the digest of the session of the web page by which they were let in; empty for a token.
    """

    name: str
    role: Role
    token: str
    digest: str
    expires: float | None = None
    session: str = ""

    def __str__(self) -> str:
        return f"{self.name}, {'an' if self.role is Role.ADMIN else 'a'} {self.role}"


class Accounts:
    """The tokens that open the door. ``local`` maps the texts of the state folder's tokens to their owners. Lives on the event loop."""

    def __init__(self, desk: Desk, local: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        self._desk = desk
        self._clock = clock
        self._local = {digest_of(text): Caller(name, Role.ADMIN, LOCAL, digest_of(text)) for text, name in local.items()}
        self._used: dict[str, float] = {}
        self._noted: dict[str, float] = {}

    def admit(self, header: str) -> Caller:
        """Whose token an Authorization header carries. Raises Refusal."""
        kind, _, text = header.partition(" ")
        if kind.lower() != "bearer" or not text.strip():
            raise Refusal(401, NO_TOKEN)
        digest = digest_of(text.strip())
        caller = self._local.get(digest)
        if caller is None:
            caller = self._stored(digest)
            self._note(caller.token)
        return caller

    def holds(self, caller: Caller) -> bool:
        """Whether a caller who was let in may still be here."""
        return caller.digest in self._local or (caller.digest in (self._desk.tokens() or {}) and not self._over(caller.expires))

    def farewell(self, caller: Caller) -> str:
        """Why a caller may be here no longer, in one sentence."""
        return expired(caller.expires) if caller.expires is not None and self._over(caller.expires) else UNKNOWN

    def local_names(self) -> set[str]:
        """The owners of the tokens of the state folder."""
        return {caller.name for caller in self._local.values()}

    def tokens(self) -> list[Token]:
        """All tokens that can be revoked, oldest first."""
        return sorted((self._desk.tokens() or {}).values(), key=lambda token: (token.created, token.id))

    def used(self, token: Token) -> float | None:
        """When a token was last shown, to the second."""
        return max(self._used.get(token.id, 0.0), token.used or 0.0) or None

    def over(self, token: Token) -> bool:
        """Whether a token has expired."""
        return self._over(token.expires)

    def _stored(self, digest: str) -> Caller:
        tokens = self._desk.tokens()
        if tokens is None:
            raise Refusal(503, "the boss is starting and has not read its tokens yet; ask again in a moment")
        token = tokens.get(digest)
        if token is None:
            raise Refusal(401, UNKNOWN)
        if self._over(token.expires):
            raise Refusal(401, expired(token.expires))
        return Caller(token.name, token.role, token.id, digest, token.expires)

    def _over(self, expires: float | None) -> bool:
        return expires is not None and self._clock() >= expires

    def _note(self, token: str) -> None:
        now = self._clock()
        self._used[token] = now
        if now - self._noted.get(token, 0.0) >= NOTED:
            self._noted[token] = now
            self._desk.put(TokensUsed({token: now}))


def digest_of(text: str) -> str:
    """The SHA-256 of a token's text, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def expired(expires: float | None) -> str:
    """The sentence for a token that is over."""
    when = datetime.fromtimestamp(expires or 0.0).astimezone().strftime("%Y-%m-%d %H:%M")
    return f"this token expired on {when}: an admin makes another with `admin.py create_token`"


def may_change(caller: Caller, owner: str) -> bool:
    """Whether the caller may change the jobs of this owner."""
    return caller.role is Role.ADMIN or (caller.role is Role.RESEARCHER and caller.name == owner)


def must_own(caller: Caller, job: str, owner: str) -> None:
    """Raises Refusal unless the caller may change this job."""
    if may_change(caller, owner):
        return
    raise Refusal(403, f"job {job} belongs to {owner}: only {owner} or an admin may change it, you are {caller}")
