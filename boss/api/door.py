"""The door: no request passes without a token, and none is longer, or slower, than it may be. Plain ASGI, so that nothing is read before.

Rules:
- Everything below /api/, and /metrics, needs ``Authorization: Bearer <token>``, except what is ``OPEN``; or a session of the web
  page, and then its word (``sessions``). Elsewhere a session's cookie is enough: there is nothing but to look. Who that is,
  ``accounts`` says; what they may do, ``roles``.
- Wrong tokens are counted by address and by token; beyond the limit they are answered 429 until a minute is over. A right token is let in
  from anywhere at any time: its 256 bits are not guessed, and behind a proxy or a router all have one address.
- What only looks ends with its token: from the moment when it is revoked or expires, an open stream brings nothing more and is closed.
  What changes something is answered: whoever asked for it should hear whether it happened.
- A body that is too long is read to its end (up to a bound) and thrown away before the answer: a sender that is still
  writing would see a broken connection instead of the reason. One that comes too slowly is given up.
"""

import asyncio
import json
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boss.api.accounts import Accounts, Caller, digest_of
from boss.api.answers import Refusal, refuse
from boss.api.doing import Doing, doing
from boss.api.log_in import cookie_of
from boss.api.noting import Notes, Witness, asker_of
from boss.api.pace import Pace, network
from boss.api.sessions import ENDED, NO_WORD, WORD_HEADER, Sessions
from boss.core.deeds import Entry

#: What needs no token: whether somebody is there, and by which CA to believe it.
OPEN = frozenset({"/api/v1/health", "/api/v1/ca"})
#: Where Prometheus looks.
METRICS = "/metrics"
#: The one route that takes a task file with its CSV files.
PUSHES = "/api/v1/pushes"
#: Bytes that a push may have beside the task file: the inventory of its files.
MARGIN = 64 * 1024 * 1024
#: Bytes that any other request may have (ten thousand targets fit), and what asks for no token.
LIMIT, SMALL = 4 * 1024 * 1024, 64 * 1024
#: Bytes of a body that is refused that are read all the same.
DRAINED = 1024 * 1024 * 1024
#: Seconds between two looks whether the token of an open stream still holds.
LOOK = 0.5
#: Seconds for the next piece of a body; and the bytes a second that a body must have on the average, after so many seconds.
PATIENCE, SLOWEST, GRACE = 30.0, 1024, 30.0
#: Wrong tokens of one address, and showings of one wrong token, within a minute; and how many of them go into the audit.
STRANGE, SAME, NOTED = 60, 30, 10

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
#: Answers of the API are data: no browser is to keep them, or to find anything in them that it could run.
DATA_HEADERS = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}


