"""Acceptance is repeatable for ever, killed at any point."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datastore.acceptance import Acceptance, Upload
from tests.datastore.host import REPOSITORY, Datastore

FILES = {"a.txt": b"new a\n", "deep/b.txt": b"new b\n", "deep/er/c.txt": b"new c\n"}


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[[], Datastore]]:
    """Makes a datastore with older results, one upload of which will replace."""
    stores: list[Datastore] = []

    def make() -> Datastore:
        store = Datastore(tmp_path / f"root{len(stores)}")
        stores.append(store)
        assert store.accept(store.upload({"a.txt": b"old a\n", "other.txt": b"other\n"}, "u.0.1"), "u.0.1")[1] == "accepted"
        return store

    yield make
    for store in stores:
        store.close()


def die_before(store: Datastore, step: int, manifest: object) -> bool:
    """Accept in a child that is killed before a step; False when it had no such step and ended."""
    command = [sys.executable, "-m", "tests.datastore.dying", str(store.root), str(step), "u.0.2", "j", json.dumps(manifest)]
    return subprocess.run(command, cwd=REPOSITORY).returncode == -9


def test_killed_before_any_step_it_ends_the_same_when_repeated(fresh: Callable[[], Datastore]) -> None:
    steps = 0
    while True:
        store = fresh()
        manifest = store.upload(FILES, "u.0.2")
        killed = die_before(store, steps, manifest)
        for _again in range(2):
            assert store.accept(manifest, "u.0.2") == ("u.0.2", "accepted", "")
            assert store.results() == {**FILES, "other.txt": b"other\n"}, steps
            assert store.sums_hold(), steps
            assert store.tree.names("incoming") == store.tree.names("accepted") == []
        if not killed:
            break
        steps += 1
    assert steps == 7, "the rename, three moves, the manifest, the flush, the removal"


def test_killed_again_and_again_it_still_ends(fresh: Callable[[], Datastore]) -> None:
    store = fresh()
    manifest = store.upload(FILES, "u.0.2")
    for step in (0, 1, 1, 2, 1, 3, 4, 5):
        assert die_before(store, step, manifest)
    assert not die_before(store, 99, manifest)
    assert store.results() == {**FILES, "other.txt": b"other\n"}
    assert store.sums_hold()


def test_killed_after_acceptance_it_cannot_be_rejected(fresh: Callable[[], Datastore]) -> None:
    store = fresh()
    manifest = store.upload(FILES, "u.0.2")
    assert die_before(store, 2, manifest)
    assert Acceptance(store.tree).reject("u.0.2") is False
    assert store.accept(manifest, "u.0.2")[1] == "accepted"


def test_a_restarted_gate_finishes_what_was_begun(fresh: Callable[[], Datastore]) -> None:
    store = fresh()
    manifest = store.upload(FILES, "u.0.2")
    assert die_before(store, 3, manifest)
    Acceptance(store.tree).finish()
    assert store.results() == {**FILES, "other.txt": b"other\n"}
    assert store.sums_hold()


def test_a_result_that_was_taken_away_after_acceptance_is_told(fresh: Callable[[], Datastore]) -> None:
    store = fresh()
    manifest = store.upload(FILES, "u.0.2")
    assert die_before(store, 2, manifest)
    (store.root / "jobs/j/a.txt").unlink()
    attempt, verdict, reason = store.accept(manifest, "u.0.2")
    assert (attempt, verdict) == ("u.0.2", "refused")
    assert "a.txt of attempt u.0.2 was accepted, but is not there any more" in reason


def test_two_sessions_write_one_manifest(fresh: Callable[[], Datastore]) -> None:
    store = fresh()
    old, new = Acceptance(store.tree), Acceptance(store.tree)
    worker = store.gate("worker:w1")
    for number in range(6):
        attempt = f"u.{number}.1"
        manifest = store.upload({f"{number % 4}.txt": b"%d" % number}, attempt, channel=worker)
        uploads = [Upload(attempt, "j", tuple(manifest))]
        assert (old, new)[number % 2].accept(uploads)[0][1] == "accepted"
        assert store.sums_hold()


def test_a_manifest_that_was_cut_off_is_mended(fresh: Callable[[], Datastore]) -> None:
    store = fresh()
    sums = store.root / "jobs/j/SHA256SUMS"
    os.truncate(sums, sums.stat().st_size - 10)
    manifest = store.upload(FILES, "u.0.2")
    assert store.accept(manifest, "u.0.2")[1] == "accepted"
    named = [line.split("  ")[1] for line in sums.read_text().splitlines()]
    assert set(FILES) <= set(named)
    assert len(named) == len(set(named))
    store.results()


def test_a_full_disk_is_said_and_is_not_a_refusal(fresh: Callable[[], Datastore]) -> None:
    store = fresh()
    manifest = store.upload(FILES, "u.0.2")

    def full(step: str) -> None:
        if step == "enter":
            raise OSError(28, "No space left on device")

    uploads = [Upload("u.0.2", "j", tuple(manifest))]
    (answer,) = Acceptance(store.tree, full).accept(uploads)
    assert answer[1] == "full"
    assert "No space left" in answer[2]
    assert store.accept(manifest, "u.0.2")[1] == "accepted"
    assert store.sums_hold()


def test_a_record_that_cannot_be_read_is_none_and_its_files_are_not_deleted(fresh: Callable[[], Datastore]) -> None:
    store = fresh()
    manifest = store.upload(FILES, "u.0.2")
    (store.root / "incoming/u.0.2/record.json").write_text('{"attempt":"u.0')
    assert store.accept(manifest, "u.0.2")[1] == "refused"
    (store.root / "incoming/u.0.2").rename(store.root / "accepted/u.0.2")
    Acceptance(store.tree).finish()
    assert store.tree.names("accepted") == []
    assert (store.root / "trash/u.0.2/files/a.txt").read_bytes() == FILES["a.txt"]
