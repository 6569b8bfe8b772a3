"""Database and datastore saved while a job runs, restored, and gone on with; and an older database on newer files."""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.deployment import ROOT, Deployment, deployed, until

TASKS = 60
#: What need not be saved: what no database has heard of, or what it will ask for again.
PASSING = ("incoming", "accepted", "trash")


def job_of(count: int, gate: Path, name: str = "saved") -> dict[str, object]:
    """Tasks of which each yields its number and a line that no other attempt writes; the last reads all of them.

    Those from the middle on wait until there is a file ``gate``, so that a moment in the middle can be chosen.
    """
    tasks: list[dict[str, object]] = []
    for number in range(count):
        wait = f"until [ -e {gate} ]; do sleep 0.05; done; " if number >= count // 2 else ""
        command = f"{wait}mkdir -p out; echo {number} $(cat /proc/sys/kernel/random/uuid) > out/{number}.txt"
        tasks.append({"id": f"t{number}", "command": command, "outputs": [f"out/{number}.txt"]})
    total = "cat out/*.txt | awk '{s += $1} END {print s}' > sum.txt"
    tasks.append({"id": "sum", "inputs": ["out/*.txt"], "outputs": ["sum.txt"], "command": total})
    return {"job": name, "tasks": tasks}


def boss(ecloud: Deployment, *words: str, code: int = 0) -> str:
    """``python -m boss ...`` in this deployment's surroundings."""
    done = subprocess.run(
        [sys.executable, "-m", "boss", *words],
        cwd=ecloud.folder,
        env=ecloud.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def done(ecloud: Deployment, job: str, count: int) -> None:
    """Wait until so many tasks of a job have succeeded."""

    def look() -> bool | None:
        return True if list(ecloud.states(job).values()).count("succeeded") >= count else None

    until(look, 90, f"{count} tasks of {job}")


def results(datastore: Path, job: str) -> dict[str, bytes]:
    folder = datastore / "jobs" / job
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }


def all_right(ecloud: Deployment, job: str, count: int) -> None:
    """Every task has succeeded, and its files are whole and of this job's tasks."""
    states = ecloud.finished(job, 120)
    assert len(states) == count + 1 and set(states.values()) == {"succeeded"}, ecloud.admin("show_failed")
    datastore = ecloud.state / "datastore"
    found = results(datastore, job)
    assert sorted(found) == sorted([f"out/{number}.txt" for number in range(count)] + ["sum.txt"])
    assert all(found[f"out/{number}.txt"].split()[0] == str(number).encode() for number in range(count))
    assert found["sum.txt"] == b"%d\n" % sum(range(count))
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=datastore / "jobs" / job, check=True)


def copy_datastore(source: Path, target: Path) -> None:
    """What ``rsync -a --exclude=/incoming --exclude=/accepted --exclude=/trash`` does."""
    shutil.copytree(
        source, target, ignore=lambda folder, names: [name for name in names if folder == str(source) and name in PASSING]
    )


