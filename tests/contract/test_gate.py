"""The gate, asked as a caller does: rights, grants, uploads, acceptance, logs."""

import os
import stat
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from datastore import layout
from datastore.channel import Unreachable
from datastore.frames import GateRefused
from datastore.landing import Stopped
from datastore.transfer import Given, deliver, find
from tests.contract.asking import A, B, accept
from tests.datastore.host import CLUSTER, NEVER, SECRET, Datastore, given_bytes, record_of, sha256
from tests.servers import eventually

#: What no person may ask for, whatever the role.
NOT_FOR_PEOPLE = (
    "receive",
    "find",
    "send",
    "accept",
    "reject",
    "record",
    "read_log",
    "read",
    "initialise",
    "check",
    "remove",
    "delete",
)

# ---- who may do what -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "operation"),
    [
        ("worker:w1", "accept"),
        ("worker:w1", "list"),
        ("worker:w1", "get"),
        ("worker:w1", "put"),
        ("worker:w1", "initialise"),
        *((f"{role}:ada", operation) for role in ("viewer", "researcher", "admin") for operation in NOT_FOR_PEOPLE),
        ("viewer:ada", "have"),
        ("viewer:ada", "put"),
        ("boss", "receive"),
        ("boss", "nonsense"),
    ],
)
def test_a_caller_is_refused_what_its_role_may_not_do(datastore: Datastore, caller: str, operation: str) -> None:
    channel = datastore.gate(caller)
    give = (lambda wire: {"end": True}) if operation in ("receive", "put") else None
    with pytest.raises(GateRefused, match="may not"):
        channel.ask({"op": operation}, give=give)
    assert channel.alive


def test_a_folder_of_another_cluster_is_refused(datastore: Datastore) -> None:
    with pytest.raises(GateRefused, match="belongs to the cluster c1"):
        datastore.boss.ask({"op": "initialise", "cluster": "c2", "secret": SECRET.hex()})


def test_a_folder_that_no_boss_has_set_up_turns_workers_away(tmp_path: Path) -> None:
    store = Datastore(tmp_path / "root", initialised=False)
    with pytest.raises(GateRefused, match="not set up"):
        store.gate("worker:w1")
    store.close()


def test_the_greeting_names_caller_and_cluster(datastore: Datastore) -> None:
    assert datastore.gate("researcher:ada").greeting == {"gate": 1, "caller": "researcher:ada", "cluster": CLUSTER}


def test_the_secret_is_for_its_owner_only_and_its_lack_refuses_grants(datastore: Datastore) -> None:
    secret = datastore.root / layout.SECRET
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    channel = datastore.gate("worker:w1")
    secret.chmod(0o644)
    with pytest.raises(GateRefused, match="mode 0600"):
        find(channel, datastore.grant())
    secret.unlink()
    with pytest.raises(GateRefused, match="no secret"):
        find(channel, datastore.grant())


@pytest.mark.parametrize(
    "change",
    [{"attempt": "u.0.2"}, {"job": "k"}, {"task": "s"}, {"inputs": [["secret.txt", "", "", 0]]}, {"grant": "0" * 64}],
)
def test_a_grant_holds_for_nothing_but_what_it_was_made_for(datastore: Datastore, change: dict[str, Any]) -> None:
    request = dict(datastore.grant(), **change)
    with pytest.raises(GateRefused, match="not for worker w1"):
        deliver(datastore.gate("worker:w1"), request, [given_bytes(datastore.root.parent, "a", A)], {}, "{}", 200, NEVER)
    assert datastore.tree.names("incoming") == []


def test_another_workers_grant_is_refused(datastore: Datastore) -> None:
    with pytest.raises(GateRefused, match="not for worker w2"):
        find(datastore.gate("worker:w2"), datastore.grant(worker="w1"))


# ---- uploads -------------------------------------------------------------------------------------------------------


def test_an_upload_waits_with_its_record_and_reaches_the_job_when_accepted(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A, "deep/er/b.txt": B}, result="said")
    assert manifest == [("a.txt", len(A), sha256(A)), ("deep/er/b.txt", len(B), sha256(B))]
    record = record_of(datastore.root, "u.0.1")
    assert (record["job"], record["task"], record["worker"], record["result"]) == ("j", "t", "w1", "said")
    assert datastore.results() == {}
    assert accept(datastore, manifest) == ["u.0.1", "accepted", ""]
    assert datastore.results() == {"a.txt": A, "deep/er/b.txt": B}
    assert datastore.sums_hold()
    assert datastore.tree.names("incoming") == datastore.tree.names("accepted") == []


