"""Back-up and restore as an admin runs them: one suite, from and to SQLite and MariaDB."""

import hashlib
import io
import json
import os
import stat
import tarfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from boss import absent, config, doctor
from boss.adapters import archive, dump
from boss.adapters.certificates import Authority
from boss.adapters.database import Database
from boss.adapters.lock import alone
from boss.adapters.migrations import MIGRATIONS, migrate
from boss.adapters.reader import Reader
from boss.adapters.store import Store
from boss.core.model import JobState, TaskState
from boss.ports import Datastore, StoreError
from datastore.layout import job_folder
from tests import builders
from tests.servers import eventually

S = TaskState
#: What no database may change: letters of every kind, NUL, quotes, what looks like a mark of SQL.
ODD = "ä€𝄞\0 '\" ? %s \\ \r\n\t"


class Admin:
    """Runs ``python -m boss ...`` on a state folder and a database; ``said`` is what it printed last."""

    def __init__(self, folder: Path, url: str, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.state = folder
        self.url = url
        self._patch = patch
        self._capsys = capsys
        self.said = ""

    def run(self, *words: str, code: int = 0) -> str:
        self._patch.setenv("ECLOUD_STATE", str(self.state))
        self._patch.setenv("ECLOUD_DATABASE_URL", self.url)
        self._capsys.readouterr()
        ended = doctor.run(words)
        out, err = self._capsys.readouterr()
        assert ended == code, out + err
        self.said = out + err
        if code:
            assert len(err.strip().splitlines()) == 1, err
        return self.said


Place = Callable[..., Admin]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    """Makes the surroundings of a boss: ``place("here", url)``; SQLite in the state folder without a URL."""
    for name in list(os.environ):
        if name.startswith("ECLOUD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def make(name: str, url: str = "") -> Admin:
        return Admin(tmp_path / name, url or f"sqlite:///{tmp_path / name / 'ecloud.db'}", monkeypatch, capsys)

    return make


@pytest.fixture(params=["sqlite", "mariadb"])
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A second database, empty, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'other.db'}"
    server = request.getfixturevalue("mariadb")
    fresh: str = server.fresh()
    return fresh


def live(admin: Admin, jobs: int = 1, cluster: str = "c0ffee00") -> None:
    """What a boss that has worked leaves: keys, jobs with tasks in many states, attempts, a worker, a VM, facts."""
    admin.state.mkdir(mode=0o700, exist_ok=True)
    Authority(admin.state / "pki")
    (admin.state / "pki" / "gate_secret").write_text("ab" * 32)
    (admin.state / "api.json").write_text('{"url": "http://127.0.0.1:1", "token": "t"}')
    store = Store(admin.url, cluster)
    store.open()
    store.load()
    made = []
    for number in range(jobs):
        job = builders.chain(f"u{number}", "a", "b", "ü/ç", reason=ODD)
        builders.attempt(job.tasks[0], task_state=S.SUCCEEDED, state="succeeded", stdout=ODD, files=(("a.txt", 3, "ab" * 32),))
        builders.attempt(job.tasks[1], task_state=S.RUNNING, state="running")
        made.append(builders.link(job))
    changes = builders.pushed(*made)
    changes.new_workers["local-1"] = builders.worker()
    changes.new_vms["local-1"] = builders.vm()
    changes.context["vm_number"] = "7"
    store.commit(changes)
    store.close()


def content(url: str) -> dict[str, list[Any]]:
    """Every row of every table; without the facts that a restore changes on purpose."""
    with dump.opened(url) as db:
        names = sorted(table.name for table in dump.tables_of(len(MIGRATIONS)))
        rows = {name: sorted(db.select(f"SELECT * FROM {name}"), key=repr) for name in names}
    changed = {"epoch", "vm_number", "restored_until", "attempt_floor"}
    rows["context"] = [row for row in rows["context"] if row[0] not in changed]
    return rows


def facts(url: str) -> dict[str, str]:
    with dump.opened(url) as db:
        return dict(db.select("SELECT name, value FROM context"))


def inventory(folder: Path) -> dict[str, str]:
    """Every file below a folder with its sha256."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# ---- there and back --------------------------------------------------------------------------------------------------


def test_every_row_comes_back_in_either_kind_of_database(place: Place, url: str, other_url: str, tmp_path: Path) -> None:
    here, there = place("here", url), place("there", other_url)
    live(here, jobs=3)
    here.run("backup", str(tmp_path / "saved.tar"))
    there.run("restore", str(tmp_path / "saved.tar"))
    assert content(other_url) == content(url)
    assert content(url)["tasks"] and content(url)["attempts"]
    store = Store(other_url)
    store.open()
    jobs = store.load().jobs
    assert [(job.name, job.reason, [str(task.state) for task in job.tasks]) for job in jobs] == [
        (f"job-u{n}", ODD, ["succeeded", "running", "waiting"]) for n in range(3)
    ]
    store.close()


def test_the_keys_come_along_and_are_private(place: Place, tmp_path: Path) -> None:
    here, there = place("here"), place("there")
    live(here)
    here.run("backup", str(tmp_path / "saved.tar"))
    there.run("restore", str(tmp_path / "saved.tar"))
    assert inventory(here.state / "pki") == inventory(there.state / "pki")
    assert (there.state / "api.json").read_text() == (here.state / "api.json").read_text()
    for path in (there.state / "pki").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert not [path for path in there.state.iterdir() if path.name.startswith(".")], "nothing is left lying about"


def test_a_back_up_is_secret_says_so_and_never_replaces_a_file(place: Place, tmp_path: Path) -> None:
    here = place("here")
    live(here)
    said = here.run("backup", str(tmp_path / "saved.tar"))
    assert "SECRET" in said and "datastore" in said
    assert stat.S_IMODE((tmp_path / "saved.tar").stat().st_mode) == 0o600
    before = (tmp_path / "saved.tar").read_bytes()
    assert "exists already" in here.run("backup", str(tmp_path / "saved.tar"), code=1)
    assert (tmp_path / "saved.tar").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "saved.tar"]


def test_a_folder_gets_a_back_up_with_a_name_of_its_own_and_gives_its_newest(place: Place, tmp_path: Path) -> None:
    here, there = place("here"), place("there")
    (tmp_path / "saved").mkdir()
    assert "no back-up" in there.run("restore", str(tmp_path / "saved"), code=1)
    live(here)
    here.run("backup", str(tmp_path / "saved"))
    (found,) = (tmp_path / "saved").iterdir()
    assert found.name.startswith("ecloud-c0ffee00-")
    there.run("restore", str(tmp_path / "saved"))
    assert content(there.url) == content(here.url)


def test_a_back_up_beside_a_writer_is_of_one_moment_and_holds_nobody_up(place: Place, url: str, tmp_path: Path) -> None:
    """The writer commits jobs and facts that must agree; a copy taken in between would have one without the other."""
    here = place("here", url)
    live(here)
    stop, made = threading.Event(), [0]

    def write() -> None:
        store = Store(url)
        store.open()
        store.load()
        while not stop.is_set():
            made[0] += 1
            changes = builders.pushed(builders.chain(f"w{made[0]}", "a", "b"))
            changes.context["jobs_made"] = str(made[0])
            store.commit(changes)
        store.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            seen = made[0]
            here.run("backup", str(tmp_path / f"{number}.tar"))
            eventually(lambda seen=seen: made[0] > seen or not writer.is_alive())  # type: ignore[misc]
    finally:
        stop.set()
        writer.join()
    for number in range(5):
        there = place(f"there{number}")
        there.run("restore", str(tmp_path / f"{number}.tar"))
        rows = content(there.url)
        jobs = int(facts(there.url).get("jobs_made", "0"))
        assert (len(rows["jobs"]), len(rows["tasks"])) == (1 + jobs, 3 + 2 * jobs)
    assert made[0] > 5


# ---- what is there is not lost ---------------------------------------------------------------------------------------


def test_a_database_in_use_is_refused_and_with_force_put_aside(place: Place, url: str, tmp_path: Path) -> None:
    here, there = place("here"), place("there", url)
    live(here, jobs=2)
    here.run("backup", str(tmp_path / "saved.tar"))
    live(there, jobs=1, cluster="decade00")
    before, keys = content(url), inventory(there.state / "pki")
    assert "in use (1 jobs)" in there.run("restore", str(tmp_path / "saved.tar"), code=1)
    assert (content(url), inventory(there.state / "pki")) == (before, keys)
    said = there.run("restore", str(tmp_path / "saved.tar"), "--force")
    assert content(url) == content(here.url)
    assert inventory(there.state / "pki") == inventory(here.state / "pki")
    (kept,) = there.state.glob("pki.before_*")
    assert inventory(kept) == keys
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        (old,) = path.parent.glob(f"{path.name}.before_*")
        assert str(old) in said
        assert content(f"sqlite:///{old}") == before
    else:
        with dump.opened(url) as db:
            aside = [name for name in db.tables() if name.startswith("before_") and name.endswith("_jobs")]
            assert len(db.select(f"SELECT * FROM {aside[0]}")) == 1


def test_a_damaged_database_is_put_aside_and_the_back_up_takes_its_place(place: Place, tmp_path: Path) -> None:
    here = place("here")
    live(here, jobs=2)
    before = content(here.url)
    here.run("backup", str(tmp_path / "saved.tar"))
    (here.state / "ecloud.db").write_bytes(b"no database at all " * 1000)
    assert "not a database" in here.run("restore", str(tmp_path / "saved.tar"), code=1)
    here.run("restore", str(tmp_path / "saved.tar"), "--force")
    assert content(here.url) == before
    (kept,) = here.state.glob("ecloud.db.before_*")
    assert kept.read_bytes().startswith(b"no database")


def test_a_running_boss_is_not_restored_under(place: Place, tmp_path: Path) -> None:
    here = place("here")
    live(here)
    here.run("backup", str(tmp_path / "saved.tar"))
    with alone(here.state):
        here.run("backup", str(tmp_path / "again.tar"))
        for words in (("restore", str(tmp_path / "saved.tar"), "--force"), ("adopt",)):
            assert f"process {os.getpid()}" in here.run(*words, code=1)


def test_the_same_keys_are_left_and_another_bosss_are_not_replaced(place: Place, tmp_path: Path, url: str) -> None:
    here = place("here")
    live(here)
    here.run("backup", str(tmp_path / "saved.tar"))
    moved = place("here", url)  # the same state folder, another database: a laptop's queue moves to a server
    if url != here.url:
        moved.run("restore", str(tmp_path / "saved.tar"))
        assert content(url) == content(here.url)
        assert not list(here.state.glob("*.before_*"))
    stranger = place("stranger")
    Authority(stranger.state / "pki")
    keys = inventory(stranger.state)
    assert "keys of another boss" in stranger.run("restore", str(tmp_path / "saved.tar"), code=1)
    assert {name: digest for name, digest in inventory(stranger.state).items() if name != "lock"} == keys


def test_a_restore_that_fails_in_the_middle_leaves_what_was_there(
    place: Place, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = place("here"), place("there", url)
    live(here, jobs=2)
    here.run("backup", str(tmp_path / "saved.tar"))
    live(there, cluster="decade00")
    before, keys = content(url), inventory(there.state / "pki")

    def full(db: Database, now: float) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(dump, "mark", full)
        assert "the disk is full" in there.run("restore", str(tmp_path / "saved.tar"), "--force", code=1)
    assert (content(url), inventory(there.state / "pki")) == (before, keys)
    there.run("restore", str(tmp_path / "saved.tar"), "--force")
    assert content(url) == content(here.url)


def test_a_write_ahead_log_that_was_left_behind_is_not_played_into_the_restored_database(place: Place, tmp_path: Path) -> None:
    here, there = place("here"), place("there")
    live(here, jobs=2)
    here.run("backup", str(tmp_path / "saved.tar"))
    live(there, cluster="decade00")
    with dump.opened(there.url) as db, dump.opened(there.url, readonly=True) as watcher:
        watcher.select("SELECT 1 FROM context")  # as long as somebody reads, the log stays
        db.insert("context", ("name", "value"), [("written", "late")])
        log = (there.state / "ecloud.db-wal").read_bytes()
        assert log
        for name in ("ecloud.db", "ecloud.db-shm"):
            (there.state / name).rename(tmp_path / name)  # as after a crash in the middle of a restore
        there.run("restore", str(tmp_path / "saved.tar"), "--force")
    assert content(there.url) == content(here.url)
    (kept,) = there.state.glob("ecloud.db.before_*-wal")
    assert kept.read_bytes() == log


def test_no_boss_opens_a_database_into_which_a_restore_was_cut_off(place: Place, mariadb_url: str, tmp_path: Path) -> None:
    here, there = place("here"), place("there", mariadb_url)
    live(here)
    here.run("backup", str(tmp_path / "saved.tar"))
    with dump.opened(mariadb_url) as db:
        migrate(db)
        db.insert("context", ("name", "value"), [(dump.RESTORING, "1")])
    with pytest.raises(StoreError, match="was cut off: run `python -m boss restore` again"):
        Store(mariadb_url).open()
    there.state.mkdir()
    assert "cut off" in there.run("backup", str(tmp_path / "x.tar"), code=1)
    there.run("restore", str(tmp_path / "saved.tar"))
    assert content(mariadb_url) == content(here.url)


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
