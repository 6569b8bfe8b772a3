"""The output of attempts that somebody follows, cut into messages as it grows.

Rules:
- From the beginning of what is kept, in order, at most ``BURST`` pieces per stream and look: a fast writer does not block the rest.
- A character that is only half written waits for its other half; offsets count bytes of the file.
- Nobody counts what gets lost on the way: a gap in the offsets says it.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import os
from typing import Callable, Dict, List, Tuple

from worker.protocol import LogChunk

#: How often the files are looked at, in seconds.
INTERVAL = 0.3
#: The largest piece in bytes: even if JSON writes each as six it fits into a message.
PIECE = 32 * 1024
BURST = 8


class Follower:
    """Which attempts are followed, and how far each stream was told."""

    def __init__(self, session: str, path: Callable[[str, str], str]) -> None:
        """``path(attempt, stream)`` is where an attempt's ``stdout`` or ``stderr`` lies."""
        self._session = session
        self._path = path
        self._offsets: Dict[Tuple[str, str], int] = {}
        self._next = float("inf")

    def follow(self, attempt: str, on: bool, now: float) -> None:
        """Begin from the start, or stop."""
        for stream in ("stdout", "stderr"):
            self._offsets.pop((attempt, stream), None)
            if on:
                self._offsets[attempt, stream] = 0
        self._next = now if self._offsets else float("inf")

    def deadline(self) -> float:
        """When to look again; infinite when nothing is followed."""
        return self._next

    def look(self, now: float) -> List[LogChunk]:
        """What has been written since the last look."""
        if now < self._next:
            return []
        self._next = now + INTERVAL
        return [piece for key in list(self._offsets) for piece in self._read(*key)]

    def finish(self, attempt: str) -> List[LogChunk]:
        """The rest of an attempt that is forgotten now."""
        if (attempt, "stdout") not in self._offsets:
            return []
        rest = self._read(attempt, "stdout") + self._read(attempt, "stderr")
        self.follow(attempt, False, self._next)
        return rest

    def _read(self, attempt: str, stream: str) -> List[LogChunk]:
        pieces: List[LogChunk] = []
        offset = self._offsets[attempt, stream]
        try:
            file = os.open(self._path(attempt, stream), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return pieces  # not started yet
        try:
            for _ in range(BURST):
                data = _whole_characters(os.pread(file, PIECE, offset))
                if not data:
                    break
                pieces.append(LogChunk(self._session, attempt, stream, offset, data.decode("utf-8", "replace")))
                offset += len(data)
        finally:
            os.close(file)
        self._offsets[attempt, stream] = offset
        return pieces


def _whole_characters(data: bytes) -> bytes:
    """The bytes without a UTF-8 character at their end of which only the beginning is there."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue  # inside of a character: its first byte comes before
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return data[:-back] if length > back and len(data) > back else data
    return data
