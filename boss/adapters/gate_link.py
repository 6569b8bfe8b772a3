"""One SSH connection to the datastore, with one session at its gate, as the boss: paramiko, because it needs answers rather than bytes.

Rules:
- The host key is pinned and nothing but the given key is offered; its certificate is read anew at each connection, because it is
  renewed while the boss runs.
- Small requests and answers must not wait for each other's acknowledgement (TCP_NODELAY), and a peer that is gone is noticed.
"""

import io
import socket
from collections.abc import Callable
from typing import Any, cast

import paramiko

from datastore.channel import Endpoint
from datastore.frames import GateError, Items, Line, Wire, WireBroken, checked, converse, greeted
from datastore.pipes import BLOCK

#: How long the parts of a log-in may take, and how often an idle connection says that it lives, in seconds.
LOG_IN = 15.0
KEEP_ALIVE = 15
#: How long sent bytes may stay without acknowledgement before a connection counts as lost, in milliseconds.
USER_TIMEOUT = 30_000


class LinkDown(Exception):
    """There is no connection to the datastore, or it broke; the message says why."""


class GateLink:
    """One SSH connection with one session at the gate, as the boss. One thread uses it at a time; ``close`` may be called by any."""

    def __init__(self, endpoint: Endpoint, patience: float) -> None:
        self.name = f"{endpoint.user}@{endpoint.host}:{endpoint.port}"
        self._endpoint = endpoint
        self._patience = patience
        self._client: paramiko.SSHClient | None = None
        self._wire: Wire | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection that nobody has closed yet."""
        transport = self._client.get_transport() if self._client else None
        return self._wire is not None and transport is not None and transport.is_active()

    def connect(self) -> None:
        """Log in and hear the gate's greeting. Raises LinkDown, or the GateError that it greets with."""
        self.close()
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            client.load_host_keys(self._endpoint.known_hosts)
            sock = socket.create_connection((self._endpoint.host, self._endpoint.port), timeout=LOG_IN)
            self._client = client
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
            self._log_in(client, sock)
            self._wire = self._open_gate(client)
            greeted(self._wire)
        except (OSError, EOFError, paramiko.SSHException, WireBroken) as error:
            self.close()
            raise LinkDown(_sentence(error)) from error
        except GateError:
            self.close()
            raise

    def ask(self, request: Line, take: Callable[[Items], None] | None = None) -> Line:
        """One request and its good answer. Raises LinkDown when the connection breaks or nothing comes in time, GateError."""
        if self._wire is None:
            raise LinkDown("not connected")
        try:
            closing = converse(self._wire, request, take=take)
        except (OSError, EOFError, ValueError, paramiko.SSHException, WireBroken) as error:
            raise LinkDown(_sentence(error)) from error
        return checked(closing)

    def close(self) -> None:
        """Close the connection; whoever asks something meanwhile gets LinkDown."""
        client, self._client, self._wire = self._client, None, None
        if client is not None:
            client.close()

    def _log_in(self, client: paramiko.SSHClient, sock: socket.socket) -> None:
        key = paramiko.PKey.from_path(self._endpoint.key)
        key.load_certificate(self._endpoint.certificate)
        client.connect(
            self._endpoint.host,
            self._endpoint.port,
            self._endpoint.user,
            pkey=key,
            sock=sock,
            allow_agent=False,
            look_for_keys=False,
            banner_timeout=LOG_IN,
            auth_timeout=LOG_IN,
        )

    def _open_gate(self, client: paramiko.SSHClient) -> Wire:
        transport = client.get_transport()
        assert transport is not None
        transport.set_keepalive(KEEP_ALIVE)
        channel = transport.open_session(timeout=LOG_IN)
        channel.settimeout(self._patience)
        channel.exec_command("gate")
        return Wire(
            cast("Any", _Stream(channel)),
            cast("Any", io.BufferedWriter(_Stream(channel), BLOCK)),
        )


class _Stream(io.RawIOBase):
    """A paramiko channel as a raw file, so that the standard library's buffers can be put on it."""

    def __init__(self, channel: paramiko.Channel) -> None:
        super().__init__()
        self._channel = channel

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._channel.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        self._channel.sendall(data)
        return len(data)


def _sentence(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
