"""Restoring: archives that cannot be trusted, what comes after, and the files that belong to a database."""

import hashlib
import io
import json
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from boss import absent, config
from boss.adapters import archive, dump
from boss.adapters.migrations import MIGRATIONS, migrate
from boss.adapters.reader import Reader
from boss.adapters.store import Store
from boss.core.changes import Changes
from boss.core.model import JobState
from boss.core.tokens import Role, Token
from boss.ports import Datastore
from datastore.layout import job_folder
from tests import builders
from tests.contract.backups import Admin, Place, content, facts, live

# ---- what cannot be trusted ------------------------------------------------------------------------------------------


def rewritten(source: Path, target: Path, change: Callable[[dict[str, bytes], dict[str, Any]], None]) -> Path:
    """A back-up taken apart, changed by a stranger, and put together again."""
    with tarfile.open(source) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    manifest = json.loads(members.pop("manifest.json"))
    change(members, manifest)
    with tarfile.open(target, "w") as tar:
        for name, data in (("manifest.json", json.dumps(manifest).encode()), *members.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target


def named(members: dict[str, bytes], manifest: dict[str, Any], name: str, data: bytes) -> None:
    """Add or replace a file, with the right digest in the manifest."""
    members[name] = data
    manifest["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda m, f: m.update({"rows/tasks.jsonl.gz": bytes(reversed(m["rows/tasks.jsonl.gz"]))}),
            "is damaged: rows/tasks.jsonl.gz",
        ),
        (lambda m, f: m.pop("rows/jobs.jsonl.gz"), "rows/jobs.jsonl.gz is missing"),
        (lambda m, f: m.update({"rows/more.jsonl.gz": b""}), "not in its manifest"),
        (lambda m, f: f.update({"ecloud-backup": 2}), "form 2"),
        (lambda m, f: f.update({"schema": 99}), "schema 99 is not known"),
        (lambda m, f: f.update({"created": time.time() + 7200}), "set the clock first"),
        (lambda m, f: f.pop("created"), "says nothing usable about 'created'"),
        (lambda m, f: f["rows"].update({"tasks": 2}), "has 3 rows of tasks, not 2"),
        (lambda m, f: f["files"].update({"../../evil": {"size": 1, "sha256": ""}}), "does not belong into a back-up"),
        (lambda m, f: named(m, f, "state/../../../evil", b"x"), "does not belong into a back-up"),
        (lambda m, f: named(m, f, "rows/tasks.jsonl.gz", b"no gzip"), "rows of tasks in the back-up cannot be read"),
        (lambda m, f: f.update({"files": []}), "manifest cannot be read"),
    ],
)
def test_a_back_up_that_is_not_what_it_says_changes_nothing(
    place: Place, tmp_path: Path, change: Callable[[dict[str, bytes], dict[str, Any]], None], sentence: str
) -> None:
    here, there = place("here"), place("deep/down/there")
    live(here)
    here.run("backup", str(tmp_path / "saved.tar"))
    wrong = rewritten(tmp_path / "saved.tar", tmp_path / "wrong.tar", change)
    assert sentence in there.run("restore", str(wrong), code=1)
    assert [path.name for path in there.state.iterdir()] == ["lock"]
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("size", [0, 100, 2000, 9000])
def test_a_back_up_that_was_cut_off_is_refused(place: Place, tmp_path: Path, size: int) -> None:
    here, there = place("here"), place("there")
    live(here)
    here.run("backup", str(tmp_path / "saved.tar"))
    (tmp_path / "cut.tar").write_bytes((tmp_path / "saved.tar").read_bytes()[:size])
    there.run("restore", str(tmp_path / "cut.tar"), code=1)
    assert [path.name for path in there.state.iterdir()] == ["lock"]


def test_what_is_no_back_up_and_what_is_not_there_is_said(place: Place, tmp_path: Path) -> None:
    here = place("here")
    assert "no boss has run here" in here.run("backup", str(tmp_path / "x.tar"), code=1)
    assert "no boss has run here" in here.run("adopt", code=1)
    assert "No such file" in here.run("restore", str(tmp_path / "x.tar"), code=1)
    with tarfile.open(tmp_path / "photos.tar", "w"):
        pass
    assert "is no back-up of ecloud" in here.run("restore", str(tmp_path / "photos.tar"), code=1)
    live(here)
    assert "there is no folder" in here.run("backup", str(tmp_path / "no" / "x.tar"), code=1)
    assert "there is no folder" in here.run("backup", f"{tmp_path / 'no'}/", code=1)