def test_accepting_again_answers_the_same_and_changes_nothing(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A})
    accept(datastore, manifest)
    before = datastore.inventory()
    for _again in range(3):
        assert accept(datastore, manifest) == ["u.0.1", "accepted", ""]
    assert datastore.inventory() == before


def test_an_upload_that_differs_from_the_committed_manifest_is_refused(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A})
    wrong = [("a.txt", len(A), sha256(B))]
    assert accept(datastore, wrong)[1] == "refused"
    assert accept(datastore, manifest, job="other")[1] == "refused"
    assert datastore.results() == {}
    assert accept(datastore, manifest)[1] == "accepted"


def test_an_upload_that_does_not_exist_is_refused(datastore: Datastore) -> None:
    attempt, verdict, reason = accept(datastore, [("a.txt", 1, sha256(b"x"))])
    assert (attempt, verdict) == ("u.0.1", "refused")
    assert "no complete upload" in reason


def test_a_repeat_before_acceptance_replaces_the_upload(datastore: Datastore) -> None:
    datastore.upload({"a.txt": A, "old.txt": A})
    manifest = datastore.upload({"a.txt": B})
    assert accept(datastore, manifest)[1] == "accepted"
    assert datastore.results() == {"a.txt": B}


def test_a_repeat_with_the_same_files_leaves_the_upload_that_waits(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A, "b.txt": B}, result="first")
    before = datastore.inventory()
    place = (datastore.root / "incoming/u.0.1/record.json").stat()
    assert datastore.upload({"a.txt": A, "b.txt": B}, result="second") == manifest
    assert datastore.inventory() == before
    assert (datastore.root / "incoming/u.0.1/record.json").stat() == place


def test_a_repeat_after_acceptance_is_answered_with_the_old_record(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A}, result="first")
    os.rename(datastore.root / "incoming/u.0.1", datastore.root / "accepted/u.0.1")
    before = datastore.inventory()
    assert datastore.upload({"a.txt": B, "more.txt": B}, result="second") == manifest
    assert datastore.inventory() == before


def test_a_repeat_after_everything_is_finished_stores_nothing(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A})
    accept(datastore, manifest)
    before = datastore.inventory()
    assert datastore.upload({"a.txt": A}) == manifest
    assert datastore.inventory() == before


def test_a_result_that_a_disk_has_damaged_is_replaced_by_the_same_one_made_anew(datastore: Datastore) -> None:
    assert accept(datastore, datastore.upload({"a.txt": A}))[1] == "accepted"
    (datastore.root / "jobs/j/a.txt").write_bytes(A[::-1])
    assert accept(datastore, datastore.upload({"a.txt": A}, "u.0.2"), "u.0.2")[1] == "accepted"
    assert datastore.results() == {"a.txt": A}
    assert datastore.sums_hold()


def test_a_different_upload_after_everything_is_finished_never_reaches_the_job(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A})
    accept(datastore, manifest)
    datastore.upload({"a.txt": B})
    assert accept(datastore, manifest) == ["u.0.1", "accepted", ""]
    assert datastore.results() == {"a.txt": A}


def test_a_rejected_upload_goes_to_the_trash_and_cannot_be_accepted(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A})
    boss = datastore.boss
    assert boss.ask({"op": "reject", "attempts": ["u.0.1", "u.0.9"]})["rejected"] == ["u.0.1"]
    assert (datastore.root / "trash/u.0.1/files/a.txt").read_bytes() == A
    assert accept(datastore, manifest)[1] == "refused"
    datastore.upload({"a.txt": B})
    assert boss.ask({"op": "reject", "attempts": ["u.0.1"]})["rejected"] == ["u.0.1"]
    assert (datastore.root / "trash/u.0.1/files/a.txt").read_bytes() == B


def test_what_was_accepted_cannot_be_rejected(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A})
    accept(datastore, manifest)
    assert datastore.boss.ask({"op": "reject", "attempts": ["u.0.1"]})["rejected"] == []
    assert datastore.results() == {"a.txt": A}


def test_a_later_attempt_replaces_results_and_their_lines_in_the_manifest(datastore: Datastore) -> None:
    accept(datastore, datastore.upload({"a.txt": A, "same.txt": A}))
    accept(datastore, datastore.upload({"other.txt": A}, "u.1.1"), "u.1.1")
    accept(datastore, datastore.upload({"a.txt": B, "same.txt": A}, "u.0.2"), "u.0.2")
    assert datastore.results() == {"a.txt": B, "same.txt": A, "other.txt": A}
    assert datastore.sums_hold()


