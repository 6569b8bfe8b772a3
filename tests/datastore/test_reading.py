"""Small results read into memory, through a real sshd."""

from pathlib import Path

import pytest

from datastore import reading
from datastore.channel import Channel, Endpoint, Unreachable
from datastore.landing import Listed
from datastore.reading import ResultReader
from tests.datastore.host import Datastore, Sshd, sha256

FILES = {f"out/{number}.json": b'{"n": %d}' % number for number in range(25)}


@pytest.fixture
def ada(sshd: Sshd, datastore: Datastore) -> Endpoint:
    """A person's log-in to a datastore with some results."""
    datastore.accept(datastore.upload({**FILES, "empty": b"", "big.bin": bytes(3_000_000)}))
    return sshd.certificate("researcher:ada", datastore.root)


def read(reader: ResultReader, files: list[Listed]) -> dict[str, bytes | None]:
    come: dict[str, bytes | None] = {}

    def take(listed: Listed, data: bytes | None) -> None:
        assert listed.path not in come
        come[listed.path] = data

    reader.read(files, take)
    assert list(come) == [listed.path for listed in files]
    return come


def test_wanted_results_are_found_and_read_in_one_session(ada: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FILES_PER_REQUEST", 10)
    reader = ResultReader(ada, "j")
    found = reader.find({*FILES, "empty", "big.bin", "nothing"})
    assert found.keys() == {*FILES, "empty", "big.bin"}
    channel = reader._channel
    assert read(reader, list(found.values())) == {**FILES, "empty": b"", "big.bin": bytes(3_000_000)}
    assert reader._channel is channel
    reader.close()


def test_a_job_without_results_has_none(ada: Endpoint) -> None:
    reader = ResultReader(ada, "nobody")
    assert reader.find({"x"}) == {}
    assert read(reader, []) == {}
    reader.close()


def test_a_file_that_is_not_what_was_listed_has_no_content(ada: Endpoint, datastore: Datastore) -> None:
    reader = ResultReader(ada, "j")
    found = reader.find({"out/1.json", "out/2.json", "out/3.json", "out/4.json"})
    job = datastore.root / "jobs" / "j" / "out"
    (job / "1.json").write_bytes(b'{"n": 9}')
    (job / "2.json").unlink()
    (job / "3.json").write_bytes(bytes(5_000_000))
    assert read(reader, [found[path] for path in sorted(found)]) == {
        "out/1.json": None,
        "out/2.json": None,
        "out/3.json": None,
        "out/4.json": b'{"n": 4}',
    }
    reader.close()


def test_a_file_without_a_known_digest_is_read_by_its_size(ada: Endpoint, datastore: Datastore) -> None:
    (datastore.root / "jobs" / "j" / "mine.json").write_bytes(b"{}")
    reader = ResultReader(ada, "j")
    found = reader.find({"mine.json"})
    assert found["mine.json"].sha256 == ""
    assert read(reader, list(found.values())) == {"mine.json": b"{}"}
    reader.close()


def test_reading_goes_on_where_a_channel_broke(ada: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FILES_PER_REQUEST", 5)
    reader = ResultReader(ada, "j")
    found = reader.find(FILES)
    come: list[str] = []

    def take(listed: Listed, data: bytes | None) -> None:
        assert data is not None and sha256(data) == listed.sha256
        come.append(listed.path)
        if len(come) in (5, 15):
            channel = reader._channel
            assert isinstance(channel, Channel)
            channel.kill()

    reader.read(list(found.values()), take)
    assert come == list(found)
    reader.close()


def test_a_datastore_that_does_not_answer_ends_the_reading(sshd: Sshd, ada: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "TRIES", 1)
    monkeypatch.setattr(reading, "connect", lambda endpoint: Channel(["false"]))
    reader = ResultReader(ada, "j")
    with pytest.raises(Unreachable):
        reader.find(FILES)
    reader.close()


def test_nothing_lands_on_this_hosts_disk(ada: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    reader = ResultReader(ada, "j")
    read(reader, list(reader.find(FILES).values()))
    reader.close()
    assert sorted(tmp_path.rglob("*")) == before
