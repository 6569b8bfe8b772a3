"""Receivers of messages for tests: a real mail server and a real web server on loopback, with TLS, that remember what they got."""

import socket
import ssl
import threading
from collections.abc import Callable
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from boss.adapters.certificates import Authority

USER, PASSWORD = "ecloud", "mail-pass-phrase"


def server_tls(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """What a server on loopback shows, and the file of the CA that signed it."""
    files = Authority(folder).server(["localhost", "127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context, files.ca


class MailServer:
    """Takes mail; ``refuse`` answers RCPT with these words. ``security`` as in the settings; with ``log_in`` only after one."""

    def __init__(self, folder: Path, security: str = "none", log_in: bool = False) -> None:
        context, self.ca = server_tls(folder)
        self.mails: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.to: list[list[str]] = []
        self.refuse: Callable[[str], str] = lambda address: ""
        options: dict[str, Any] = {"server_hostname": "localhost.test"}
        if log_in:
            options |= {"authenticator": self._knows, "auth_required": True, "auth_require_tls": security == "starttls"}
        if security == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        self._controller = _Controller(
            self,
            hostname="127.0.0.1",
            port=0,
            ready_timeout=30,
            **options,
            ssl_context=context if security == "tls" else None,
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._controller.server.sockets[0].getsockname()[1])  # type: ignore[union-attr]

    def _knows(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any) -> str:
        """A receiver is named."""
        if said := self.refuse(address):
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """A mail has come."""
        content = envelope.content
        assert isinstance(content, bytes)
        self.raw.append(content)
        mail = BytesParser(policy=default).parsebytes(content)
        assert isinstance(mail, EmailMessage)
        self.to.append(list(envelope.rcpt_tos))
        self.mails.append(mail)
        return "250 OK"

    def __enter__(self) -> "MailServer":
        self._controller.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._controller.stop()


class _Controller(Controller):
    def _trigger_server(self) -> None:
        """The library would connect to the port that was asked for, which is 0 here, to see that it is served."""
        with socket.create_connection(("127.0.0.1", self.server.sockets[0].getsockname()[1])) as seen:  # type: ignore[union-attr]
            seen.settimeout(10)
            if self.ssl_context is None:
                seen.recv(100)  # the greeting


class Hook:
    """A web server that takes POSTs; ``answers`` are the statuses of the next ones, with their headers, 200 when there is none left."""

    def __init__(self, folder: Path | None = None) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers = hook.answers.pop(0) if hook.answers else (200, {})
                hook.posts.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(status)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_words: Any) -> None:
                """Nothing is written."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.ca: Path | None = None
        if folder is not None:
            context, self.ca = server_tls(folder)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if folder else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> "Hook":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
