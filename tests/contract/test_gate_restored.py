"""What the gate does for a boss whose database came from a back-up: nothing that it does not know is deleted or overwritten."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from boss.adapters.results import DatastoreGate
from boss.core.events import DatastoreSeen, Event, ResultAccepted
from datastore import layout
from datastore.acceptance import Acceptance, Upload
from datastore.frames import GateOutdated, GateRefused
from tests.contract.asking import A, B, accept
from tests.datastore.host import CLUSTER, REPOSITORY, SECRET, Datastore, Sshd
from tests.servers import eventually


def keep(store: Datastore, manifest: list[tuple[str, int, str]], attempt: str) -> tuple[str, str, str]:
    """Accept an upload for a restored boss."""
    return Acceptance(store.tree).accept([Upload(attempt, "j", tuple(manifest), keep=True)])[0]


def test_a_newer_file_that_differs_is_put_aside_and_never_overwritten(datastore: Datastore) -> None:
    assert accept(datastore, datastore.upload({"deep/a.txt": A, "same.txt": B}, "u.0.3"), "u.0.3")[1] == "accepted"
    manifest = datastore.upload({"deep/a.txt": B, "same.txt": B, "new.txt": A}, "u.0.5001")
    uploads = [["u.0.5001", "j", [list(row) for row in manifest]]]
    answer = datastore.boss.ask({"op": "accept", "uploads": uploads, "keep": ["u.0.5001"]})["answers"][0]
    assert answer == ["u.0.5001", "accepted", "1 older file that differs is in replaced/j/u.0.5001"]
    assert datastore.results() == {"deep/a.txt": B, "same.txt": B, "new.txt": A}
    assert datastore.sums_hold()
    kept = datastore.root / "replaced/j/u.0.5001"
    assert {str(path.relative_to(kept)): path.read_bytes() for path in kept.rglob("*") if path.is_file()} == {"deep/a.txt": A}


def test_killed_before_any_step_both_files_are_there_when_it_is_repeated(tmp_path: Path) -> None:
    files = {"a.txt": b"new a\n", "deep/b.txt": b"new b\n"}
    steps, killed = 0, True
    while killed:
        store = Datastore(tmp_path / f"root{steps}")
        assert store.accept(store.upload({"a.txt": A, "deep/b.txt": B}, "u.0.3"), "u.0.3")[1] == "accepted"
        manifest = store.upload(files, "u.0.5001")
        command = [
            sys.executable,
            "-m",
            "tests.datastore.dying",
            str(store.root),
            str(steps),
            "u.0.5001",
            "j",
            json.dumps(manifest),
        ]
        killed = subprocess.run([*command, "keep"], cwd=REPOSITORY).returncode == -9
        for _again in range(2):
            assert keep(store, manifest, "u.0.5001")[1] == "accepted"
            assert store.results() == files, steps
            assert store.sums_hold(), steps
            aside = store.root / "replaced/j/u.0.5001"
            assert ((aside / "a.txt").read_bytes(), (aside / "deep/b.txt").read_bytes()) == (A, B), steps
        store.close()
        steps += 1
    assert steps > 7


def test_asked_again_its_own_files_are_not_put_aside(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A})
    for _ in range(3):
        assert keep(datastore, manifest, "u.0.1")[1] == "accepted"
    assert not any(datastore.tree.files("replaced"))


def test_uploads_that_the_database_does_not_know_stay_where_they_are(datastore: Datastore) -> None:
    """A boss that sets the datastore up again, at any epoch, removes neither uploads nor pushed files nor what was accepted."""
    datastore.upload({"a.txt": A}, "forgotten.0.2")
    accept(datastore, datastore.upload({"b.txt": B}, "forgotten.1.1"), "forgotten.1.1")
    before = datastore.inventory()
    for epoch in (7, 1_800_000_000):
        datastore.boss.ask({"op": "initialise", "cluster": CLUSTER, "secret": SECRET.hex(), "epoch": epoch, "life": "x"})
    after = datastore.inventory()
    assert {name: after.get(name) for name in before} == before
    assert (datastore.root / "incoming/forgotten.0.2/files/a.txt").read_bytes() == A


def test_what_a_forgotten_life_had_accepted_is_finished(datastore: Datastore) -> None:
    manifest = datastore.upload({"a.txt": A, "b.txt": B})
    command = [sys.executable, "-m", "tests.datastore.dying", str(datastore.root), "2", "u.0.1", "j", json.dumps(manifest)]
    assert subprocess.run(command, cwd=REPOSITORY).returncode == -9
    datastore.boss.ask({"op": "initialise", "cluster": CLUSTER, "secret": SECRET.hex(), "epoch": 9, "life": "x"})
    assert datastore.results() == {"a.txt": A, "b.txt": B}


def test_a_boss_whose_life_does_not_come_after_the_last_is_told_that_its_database_is_older(datastore: Datastore) -> None:
    ask = {"op": "initialise", "cluster": CLUSTER, "secret": SECRET.hex()}
    for epoch, life in ((3, "a"), (3, "a"), (9, "b"), (9, "b")):
        datastore.boss.ask({**ask, "epoch": epoch, "life": life})
    for epoch, life in ((8, "c"), (9, "c")):
        with pytest.raises(
            GateOutdated, match=rf"has seen epoch 9 of its boss, and this boss is at {epoch}: its database is older"
        ):
            datastore.boss.ask({**ask, "epoch": epoch, "life": life})
    for wrong in ({"epoch": "10", "life": "a"}, {"epoch": 10}, {"epoch": -1, "life": "a"}):
        with pytest.raises(GateRefused):
            datastore.boss.ask({**ask, **wrong})
    assert (datastore.root / layout.EPOCH).read_text() == "9 b\n"


def test_a_boss_with_an_older_database_neither_accepts_nor_rejects_and_says_so_once(sshd: Sshd, datastore: Datastore) -> None:
    datastore.boss.ask({"op": "initialise", "cluster": CLUSTER, "secret": SECRET.hex(), "epoch": 9, "life": "x"})
    manifest = datastore.upload({"a.txt": A})
    before = datastore.inventory()
    told: list[str] = []
    events: list[Event] = []
    older = DatastoreGate(sshd.certificate("boss", datastore.root), CLUSTER, SECRET, 5, told.append)
    older.accept("u.0.1", "j", manifest)
    older.reject("u.0.1")
    older.start(lambda event: events.append(event) is None)
    eventually(lambda: told)
    older.stop()
    assert len(told) == 1 and "older than the files" in told[0]
    assert [event.up for event in events if isinstance(event, DatastoreSeen)] == [False]
    assert datastore.inventory() == before


def test_a_restored_boss_asks_for_what_it_replaces_to_be_kept(sshd: Sshd, datastore: Datastore) -> None:
    accept(datastore, datastore.upload({"a.txt": A}, "u.0.2"), "u.0.2")
    manifest = datastore.upload({"a.txt": B}, "u.0.5001")
    events: list[Event] = []
    gate = DatastoreGate(sshd.certificate("boss", datastore.root), CLUSTER, SECRET, 10)
    gate.start(lambda event: events.append(event) is None)
    gate.accept("u.0.5001", "j", manifest, keep=True)
    eventually(lambda: ResultAccepted("u.0.5001") in events)
    assert gate.taken(["j", "k"]) == ["j"]
    gate.stop()
    assert (datastore.root / "replaced/j/u.0.5001/a.txt").read_bytes() == A
    assert datastore.results() == {"a.txt": B}


def test_a_name_is_taken_by_results_or_by_logs(datastore: Datastore) -> None:
    accept(datastore, datastore.upload({"a.txt": A}))
    (datastore.root / "logs/k/t/1").mkdir(parents=True)
    assert datastore.boss.ask({"op": "taken", "jobs": ["j", "k", "l"]})["taken"] == ["j", "k"]
    with pytest.raises(GateRefused):
        datastore.boss.ask({"op": "taken", "jobs": ["../secret"]})
    with pytest.raises(GateRefused, match="may not"):
        datastore.gate("researcher:ada").ask({"op": "taken", "jobs": ["j"]})
