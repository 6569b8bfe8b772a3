"""The door: no request passes without a token, and none is longer than it may be. Plain ASGI, so that nothing is read before.

Rules:
- Everything below /api/ needs ``Authorization: Bearer <token>``, except /api/v1/health. Tokens are compared in constant time.
- A body that is too long is read to its end (up to a bound) and thrown away before the answer: a sender that is still
  writing would see a broken connection instead of the reason.
"""

import hmac
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boss.api.answers import Refusal, refuse

HEALTH = "/api/v1/health"
#: Bytes that a request may have beside the task file: the inventory of a push, lists of targets.
MARGIN = 64 * 1024 * 1024
#: Bytes of a body that is refused that are read all the same.
DRAINED = 1024 * 1024 * 1024


class Door:
    """ASGI middleware. ``tokens`` maps each bearer token to its owner; ``max_task_file`` is in bytes."""

    def __init__(self, app: ASGIApp, tokens: Mapping[str, str], max_task_file: int) -> None:
        self._app = app
        self._tokens = {token.encode(): owner for token, owner in tokens.items()}
        self._limit = max_task_file + MARGIN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith("/api/") and scope["path"] != HEALTH:
            owner = self._owner(Headers(scope=scope).get("authorization", ""))
            if owner is None:
                answer = refuse(401, "this needs the boss's token: set ECLOUD_TOKEN, or ask on the boss's machine as its user")
                answer.headers["WWW-Authenticate"] = "Bearer"
                await answer(scope, receive, send)
                return
            scope.setdefault("state", {})["owner"] = owner
        length = Headers(scope=scope).get("content-length", "")
        if length.isdigit() and int(length) > self._limit:
            await _drain(receive)
            await refuse(413, self._too_long())(scope, receive, send)
            return
        await self._app(scope, self._counted(receive), send)

    def _owner(self, header: str) -> str | None:
        kind, _, token = header.partition(" ")
        if kind.lower() != "bearer":
            return None
        found = None
        for known, owner in self._tokens.items():  # all of them, so that time tells nothing
            if hmac.compare_digest(known, token.strip().encode("utf-8", "surrogateescape")):
                found = owner
        return found

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
