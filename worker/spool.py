"""Finished results on disk until the boss has acknowledged them: an append-only journal in the worker's folder.

Rules:
- A line is a message of the wire: ``Results`` adds, ``Acknowledge`` takes away. What remains at the end is held.
- One ``write`` a turn, and no fsync: what a killed process has written stays in the page cache. A machine that dies loses the
  attempt's folder with the journal, and the boss runs it again; an fsync per task would cost more than the task.
- A torn or foreign line (the disk was full, the machine died) is skipped; each write begins on a line of its own.
- The journal is emptied when it holds nothing and has grown, and rewritten when it is large.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import os
from typing import Dict, Iterable, List, Tuple

from worker import protocol as wire
from worker.protocol import Result

#: From this size an empty journal is truncated, in bytes.
_EMPTY_LIMIT = 1 << 20
#: From this size, and twice what it holds, a journal is rewritten, in bytes.
_REWRITE_LIMIT = 64 << 20


class Spool:
    """The journal of one worker's folder; used by one process at a time. Raises OSError as files do."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._held: Dict[str, Result] = _read(path)
        self._torn = False
        self._file = -1
        self._size = 0
        self._rewrite()

    @property
    def held(self) -> Tuple[Result, ...]:
        """The results that nobody has acknowledged yet, oldest first."""
        return tuple(self._held.values())

    def keep(self, results: Iterable[Result]) -> None:
        """Write results; they are held by the time this returns."""
        batch = tuple(results)
        self._held.update((result.attempt, result) for result in batch)
        self._append(wire.encode(wire.Results("", batch)))

    def forget(self, attempts: Iterable[str]) -> None:
        """Take away what is held of these attempts."""
        known = tuple(attempt for attempt in attempts if self._held.pop(attempt, None) is not None)
        if not known:
            return
        if not self._held and self._size > _EMPTY_LIMIT:
            os.ftruncate(self._file, 0)
            self._size = 0
            return
        self._append(wire.encode(wire.Acknowledge(0, 0, known)))
        if self._size > _REWRITE_LIMIT:
            self._rewrite()

    def close(self) -> None:
        """Close the file; what is held stays on disk."""
        os.close(self._file)

    def _append(self, lines: List[bytes]) -> None:
        block = b"\n".join(lines) + b"\n"
        if self._torn:
            block = b"\n" + block
        self._torn = True
        while block:
            written = os.write(self._file, block)
            self._size += written
            block = block[written:]
        self._torn = False

    def _rewrite(self) -> None:
        """Replace the journal by one with nothing but what is held."""
        fresh = self._path + ".new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        file = os.open(fresh, flags, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size = file, 0
        if self._held:
            self._append(wire.encode(wire.Results("", self.held)))
        os.replace(fresh, self._path)


def _read(path: str) -> Dict[str, Result]:
    """What a journal holds; nothing when there is none."""
    held: Dict[str, Result] = {}
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return held
    for line in lines:
        if not line:
            continue
        try:
            message = wire.decode(line)
        except wire.ProtocolError:
            continue  # torn by a full disk or a dead machine: the boss runs that attempt again
        if isinstance(message, wire.Results):
            held.update((result.attempt, result) for result in message.results)
        elif isinstance(message, wire.Acknowledge):
            for attempt in message.attempts:
                held.pop(attempt, None)
    return held
