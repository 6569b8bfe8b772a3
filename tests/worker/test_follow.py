"""Output in pieces, as it grows."""

from pathlib import Path

import pytest

from worker.follow import BURST, INTERVAL, PIECE, Follower, _whole_characters
from worker.protocol import LogChunk, encode


def follower(folder: Path) -> Follower:
    return Follower("s1", lambda attempt, stream: str(folder / stream))


def test_each_look_brings_what_was_written_since(tmp_path: Path) -> None:
    follow = follower(tmp_path)
    assert follow.deadline() == float("inf")
    follow.follow("a", True, 0.0)
    assert follow.look(0.0) == []  # not started yet
    (tmp_path / "stdout").write_text("one\n")
    assert follow.look(INTERVAL / 2) == []
    assert follow.look(INTERVAL) == [LogChunk("s1", "a", "stdout", 0, "one\n")]
    (tmp_path / "stderr").write_text("err\n")
    assert follow.look(2 * INTERVAL) == [LogChunk("s1", "a", "stderr", 0, "err\n")]
    with (tmp_path / "stdout").open("a") as file:
        file.write("two\n")
    assert follow.finish("a") == [LogChunk("s1", "a", "stdout", 4, "two\n")]
    assert (follow.finish("a"), follow.deadline()) == ([], float("inf"))


def test_a_flood_comes_in_pieces_that_fit_into_messages(tmp_path: Path) -> None:
    follow = follower(tmp_path)
    (tmp_path / "stdout").write_bytes(b"\x01" * (PIECE * (BURST + 1)))
    follow.follow("a", True, 0.0)
    pieces = follow.look(0.0)
    assert [piece.offset for piece in pieces] == [PIECE * number for number in range(BURST)]
    assert all(len(encode(piece)) == 1 for piece in pieces)
    assert len(follow.look(INTERVAL)) == 1


@pytest.mark.parametrize("cut", range(10))
def test_a_character_is_never_cut_in_two(cut: int) -> None:
    text = "a\u00e9\u20ac\U0001f600".encode()
    head = _whole_characters(text[:cut])
    assert text.startswith(head)
    if head:
        head.decode()


def test_bytes_that_are_no_text_do_not_wait_for_ever() -> None:
    for bad in (b"\xff\xff\xff\xff\xff", b"\x80\x80\x80\x80", b"\xe2"):
        assert _whole_characters(bad)
