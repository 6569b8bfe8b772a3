"""Files that are written first and made durable then, all together.

Rules:
- A few files are handed to the disk all at once and then fsynced, so that they share its commits. For many that would still be one flush of
  the disk for each: their file system is synced as a whole instead (syncfs), which is a single one.
- A large file is handed to the disk while it comes, so that little is left to wait for at its end. What of it is in memory stays there.
- Nothing counts as durable before ``flush`` has returned. What the disk could not write is an OSError there, also by syncfs: the kernel
  tells (since Linux 5.8) who has opened a folder of the file system before. With an older one each file is fsynced.

Python 3.9 syntax, standard library only; Linux.
"""

import ctypes
import os
from typing import List

from datastore.pipes import Bytes

#: So many files are fsynced one by one, and held open until then.
FILES = 64
#: After so many bytes of one file the disk is told to begin with them.
WINDOW = 16 * 1024 * 1024


def _syncs_whole() -> bool:
    """Whether syncfs tells of errors here."""
    major, minor = (int("".join(filter(str.isdigit, part)) or 0) for part in (os.uname().release.split(".") + ["0"])[:2])
    return (major, minor) >= (5, 8) and hasattr(_LIBC, "syncfs")


_LIBC = ctypes.CDLL(None, use_errno=True)
WHOLE = _syncs_whole()


def sync_whole(descriptor: int) -> None:
    """Return when everything that was written to a file system before is on its disk. Raises OSError."""
    if _LIBC.syncfs(descriptor):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Flush:
    """Files that are written but not yet durable; ``root`` is a folder of their file system, open since before they were.

    Leaving it closes what was not flushed, without waiting for the disk.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._many = False
        self._descriptors: List[int] = []

    def __enter__(self) -> "Flush":
        return self

    def __exit__(self, *_error: object) -> None:
        self._close()

    def add(self, descriptor: int) -> int:
        """Take over, and return, the descriptor of a file that is about to be written; those before it are written."""
        if len(self._descriptors) >= FILES:
            if WHOLE:
                self._many = True
                self._close()
            else:
                self.flush()
        self._descriptors.append(descriptor)
        return descriptor

    def flush(self) -> None:
        """Return when all that was added is durable, and closed. Raises OSError."""
        if self._many:
            sync_whole(self._root)
            self._many = False
            self._close()
        if len(self._descriptors) > 1:
            for descriptor in self._descriptors:
                begin(descriptor, 0, 0)
        while self._descriptors:
            os.fsync(self._descriptors[-1])
            os.close(self._descriptors.pop())

    def _close(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())


class Writer:
    """Writes one new file, from its beginning."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begun = 0
        self.size = 0  #: bytes so far

    def write(self, data: Bytes) -> None:
        """Write every byte."""
        size, written = len(data), os.write(self._descriptor, data)
        while written < size:
            written += os.write(self._descriptor, memoryview(data)[written:])
        self.size += size
        if self.size - self._begun >= WINDOW:
            begin(self._descriptor, self._begun, self.size - self._begun)
            self._begun = self.size


def begin(descriptor: int, offset: int, size: int) -> None:
    """Have the disk begin to write a part of a file (size 0: all from there on), without waiting."""
    os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)