def test_a_batch_gives_each_upload_its_own_verdict(datastore: Datastore) -> None:
    worker = datastore.gate("worker:w1")
    rows = [
        [f"u.{n}.1", "j", [list(row) for row in datastore.upload({f"{n}.txt": A}, f"u.{n}.1", channel=worker)]] for n in range(3)
    ]
    rows.insert(1, ["u.9.1", "j", [["9.txt", 1, sha256(b"x")]]])
    answers = datastore.boss.ask({"op": "accept", "uploads": rows})["answers"]
    assert [(attempt, verdict) for attempt, verdict, _reason in answers] == [
        ("u.0.1", "accepted"),
        ("u.9.1", "refused"),
        ("u.1.1", "accepted"),
        ("u.2.1", "accepted"),
    ]
    assert datastore.sums_hold()


def test_the_executable_bit_is_kept(datastore: Datastore) -> None:
    given = [given_bytes(datastore.root.parent, "run.sh", A, executable=True), given_bytes(datastore.root.parent, "data", B)]
    manifest = deliver(datastore.gate("worker:w1"), datastore.grant(), given, {}, "{}", 200, NEVER)
    accept(datastore, manifest)
    assert os.access(datastore.root / "jobs/j/run.sh", os.X_OK)
    assert not (datastore.root / "jobs/j/data").stat().st_mode & 0o111


def test_a_thousand_small_files_go_in_one_request(datastore: Datastore) -> None:
    files = {f"d{n % 7}/{n}.txt": b"%d\n" % n for n in range(1000)}
    manifest = datastore.upload(files)
    assert accept(datastore, manifest)[1] == "accepted"
    assert datastore.results() == files
    assert datastore.sums_hold()


def test_a_long_manifest_stays_in_the_record(datastore: Datastore) -> None:
    given = [given_bytes(datastore.root.parent, f"{n}.txt", A) for n in range(3)]
    assert deliver(datastore.gate("worker:w1"), datastore.grant(), given, {}, "{}", 2, NEVER) is None
    record = datastore.boss.ask({"op": "record", "attempt": "u.0.1"})["record"]
    assert [row[0] for row in record["files"]] == ["0.txt", "1.txt", "2.txt"]


def test_there_is_no_record_before_and_after(datastore: Datastore) -> None:
    boss = datastore.boss
    assert boss.ask({"op": "record", "attempt": "u.0.1"})["record"] is None
    accept(datastore, datastore.upload({"a.txt": A}))
    assert boss.ask({"op": "record", "attempt": "u.0.1"})["record"] is None


@pytest.mark.parametrize(
    "path",
    [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "",
        ".",
        "a//b",
        "a/./b",
        "SHA256SUMS",
        "nul\0",
        "line\nbreak",
        "folder/",
        "x" * 300,
        "\udc80",
    ],
)
def test_a_path_that_leaves_its_folder_or_that_no_file_can_have_is_refused(datastore: Datastore, path: str) -> None:
    worker = datastore.gate("worker:w1")
    with pytest.raises(GateRefused):
        datastore.upload({"good.txt": A, path: B}, channel=worker)
    assert datastore.tree.names("incoming") == []
    assert not (datastore.root.parent / "evil").exists()
    assert datastore.upload({"good.txt": A}, channel=worker), "the session goes on"


def test_one_name_cannot_be_sent_twice_nor_be_file_and_folder(datastore: Datastore) -> None:
    worker = datastore.gate("worker:w1")
    folder = datastore.root.parent
    for second in ("a", "a/b"):
        with pytest.raises(GateRefused):
            given = [given_bytes(folder, "a", A), given_bytes(folder, second, B)]
            deliver(worker, datastore.grant(), given, {}, "{}", 200, NEVER)
    assert datastore.tree.names("incoming") == []


@pytest.mark.parametrize("attempt", ["../../evil", ".hidden.1", "u.0.x", "a/b.1", ""])
def test_an_attempts_name_cannot_be_a_path(datastore: Datastore, attempt: str) -> None:
    with pytest.raises(GateRefused):
        datastore.upload({"a": A}, attempt)
    assert datastore.tree.names("incoming") == []