def test_an_odd_file_among_the_keys_is_not_carried_along_unseen(place: Place, tmp_path: Path) -> None:
    here = place("here")
    live(here)
    (here.state / "pki" / "an odd name").write_text("x")
    assert "an odd name" in here.run("backup", str(tmp_path / "x.tar"), code=1)
    assert not (tmp_path / "x.tar").exists()


# ---- what comes after ------------------------------------------------------------------------------------------------


def test_after_a_restore_nothing_is_named_twice_however_often_it_is_restored(
    place: Place, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = place("here", url)
    live(here)
    here.run("backup", str(tmp_path / "saved.tar"))
    epochs, floors = [int(facts(url)["epoch"])], [0]
    began = time.time()
    for number in range(3):
        monkeypatch.setattr(time, "time", lambda number=number: began + 2 * number)
        here.run("restore", str(tmp_path / "saved.tar"), "--force")
        store = Store(url)
        epochs.append(store.open())
        store.close()
        floors.append(int(facts(url)["attempt_floor"]))
    assert epochs == sorted(set(epochs)) and floors == sorted(set(floors))
    assert int(facts(url)["vm_number"]) > 7
    assert float(facts(url)["restored_until"]) >= builders.NOON


def test_a_database_put_back_by_hand_is_made_safe_by_adopting_it(place: Place, url: str) -> None:
    here = place("here", url)
    live(here)
    before = content(url)
    (here.state / "outdated").write_text("older")
    here.run("adopt")
    assert content(url) == before
    assert int(facts(url)["attempt_floor"]) > 1000
    assert not (here.state / "outdated").exists()


def test_rows_of_an_older_schema_are_brought_forward_by_the_next_boss(place: Place, url: str, tmp_path: Path) -> None:
    """A database as the first ecloud made it, saved and restored by this one."""
    here, there = place("here"), place("there", url)
    here.state.mkdir()
    job = (1, "u1", "old", "ada", 1.5, "open", "run", "", 0, "", "{}", None)
    with dump.opened(here.url) as db:
        migrate(db, 1)
        with db.transaction():
            db.insert("context", ("name", "value"), [("epoch", "3"), ("cluster", "c0ffee00")])
            names = [
                "number",
                "uid",
                "name",
                "owner",
                "created",
                "state",
                "wanted",
                "reason",
                "priority",
                "submission",
                "files",
                "finished",
            ]
            db.insert("jobs", names, [job])
    here.run("backup", str(tmp_path / "saved.tar"))
    there.run("restore", str(tmp_path / "saved.tar"))
    with dump.opened(url) as db:
        assert db.select("SELECT MAX(version) FROM schema_version") == [(1,)]
    store = Store(url)
    assert store.open() > 3
    assert [(job.name, job.state) for job in store.load().jobs] == [("old", JobState.OPEN)]
    store.close()
    with dump.opened(url) as db:
        assert db.select("SELECT MAX(version) FROM schema_version") == [(len(MIGRATIONS),)]


def test_the_archive_names_every_file_with_its_digest(place: Place, tmp_path: Path) -> None:
    here = place("here")
    live(here)
    here.run("backup", str(tmp_path / "saved.tar"))
    with tarfile.open(tmp_path / "saved.tar") as tar:
        assert tar.getnames()[0] == archive.MANIFEST
        manifest = json.loads(tar.extractfile(archive.MANIFEST).read())  # type: ignore[union-attr]
    assert (manifest["cluster"], manifest["database"], manifest["rows"]["tasks"]) == ("c0ffee00", "sqlite", 3)
    assert {"rows/jobs.jsonl.gz", "state/pki/ca.key", "state/pki/gate_secret"} <= set(manifest["files"])


# ---- who may come in afterwards --------------------------------------------------------------------------------------


def token(name: str) -> Token:
    return Token(f"tok-{name}", name, Role.RESEARCHER, f"digest of {name}", 5.0, None, 7.0)


def let_in(admin: Admin, *names: str, revoked: Sequence[str] = ()) -> None:
    """Tokens made and taken back by a boss that ran there."""
    store = Store(admin.url)
    store.open()
    store.load()
    changes = Changes()
    changes.tokens.update({f"tok-{name}": token(name) for name in names})
    changes.tokens.update({f"tok-{name}": None for name in revoked})
    store.commit(changes)
    store.close()


def tokens(url: str) -> list[Token]:
    store = Store(url)
    store.open()
    found = store.load().tokens
    store.close()
    return sorted(found, key=lambda token: token.id)


def test_a_restore_says_that_tokens_are_as_of_the_back_up(place: Place, tmp_path: Path) -> None:
    here, there, other = place("here"), place("there"), place("other")
    live(here)
    let_in(here, "ada")
    here.run("backup", str(tmp_path / "saved.tar"))
    said = there.run("restore", str(tmp_path / "saved.tar"))
    line = next(line for line in said.splitlines() if line.startswith("Tokens"))
    assert line.startswith("Tokens are as of 20") and "show_tokens" in line and "revoke again" in line
    live(other, cluster="decade00")
    let_in(other, "eve")
    assert line in other.run("restore", str(tmp_path / "saved.tar"), "--force").splitlines()
    assert [one.name for one in tokens(there.url)] == [one.name for one in tokens(other.url)] == ["ada"]
    assert "show_tokens" in there.run("adopt")


def test_with_force_what_was_revoked_since_the_back_up_stays_revoked(place: Place, url: str, tmp_path: Path) -> None:
    here = place("here", url)
    live(here)
    let_in(here, "ada", "bob")
    here.run("backup", str(tmp_path / "saved.tar"))
    let_in(here, "cyd", revoked=["ada"])
    said = here.run("restore", str(tmp_path / "saved.tar"), "--force")
    assert "what was revoked stays revoked (1 of the back-up left out: tok-ada of ada)." in said
    assert [(one.name, one.digest, one.used) for one in tokens(url)] == [
        ("bob", "digest of bob", 7.0),
        ("cyd", "digest of cyd", 7.0),
    ]


# ---- the files that belong to it -------------------------------------------------------------------------------------


def test_a_restore_says_where_the_files_belong_and_that_they_are_not_there(place: Place, tmp_path: Path) -> None:
    here, there = place("here"), place("there")
    live(here, jobs=2)
    here.run("backup", str(tmp_path / "saved.tar"))
    said = there.run("restore", str(tmp_path / "saved.tar"))
    root = there.state / "datastore"
    assert f"NOT YET: {root} is empty. 2 jobs have results by the database, but no folder in {root} (" in said
    assert said.splitlines()[-1] == f"Bring the datastore's files to {root}, then start the boss."
    assert not said.rstrip().endswith("Start the boss now.")
    found = {one["check"]: one for one in json.loads(there.run("doctor", "--json"))}["results"]
    assert found["verdict"] == "note" and str(root) in found["remedy"]


def test_a_restore_beside_the_files_says_that_the_boss_may_start(place: Place, tmp_path: Path) -> None:
    here, there = place("here"), place("there")
    live(here)
    here.run("backup", str(tmp_path / "saved.tar"))
    reader = Reader(here.url)
    for job in reader.jobs_with_results(10):
        (there.state / "datastore" / job_folder(job)).mkdir(parents=True)
    reader.close()
    said = there.run("restore", str(tmp_path / "saved.tar"))
    assert said.splitlines()[-1] == f"The datastore's files are in {there.state / 'datastore'}. Start the boss now."


def test_a_restore_with_an_outside_datastore_names_its_host_and_folder(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = place("here"), place("there")
    live(here)
    here.run("backup", str(tmp_path / "saved.tar"))
    monkeypatch.setenv("ECLOUD_DATASTORE__ADDRESS", "eva@store.example.org:22")
    monkeypatch.setenv("ECLOUD_DATASTORE__ROOT", "/data/ecloud")
    monkeypatch.setenv("ECLOUD_DATASTORE__HOST_KEY", "ssh-ed25519 AAAA")
    said = there.run("restore", str(tmp_path / "saved.tar"))
    assert "Before you start the boss" in said and "eva@store.example.org:22, folder /data/ecloud" in said


class Shelf:
    """Of the datastore's port only what is asked here: the folders that there are."""

    def __init__(self, *jobs: str) -> None:
        self._jobs = jobs

    def taken(self, jobs: Sequence[str]) -> list[str]:
        """Those that are there."""
        return [job for job in jobs if job in self._jobs]


@pytest.mark.parametrize("lost", [True, False])
def test_a_boss_that_starts_warns_of_jobs_whose_results_are_not_there(
    place: Place, caplog: pytest.LogCaptureFixture, url: str, *, lost: bool
) -> None:
    here = place("here", url)
    live(here)
    here.run("doctor")
    reader = Reader(url)
    jobs = reader.jobs_with_results(10)
    assert len(jobs) == 1
    shelf = cast(Datastore, Shelf() if lost else Shelf(*jobs))
    absent.warn_in_background(config.load(), reader, shelf, "").join(10)
    reader.close()
    assert (f"1 job has results by the database, but no folder in {here.state / 'datastore'}" in caplog.text) is lost
