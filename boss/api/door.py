"""The door: no request passes without a token, and none is longer than it may be. Plain ASGI, so that nothing is read before.

Rules:
- Everything below /api/ needs ``Authorization: Bearer <token>``, except what is ``OPEN``. Who that is, ``accounts`` says; what they
  may do, ``roles``.
- What only looks ends with its token: from the moment when it is revoked or expires, an open stream brings nothing more and is closed.
  What changes something is answered: whoever asked for it should hear whether it happened.
- A body that is too long is read to its end (up to a bound) and thrown away before the answer: a sender that is still
  writing would see a broken connection instead of the reason.
"""

import asyncio
import json

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boss.api.accounts import Accounts, Caller
from boss.api.answers import Refusal, refuse

#: What needs no token: whether somebody is there, and by which CA to believe it.
OPEN = frozenset({"/api/v1/health", "/api/v1/ca"})
#: Bytes that a request may have beside the task file: the inventory of a push, lists of targets.
MARGIN = 64 * 1024 * 1024
#: Bytes of a body that is refused that are read all the same.
DRAINED = 1024 * 1024 * 1024
#: Seconds between two looks whether the token of an open stream still holds.
LOOK = 0.5


class Door:
    """ASGI middleware. ``accounts`` knows the tokens; ``max_task_file`` is in bytes."""

    def __init__(self, app: ASGIApp, accounts: Accounts, max_task_file: int) -> None:
        self._app = app
        self._accounts = accounts
        self._limit = max_task_file + MARGIN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = None
        if scope["path"].startswith("/api/") and scope["path"] not in OPEN:
            try:
                caller = self._accounts.admit(Headers(scope=scope).get("authorization", ""))
            except Refusal as refusal:
                answer = refuse(refusal.status, refusal.error)
                if refusal.status == 401:
                    answer.headers["WWW-Authenticate"] = "Bearer"
                await answer(scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = caller
        length = Headers(scope=scope).get("content-length", "")
        if length.isdigit() and int(length) > self._limit:
            await _drain(receive)
            await refuse(413, self._too_long())(scope, receive, send)
            return
        if caller is not None and scope["method"] == "GET":
            await _Looking(self._app, self._accounts, caller, send).run(scope, receive)
        else:
            await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            if message["type"] == "http.request":
                got += len(message.get("body", b""))
                if got > self._limit:
                    raise Refusal(413, self._too_long())
            return message

        return counted

    def _too_long(self) -> str:
        return too_long(self._limit - MARGIN)


class _Looking:
    """One request that only looks, as long as its caller's token holds."""

    def __init__(self, app: ASGIApp, accounts: Accounts, caller: Caller, send: Send) -> None:
        self._app, self._accounts, self._caller, self._send = app, accounts, caller, send
        self._begun = False

    async def run(self, scope: Scope, receive: Receive) -> None:
        """Answer it; cut it off when the token does not hold any more."""
        work = asyncio.ensure_future(self._app(scope, receive, self._pass))
        try:
            while not (await asyncio.wait({work}, timeout=LOOK))[0]:
                if not self._accounts.holds(self._caller):
                    work.cancel()
            await work
        except (_Over, asyncio.CancelledError):
            if self._accounts.holds(self._caller):
                raise  # the server ends: not a matter of tokens
            await self._say_farewell(scope, receive)
        finally:
            work.cancel()

    async def _pass(self, message: Message) -> None:
        if not self._accounts.holds(self._caller):
            raise _Over
        self._begun = True
        await self._send(message)

    async def _say_farewell(self, scope: Scope, receive: Receive) -> None:
        sentence = self._accounts.farewell(self._caller)
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


async def _drain(receive: Receive) -> None:
    got = 0
    while got < DRAINED:
        message = await receive()
        got += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