class Door:
    """ASGI middleware. ``accounts`` knows the tokens, ``sessions`` those of the page, by a ``cookie`` of this name.

    ``max_task_file`` is in bytes.
    """

    def __init__(
        self,
        app: ASGIApp,
        accounts: Accounts,
        max_task_file: int,
        notes: Notes,
        clock: Callable[[], float] = time.monotonic,
        sessions: Sessions | None = None,
        cookie: str = "",
    ) -> None:
        self._app = app
        self._accounts = accounts
        self._sessions = Sessions(accounts) if sessions is None else sessions
        self._cookie = cookie
        self._max_task_file = max_task_file
        self._notes = notes
        self._clock = clock
        self._strange, self._same, self._noted = Pace(STRANGE, clock), Pace(SAME, clock), Pace(NOTED, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(scope, send)
        caller = None
        address = scope["client"][0] if scope.get("client") else "?"
        if scope["path"] not in OPEN:
            headers = Headers(scope=scope)
            authorization = headers.get("authorization", "")
            try:
                caller = self._admit(_is_data(scope), headers)
            except Refusal as refusal:
                await self._turn_away(refusal, authorization, address, scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = caller
        limit = self._limit_of(scope, caller)
        now = Doing(asker_of(caller, address))
        witness = Witness(self._notes, scope, now) if caller is not None else None
        doing.set(now)

        async def witnessed(message: Message) -> None:
            if witness is not None:
                witness.hear(message)
            await send(message)

        try:
            await self._pass(scope, receive, witnessed, caller, limit)
        finally:
            if witness is not None:
                witness.end()

    def holds(self, caller: Caller) -> bool:
        """Whether a caller who was let in may still be here."""
        return self._sessions.holds(caller) if caller.session else self._accounts.holds(caller)

    def farewell(self, caller: Caller) -> str:
        """Why a caller may be here no longer, in one sentence."""
        return ENDED if caller.session and self._accounts.holds(caller) else self._accounts.farewell(caller)

    def _admit(self, api: bool, headers: Headers) -> Caller | None:
        """Who asks; None for nobody in particular, who may see the page's log-in. Raises Refusal."""
        authorization, cookie = headers.get("authorization", ""), cookie_of(headers.get("cookie", ""), self._cookie)
        if not api:
            try:
                return self._sessions.admit(cookie, None)
            except Refusal:
                return None
        if authorization or not cookie:
            return self._accounts.admit(authorization)
        word = headers.get(WORD_HEADER)
        if word is None:
            raise Refusal(401, NO_WORD)
        return self._sessions.admit(cookie, word)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, caller: Caller | None, limit: int) -> None:
        length = Headers(scope=scope).get("content-length", "")
        if length.isdigit() and int(length) > limit:
            if caller is not None:
                await self._drain(receive)
            await refuse(413, self._too_long(scope, limit))(scope, receive, send)
        elif caller is not None and scope["method"] == "GET":
            await _Looking(self._app, self, caller, send).run(scope, self._counted(scope, receive, limit))
        else:
            await self._app(scope, self._counted(scope, receive, limit), send)

    async def _turn_away(
        self, refusal: Refusal, authorization: str, address: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer somebody without a valid token."""
        answer = refuse(refusal.status, refusal.error)
        text = authorization.partition(" ")[2].strip()
        if refusal.status == 401 and text:
            place = network(address)
            wait = max(self._strange.wait(place), self._same.wait(digest_of(text)))
            if wait:
                sentence = (
                    f"too many wrong tokens: wait {wait:.0f} s, and set ECLOUD_TOKEN to a valid one; a valid one is taken at once"
                )
                answer = refuse(429, sentence)
                answer.headers["Retry-After"] = f"{wait:.0f}"
            elif self._noted.may(""):
                who = asker_of(None, address)
                self._notes.put(Entry(0.0, who, "log_in", "", scope["path"][:200], 401, refusal.error.partition(":")[0]))
        if answer.status_code == 401:
            answer.headers["WWW-Authenticate"] = "Bearer"
        await answer(scope, receive, send)

    def _limit_of(self, scope: Scope, caller: Caller | None) -> int:
        if caller is None:
            return SMALL
        return self._max_task_file + MARGIN if scope["path"] == PUSHES else LIMIT

    def _counted(self, scope: Scope, receive: Receive, limit: int) -> Receive:
        got, begun, ended = 0, self._clock(), False

        async def counted() -> Message:
            nonlocal got, ended
            if ended:
                return await receive()  # whether the other side is still there: that may take as long as it likes
            try:
                async with asyncio.timeout(PATIENCE):
                    message = await receive()
            except TimeoutError:
                raise Refusal(408, f"the request's body did not go on for {PATIENCE:.0f} s") from None
            if message["type"] == "http.request":
                got += len(message.get("body", b""))
                ended = not message.get("more_body", False)
                if got > limit:
                    raise Refusal(413, self._too_long(scope, limit))
                spent = self._clock() - begun
                if not ended and spent > GRACE and got < spent * SLOWEST:
                    raise Refusal(408, f"the request's body comes more slowly than {SLOWEST} bytes a second")
            return message

        return counted

    def _too_long(self, scope: Scope, limit: int) -> str:
        if scope["path"] == PUSHES:
            return too_long(self._max_task_file)
        return f"this request is longer than {limit // 1024} KiB, which is the most that {scope['path']} takes"

    async def _drain(self, receive: Receive) -> None:
        got, begun = 0, self._clock()
        while got < DRAINED:
            try:
                async with asyncio.timeout(PATIENCE):
                    message = await receive()
            except TimeoutError:
                return
            got += len(message.get("body", b""))
            slow = self._clock() - begun > GRACE and got < (self._clock() - begun) * SLOWEST
            if message["type"] != "http.request" or not message.get("more_body", False) or slow:
                return


class _Looking:
    """One request that only looks, as long as its caller's token holds."""

    def __init__(self, app: ASGIApp, door: Door, caller: Caller, send: Send) -> None:
        self._app, self._door, self._caller, self._send = app, door, caller, send
        self._begun = False

    async def run(self, scope: Scope, receive: Receive) -> None:
        """Answer it; cut it off when the token does not hold any more."""
        work = asyncio.ensure_future(self._app(scope, receive, self._pass))
        try:
            while not (await asyncio.wait({work}, timeout=LOOK))[0]:
                if not self._door.holds(self._caller):
                    work.cancel()
            await work
        except (_Over, asyncio.CancelledError):
            if self._door.holds(self._caller):
                raise  # the server ends: not a matter of tokens
            await self._say_farewell(scope, receive)
        finally:
            work.cancel()

    async def _pass(self, message: Message) -> None:
        if not self._door.holds(self._caller):
            raise _Over
        self._begun = True
        await self._send(message)

    async def _say_farewell(self, scope: Scope, receive: Receive) -> None:
        sentence = self._door.farewell(self._caller)
        if self._begun:  # only a stream is long enough: its last line says why it ends
            last = json.dumps({"refused": sentence}) + "\n"
            await self._send({"type": "http.response.body", "body": last.encode(), "more_body": False})
        else:
            await refuse(401, sentence)(scope, receive, self._send)


class _Over(Exception):
    """The token does not hold any more."""


def too_long(limit: int) -> str:
    """The sentence for a task file that is larger than the setting allows."""
    return (
        f"the task file, with its CSV files, is larger than {limit / 2**20:g} MiB (setting max_task_file): "
        "use `foreach` instead of a list of like tasks, or split it with --job"
    )


def _is_data(scope: Scope) -> bool:
    """Whether a request is for what only people with a token may know (but for what is ``OPEN``)."""
    return bool(scope["path"].startswith("/api/")) or scope["path"].rstrip("/") == METRICS


def _with_headers(scope: Scope, send: Send) -> Send:
    """Answers with the headers that tell browsers to be careful with them."""
    more = HEADERS | DATA_HEADERS if _is_data(scope) else HEADERS

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in more.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
