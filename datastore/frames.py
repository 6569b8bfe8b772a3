"""How the gate and its callers speak over one SSH channel: JSON lines and raw chunks, in order, both ways.

    gate     {"gate": 1, "caller": "worker:w1", "cluster": "..."}            said once, at the beginning
    caller   {"op": "receive", ...}                                          one request at a time
    caller   {"item": "a/b.txt", ...} chunk chunk ... end of chunks           for each file, if the operation takes files
    caller   {"end": true, ...}                                              or {"abort": true}; only if the operation takes files
    gate     {"item": "a/b.txt", ...} chunk chunk ... end of chunks           for each file, if the operation gives files
    gate     {"ok": true, ...}                                               or {"error": "a sentence", "kind": "refused"}

Rules:
- A line is one JSON object in UTF-8 and a newline, at most ``MAX_LINE`` bytes. A chunk is its length (4 bytes, big-endian) and that
  many bytes, at most ``MAX_CHUNK``; length 0 ends the item. So a file may grow or shrink while it is read, and many small files
  cost no round trip each.
- Every line with ``item`` is followed by chunks (perhaps none) and their end; any other line closes the sequence.
- Who stops listening in the middle still reads to the closing line before it answers: the channel stays in step.

Python 3.9 syntax, standard library only.
"""

import errno
import json
import os
import struct
from typing import IO, Any, Callable, Dict, Iterator, List, Optional, Type

from datastore.pipes import Bytes, Inlet, SendFile, send

#: The version of this protocol; the gate says it first.
VERSION = 1
#: The longest line, in bytes: the manifest of some hundred thousand files.
MAX_LINE = 64 * 1024 * 1024
#: The longest chunk that is accepted, in bytes.
MAX_CHUNK = 4 * 1024 * 1024
#: The longest chunk that is sent of a file; what is left of one goes from file to pipe within the kernel from this size on, in bytes.
CHUNK = 1024 * 1024
LARGE = 64 * 1024

_LENGTH = struct.Struct(">I")
_END = _LENGTH.pack(0)
_NOTHING = memoryview(b"")

Line = Dict[str, Any]


class WireBroken(Exception):
    """The other side is gone or does not speak this protocol; the channel is of no more use."""


class GateError(Exception):
    """The gate did not do what was asked; the message says why, in one sentence."""

    kind = ""


class GateRefused(GateError):
    """What was asked is not allowed or not possible, and never will be."""

    kind = "refused"


class GateMissing(GateError):
    """A file that was asked for does not exist."""

    kind = "missing"


class GateTrouble(GateError):
    """The datastore's host cannot do it now (an I/O error, a full disk): worth asking again."""

    kind = "trouble"


class GateFull(GateTrouble):
    """The datastore has no space left: worth asking again when somebody has made room."""


class GateOutdated(GateError):
    """The boss that asks knows less than has happened here: its database is older than the files."""

    kind = "outdated"


_ERRORS: Dict[str, Type[GateError]] = {cls.kind: cls for cls in (GateRefused, GateMissing, GateTrouble, GateOutdated)}
#: What a system says when there is no room: on the disk, or in this log-in's share of it.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def trouble(error: OSError, root: str) -> GateTrouble:
    """What an error of the datastore's host is to a caller; ``root`` is the datastore's folder."""
    if error.errno in _FULL:
        return GateFull("the datastore is full (%s): free space in %s on %s" % (error.strerror, root, os.uname().nodename))
    return GateTrouble("the datastore's host: %s" % (error.strerror or error))


def error_line(error: GateError) -> Line:
    """The closing line that says an error to the caller."""
    line: Line = {"error": str(error), "kind": error.kind}
    if isinstance(error, GateFull):
        line["full"] = True  # beside the kind: who does not know it reads trouble, which is true as well
    return line


def checked(line: Line) -> Line:
    """A closing line of the gate, if it is a good one. Raises the GateError that it names, or WireBroken."""
    if line.get("ok") is True:
        return line
    if not isinstance(line.get("error"), str):
        raise WireBroken("an answer that is neither ok nor an error: %.100r" % (line,))
    if line.get("full") is True:
        raise GateFull(line["error"])
    raise _ERRORS.get(str(line.get("kind")), GateRefused)(line["error"])


