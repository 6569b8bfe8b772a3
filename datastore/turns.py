"""How many transfers move data at once: the rest of them wait in line, so that hundreds of tasks that end together do not choke each other.

Rules:
- A session takes a turn for a request once that has moved more than ``FREE`` bytes: what is small never waits. It keeps the turn while the
  files are made durable, too, because that is the disk's work.
- First come, first served. A turn that has lasted for ``QUANTUM`` goes to the end of the line when others wait there: a file of a
  terabyte delays the others by seconds. A caller that lets the gate wait gives its turn back.
- Turns and places in the line are locks on bytes of an empty file. The kernel lets go of them whatever becomes of a process, so nothing is
  ever stale and nobody keeps a count. The place in the line is the time (of this host, since it was started) as the lock's offset.
- Who waits keeps its connection: sshd answers for it, and what the caller sends waits in the pipe. No deadline runs meanwhile.

Python 3.9 syntax, standard library only; Linux.
"""

import errno
import fcntl
import os
import time
from typing import Callable

from datastore.pipes import NARROW, WIDE, widen
from datastore.tree import Tree

#: The file of the locks.
TURNS = "turns"
#: How much a request moves without a turn, in bytes.
FREE = 256 * 1024
#: How long a turn lasts when others wait, in seconds.
QUANTUM = 5.0
#: How often the first in the line looks for a turn, in seconds.
LOOK = 0.02

#: Offsets of the locks: turns from 0 on, the line above them.
_LINE = 1 << 61
_READ_ONLY = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class Turns:
    """One session's turns. ``most`` is told how many there are at the time (0: no bound); the file stays open until the process ends,
    because closing it would drop its locks."""

    def __init__(self, tree: Tree, most: Callable[[], int], quantum: float = QUANTUM) -> None:
        self._most = most
        self._quantum = quantum
        self._file = _opened(tree)
        self._asked = False  # whether a request is under way that may take a turn
        self._moved = 0
        self._turn = -1
        self._since = 0.0

    def begin(self) -> None:
        """A request begins whose data count."""
        self._asked, self._moved = True, 0

    def end(self) -> None:
        """It is done, whatever became of it."""
        self._asked = False
        self.pause()

    def moved(self, size: int) -> None:
        """So many bytes are about to go on: returns when they may."""
        self._moved += size
        if not self._asked or self._file < 0 or self._moved <= FREE:
            return
        if self._turn < 0:
            self._take()
        elif time.monotonic() >= self._since + self._quantum:
            self._since = time.monotonic()
            if self._others_wait():
                self.pause()
                self._take()

    def pause(self) -> None:
        """Give the turn back, if there is one; it is taken again when the next bytes go on."""
        if self._turn >= 0:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._turn)
            self._turn = -1
            _pipes(NARROW)

    def _take(self) -> None:
        """Wait in line, then for a turn."""
        if not self._most():
            return
        place = self._line_up()
        try:
            self._wait_for_those_before(place)
            while not self._found():
                time.sleep(LOOK)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)
        self._since = time.monotonic()
        _pipes(WIDE)

    def _line_up(self) -> int:
        """Stand at the end of the line; the offset of the place."""
        while True:
            place = _LINE + time.monotonic_ns()
            if self._lock(place):
                return place

    def _wait_for_those_before(self, place: int) -> None:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_SH, place - _LINE, _LINE)
        except OSError as error:
            if error.errno not in (errno.EDEADLK, errno.ENOLCK):
                raise
            return  # the kernel is at its wits' end: this one looks for a turn beside the first in the line
        fcntl.lockf(self._file, fcntl.LOCK_UN, place - _LINE, _LINE)

    def _found(self) -> bool:
        """Whether there is a turn: one is free, or nobody counts any more."""
        most = self._most()
        if not most:
            return True
        for turn in range(most):
            if self._lock(turn):
                self._turn = turn
                return True
        return False

    def _others_wait(self) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB, 0, _LINE)
        except (BlockingIOError, PermissionError):
            return True
        fcntl.lockf(self._file, fcntl.LOCK_UN, 0, _LINE)
        return False

    def _lock(self, offset: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except (BlockingIOError, PermissionError):
            return False
        return True


def _opened(tree: Tree) -> int:
    """The file of the locks; -1 where there is no room for it: then nobody waits."""
    try:
        return os.open(TURNS, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=tree.descriptor)
    except OSError as error:
        if error.errno in _READ_ONLY:
            return -1
        raise


def _pipes(size: int) -> None:
    """Let the pipes of this session hold much as long as it moves data."""
    widen(0, size)
    widen(1, size)
