"""Bytes out of and into pipes with as few copies as there can be: most of what a transfer costs beside its cipher.

Rules:
- What is read lies in one buffer that is filled again and again: a piece of it is a view, good until the next one is asked for. The buffer
  is as large as a processor's own cache holds, because each byte is looked at again: for its sha256, and for the disk.
- What is sent of a file goes into the pipe within the kernel, where that is possible.

Python 3.9 syntax, standard library only; Linux.
"""

import errno
import fcntl
import os
from typing import IO, Callable, Union

#: How much is read at a time, in bytes.
BLOCK = 256 * 1024
#: How much a pipe of a transfer may hold, in bytes: its two ends then wake each other less often. The kernel gives one user 64 MiB in all,
#: so only who moves data has one (and a pipe that cannot be made larger works as well).
WIDE, NARROW = 256 * 1024, 64 * 1024

Bytes = Union[bytes, bytearray, memoryview]
#: Writes bytes of an open file, as ``os.sendfile`` does: ``(source, offset, count) -> bytes``.
SendFile = Callable[[int, int, int], int]

_F_SETPIPE_SZ = 1031  # fcntl.F_SETPIPE_SZ is there from Python 3.10 on
#: What a system says that cannot send from, or into, this file.
_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class Inlet:
    """Reads lines and pieces from a raw file, whose ``readinto`` gives what is there."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._buffer = bytearray(BLOCK)
        self._view = memoryview(self._buffer)
        self._begin = self._end = 0

    def piece(self, most: int) -> memoryview:
        """What is there, or comes next, up to so many bytes; empty at the end. It is overwritten by the next call of anything here."""
        if self._begin == self._end and not self._fill():
            return self._view[:0]
        begin, self._begin = self._begin, min(self._end, self._begin + most)
        return self._view[begin : self._begin]

    def exactly(self, length: int) -> bytes:
        """So many bytes, or fewer at the end."""
        data = bytes(self.piece(length))
        while data and len(data) < length:
            more = self.piece(length - len(data))
            if not more:
                break
            data += more
        return data

    def line(self, most: int) -> bytes:
        """Everything up to a newline, with it; cut off at the end, or after so many bytes."""
        parts, size = [], 0
        while size < most and (self._begin < self._end or self._fill()):
            found = self._buffer.find(b"\n", self._begin, self._end)
            parts.append(bytes(self.piece((self._end if found < 0 else found + 1) - self._begin)))
            size += len(parts[-1])
            if found >= 0:
                break
        return b"".join(parts)[:most]

    def _fill(self) -> bool:
        """Read what comes; False at the end."""
        self._begin, self._end = 0, self._raw.readinto(self._view) or 0  # type: ignore[attr-defined]
        return self._end > 0


def send(writer: IO[bytes], outlet: SendFile, source: int, offset: int, count: int) -> bool:
    """Bring so many bytes of an open file to where a buffered writer writes; False when the file ends before."""
    writer.flush()
    end = offset + count
    while offset < end:
        try:
            sent = outlet(source, offset, end - offset)
        except OSError as error:
            if error.errno not in _NO_SENDFILE:
                raise
            sent = writer.write(os.pread(source, min(BLOCK, end - offset), offset))
        if not sent:
            return False
        offset += sent
    return True


def widen(descriptor: int, size: int = WIDE) -> None:
    """Let a pipe hold so much, if it is one and the kernel has room."""
    try:
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, size)
    except OSError:
        return
