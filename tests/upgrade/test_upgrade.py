"""What the first release has left goes on: its database, its files and its workers.

``state-0.1.0.tar.gz`` is the state folder of a boss of 0.1.0 that was killed while its job ran (without keys), ``worker-0.1.0.pyz`` its
workers' bundle. They are never made anew.
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deployment import Deployment, deployed, until

HERE = Path(__file__).parent


class WithEarlierWorkers(Deployment):
    """A boss of today that starts workers of 0.1.0."""

    program = ("-m", "tests.upgrade.earlier")


@pytest.fixture
def earlier_workers(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path / "ecloud", kind=WithEarlierWorkers) as ecloud:
        yield ecloud


def test_a_database_and_files_of_the_first_release_go_on_where_they_were(tmp_path: Path) -> None:
    folder = tmp_path / "ecloud"
    (folder / "state").mkdir(parents=True, mode=0o700)
    with tarfile.open(HERE / "state-0.1.0.tar.gz") as archive:
        archive.extractall(folder / "state", filter="data")
    with deployed(folder) as ecloud:
        states = ecloud.finished("upgrade")
        assert states == {
            **dict.fromkeys(("done1", "done2", "done3", "under_way", "sum"), "succeeded"),
            "bad": "failed",
            "below": "skipped",
        }
        tasks: dict[str, dict[str, Any]] = {task["id"]: task for task in ecloud.look("show_tasks", "--job", "upgrade")}
        assert tasks["under_way"]["attempt"] == 2 and tasks["done1"]["attempt"] == 1
        assert "oh no" in ecloud.admin("logs", "upgrade:bad")
        ecloud.admin("fetch", "upgrade", "--to", str(tmp_path / "got"))
        assert (tmp_path / "got" / "sum.txt").read_text().split() == ["7", "14", "21", "late"]
        ecloud.admin("redo_task", "upgrade:done1", "--descendants")
        assert ecloud.finished("upgrade")["sum"] == "succeeded"
        assert json.loads(ecloud.admin("status", "--json"))["boss"]["epoch"] == 2


@pytest.mark.long
def test_workers_of_the_protocol_before_do_all_that_is_asked_of_them(earlier_workers: Deployment) -> None:
    ecloud = earlier_workers
    (ecloud.folder / "in.txt").write_text("7\n")
    name = ecloud.push(
        {
            "files": ["in.txt"],
            "tasks": [
                {"id": "ready", "command": "echo ready > ready.txt", "init": True},
                {
                    "id": "a{n}",
                    "foreach": {"n": {"range": [0, 20]}},
                    "inputs": ["in.txt"],
                    "command": "cat in.txt $ECLOUD_INIT/ready.txt > {n}.txt; echo hello",
                    "outputs": ["{n}.txt"],
                },
                {"id": "sum", "inputs": ["*.txt"], "command": "ls *.txt | wc -l > sum", "outputs": ["sum"], "after": ["a*"]},
                {"id": "bad", "command": "echo oh no >&2; exit 3"},
                {"id": "long", "command": "echo begun; sleep 600"},
            ],
        }
    )
    until(lambda: ecloud.states(name)["long"] == "running" or None, 60, "the long task to run")
    until(lambda: "begun" in ecloud.admin("logs", f"{name}:long") or None, 30, "its output to be seen")
    ecloud.admin("cancel", f"{name}:long")
    states = ecloud.finished(name)
    assert (states.pop("bad"), states.pop("long")) == ("failed", "cancelled")
    assert set(states.values()) == {"succeeded"}
    ecloud.admin("fetch", name, "--to", str(ecloud.folder / "got"))
    assert (ecloud.folder / "got" / "sum").read_text().strip() == "21"
    assert (ecloud.folder / "got" / "19.txt").read_text() == "7\nready\n"


@pytest.mark.long
def test_attempts_of_earlier_workers_are_finished_when_the_boss_was_away(earlier_workers: Deployment) -> None:
    ecloud = earlier_workers
    name = ecloud.push(
        {"tasks": [{"id": "t{n}", "foreach": {"n": {"range": [0, 6]}}, "command": "sleep 1; echo {n} > {n}", "outputs": ["{n}"]}]}
    )
    until(lambda: "running" in ecloud.states(name).values() or None, 60, "a task to run")
    ecloud.kill()
    ecloud.start()
    assert set(ecloud.finished(name).values()) == {"succeeded"}
    assert {task["attempt"] for task in ecloud.look("show_tasks", "--job", name)} == {1}
