"""The ports Results and Datastore on a real sshd and the real gate."""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from boss.adapters import results as results_module
from boss.adapters.results import DatastoreGate
from boss.core.events import DatastoreSeen, Event, RecordRead, ResultAccepted, ResultRefused
from boss.ports import DatastoreDown
from datastore import layout
from tests.datastore.host import CLUSTER, SECRET, Datastore, Sshd, sha256
from tests.servers import eventually
from worker.protocol import Result, Results, encode

A, B = b"result of a\n", b"result of b\n"
Kind = TypeVar("Kind")


class Inbox:
    """What the adapter has put, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def put(self, event: Event) -> bool:
        self.events.append(event)
        return True

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def inbox() -> Inbox:
    """A loop's inbox."""
    return Inbox()


@pytest.fixture
def gate(sshd: Sshd, datastore: Datastore, inbox: Inbox) -> Iterator[DatastoreGate]:
    """The adapter, started."""
    made = DatastoreGate(sshd.certificate("boss", datastore.root), CLUSTER, SECRET)
    made.start(inbox.put)
    yield made
    made.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "datastore"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again at once."""
    monkeypatch.setattr(results_module, "LONGEST_WAIT", 0.05)
    monkeypatch.setattr(results_module, "LOOK", 0.1)


def test_a_fresh_folder_is_set_up_and_the_datastore_is_seen(sshd: Sshd, tmp_path: Path, inbox: Inbox) -> None:
    gate = DatastoreGate(sshd.certificate("boss", tmp_path / "new/root"), CLUSTER, SECRET)
    gate.start(inbox.put)
    eventually(lambda: inbox.events == [DatastoreSeen(True, place=f"127.0.0.1:{tmp_path / 'new/root'}")])
    gate.stop()
    assert (tmp_path / "new/root/cluster").read_text() == "c1\n"
    assert {folder for folder in os.listdir(tmp_path / "new/root") if (tmp_path / "new/root" / folder).is_dir()} == set(
        layout.FOLDERS
    )


def test_an_upload_is_accepted_and_the_same_again(gate: DatastoreGate, datastore: Datastore, inbox: Inbox) -> None:
    manifest = datastore.upload({"a.txt": A})
    gate.accept("u.0.1", "j", manifest)
    eventually(lambda: inbox.of(ResultAccepted) == [ResultAccepted("u.0.1")])
    gate.accept("u.0.1", "j", manifest)
    eventually(lambda: len(inbox.of(ResultAccepted)) == 2)
    assert datastore.results() == {"a.txt": A}
    assert datastore.sums_hold()


def test_what_was_never_uploaded_is_refused(gate: DatastoreGate, inbox: Inbox) -> None:
    gate.accept("u.0.1", "j", [("a.txt", 1, sha256(b"a"))])
    (refused,) = eventually(lambda: inbox.of(ResultRefused))
    assert (refused.attempt, "no complete upload" in refused.reason) == ("u.0.1", True)


def test_a_rejected_upload_is_refused_from_then_on(gate: DatastoreGate, datastore: Datastore, inbox: Inbox) -> None:
    manifest = datastore.upload({"a.txt": A})
    gate.reject("u.0.1")
    eventually(lambda: datastore.tree.names("trash") == ["u.0.1"])
    gate.accept("u.0.1", "j", manifest)
    eventually(lambda: inbox.of(ResultRefused))


def test_many_uploads_are_accepted_in_few_requests(gate: DatastoreGate, datastore: Datastore, inbox: Inbox) -> None:
    worker = datastore.gate("worker:w1")
    manifests = {f"u.{n}.1": datastore.upload({f"{n}.txt": b"%d" % n}, f"u.{n}.1", channel=worker) for n in range(60)}
    for attempt, manifest in manifests.items():
        gate.accept(attempt, "j", manifest)
    eventually(lambda: len(inbox.of(ResultAccepted)) == 60)
    assert {event.attempt for event in inbox.of(ResultAccepted)} == set(manifests)
    assert datastore.sums_hold()


def test_a_record_gives_the_workers_result_with_its_files(gate: DatastoreGate, datastore: Datastore, inbox: Inbox) -> None:
    result = Result("u.0.1", "succeeded", exit_code=0, stdout="said", files=None)
    (text,) = encode(Results("", (result,)))
    manifest = datastore.upload({"a.txt": A}, result=text.decode())
    datastore.upload({"b.txt": B}, "u.1.1", result=text.decode())
    datastore.upload({"b.txt": B}, "u.2.1", result="nonsense")
    for attempt in ("u.0.1", "u.1.1", "u.2.1", "u.3.1"):
        gate.read_record(attempt)
    eventually(lambda: len(inbox.of(RecordRead)) == 4)
    read = {event.attempt: event.result for event in inbox.of(RecordRead)}
    assert read == {"u.0.1": result._replace(files=tuple(manifest)), "u.1.1": None, "u.2.1": None, "u.3.1": None}


def test_the_grant_is_what_the_gate_expects(gate: DatastoreGate, datastore: Datastore) -> None:
    expected = datastore.grant(inputs=[("a", "b", "", 1)])["grant"]
    assert gate.grant("w1", "u.0.1", "j", "t", [("a", "b", "", 1)]) == expected


@pytest.mark.usefixtures("impatient")
def test_what_is_asked_while_the_datastore_is_away_is_done_when_it_is_back(
    gate: DatastoreGate,
    sshd: Sshd,
    datastore: Datastore,
    inbox: Inbox,
) -> None:
    eventually(lambda: [event.up for event in inbox.of(DatastoreSeen)] == [True])
    manifest = datastore.upload({"a.txt": A})
    sshd.stop()
    try:
        gate.accept("u.0.1", "j", manifest)
        gate.read_record("u.9.1")
        eventually(lambda: [event.up for event in inbox.of(DatastoreSeen)] == [True, False])
        assert inbox.of(ResultAccepted) == []
        with pytest.raises(DatastoreDown, match=r"127\.0\.0\.1"):
            gate.listing("j")
    finally:
        sshd.start()
    eventually(lambda: inbox.of(ResultAccepted) == [ResultAccepted("u.0.1")])
    eventually(lambda: inbox.of(RecordRead) == [RecordRead("u.9.1", None)])
    assert [event.up for event in inbox.of(DatastoreSeen)] == [True, False, True]


@pytest.mark.usefixtures("impatient")
def test_a_folder_of_another_cluster_is_never_used(sshd: Sshd, datastore: Datastore, inbox: Inbox) -> None:
    gate = DatastoreGate(sshd.certificate("boss", datastore.root), "c2", SECRET)
    gate.start(inbox.put)
    (seen,) = eventually(lambda: inbox.of(DatastoreSeen))
    assert "belongs to the cluster c1, not to c2" in seen.reason
    with pytest.raises(DatastoreDown, match="another cluster"):
        gate.check()
    gate.stop()


@pytest.mark.usefixtures("impatient")
def test_another_host_key_is_refused(sshd: Sshd, datastore: Datastore, inbox: Inbox, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {(sshd.folder / 'authority.pub').read_text()}")
    endpoint = sshd.certificate("boss", datastore.root)._replace(known_hosts=str(known_hosts))
    gate = DatastoreGate(endpoint, CLUSTER, SECRET)
    gate.start(inbox.put)
    (seen,) = eventually(lambda: inbox.of(DatastoreSeen))
    assert not seen.up
    assert "host key" in seen.reason.lower()
    gate.stop()


def test_the_api_lists_results_reads_logs_and_checks(gate: DatastoreGate, datastore: Datastore) -> None:
    manifest = datastore.upload({"b.txt": B, "a.txt": A}, logs={"stdout": [b"0123456789"]})
    datastore.accept(manifest)
    assert gate.listing("j") == [("a.txt", len(A), sha256(A)), ("b.txt", len(B), sha256(B))]
    assert gate.listing("none") == []
    assert gate.read_log("j", "t", 1, "stdout", 2, 5) == b"23456"
    assert gate.read_log("j", "t", 1, "stderr", 0, 5) == b""
    assert gate.read_log("j", "t", 2, "stdout", 0, 5) == b""
    assert "was written, read back and removed in" in gate.check()
    with pytest.raises(DatastoreDown, match="no name of a job"):
        gate.listing("../trash")


def test_the_room_on_the_datastores_disk_is_told(gate: DatastoreGate, datastore: Datastore) -> None:
    place, free, size = gate.space()
    assert place == f"127.0.0.1:{datastore.root}"
    assert 0 < free < size == shutil.disk_usage(datastore.root).total


def test_the_api_lists_shared_data_and_says_what_is_not_there(gate: DatastoreGate, datastore: Datastore) -> None:
    (datastore.root / "shared/refs").mkdir()
    (datastore.root / "shared/refs/a").write_bytes(A)
    ((name, size, digest, _when, by),) = gate.shared("refs/")
    assert (name, size, digest, by) == ("refs/a", len(A), "", "")
    assert gate.shared("x") == []
    assert gate.locate([]) == []
    assert gate.locate(["shared:refs/", "shared:refs/a"]) == []
    many = [f"shared:none/{number}" for number in range(5000)]
    assert [source for source, _ in gate.locate(many)] == many


def test_the_legacy_root_is_told_to_the_gate_at_each_start(
    sshd: Sshd, datastore: Datastore, inbox: Inbox, tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old/x").write_bytes(A)
    for root in (str(tmp_path / "old"), ""):
        gate = DatastoreGate(sshd.certificate("boss", datastore.root), CLUSTER, SECRET, legacy_root=root)
        gate.start(inbox.put)
        eventually(lambda: inbox.of(DatastoreSeen))
        inbox.events.clear()
        assert len(gate.locate(["legacy:x"])) == (0 if root else 1)
        gate.stop()


def test_the_api_reconnects_after_a_restart_of_the_datastore(
    gate: DatastoreGate,
    sshd: Sshd,
    datastore: Datastore,
) -> None:
    datastore.accept(datastore.upload({"a.txt": A}))
    assert len(gate.listing("j")) == 1
    sshd.stop()
    sshd.start()
    assert len(gate.listing("j")) == 1


def test_many_threads_may_ask_at_once(gate: DatastoreGate, datastore: Datastore) -> None:
    datastore.accept(datastore.upload({f"{n}": b"%d" % n for n in range(50)}))
    lengths: list[int] = []
    threads = [threading.Thread(target=lambda: lengths.append(len(gate.listing("j")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == [50] * 8


def test_stop_ends_while_the_datastore_is_away(sshd: Sshd, datastore: Datastore, inbox: Inbox) -> None:
    endpoint = sshd.certificate("boss", datastore.root)._replace(port=1)
    gate = DatastoreGate(endpoint, CLUSTER, SECRET)
    gate.start(inbox.put)
    eventually(lambda: inbox.of(DatastoreSeen))
    ended = threading.Thread(target=gate.stop)
    ended.start()
    ended.join(5)
    assert not ended.is_alive()


def test_the_api_reads_parts_of_results_and_nothing_else(gate: DatastoreGate, datastore: Datastore) -> None:
    datastore.accept(datastore.upload({"b.txt": B, "a.txt": A}))
    assert gate.read_results("j", [("a.txt", 0, 1 << 20), ("none.txt", 0, 5), ("b.txt", 2, 3)]) == [A, None, B[2:5]]
    assert gate.read_results("j", [("a.txt", 0, 0), ("a.txt", len(A) + 9, 5), ("a.txt", -3, 2)]) == [b"", b"", A[:2]]
    assert gate.read_results("j", []) == []
    for path in ("../b/a.txt", "/etc/passwd", "a/../../x"):
        with pytest.raises(DatastoreDown):
            gate.read_results("j", [(path, 0, 5)])
    place, free, size = gate.space()
    assert str(datastore.root) in place
    assert 0 < free <= size
