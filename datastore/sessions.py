"""How many sessions one caller may have at once, and how long it may say nothing in one.

Rules:
- Each session holds one of its caller's places for as long as its process lives: a lock on one byte of an empty file, which the kernel
  lets go of whatever becomes of the process. A caller that opens sessions without end takes nothing from the others but log-ins.
- A caller that says nothing, or takes nothing, for longer than anybody needs is let go. The boss's own session lasts and waits for ever.

Python 3.9 syntax, standard library only.
"""

import errno
import fcntl
import hashlib
import io
import os
import select
from typing import Any, Callable

from datastore.frames import GateTrouble, WireBroken
from datastore.tree import Tree

#: The file of the places.
PLACES = "sessions"
#: How many sessions one caller may have at once: a worker's connection has eight, and an old one may linger for a minute.
MOST = 32
#: How long a caller may keep the gate waiting, in seconds.
PATIENCE = 900.0
#: After so many seconds without a byte it counts as one that moves nothing.
STALL = 1.0


def take_place(tree: Tree, caller: str, most: int = MOST) -> int:
    """A descriptor that holds one of the caller's places until it is closed, or -1 where there is no room for the file.

    Raises GateTrouble when all are taken.
    """
    try:
        descriptor = os.open(PLACES, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=tree.descriptor)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return -1
        raise
    first = int.from_bytes(hashlib.sha256(caller.encode("utf-8", "replace")).digest()[:6], "big") * 1024
    for place in range(most):
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, first + place)
        except (BlockingIOError, PermissionError):
            continue
        return descriptor
    os.close(descriptor)
    raise GateTrouble("%s has %d sessions here already: end one first" % (caller, most))


class Patient(io.RawIOBase):
    """A descriptor to read or write, whose other side may keep us waiting so many seconds and no longer (WireBroken).

    ``stalled`` is called when it has kept us waiting for ``STALL``.
    """

    def __init__(self, descriptor: int, patience: float, stalled: Callable[[], None] = lambda: None) -> None:
        self._descriptor = descriptor
        self._patience = patience
        self._stalled = stalled
        self._poll = select.poll()
        self._poll.register(descriptor)
        os.set_blocking(descriptor, False)  # a write that does not fit into a pipe would wait in the kernel, for ever

    def readable(self) -> bool:
        """It depends on the descriptor."""
        return True

    def writable(self) -> bool:
        """It depends on the descriptor."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As a raw file does."""
        while True:
            try:
                return os.readv(self._descriptor, [buffer])
            except BlockingIOError:
                self._wait(select.POLLIN, "said")

    def write(self, data: Any) -> int:
        """As a raw file does."""
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                self._wait(select.POLLOUT, "taken")

    def sendfile(self, source: int, offset: int, count: int) -> int:
        """Write bytes of an open file without reading them; how many, as ``os.sendfile`` does."""
        while True:
            try:
                return os.sendfile(self._descriptor, source, offset, count)
            except BlockingIOError:
                self._wait(select.POLLOUT, "taken")

    def _wait(self, what: int, done: str) -> None:
        self._poll.modify(self._descriptor, what)
        if self._poll.poll(min(STALL, self._patience) * 1000):
            return
        self._stalled()
        if not self._poll.poll(max(0.0, self._patience - STALL) * 1000):
            raise WireBroken("nothing was %s for %g s" % (done, self._patience))
