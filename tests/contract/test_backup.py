"""Back-up and restore as an admin runs them: one suite, from and to SQLite and MariaDB."""

import os
import stat
import threading
from pathlib import Path

import pytest

from boss.adapters import dump
from boss.adapters.certificates import Authority
from boss.adapters.database import Database
from boss.adapters.lock import alone
from boss.adapters.migrations import migrate
from boss.adapters.store import Store
from boss.ports import StoreError
from tests import builders
from tests.contract.backups import ODD, Place, content, facts, inventory, live
from tests.servers import eventually

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
