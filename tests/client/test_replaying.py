"""The inputs of a replayed workflow: right in size, their digests true, none left behind."""

import hashlib
from pathlib import Path

import pytest

from client.errors import Refused
from client.replaying import made

SIZES = {"a": 0, "b": 1, "c": 5_000, "d/e": 3 * 2**20 + 17, "f": 2**20}


def test_files_have_their_sizes_and_the_digests_that_are_said() -> None:
    with made(SIZES) as files:
        assert {place: found.size for place, found in files.items()} == SIZES
        for place, found in files.items():
            data = Path(found.path).read_bytes()
            assert (found.to, len(data), hashlib.sha256(data).hexdigest()) == (place, SIZES[place], found.digest)
        assert len({found.digest for found in files.values()}) == len(SIZES)


def test_they_take_no_room_and_are_gone_afterwards() -> None:
    with made({"big": 3 * 2**30}) as files:
        path = Path(files["big"].path)
        assert path.stat().st_size == 3 * 2**30
        assert path.stat().st_blocks * 512 < 2**20
    assert not path.parent.exists()


def test_the_same_push_makes_the_same_files() -> None:
    with made(SIZES) as first, made(SIZES) as second:
        assert [found.digest for found in first.values()] == [found.digest for found in second.values()]


def test_a_file_that_cannot_be_made_is_refused_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(Refused) as caught, made({"a": 1, "huge": 2**62}):
        raise AssertionError("it was made")
    assert "huge: a file of 4,611,686,018,427,387,904 bytes cannot be made here" in str(caught.value.problems[0])
    assert list(tmp_path.iterdir()) == []
