"""A month of reruns, small: one script changes after a sweep, a script that crashed is mended, a result is made anew by hand."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deployment import Deployment, deployed, until

RUNS = 50


@pytest.fixture(scope="module")
def ecloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("reruns")) as deployment:
        yield deployment


def study(job: str, runs: int = RUNS) -> dict[str, Any]:
    """simulate x runs -> aggregate -> plot."""
    return {
        "job": job,
        "files": ["sim.py", "agg.py", "plot.py"],
        "tasks": [
            {
                "id": "sim-{n}",
                "foreach": {"n": {"range": [runs]}},
                "command": "python3 -S sim.py {n} > out-{n}.txt",
                "inputs": ["sim.py"],
                "outputs": ["out-{n}.txt"],
            },
            {
                "id": "agg",
                "command": "python3 -S agg.py > t.csv",
                "inputs": ["agg.py", "out-*.txt"],
                "outputs": ["t.csv"],
            },
            {"id": "plot", "command": "python3 -S plot.py > plot.txt", "inputs": ["plot.py", "t.csv"], "outputs": ["plot.txt"]},
        ],
    }


def write(ecloud: Deployment, **scripts: str) -> None:
    """The scripts beside the task file; those not named are what they were, or the first version."""
    first = {
        "sim": "import sys\nprint(int(sys.argv[1]))\n",
        "agg": "import glob\nprint(sum(int(open(f).read()) for f in glob.glob('out-*.txt')))\n",
        "plot": "print('#' * (int(open('t.csv').read()) % 7), open('t.csv').read().strip())\n",
    }
    for name, text in {**first, **scripts}.items():
        (ecloud.folder / f"{name}.py").write_text(text)


def attempts(ecloud: Deployment, job: str) -> dict[str, int]:
    """Task id -> number of its last attempt."""
    return {task["id"]: task["attempt"] for task in ecloud.look("show_tasks", "--job", job)}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_one_changed_script_runs_two_tasks_again(ecloud: Deployment) -> None:
    write(ecloud)
    job = ecloud.push(study("edited"), "--watch", name="edited")
    assert set(attempts(ecloud, job).values()) == {1}
    old = digest(ecloud.folder / "agg.py")
    write(ecloud, agg="import glob\nprint(max(int(open(f).read()) for f in glob.glob('out-*.txt')))\n")
    dry = ecloud.run("push_tasks.py", "edited.json", "--merge", "changed", "--dry-run").stdout.splitlines()
    assert dry[:2] == ["agg: agg.py changed", "plot: input t.csv of agg will change"]
    assert dry[2].startswith(f"adds to job edited: 2 tasks (0 new, 2 replaced, {RUNS} left alone)")
    assert [one["sha256"] for one in ecloud.look("show_task", "edited:agg")["made_of"]["files"] if one["path"] == "agg.py"] == [
        old
    ]
    assert ecloud.push(study("edited"), "--merge", "changed", "--watch", name="edited") == "edited"
    assert attempts(ecloud, job) == {**{f"sim-{row}": 1 for row in range(RUNS)}, "agg": 2, "plot": 2}
    ecloud.admin("fetch", "edited", "--to", "edited")
    assert (ecloud.folder / "edited" / "plot.txt").read_text().split()[-1] == str(RUNS - 1)
    made_of = {one["path"]: one for one in ecloud.look("show_task", "edited:plot")["made_of"]["files"]}
    assert made_of["plot.py"]["sha256"] == digest(ecloud.folder / "plot.py")
    assert (made_of["t.csv"]["task"], made_of["t.csv"]["attempt"]) == ("agg", 2)
    assert made_of["t.csv"]["sha256"] == digest(ecloud.folder / "edited" / "t.csv")
    again = ecloud.run("push_tasks.py", "edited.json", "--merge", "changed", "--dry-run").stdout
    assert "0 tasks (0 new, 0 replaced, 52 left alone)" in again


def test_what_crashed_runs_again_alone_or_with_all_as_chosen(ecloud: Deployment) -> None:
    write(ecloud, sim="import sys\nn = int(sys.argv[1])\nassert n % 10 != 7, 'no solution'\nprint(n)\n")
    job = ecloud.push(study("crashed"), "--watch", name="crashed", code=1)
    failed = {task["id"] for task in ecloud.look("show_failed", "--job", job)}
    assert failed == {f"sim-{row}" for row in range(7, RUNS, 10)}
    write(ecloud, sim="import sys\nn = int(sys.argv[1])\nprint(0 if n % 10 == 7 else n)\n")
    done = ecloud.run("push_tasks.py", "crashed.json", "--merge", "keep-succeeded", "--watch")
    assert done.returncode == 0, done.stderr
    assert "kept although sim.py changed: sim-0, sim-1, sim-2, sim-3" in done.stderr
    assert f"and {RUNS - len(failed) - 10} more" in done.stderr
    now = attempts(ecloud, job)
    assert {name for name, number in now.items() if number == 2} == failed
    done = ecloud.run("push_tasks.py", "crashed.json", "--merge", "changed", "--watch")
    assert done.returncode == 0, done.stderr
    later = attempts(ecloud, job)
    assert {name for name in later if later[name] != now[name]} == {f"sim-{row}" for row in range(RUNS)} - failed | {
        "agg",
        "plot",
    }


@pytest.mark.long
def test_a_result_made_anew_makes_stale_what_was_made_from_the_old_one(ecloud: Deployment) -> None:
    write(ecloud, sim="import os\nprint(os.environ['ECLOUD_ATTEMPT'])\n")
    job = ecloud.push(study("anew", 3), "--watch", name="anew")
    ecloud.admin("redo_task", f"{job}:sim-1", "--yes")
    until(lambda: True if ecloud.look("show_tasks", f"{job}:plot")[0]["stale"] else None, 60, "plot to be stale")
    reason = "made from an older result of sim-1"
    assert {task["id"]: task["stale"] for task in ecloud.look("show_tasks", job, "--stale")} == {"agg": reason, "plot": reason}
    why = ecloud.admin("why", f"{job}:plot")
    assert reason in why and f"redo_task {job}:plot --stale" in why
    fetched = ecloud.run("admin.py", "fetch", job)
    assert f"the result of agg is stale, {reason}" in fetched.stderr
    ecloud.kill()
    ecloud.start()
    assert "(2 of them stale)" in ecloud.admin("show_jobs")
    assert ecloud.push(study("anew", 3), "--merge", "changed", "--watch", name="anew") == job
    assert attempts(ecloud, job) == {"sim-0": 1, "sim-1": 2, "sim-2": 1, "agg": 2, "plot": 2}
    assert ecloud.look("show_tasks", job, "--stale") == []
    ecloud.admin("redo_task", f"{job}:sim-*", "--descendants", "--yes")
    assert set(ecloud.finished(job).values()) == {"succeeded"}
    assert attempts(ecloud, job) == {"sim-0": 2, "sim-1": 3, "sim-2": 2, "agg": 3, "plot": 3}
    assert ecloud.look("show_tasks", job, "--stale") == []
