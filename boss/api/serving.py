"""The API's address, its tokens, and the HTTP servers (of the API, of the join door), each on a thread of its own.

Rules:
- The port is chosen once and kept, so that scripts and open pages find the boss again after a restart; only if another program has it,
  another is chosen.
- The address and the token lie in one file of mode 0600 in the state folder: whoever can read it is the admin.
"""

import json
import logging
import secrets
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp

from boss.adapters import tls as certificates
from boss.adapters.certificates import TlsFiles
from boss.adapters.keys import write_private
from boss.adapters.sockets import kept_port, listening
from boss.api.impatient import Impatient

_START_TIMEOUT = 30.0
#: Bytes of a request's line and headers at most.
_LONGEST_HEAD = 64 * 1024
_MOVED = ": whoever has set ECLOUD_API_URL, or opened a page of the API, must be told the new address"
#: Addresses that mean all of this machine's, and where the machine itself finds what listens there.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared with, not listened on)


log = logging.getLogger(__name__)


def address_of(host: str, port: int, kept: Path, scheme: str = "http") -> tuple[str, socket.socket]:
    """The API's URL for this machine, and the socket that listens. ``port`` 0: the kept one if it is free, else a new one, which is kept.

    Raises OSError when an address that was asked for cannot be had.
    """
    chosen = port or kept_port(kept, host=host, then=_MOVED)
    try:
        listener = listening(host, chosen, backlog=128)
    except OSError as error:
        raise OSError(f"the API cannot listen on {host}:{chosen} ({error}); choose another `host` or `port` in `[api]`") from None
    host = _EVERYWHERE.get(host, host)
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{chosen}", listener


def public_address(host: str, url: str, name: str) -> str:
    """The URL for people on other machines: by the machine's ``name`` where the API listens on all its addresses."""
    scheme, port = url.partition(":")[0], url.rsplit(":", 1)[1]
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}" if host in _EVERYWHERE else url


def is_everywhere(host: str) -> bool:
    """Whether this means all addresses of this machine."""
    return host in _EVERYWHERE


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    return host in ("localhost", "::1") or host.startswith("127.")


def tokens_of(path: Path, url: str, owner: str, trust: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """Token -> owner; the token is kept from life to life, the file is written anew with the address.

    ``trust`` is what programs of this machine verify an HTTPS address with: ``ca``, a path, and ``name``, if not the address's.
    """
    try:
        token = str(json.loads(path.read_text())["token"])
    except (OSError, ValueError, KeyError):
        token = secrets.token_urlsafe(32)
    write_private(path, json.dumps({"url": url, "token": token, **(trust or {})}).encode())
    return {token: owner}


class Served:
    """An app, served on a listening socket while the context lasts; with ``tls`` over HTTPS.

    ``at_once`` bounds the connections that are served at the same time; more are answered 503.
    """

    def __init__(
        self, app: ASGIApp, listener: socket.socket, tls: TlsFiles | None = None, name: str = "api", at_once: int | None = None
    ) -> None:
        self._listener = listener
        self._name = name
        self._tls = tls
        context = self._context = certificates.server_context(tls.certificate, tls.key) if tls is not None else None
        self._shown = _bytes_of(tls)
        options = uvicorn.Config(
            app,
            http=Impatient,
            interface="asgi3",
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
            limit_concurrency=at_once,
            server_header=False,
            proxy_headers=tls is None,  # of a proxy on this machine; whoever comes over our TLS has come himself
            h11_max_incomplete_event_size=_LONGEST_HEAD,
            ssl_context_factory=(lambda _config, _default: context) if context is not None else None,
        )
        self._server = uvicorn.Server(options)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name=name, daemon=True)

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return self._context is not None

    def connections(self) -> int:
        """How many clients are connected at this moment."""
        return len(self._server.server_state.connections)

    def renew(self) -> bool:
        """Show what the certificate's files hold now, if that has changed, to whoever connects from now on; whether it has.

        What is connected stays so. Raises OSError (ssl.SSLError) for files that do not fit, and goes on with the old ones.
        """
        shown = _bytes_of(self._tls)
        if self._tls is None or self._context is None or shown == self._shown:
            return False
        certificates.server_context(self._tls.certificate, self._tls.key)  # tried on another one first
        self._context.load_cert_chain(self._tls.certificate, self._tls.key)
        self._shown = shown
        log.info("the %s shows a new certificate", self._name)
        return True

    def __enter__(self) -> "Served":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.should_exit = True
        self._thread.join(_START_TIMEOUT)
        self._listener.close()


def _bytes_of(tls: TlsFiles | None) -> bytes:
    return b"" if tls is None else tls.certificate.read_bytes() + tls.key.read_bytes()