class Wire:
    """Lines and chunks over a raw file to read and a buffered one to write; with an ``outlet`` large files bypass its buffer.

    ``pace`` is told of the bytes of files, before they are sent and after they have come, and returns when they may go on.
    """

    def __init__(
        self,
        reader: IO[bytes],
        writer: IO[bytes],
        outlet: Optional[SendFile] = None,
        pace: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._inlet = Inlet(reader)
        self._writer = writer
        self._outlet = outlet
        self._pace = pace
        self._left = 0  # of the chunk that is being read

    def read_line(self) -> Optional[Line]:
        """The next line, or None when the other side has closed. Raises WireBroken."""
        text = self._inlet.line(MAX_LINE)
        if not text:
            return None
        if not text.endswith(b"\n"):
            raise WireBroken("a line that is cut off or longer than %d bytes" % MAX_LINE)
        try:
            line = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise WireBroken("a line that is not JSON (%s): %.80r" % (error, text)) from None
        if not isinstance(line, dict):
            raise WireBroken("a line that is not an object: %.80r" % (text,))
        return line

    def read_piece(self) -> memoryview:
        """Some of the current item's bytes, good until the next call; empty at its end. Raises WireBroken."""
        if not self._left:
            head = self._inlet.exactly(4)
            if len(head) == 4:
                (self._left,) = _LENGTH.unpack(head)
            if self._left > MAX_CHUNK:
                raise WireBroken("a chunk of %d bytes: more than %d" % (self._left, MAX_CHUNK))
            if head == _END:
                return _NOTHING
        data = self._inlet.piece(self._left)
        if not data:
            raise WireBroken("the other side closed in the middle of a file")
        self._left -= len(data)
        self._pace(len(data))
        return data

    def write_line(self, line: Line) -> None:
        """Write one line into the buffer."""
        self._writer.write(json.dumps(line, separators=(",", ":"), ensure_ascii=True).encode("ascii") + b"\n")

    def write_chunk(self, data: Bytes) -> None:
        """Write one chunk into the buffer; nothing if it is empty."""
        if data:
            self._writer.write(_LENGTH.pack(len(data)))
            self._writer.write(data)

    def write_file(self, descriptor: int, limit: Optional[int] = None) -> Iterator[int]:
        """Write an open file's bytes from where it stands, ``limit`` bytes at most; yields the size of each chunk.

        Raises WireBroken for a file that becomes shorter in the middle of a chunk.
        """
        offset, left = os.lseek(descriptor, 0, os.SEEK_CUR), limit
        while left is None or left > 0:
            size = min(CHUNK, os.fstat(descriptor).st_size - offset)
            size = size if left is None else min(size, left)
            if size > 0:
                self._pace(size)
            if self._outlet is not None and size >= LARGE:
                self._writer.write(_LENGTH.pack(size))
                if not send(self._writer, self._outlet, descriptor, offset, size):
                    raise WireBroken("a file became shorter while it was sent")
            else:  # at the end, too: it may have grown, or be one whose size nobody knows
                data = os.pread(descriptor, LARGE if left is None else min(LARGE, left), offset)
                if not data:
                    return
                self.write_chunk(data)
                size = len(data)
            offset += size
            if left is not None:
                left -= size
            yield size

    def end_item(self) -> None:
        """Write the end of an item's chunks into the buffer."""
        self._writer.write(_END)

    def flush(self) -> None:
        """Send what the buffer holds."""
        self._writer.flush()


class Items:
    """The items of one request or answer, in order; ``closing`` is the line after the last one."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._open = False
        self.closing: Optional[Line] = None

    def __iter__(self) -> Iterator[Line]:
        """The items' lines; chunks that nobody read are skipped."""
        while self.closing is None:
            for _unread in self.pieces():
                pass
            line = self._wire.read_line()
            if line is None:
                raise WireBroken("the other side closed in the middle of a sequence")
            if "item" not in line:
                self.closing = line
                return
            self._open = True
            yield line

    def chunks(self) -> Iterator[bytes]:
        """The bytes of the current item that have not been read yet."""
        return map(bytes, self.pieces())

    def pieces(self) -> Iterator[memoryview]:
        """The same as views, each good until the next one is asked for."""
        while self._open:
            data = self._wire.read_piece()
            if data:
                yield data
            else:
                self._open = False

    def drain(self) -> Line:
        """Skip what is left and return the closing line."""
        for _skipped in self:
            pass
        assert self.closing is not None
        return self.closing


def converse(
    wire: Wire,
    request: Line,
    give: Optional[Callable[[Wire], Line]] = None,
    take: Optional[Callable[[Items], None]] = None,
) -> Line:
    """Ask the gate one thing and return the closing line of its answer, good or not (see ``checked``).

    ``give`` writes the request's items and returns their closing line; ``take`` reads the answer's items. Raises WireBroken, OSError of
    the stream, and whatever ``give`` and ``take`` raise: after any of these the stream is out of step and of no more use.
    """
    say(wire, request, give)
    return hear(wire, take)


def say(wire: Wire, request: Line, give: Optional[Callable[[Wire], Line]] = None) -> None:
    """The first half of ``converse``: more may be asked before the answer is heard."""
    wire.write_line(request)
    if give is not None:
        wire.write_line(give(wire))
    wire.flush()


def hear(wire: Wire, take: Optional[Callable[[Items], None]] = None) -> Line:
    """The second half of ``converse``: the answer to the first request that was said and is not answered yet."""
    items = Items(wire)
    if take is not None:
        take(items)
    return items.drain()


def greeted(wire: Wire) -> Line:
    """The gate's greeting. Raises WireBroken when there is none or of another version, and the GateError that it says instead."""
    greeting = wire.read_line()
    if greeting is None:
        raise WireBroken("the datastore closed without a word")
    if greeting.get("gate") != VERSION:
        checked(greeting)
        raise WireBroken("the gate speaks version %r, this side %d" % (greeting.get("gate"), VERSION))
    return greeting


def text(line: Line, name: str) -> str:
    """A field that must be a text. Raises GateRefused."""
    value = line.get(name)
    if not isinstance(value, str):
        raise GateRefused("%s must be a text" % name)
    return value


def count(line: Line, name: str, default: Optional[int] = None) -> int:
    """A field that must be a whole number, not negative. Raises GateRefused."""
    value = line.get(name, default)
    if type(value) is not int or value < 0:
        raise GateRefused("%s must be a number, 0 or more" % name)
    return value


def texts(line: Line, name: str) -> List[str]:
    """A field that must be a list of texts. Raises GateRefused."""
    value = line.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise GateRefused("%s must be a list of texts" % name)
    return value


def rows(line: Line, name: str, *types: type) -> List[List[Any]]:
    """A field that must be a list of lists with elements of these types. Raises GateRefused."""
    value = line.get(name)
    if not isinstance(value, list):
        raise GateRefused("%s must be a list" % name)
    for row in value:
        if not isinstance(row, list) or len(row) != len(types) or any(type(cell) is not kind for cell, kind in zip(row, types)):
            raise GateRefused("%s: %.80r does not fit" % (name, row))
    return value
