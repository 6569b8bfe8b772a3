"""What refuses for a while: a broker any connection, a database any change, a worker's disk any room. All goes on after it."""

import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

from boss.adapters.processes import is_alive, recorded
from chaos.mariadb import MariaDb
from tests.e2e.deployment import Deployment, deployed, until
from tests.e2e.small_disk import SmallDisk, small_disk
from tests.e2e.test_kills import check, job_of, some_done

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

TASKS = 100


def tries(ecloud: Deployment) -> int:
    """How often the broker was started and refused."""
    return (ecloud.state / "mosquitto" / "log").read_text().count("refused for now")


def test_a_broker_that_refuses_for_a_while_costs_time_and_nothing_else(tmp_path: Path) -> None:
    refuse = tmp_path / "refuse"
    programs = tmp_path / "bin"
    programs.mkdir()
    wrapper = programs / "mosquitto"
    real = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    wrapper.write_text(f'#!/bin/sh\n[ -e {refuse} ] && echo "refused for now" && exit 1\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    with deployed(tmp_path, PATH=f"{programs}:{os.environ['PATH']}") as ecloud:
        ecloud.push(job_of(TASKS, tmp_path / "journal"), name="kills")
        some_done(ecloud, 10)
        refuse.touch()
        os.kill(ecloud.process("mosquitto"), signal.SIGKILL)
        workers = [worker for path in (ecloud.state / "workers").glob("*/pid") if (worker := recorded(path))]
        until(lambda: tries(ecloud) >= 8 or None, 90, "the pauses between two tries to have grown to their longest")
        assert workers and all(map(is_alive, workers)), "a worker gave up"
        assert ecloud.look("status")["tasks"]["succeeded"] < TASKS
        refuse.unlink()
        check(ecloud, TASKS, tmp_path / "journal")
        assert all(task["attempt"] == 1 for task in ecloud.look("show_tasks", "--job", "kills")), "something ran twice"


def complaints(ecloud: Deployment) -> int:
    """How often the boss has said that the database did not take a change."""
    return ecloud.log.read_text().count("read-only") + ecloud.log.read_text().count("read only")


def test_a_database_that_takes_no_change_for_a_while_is_waited_for_on_mariadb(tmp_path: Path) -> None:
    server = MariaDb(tmp_path / "database")
    server.start()
    try:
        server.execute("CREATE DATABASE chaos")
        server.welcome("chaos.*")
        with deployed(tmp_path, ECLOUD_DATABASE_URL=server.url("chaos")) as ecloud:
            ecloud.push(job_of(TASKS, tmp_path / "journal"), name="kills")
            some_done(ecloud, 10)
            server.execute("SET GLOBAL read_only = ON")
            until(lambda: complaints(ecloud) or None, 60, "the boss to say so")
            assert "let it take changes, or name the server that does" in ecloud.log.read_text()
            server.execute("SET GLOBAL read_only = OFF")
            check(ecloud, TASKS, tmp_path / "journal")
            assert all(task["attempt"] == 1 for task in ecloud.look("show_tasks", "--job", "kills")), "something ran twice"
    finally:
        server.stop()


def test_a_database_that_another_writer_holds_is_waited_for_on_sqlite(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        ecloud.push(job_of(TASKS, tmp_path / "journal"), name="kills")
        some_done(ecloud, 10)
        [file] = ecloud.state.glob("*.db")
        holder = sqlite3.connect(file, isolation_level=None, timeout=30)
        holder.execute("BEGIN IMMEDIATE")
        until(lambda: "database is locked" in ecloud.log.read_text() or None, 90, "the boss to say so")
        holder.rollback()
        holder.close()
        check(ecloud, TASKS, tmp_path / "journal")
        assert all(task["attempt"] == 1 for task in ecloud.look("show_tasks", "--job", "kills")), "something ran twice"


def test_workers_whose_disk_is_full_lose_no_result_and_say_why(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "state" / "workers", 64 * 2**20) as disk,
        deployed(tmp_path, disk.through) as ecloud,
    ):
        entry = {
            "id": "t{i}",
            "foreach": {"i": {"range": [0, 30]}},
            "command": f"until [ {{i}} -lt 8 ] || [ -e {tmp_path / 'go'} ]; do sleep 0.05; done; "
            "head -c 500000 /dev/zero > out-{i} && echo {i} >> out-{i} && sleep 0.2",
            "outputs": ["out-{i}"],
            "retries": 2,
            "disk": "1M",
        }
        ecloud.push({"job": "full", "tasks": [entry]}, name="full")
        some_done(ecloud, 5)
        until(lambda: filled(disk), 30, "the disk to be full, while tasks write there too")
        (tmp_path / "go").touch()
        told = until(lambda: full(ecloud), 60, "a failure that names the disk")
        assert "the worker's disk is full" in told
        disk.clear()
        until(lambda: ended(ecloud), 120, "the job to end")
        ecloud.run("admin.py", "retry_failed", "full")
        states = ecloud.finished("full", 120)
        assert set(states.values()) == {"succeeded"} and len(states) == 30, ecloud.admin("show_failed")
        for number in range(30):
            [result] = ecloud.state.rglob(f"jobs/full/out-{number}")
            assert result.stat().st_size == 500_000 + len(f"{number}\n")


def filled(disk: SmallDisk) -> bool | None:
    """Whether all room could be taken."""
    try:
        disk.fill(leave=100_000)
    except OSError:  # a task has taken some of it meanwhile
        return None
    return True


def full(ecloud: Deployment) -> str | None:
    """What a task that met the full disk is said to have failed of."""
    for task in ecloud.look("show_tasks", "--job", "full"):
        if "disk is full" in str(task):
            return str(task)
    return None


def ended(ecloud: Deployment) -> bool | None:
    """Whether no task can change any more."""
    return set(ecloud.states("full").values()) <= {"succeeded", "failed", "skipped"} or None
