"""A sweep as its author lives through it: rows that crash, causes at a glance, the script mended, the outcome as a table."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployment, deployed

SCRIPT = """import json, os, signal, sys
n = int(sys.argv[1])
print("row", n, file=sys.stderr)
if n % 20 == 3:
    raise ValueError(f"row {n} is not positive definite")
if n % 50 == 7:
    os.kill(os.getpid(), signal.SIGSEGV)
os.makedirs("out")
json.dump({"square": n * n, "half": n / 2, "odd": n % 2 == 1}, open(f"out/{n}.json", "w"))
"""
ROWS = 150


@pytest.fixture(scope="module")
def ecloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("sweeps")) as deployment:
        yield deployment


def test_a_sweep_that_crashes_in_two_ways_is_understood_mended_and_tabled(ecloud: Deployment) -> None:
    (ecloud.folder / "row.py").write_text(SCRIPT)
    document = {
        "job": "sweep",
        "files": ["row.py"],
        "tasks": [
            {
                "id": "row-{n}",
                "foreach": {"n": {"range": [0, ROWS]}},
                "command": "python3 -S row.py {n}",
                "inputs": ["row.py"],
                "outputs": ["out/{n}.json"],
                "metrics": "out/{n}.json",
                "cpus": 0.5,
            }
        ],
    }
    ecloud.push(document, name="sweep")
    states = ecloud.finished("sweep", 120)
    crashed = {f"row-{n}" for n in range(ROWS) if n % 20 == 3 or n % 50 == 7}
    assert {name for name, state in states.items() if state == "failed"} == crashed
    said = ecloud.admin("show_failed", "--job", "sweep")
    assert said.startswith("11 tasks of sweep failed, in 2 ways\n")
    grouped = ecloud.look("show_failed", "--job", "sweep", "--group")
    assert sum(cause["count"] for cause in grouped["causes"]) == len(crashed)
    assert {(cause["exit_code"], cause["signal"]) for cause in grouped["causes"]} == {(1, None), (None, 11)}
    example = re.search(r"\./admin\.py logs (\S+)", said)
    assert example and "row" in ecloud.admin("logs", example[1])

    done = ecloud.run("admin.py", "table", "sweep", "--out", "t.csv")
    assert (done.returncode, done.stdout) == (0, "")
    rows = _rows(ecloud.folder / "t.csv")
    assert [row["n"] for row in rows] == [str(n) for n in range(ROWS)]
    assert {row["id"] for row in rows if row["square"] == ""} == crashed
    assert rows[5] | {"id": "row-5", "state": "succeeded", "square": "25", "half": "2.5", "odd": "1"} == rows[5]

    (ecloud.folder / "row.py").write_text(SCRIPT.replace("if n % 20 == 3", "if False").replace("if n % 50 == 7", "if False"))
    ecloud.push(document, "--merge", "keep-succeeded", "--watch", name="sweep")
    assert ecloud.run("admin.py", "table", "sweep", "--out", "t.csv").returncode == 1
    ecloud.admin("table", "sweep", "--out", "t.csv", "--force")
    rows = _rows(ecloud.folder / "t.csv")
    assert [row["square"] for row in rows] == [str(n * n) for n in range(ROWS)]
    assert {row["id"] for row in rows if row["attempt"] == "2"} == crashed
    assert not [path for path in ecloud.folder.iterdir() if path.name.startswith(".")]


def test_a_worker_is_prepared_once_before_a_jobs_tasks_which_find_its_folder(ecloud: Deployment) -> None:
    document = {
        "tasks": [
            {"id": "setup", "init": True, "commands": ["mkdir lib", "echo 42 > lib/answer", "date +%N > lib/once"]},
            {
                "id": "use-{n}",
                "foreach": {"n": {"range": [0, 12]}},
                "command": "cp $ECLOUD_INIT/lib/once once-{n}; test $(cat $ECLOUD_INIT/lib/answer) = 42; echo $ECLOUD_INIT > where-{n}",
                "outputs": ["once-{n}", "where-{n}"],
            },
        ]
    }
    job = ecloud.push(document, "--watch", name="prepared")
    ecloud.admin("fetch", job, "--to", "got")
    got = {path.name: path.read_text() for path in (ecloud.folder / "got").iterdir()}
    places = {got[f"where-{n}"] for n in range(12)}
    for place in places:
        assert len({got[f"once-{n}"] for n in range(12) if got[f"where-{n}"] == place}) == 1
    attempts = ecloud.look("show_task", f"{job}:setup")["attempts"]
    assert len(attempts) >= len(places)
    assert len({attempt["worker"] for attempt in attempts}) == len(attempts)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
