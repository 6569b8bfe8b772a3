"""The inputs of a replayed workflow: right in size, their digests true, none left behind."""

import hashlib
import json
from pathlib import Path

import pytest

from client import Client
from client.errors import Refused
from client.replaying import made
from tests.workflows import task, trace_of

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


def test_a_program_replays_a_trace(client: Client, tmp_path: Path) -> None:
    (tmp_path / "flow.json").write_text(json.dumps(trace_of(task("a", "in", "mid"), task("b", "mid", "out", parents="a"))))
    job = client.push(tmp_path / "flow.json", replay=0.01)
    assert job.wait(60) == "succeeded"
    assert {file["path"]: file["size"] for file in job.results()} == {"mid": 10, "out": 10}
    assert job.graph()["edges"] == [{"source": "a", "target": "b"}]


def test_inputs_that_have_no_room_are_refused_before_they_are_made(client: Client, tmp_path: Path) -> None:
    trace = trace_of(*(task(f"t{number}", f"in{number}", "") for number in range(500)), sizes=2**40)
    (tmp_path / "huge.json").write_text(json.dumps(trace))
    with pytest.raises(Refused) as caught:
        client.push(tmp_path / "huge.json", name="huge", replay=1.0)
    assert "its inputs are 549,755.8 GB at this scale" in str(caught.value.problems[0])
    assert "huge" not in [job["name"] for job in client.jobs()]
