"""Uploads with more files than a message names: the boss must find their record, whatever lies in the job's folder already."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from datastore.transfer import deliver
from tests.datastore.host import Datastore, given_bytes


@pytest.fixture
def datastore(tmp_path: Path) -> Iterator[Datastore]:
    store = Datastore(tmp_path / "root")
    yield store
    store.close()


def test_a_redone_task_with_many_files_has_a_record_although_its_results_are_the_same(datastore: Datastore) -> None:
    files = {f"{n}.txt": b"the same\n" for n in range(3)}
    assert datastore.accept(datastore.upload(files, "u.0.1"), "u.0.1")[1] == "accepted"
    given = [given_bytes(datastore.root.parent, name, data) for name, data in files.items()]
    said = deliver(datastore.gate("worker:w1"), datastore.grant(attempt="u.0.2"), given, {}, "{}", 2, threading.Event())
    assert said is None  # too many for a message: the boss will ask for the record
    record = datastore.boss.ask({"op": "record", "attempt": "u.0.2"})["record"]
    assert record is not None
    manifest = [(path, size, digest) for path, size, digest in record["files"]]
    assert datastore.accept(manifest, "u.0.2") == ("u.0.2", "accepted", "")
    assert datastore.results() == files