@pytest.mark.long
def test_database_and_datastore_saved_while_a_job_runs_are_restored_elsewhere_and_the_job_ends_right(tmp_path: Path) -> None:
    old = Deployment(tmp_path / "old")
    old.start()
    try:
        old.push(job_of(TASKS, tmp_path / "go"), name="saved")
        done(old, "saved", TASKS // 4)
        boss(old, "backup", str(tmp_path))  # the database first, then the files
        copy_datastore(old.state / "datastore", tmp_path / "copy")
        (tmp_path / "go").touch()
        old.finished("saved")
    finally:
        old.kill()
    new = Deployment(tmp_path / "new")
    new.folder.mkdir()
    boss(new, "restore", str(tmp_path))
    shutil.move(tmp_path / "copy", new.state / "datastore")
    new.start()
    try:
        all_right(new, "saved", TASKS)
        numbers = {task["attempt"] for task in new.look("show_tasks", "--job", "saved") if task["attempt"] > 1}
        assert numbers and min(numbers) > 1000, "what ran after the restore has numbers of its own"
    finally:
        assert new.stop() == 0


@pytest.mark.long
def test_an_older_database_deletes_and_overwrites_no_newer_file(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        ecloud.push(job_of(TASKS, tmp_path / "go"), name="saved")
        done(ecloud, "saved", TASKS // 4)
        boss(ecloud, "backup", str(tmp_path / "then.tar"))
        (tmp_path / "go").touch()
        ecloud.push(job_of(4, tmp_path / "go", "later"), name="later")
        ecloud.finished("saved")
        ecloud.finished("later")
        ecloud.stop()
        datastore = ecloud.state / "datastore"
        newer = {job: results(datastore, job) for job in ("saved", "later")}
        assert "in use (2 jobs)" in boss(ecloud, "restore", str(tmp_path / "then.tar"), code=1)
        boss(ecloud, "restore", str(tmp_path / "then.tar"), "--force")
        ecloud.start()
        all_right(ecloud, "saved", TASKS)
        assert results(datastore, "later") == newer["later"], "a job that the database does not know any more keeps its files"
        now = results(datastore, "saved")
        kept = {
            str(Path(*path.relative_to(datastore / "replaced/saved").parts[1:])): path.read_bytes()
            for path in (datastore / "replaced/saved").rglob("*")
            if path.is_file()
        }
        again = [path for path, content in newer["saved"].items() if now[path] != content]
        assert again, "some tasks ran again, and wrote something else"
        assert kept == {path: newer["saved"][path] for path in again}, "what they replaced lies aside"
        assert ecloud.push(job_of(4, tmp_path / "go", "later"), name="later") == "later-2"
        all_right(ecloud, "later-2", 4)
        assert results(datastore, "later") == newer["later"]


@pytest.mark.long
def test_files_that_are_newer_than_a_restored_database_are_told_where_they_are_shown(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        tasks = [
            {"id": "a", "command": "date +%s.%N > a.json", "outputs": ["a.json"], "metrics": "a.json"},
            {"id": "b", "command": "cat a.json > b.txt", "inputs": ["a.json"], "outputs": ["b.txt"]},
        ]
        ecloud.push({"tasks": tasks}, name="saved")
        ecloud.finished("saved")
        boss(ecloud, "backup", str(tmp_path / "then.tar"))
        ecloud.admin("redo_task", "saved:a", "--descendants")
        ecloud.finished("saved")
        ecloud.stop()
        boss(ecloud, "restore", str(tmp_path / "then.tar"), "--force")
        ecloud.start()

        def notes() -> list[bool]:
            said = [
                ecloud.run("admin.py", *words).stderr
                for words in (("fetch", "saved", "--to", str(tmp_path / "x")), ("table", "saved"), ("show_task", "saved:b"))
            ]
            return ["newer than the database" in text for text in said]

        assert notes() == [True, True, True]
        assert "note: 2 files are newer than the database, which came from a back-up (a.json, b.txt)" in (
            ecloud.run("admin.py", "fetch", "saved", "--to", str(tmp_path / "y")).stderr
        )
        ecloud.admin("redo_task", "saved:a", "--descendants")
        ecloud.finished("saved")
        assert notes() == [False, False, False]


@pytest.mark.long
def test_a_boss_on_a_database_that_was_put_back_by_hand_starts_nothing_until_it_is_adopted(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        ecloud.push(job_of(4, tmp_path / "go"), name="saved")
        done(ecloud, "saved", 2)
        with closing(sqlite3.connect(ecloud.state / "ecloud.db")) as then, closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
            then.backup(copy)
        ecloud.kill()
        ecloud.start()
        (tmp_path / "go").touch()
        ecloud.finished("saved")
        ecloud.stop()
        shutil.copy(tmp_path / "copy.db", ecloud.state / "ecloud.db")
        datastore = ecloud.state / "datastore"
        before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in datastore.rglob("*") if path.is_file()}
        assert "python -m boss adopt" in boss(ecloud, code=1), "this folder has seen a later life"
        os.unlink(ecloud.state / "epoch")  # as on a new machine: then it is the datastore that knows
        assert "is older than the files" in boss(ecloud, code=1)
        assert "python -m boss adopt" in boss(ecloud, code=1), "nor does it start again by itself, as a service would"
        assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in before} == before
        boss(ecloud, "adopt")
        ecloud.start()
        all_right(ecloud, "saved", 4)


@pytest.mark.long
def test_a_laptops_queue_moves_to_a_database_server(tmp_path: Path, mariadb_url: str) -> None:
    with deployed(tmp_path) as ecloud:
        ecloud.push(job_of(6, tmp_path / "go"), name="saved")
        done(ecloud, "saved", 3)
        ecloud.stop()
        boss(ecloud, "backup", str(tmp_path / "queue.tar"))
        ecloud.environment["ECLOUD_DATABASE_URL"] = mariadb_url
        boss(ecloud, "restore", str(tmp_path / "queue.tar"))
        (tmp_path / "go").touch()
        ecloud.start()
        all_right(ecloud, "saved", 6)


def test_the_commands_are_named_in_their_help() -> None:
    said = subprocess.run([sys.executable, "-m", "boss", "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(word in said for word in ("backup", "restore", "adopt"))
