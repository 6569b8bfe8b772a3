"""kill -9 and SIGSTOP in the middle of a job: all tasks succeed, each result is accepted once, nothing accepted runs again."""

import hashlib
import os
import signal
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployment, deployed, until
from tests.mariadb import MariaDb

#: Enough that every kill falls into the middle.
TASKS = 200


def job_of(count: int, journal: Path) -> dict[str, object]:
    """Each task appends a line to a journal outside, and to its own output, on which every tenth task depends."""
    tasks: list[dict[str, object]] = []
    for number in range(count):
        command = f"echo {number} $ECLOUD_ATTEMPT >> {journal}; mkdir out; echo {number} >> out/{number}.txt; sleep 0.05"
        task: dict[str, object] = {"id": f"t{number}", "command": command, "outputs": [f"out/{number}.txt"]}
        if number % 10 == 9:
            task["after"] = [f"t{other}" for other in range(number - 9, number)]
        tasks.append(task)
    return {"job": "kills", "tasks": tasks}


def check(ecloud: Deployment, count: int, journal: Path) -> None:
    """Every promise that the job's end can show."""
    states = ecloud.finished("kills", 180)
    assert set(states.values()) == {"succeeded"} and len(states) == count, ecloud.admin("show_failed")
    ecloud.admin("fetch", "kills", "--to", "got")
    sums = {line.split("  ", 1)[1].strip(): line.split("  ", 1)[0] for line in manifest_of(ecloud).read_text().splitlines()}
    for number in range(count):
        content = (ecloud.folder / "got" / "out" / f"{number}.txt").read_bytes()
        assert content == f"{number}\n".encode()
        assert sums[f"out/{number}.txt"] == hashlib.sha256(content).hexdigest()
    ran: dict[str, list[int]] = {}
    for line in journal.read_text().splitlines():
        number_text, attempt = line.split()
        ran.setdefault(number_text, []).append(int(attempt))
    for task in ecloud.look("show_tasks", "--job", "kills"):
        assert max(ran[task["id"][1:]]) == task["attempt"], "something ran after the accepted attempt"
    assert not list((manifest_of(ecloud).parents[2] / "incoming").glob("*")), "uploads were left behind"


def manifest_of(ecloud: Deployment) -> Path:
    (found,) = ecloud.state.rglob("kills/SHA256SUMS")
    return found


def some_done(ecloud: Deployment, count: int) -> None:
    until(lambda: True if ecloud.look("status")["tasks"].get("succeeded", 0) >= count else None, 90, f"{count} tasks")


def online(ecloud: Deployment) -> str | None:
    """A worker that a boss which was just started again has heard."""
    return next((worker["id"] for worker in ecloud.look("show_workers") if worker["state"] == "online"), None)


def kill(ecloud: Deployment, part: str) -> None:
    """kill -9 of one part; the boss is started again by hand, the others come back by themselves."""
    if part == "boss":
        ecloud.kill()
        ecloud.start()
        return
    name = part
    if part == "worker":
        name = until(lambda: online(ecloud), 60, "a worker that is online")
    os.kill(ecloud.process(name), signal.SIGKILL)


@pytest.mark.long
def test_kill_9_of_each_part_in_turn_on_sqlite(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        ecloud.push(job_of(TASKS, tmp_path / "journal"), name="kills")
        for number, part in enumerate(("boss", "worker", "mosquitto", "sshd", "boss", "worker")):
            some_done(ecloud, 10 + number * TASKS // 7)
            kill(ecloud, part)
        check(ecloud, TASKS, tmp_path / "journal")


@pytest.mark.long
def test_kill_9_of_each_part_in_turn_on_mariadb(tmp_path: Path, mariadb: MariaDb, mariadb_url: str) -> None:
    with deployed(tmp_path, ECLOUD_DATABASE_URL=mariadb_url) as ecloud:
        ecloud.push(job_of(TASKS, tmp_path / "journal"), name="kills")
        for number, part in enumerate(("boss", "mariadb", "worker", "mosquitto", "sshd", "boss")):
            some_done(ecloud, 10 + number * TASKS // 7)
            if part == "mariadb":
                mariadb.kill()
                mariadb.start()
            else:
                kill(ecloud, part)
        check(ecloud, TASKS, tmp_path / "journal")


@pytest.mark.long
def test_a_stopped_boss_gives_nobody_up(tmp_path: Path) -> None:
    """Stopped for longer than every lease, the boss goes on as if nothing had happened: no attempt is lost."""
    settings = {"ECLOUD_POLICY__HEARTBEAT": "0.5", "ECLOUD_POLICY__OFFLINE_AFTER": "1.5", "ECLOUD_POLICY__LEASE": "3"}
    with deployed(tmp_path, **settings) as ecloud:
        ecloud.push(job_of(60, tmp_path / "journal"), name="kills")
        some_done(ecloud, 10)
        ecloud.kill(signal.SIGSTOP)
        ended = tmp_path / "stopped"
        until(lambda: True if _older(tmp_path / "journal", 8.0, ended) else None, 60, "the workers to have nothing left")
        ecloud.kill(signal.SIGCONT)
        check(ecloud, 60, tmp_path / "journal")
        assert all(task["attempt"] == 1 for task in ecloud.look("show_tasks", "--job", "kills"))


def _older(journal: Path, seconds: float, clock: Path) -> bool:
    """Whether nothing was written to the journal for so many seconds."""
    clock.touch()
    return clock.stat().st_mtime - journal.stat().st_mtime > seconds
