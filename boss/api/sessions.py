"""Sessions of the web page: a token that was shown once becomes a cookie and a word, so that the token is kept in no browser.

Rules:
- The cookie lets its browser look; to change anything (and for every call of the API) the word must come too, in a header. The word is
  told once, to the script of the page, which keeps it for its own origin: neither another site, which can make a browser send the
  cookie, nor another server on this host, which is sent the cookie too (cookies know no ports), ever has it.
- Both are 256 random bits, and only their SHA-256 are kept.
- A session ends with its token (revoked, expired), by itself after ``IDLE`` without a request and after ``LONGEST`` in any case, by
  logging out, and with the boss: it is kept in memory alone.
- A token has so many sessions at most, and so has the boss; the one that was quiet for longest makes room.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from boss.api.accounts import Accounts, Caller, digest_of
from boss.api.answers import Refusal

#: Seconds without a request after which a session is over, and the longest that one lasts.
IDLE, LONGEST = 12 * 3600.0, 7 * 86400.0
#: Sessions of one token, and of all, at most.
OF_ONE, OF_ALL = 20, 2000
#: The header that carries the word.
WORD_HEADER = "x-ecloud-word"
NO_SESSION = "this needs a log-in: open the boss's page and show your token there"
ENDED = "this log-in is over: log in again"
NO_WORD = f"a request by cookie needs the session's word in the header {WORD_HEADER}: log in again on the page"


@dataclass(slots=True)
class _Session:
    caller: Caller
    word: str
    begun: float
    seen: float


class Sessions:
    """The sessions that are open. Lives on the event loop, like the ``accounts`` whose tokens they stand for."""

    def __init__(self, accounts: Accounts, clock: Callable[[], float] = time.monotonic) -> None:
        self._accounts = accounts
        self._clock = clock
        self._open: dict[str, _Session] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, caller: Caller) -> tuple[str, str]:
        """A new session for whoever has shown a token: the cookie's text, and the word."""
        self._sweep()
        self._make_room([digest for digest, one in self._open.items() if one.caller.digest == caller.digest], OF_ONE)
        self._make_room(list(self._open), OF_ALL)
        cookie, word = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        digest, now = digest_of(cookie), self._clock()
        theirs = Caller(caller.name, caller.role, caller.token, caller.digest, caller.expires, digest)
        self._open[digest] = _Session(theirs, digest_of(word), now, now)
        return cookie, word

    def admit(self, cookie: str, word: str | None) -> Caller:
        """Whose session a cookie is of; ``word`` None: only a page is looked at. Raises Refusal."""
        if not cookie:
            raise Refusal(401, NO_SESSION)
        one = self._open.get(digest_of(cookie))
        if one is None or not self.holds(one.caller):
            raise Refusal(401, ENDED)
        if word is not None and not secrets.compare_digest(one.word, digest_of(word)):
            raise Refusal(403, NO_WORD)
        one.seen = self._clock()
        return one.caller

    def holds(self, caller: Caller) -> bool:
        """Whether the session by which a caller was let in is still open; ended ones are forgotten."""
        one = self._open.get(caller.session)
        if one is None:
            return False
        now = self._clock()
        if now - one.seen >= IDLE or now - one.begun >= LONGEST or not self._accounts.holds(caller):
            del self._open[caller.session]
            return False
        return True

    def end(self, caller: Caller) -> None:
        """Log out."""
        self._open.pop(caller.session, None)

    def _sweep(self) -> None:
        for one in list(self._open.values()):
            self.holds(one.caller)

    def _make_room(self, among: list[str], limit: int) -> None:
        """Forget the sessions that were quiet for longest, until one more may come."""
        among.sort(key=lambda digest: self._open[digest].seen)
        for digest in among[: max(0, len(among) - limit + 1)]:
            del self._open[digest]
