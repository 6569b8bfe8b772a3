"""What docs/data-safety.md answers, on a whole deployment."""

import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployment, deployed, until
from tests.e2e.test_back_up import results


def damage(path: Path) -> None:
    """What a worn-out disk does: one bit differs, size and times stay."""
    found = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def reason_of(ecloud: Deployment, task: str) -> tuple[str, str]:
    """Phase and reason of a task."""
    found = ecloud.look("show_task", task)
    return found["phase"], found["reason"]


def test_bit_rot_is_found_by_sha256sum_by_fetch_and_by_the_task_that_would_read_it(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        seq = "seq 1000 > numbers.txt; seq 9 > zz.txt"
        make = {"id": "make", "command": seq, "outputs": ["numbers.txt", "zz.txt"]}
        read = {"id": "read", "inputs": ["numbers.txt"], "outputs": ["sum.txt"], "command": "cat numbers.txt > sum.txt"}
        ecloud.push({"job": "rot", "tasks": [make]}, name="rot")
        ecloud.finished("rot")
        folder = ecloud.state / "datastore/jobs/rot"
        whole = (folder / "numbers.txt").read_bytes()
        damage(folder / "numbers.txt")
        checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
        assert (checked.returncode, checked.stdout) == (1, "numbers.txt: FAILED\nzz.txt: OK\n")
        fetched = ecloud.run("admin.py", "fetch", "rot", "--to", "got")
        assert fetched.returncode == 1 and "numbers.txt has the sha256" in fetched.stderr, fetched
        assert sorted(path.name for path in (tmp_path / "got").glob("[!.]*")) == ["SHA256SUMS", "zz.txt"], (
            "the others are fetched"
        )
        ecloud.push({"tasks": [read]}, "--job", "rot", name="more")
        assert ecloud.finished("rot")["read"] == "failed"
        phase, reason = reason_of(ecloud, "rot:read")
        assert phase == "fetch" and "numbers.txt has the sha256" in reason
        assert not (folder / "sum.txt").exists()
        ecloud.admin("redo_task", "rot:make")  # the cure: make it anew
        until(lambda: (folder / "numbers.txt").read_bytes() == whole or None, 60, "the file to be made anew")
        ecloud.admin("retry_failed", "rot")
        assert set(ecloud.finished("rot").values()) == {"succeeded"}
        subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


@pytest.mark.long
def test_files_that_were_lost_are_missed_by_globs_and_folders_too(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        make = {
            "id": "a-{i}",
            "foreach": {"i": {"range": [4]}},
            "command": "echo {i} > a-{i}.txt; mkdir -p d/{i}; echo {i} > d/{i}/f",
            "outputs": ["a-{i}.txt", "d/{i}/f"],
        }
        glob = {"id": "glob", "inputs": ["a-*.txt"], "command": "cat a-*.txt"}
        folder = {"id": "folder", "inputs": ["d/"], "command": "cat d/*/f"}
        ecloud.push({"job": "mini", "tasks": [make, glob, folder]}, name="mini")
        assert set(ecloud.finished("mini").values()) == {"succeeded"}
        lost = ecloud.state / "datastore/jobs/mini"
        (lost / "a-2.txt").unlink()
        (lost / "d/2/f").unlink()
        (lost / "SHA256SUMS").unlink()  # as in a copy from before
        ecloud.admin("redo_task", "mini:glob", "mini:folder")
        assert {ecloud.finished("mini")[name] for name in ("glob", "folder")} == {"failed"}
        for name, source in (("glob", "a-*.txt"), ("folder", "d/")):
            phase, reason = reason_of(ecloud, f"mini:{name}")
            assert phase == "fetch" and reason.startswith(
                f"{source}: 3 files of job mini are on the datastore, but the tasks before"
            )


@pytest.mark.long
def test_results_outlive_redo_failure_cancellation_and_the_boss_itself(tmp_path: Path) -> None:
    """Nobody deletes results: not a redo that fails, not a cancelled job, not a restart; and no ecloud is needed to read them."""
    with deployed(tmp_path) as ecloud:
        flag = tmp_path / "fail"
        command = f"test ! -e {flag} && echo first > a.txt"
        waits = {"id": "waits", "command": "sleep 600", "outputs": ["w.txt"]}
        ecloud.push({"job": "kept", "tasks": [{"id": "a", "command": command, "outputs": ["a.txt"]}, waits]}, name="kept")
        until(lambda: ecloud.states("kept")["a"] == "succeeded" or None, 60, "the first result")
        datastore = ecloud.state / "datastore"
        before = results(datastore, "kept")
        flag.touch()
        ecloud.admin("redo_task", "kept:a")
        until(lambda: ecloud.states("kept")["a"] == "failed" or None, 60, "the redo to fail")
        ecloud.admin("cancel", "kept")
        assert ecloud.finished("kept") == {"a": "failed", "waits": "cancelled"}
        ecloud.kill()
        ecloud.start()
        assert before == results(datastore, "kept") == {"a.txt": b"first\n"}
        ecloud.stop()
        copied = tmp_path / "elsewhere"
        shutil.copytree(datastore / "jobs" / "kept", copied)
        shutil.rmtree(ecloud.state)
        subprocess.run(["sha256sum", "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=copied, check=True)


def test_on_one_machine_state_and_files_are_for_the_bosss_user_alone(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        ecloud.push({"job": "mine", "tasks": [{"id": "a", "command": "echo a > a.txt", "outputs": ["a.txt"]}]}, name="mine")
        ecloud.finished("mine")
        for folder in (ecloud.state, ecloud.state / "datastore", ecloud.state / "pki", ecloud.state / "workers"):
            assert folder.stat().st_mode & 0o077 == 0, folder
        for file in (ecloud.state / "api.json", ecloud.state / "datastore/secret", *(ecloud.state / "pki").rglob("*.key")):
            assert file.stat().st_mode & 0o077 == 0, file


@pytest.mark.long
def test_a_full_disk_of_the_boss_loses_nothing_and_all_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """Files of the boss may not grow any more (as on a full disk) while tasks end; when they may, everything is accounted for."""
    with deployed(tmp_path) as ecloud:
        journal, go = tmp_path / "journal", tmp_path / "go"
        command = f"until [ -e {go} ]; do sleep 0.05; done; echo x >> {journal}; echo {{n}} > {{n}}.txt"
        task = {"id": "t{n}", "foreach": {"n": {"range": [0, 40]}}, "command": command, "outputs": ["{n}.txt"]}
        ecloud.push({"job": "full", "tasks": [task]}, name="full")
        until(lambda: "running" in ecloud.states("full").values() or None, 60, "a running task")
        assert ecloud.boss is not None
        room = resource.prlimit(ecloud.boss.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(ecloud.boss.pid, resource.RLIMIT_FSIZE, (4096, room[1]))
        go.touch()
        until(lambda: True if "did not take a change" in ecloud.log.read_text() else None, 60, "a commit to fail")
        refused = ecloud.run("push_tasks.py", str(ecloud.folder / "full.json"))
        assert refused.returncode != 0
        resource.prlimit(ecloud.boss.pid, resource.RLIMIT_FSIZE, room)
        assert set(ecloud.finished("full").values()) == {"succeeded"}
        assert results(ecloud.state / "datastore", "full") == {f"{n}.txt": b"%d\n" % n for n in range(40)}
        assert all(task["attempt"] == 1 for task in ecloud.look("show_tasks", "--job", "full"))
        assert len(journal.read_text().split()) == 40, "nothing ran twice"


def test_a_worker_that_dies_before_its_upload_is_replaced_and_the_attempt_repeats_from_zero(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        journal = tmp_path / "journal"
        command = f"ls >> {journal}; echo $ECLOUD_ATTEMPT > n.txt; [ $ECLOUD_ATTEMPT -gt 1 ] || sleep 600"
        ecloud.push({"job": "dies", "tasks": [{"id": "a", "command": command, "outputs": ["n.txt"]}]}, name="dies")
        until(lambda: journal.exists() or None, 60, "the first attempt to run")
        worker = next(worker["id"] for worker in ecloud.look("show_workers") if worker["state"] == "online")
        os.kill(ecloud.process(worker), signal.SIGKILL)
        assert ecloud.finished("dies") == {"a": "succeeded"}
        assert results(ecloud.state / "datastore", "dies") == {"n.txt": b"2\n"}
        assert "n.txt" not in journal.read_text(), "the second attempt began in an empty folder"
        assert not list((ecloud.state / "datastore/incoming").iterdir())
