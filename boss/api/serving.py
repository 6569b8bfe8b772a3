"""The API's address, its tokens, and the HTTP servers (of the API, of the join door), each on a thread of its own.

Rules:
- The port is chosen once and kept, so that scripts and open pages find the boss again after a restart; only if another program has it,
  another is chosen.
- The address and the token lie in one file of mode 0600 in the state folder: whoever can read it is the admin.
"""

import json
import secrets
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp

from boss.adapters.certificates import TlsFiles
from boss.adapters.keys import write_private
from boss.adapters.sockets import kept_port

_START_TIMEOUT = 30.0
_MOVED = ": whoever has set ECLOUD_API_URL, or opened a page of the API, must be told the new address"
#: Addresses that mean all of this machine's, and where the machine itself finds what listens there.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared with, not listened on)


def address_of(host: str, port: int, kept: Path) -> tuple[str, socket.socket]:
    """The API's URL for this machine, and the socket that listens. ``port`` 0: the kept one if it is free, else a new one, which is kept.

    Raises OSError when an address that was asked for cannot be had.
    """
    chosen = port or kept_port(kept, host=host, then=_MOVED)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, chosen), family=family, backlog=128)
    except OSError as error:
        raise OSError(f"the API cannot listen on {host}:{chosen} ({error}); choose another `host` or `port` in `[api]`") from None
    host = _EVERYWHERE.get(host, host)
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{chosen}", listener


def public_address(host: str, url: str) -> str:
    """The URL for people on other machines: by this machine's name where the API listens on all its addresses."""
    return f"http://{socket.getfqdn()}:{url.rsplit(':', 1)[1]}" if host in _EVERYWHERE else url


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    return host in ("localhost", "::1") or host.startswith("127.")


def tokens_of(path: Path, url: str, owner: str) -> Mapping[str, str]:
    """Token -> owner; the token is kept from life to life, the file is written anew with the address."""
    try:
        token = str(json.loads(path.read_text())["token"])
    except (OSError, ValueError, KeyError):
        token = secrets.token_urlsafe(32)
    write_private(path, json.dumps({"url": url, "token": token}).encode())
    return {token: owner}


class Served:
    """An app, served on a listening socket while the context lasts; with ``tls`` over HTTPS.

    ``at_once`` bounds the connections that are served at the same time; more are answered 503.
    """

    def __init__(
        self, app: ASGIApp, listener: socket.socket, tls: TlsFiles | None = None, name: str = "api", at_once: int | None = None
    ) -> None:
        self._listener = listener
        options = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
            limit_concurrency=at_once,
            server_header=tls is None,
            ssl_certfile=tls.certificate if tls is not None else None,
            ssl_keyfile=tls.key if tls is not None else None,
        )
        self._server = uvicorn.Server(options)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name=name, daemon=True)

    def __enter__(self) -> "Served":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join(_START_TIMEOUT)
        self._listener.close()