def test_a_link_planted_in_the_jobs_folder_does_not_lead_out(datastore: Datastore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (datastore.root / "jobs/j").mkdir()
    (datastore.root / "jobs/j/way").symlink_to(outside)
    (datastore.root / "jobs/j/file").symlink_to(outside / "file")
    for number, path in enumerate(("way/evil", "file")):
        attempt = f"u.{number}.1"
        _attempt, verdict, reason = accept(datastore, datastore.upload({path: A}, attempt), attempt)
        assert verdict == "refused", reason
        assert (datastore.root / "incoming" / attempt).exists(), "refused before it was accepted"
    assert list(outside.iterdir()) == []


def test_a_job_folder_that_is_a_link_is_refused(datastore: Datastore, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (datastore.root / "jobs/j").symlink_to(tmp_path / "outside")
    assert accept(datastore, datastore.upload({"a": A}))[1] == "refused"
    with pytest.raises(GateRefused, match="not a plain folder"):
        datastore.gate("researcher:ada").ask({"op": "list", "job": "j"})


@pytest.mark.parametrize(("there", "path"), [("a/b", "a"), ("a", "a/b")])
def test_a_file_never_replaces_a_folder_nor_a_folder_a_file(datastore: Datastore, there: str, path: str) -> None:
    accept(datastore, datastore.upload({there: A}))
    assert accept(datastore, datastore.upload({path: B}, "u.1.1"), "u.1.1")[1] == "refused"
    assert datastore.results() == {there: A}
    assert datastore.tree.names("incoming") == ["u.1.1"]


def test_an_upload_that_is_stopped_keeps_nothing(datastore: Datastore) -> None:
    stopped = Event()
    worker = datastore.gate("worker:w1")

    def open_and_stop() -> int:
        stopped.set()
        return os.open("/dev/zero", os.O_RDONLY)

    with pytest.raises(Stopped):
        deliver(worker, datastore.grant(), [Given("endless", open_and_stop, False)], {}, "{}", 200, stopped)
    assert datastore.tree.names("incoming") == []
    assert datastore.upload({"a": A}, channel=worker)


def test_a_session_that_dies_leaves_nothing_that_a_boss_would_take(datastore: Datastore) -> None:
    worker = datastore.gate("worker:w1")

    def open_and_die() -> int:
        eventually(lambda: list((datastore.root / "incoming").glob(".u.0.1.*/files/first")))
        worker.kill()
        return os.open("/dev/null", os.O_RDONLY)

    first = given_bytes(datastore.root.parent, "first", A * 1_000_000)
    with pytest.raises(Unreachable):
        deliver(worker, datastore.grant(), [first, Given("second", open_and_die, False)], {}, "{}", 200, NEVER)
    assert datastore.boss.ask({"op": "record", "attempt": "u.0.1"})["record"] is None
    datastore.boss.ask({"op": "initialise", "cluster": CLUSTER, "secret": SECRET.hex()})
    assert datastore.tree.names("incoming") == []


def test_set_up_again_leaves_uploads_that_are_being_written(datastore: Datastore) -> None:
    def open_after_set_up() -> int:
        datastore.boss.ask({"op": "initialise", "cluster": CLUSTER, "secret": SECRET.hex()})
        return os.open("/dev/null", os.O_RDONLY)

    big = given_bytes(datastore.root.parent, "big", A * 1_000_000)
    worker = datastore.gate("worker:w1")
    manifest = deliver(worker, datastore.grant(), [big, Given("second", open_after_set_up, False)], {}, "{}", 200, NEVER)
    assert accept(datastore, manifest)[1] == "accepted"


def test_set_up_again_finishes_what_was_accepted(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A})
    os.rename(datastore.root / "incoming/u.0.1", datastore.root / "accepted/u.0.1")
    datastore.boss.ask({"op": "initialise", "cluster": CLUSTER, "secret": SECRET.hex()})
    assert datastore.results() == {"a.txt": A}
    assert datastore.tree.names("accepted") == []
    assert accept(datastore, manifest)[1] == "accepted"


# ---- logs ----------------------------------------------------------------------------------------------------------


def test_logs_are_kept_without_a_boss_and_read_in_parts(datastore: Datastore) -> None:
    datastore.upload({}, logs={"stdout": [b"0123", b"456789"], "stderr": [b"trouble"]})
    assert datastore.tree.names("incoming") == []
    assert (datastore.root / "logs/j/t/1/stdout").read_bytes() == b"0123456789"
    boss = datastore.boss

    def read(stream: str, offset: int, limit: int, number: int = 1) -> bytes:
        pieces: list[bytes] = []

        def take(items: Any) -> None:
            for _item in items:
                pieces.extend(items.chunks())

        request = {
            "op": "read_log",
            "job": "j",
            "task": "t",
            "number": number,
            "stream": stream,
            "offset": offset,
            "limit": limit,
        }
        boss.ask(request, take=take)
        return b"".join(pieces)

    assert read("stdout", 3, 4) == b"3456"
    assert read("stdout", 8, 100) == b"89"
    assert read("stderr", 0, 100) == b"trouble"
    assert read("stdout", 0, 100, number=2) == b""
    with pytest.raises(GateRefused):
        read("../../secret", 0, 100)


def test_there_are_no_logs_but_stdout_and_stderr(datastore: Datastore) -> None:
    with pytest.raises(GateRefused, match="no log called"):
        datastore.upload({}, logs={"../evil": [b"x"]})
