"""Bytes between files and pipes: whatever their sizes are and however they come, they arrive as they were."""

import errno
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from datastore.frames import CHUNK, LARGE, Items, Wire, WireBroken
from datastore.pipes import BLOCK, Inlet, SendFile


def sent(path: Path, outlet: SendFile | None = None, limit: int | None = None) -> bytes:
    """A file as it arrives over a pipe, by the kernel's hand where there is no other outlet."""
    reading, writing = os.pipe()
    arrived: list[bytes] = []

    def take() -> None:
        with open(reading, "rb", 0) as raw:
            for _item in (items := Items(Wire(raw, io.BytesIO()))):
                arrived.append(b"".join(items.chunks()))

    thread = threading.Thread(target=take)
    thread.start()
    with open(writing, "wb", BLOCK) as writer, path.open("rb") as file:
        wire = Wire(io.BytesIO(), writer, outlet or (lambda *what: os.sendfile(writing, *what)))
        wire.write_line({"item": "a"})
        told = sum(wire.write_file(file.fileno(), limit))
        wire.end_item()
        wire.write_line({"end": True})
    thread.join()
    assert told == len(arrived[0])
    return arrived[0]


@pytest.mark.parametrize("size", [0, 1, LARGE - 1, LARGE, BLOCK + 3, CHUNK, CHUNK + 1, 2 * CHUNK + LARGE - 1])
def test_a_file_of_any_size_arrives_as_it_is(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    assert sent(tmp_path / "a") == data


@pytest.mark.parametrize("limit", [0, 1, LARGE + 1, CHUNK + 5])
def test_no_more_of_a_file_is_sent_than_was_asked_for(tmp_path: Path, limit: int) -> None:
    data = os.urandom(3 * CHUNK)
    (tmp_path / "a").write_bytes(data)
    assert sent(tmp_path / "a", limit=limit) == data[:limit]


def test_where_the_kernel_cannot_send_from_a_file_it_is_read(tmp_path: Path) -> None:
    data = os.urandom(CHUNK + 17)
    (tmp_path / "a").write_bytes(data)
    calls: list[int] = []

    def unable(source: int, offset: int, count: int) -> int:
        calls.append(count)
        raise OSError(errno.EINVAL, "not this one")

    assert sent(tmp_path / "a", unable) == data
    assert calls, "it was tried"


def test_a_file_that_becomes_shorter_in_the_middle_breaks_the_stream_instead_of_arriving_wrong(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(CHUNK))

    def cut_off(source: int, offset: int, count: int) -> int:
        os.truncate(tmp_path / "a", 0)
        return os.sendfile(os.open(os.devnull, os.O_WRONLY), source, offset, count)

    wire = Wire(io.BytesIO(), io.BytesIO(), cut_off)
    with (tmp_path / "a").open("rb") as file, pytest.raises(WireBroken, match="became shorter"):
        list(wire.write_file(file.fileno()))


def test_a_file_that_grows_while_it_is_sent_is_sent_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1" * LARGE)
    more = [b"2" * LARGE, b"3"]

    def grow(source: int, offset: int, count: int) -> int:
        with (tmp_path / "a").open("ab") as file:
            file.write(more.pop(0) if more else b"")
        return len(taken.append(os.pread(source, count, offset)) or taken[-1])  # type: ignore[func-returns-value]

    taken: list[bytes] = []
    out = io.BytesIO()
    with (tmp_path / "a").open("rb") as file:
        assert sum(Wire(io.BytesIO(), out, grow).write_file(file.fileno())) == 2 * LARGE + 1


class Drops:
    """A raw file that gives so many bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._file = io.BytesIO(data)
        self._size = size

    def readinto(self, buffer: memoryview) -> int:
        return self._file.readinto(buffer[: self._size])


@pytest.mark.parametrize("size", [1, 3, 4096, BLOCK])
def test_lines_and_pieces_are_the_same_however_the_bytes_come(size: int) -> None:
    line, data = b"x" * 300_000 + b"\n", os.urandom(2 * BLOCK)
    inlet = Inlet(Drops(line + data + b"last", size))  # type: ignore[arg-type]
    assert inlet.line(1_000_000) == line
    assert inlet.exactly(len(data)) == data
    assert inlet.line(1000) == b"last", "cut off at the end"
    assert inlet.line(1000) == b""
    assert not inlet.piece(1)


def test_a_line_without_end_is_cut_off_after_so_many_bytes() -> None:
    assert Inlet(io.BytesIO(b"x" * 5000)).line(1000) == b"x" * 1000


@pytest.mark.parametrize("read", [lambda items: b"".join(items.chunks()), lambda items: b"".join(map(bytes, items.pieces()))])
def test_what_ends_in_the_middle_of_a_file_is_broken(read: Callable[[Items], bytes]) -> None:
    items = Items(Wire(io.BytesIO(b'{"item":"a"}\n\0\0\0\5abc'), io.BytesIO()))
    next(iter(items))
    with pytest.raises(WireBroken, match="in the middle of a file"):
        read(items)
