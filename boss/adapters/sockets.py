"""Ports on this machine: chosen once, kept in a file, found again by the next life of the boss.

Rules:
- A chosen port lies below the range that the kernel gives to outgoing connections: inside it, a client that reconnects while
  its server is away may end up connected to itself, or another program may be given the port meanwhile.
"""

import logging
import secrets
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_PORTS_FROM = 20000
_TRIES = 50

_log = logging.getLogger(__name__)


def kept_port(file: Path, wanted: int = 0, host: str = LOOPBACK, then: str = "") -> int:
    """``wanted``, or else the port kept in ``file``, or else a free one; another if that is taken. Written to ``file``.

    ``then`` is what a warning about another port adds for those who know the old one.
    """
    remembered = wanted or (int(file.read_text()) if file.exists() else 0)
    port = remembered if remembered and is_free(remembered, host) else free_port(host)
    if remembered and port != remembered:
        _log.warning("port %d is taken by another program; using %d%s", remembered, port, then)
    file.write_text(f"{port}\n")
    return port


def free_port(host: str = LOOPBACK) -> int:
    """A port that nobody listens on."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    span = lowest - _PORTS_FROM
    for _ in range(_TRIES if span > 0 else 0):
        port = _PORTS_FROM + secrets.randbelow(span)
        if is_free(port, host):
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def listening(host: str, port: int, backlog: int) -> socket.socket:
    """A listening TCP socket. Raises OSError.

    What it accepts sends at once: an answer of head and body would else wait 40 ms for the acknowledgement of its head.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=backlog)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does so only where the protocol's number is said
    return listener


def answers(port: int, host: str = LOOPBACK, timeout: float = 1.0) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((host, port), timeout).close()
    except OSError:
        return False
    return True
