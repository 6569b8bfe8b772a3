"""A datastore that fills at 80 % of a job: nothing is truncated, nothing fails, everybody says why, and room is all that it takes."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployment, deployed, until
from tests.e2e.small_disk import SmallDisk, small_disk

TASKS = 40
#: Bytes of one task's output.
OUTPUT = 500_000


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_datastore_that_fills_is_waited_for(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 64 * 2**20) as disk,
        deployed(tmp_path, disk.through, ECLOUD_DATASTORE__ROOT=str(tmp_path / "disk/store")) as ecloud,
    ):
        store = disk.view / "store"
        disk.fill(leave=TASKS * OUTPUT * 8 // 10)
        entry = {
            "id": "t-{i}",
            "foreach": {"i": {"range": [0, TASKS]}},
            "command": f"head -c {OUTPUT} /dev/zero | tr '\\0' x > out-{{i}}.txt; echo {{i}} >> out-{{i}}.txt; seq 3000",
            "outputs": ["out-{i}.txt"],
        }
        ecloud.push({"job": "filling", "tasks": [entry]}, name="filling")

        note = until(lambda: _note(ecloud), 120, "a note in status")
        assert "wait on the workers" in note and f"free space at 127.0.0.1:{tmp_path}/disk/store" in note
        waiting = until(lambda: _waiting(ecloud), 60, "a task whose results wait")
        why = ecloud.admin("why", f"filling:{waiting}")
        assert "the datastore is full" in why and "Nothing is lost" in why
        _everybody_knows(ecloud, disk)
        done = _accepted_are_whole(store)
        assert TASKS * 6 // 10 <= done < TASKS
        workers = {worker["id"] for worker in ecloud.look("show_workers") if worker["state"] == "online"}

        ecloud.kill()
        ecloud.start()
        until(lambda: _note(ecloud), 60, "the note, after a restart of the boss")
        assert workers <= {worker["id"] for worker in ecloud.look("show_workers") if worker["state"] == "online"}
        assert not [task for task in ecloud.look("show_tasks", "--job", "filling") if task["state"] in ("failed", "skipped")]

        disk.clear()
        states = ecloud.finished("filling", 120)
        assert set(states.values()) == {"succeeded"} and len(states) == TASKS, ecloud.admin("show_failed")
        assert all(task["attempt"] == 1 for task in ecloud.look("show_tasks", "--job", "filling")), "something ran twice"
        assert _accepted_are_whole(disk.view / "store") == TASKS
        assert not list((disk.view / "store" / "incoming").iterdir()) and not list((disk.view / "store" / "accepted").iterdir())
        until(lambda: True if not ecloud.look("status")["notes"] else None, 60, "the note to go")


def _note(ecloud: Deployment) -> str | None:
    notes = [note for note in ecloud.look("status")["notes"] if "datastore is full" in note and ": 0 results" not in note]
    return notes[0] if notes else None


def _waiting(ecloud: Deployment) -> str | None:
    for task in ecloud.look("show_in_progress", "--job", "filling"):
        if "its results wait" in ecloud.admin("why", f"filling:{task['id']}"):
            return str(task["id"])
    return None


def _everybody_knows(ecloud: Deployment, disk: SmallDisk) -> None:
    """What people try meanwhile says the same, and changes nothing."""
    big = ecloud.folder / "big.bin"
    big.write_bytes(b"x" * 3_000_000)
    put = ecloud.run("admin.py", "put", str(big), "shared:big.bin")
    assert put.returncode == 1 and "free space in" in put.stderr, put.stderr
    task = '{"files": ["big.bin"], "tasks": [{"id": "a", "command": "true", "inputs": ["big.bin"]}]}'
    (ecloud.folder / "pushing.json").write_text(task)
    push = ecloud.run("push_tasks.py", "pushing.json")
    assert push.returncode == 1 and "free there: make room, or push less" in push.stderr, push.stderr
    assert [job["name"] for job in ecloud.look("show_jobs")] == ["filling"]
    assert not list((disk.view / "store" / "parts").iterdir())
    if not disk.through:  # the doctor is started outside of the boss's view of the disks otherwise
        doctor = ecloud.run("admin.py", "doctor")
        assert doctor.returncode == 1 and "store is full" in doctor.stdout, doctor.stdout


def _accepted_are_whole(store: Path) -> int:
    """How many results there are; each is whole, as SHA256SUMS says, and SHA256SUMS has just those."""
    folder = store / "jobs" / "filling"
    results = [path for path in folder.iterdir() if path.name.startswith("out-")]
    for path in results:
        number = path.stem.partition("-")[2]
        assert path.stat().st_size == OUTPUT + len(number) + 1, path
    sums = (folder / "SHA256SUMS").read_text()
    assert sums.endswith("\n")
    listed = {line.split("  ", 1)[1] for line in sums.splitlines()}
    assert listed <= {path.name for path in results}
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=folder, check=True)
    return len(listed)
