"""Push, run, fetch: the whole way through with real processes, as users walk it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.deployment import ROOT, Deployment, deployed, until


@pytest.fixture(scope="module")
def ecloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("whole")) as deployment:
        yield deployment


def test_files_go_in_and_results_come_out(ecloud: Deployment) -> None:
    (ecloud.folder / "double.py").write_text("import sys\nprint(2 * int(open(sys.argv[1]).read()))\n")
    (ecloud.folder / "n.txt").write_text("21\n")
    job = ecloud.push(
        {
            "job": "doubling",
            "files": ["double.py", "n.txt"],
            "tasks": [
                {"id": "a", "command": "python3 double.py n.txt > a.txt", "inputs": ["double.py", "n.txt"], "outputs": ["a.txt"]},
                {"id": "b", "command": "python3 double.py a.txt > b.txt", "inputs": ["double.py", "a.txt"], "outputs": ["b.txt"]},
            ],
        },
        "--watch",
    )
    assert job == "doubling"
    assert ecloud.states(job) == {"a": "succeeded", "b": "succeeded"}
    ecloud.admin("fetch", job, "--to", "got")
    assert (ecloud.folder / "got" / "b.txt").read_text() == "84\n"


def test_a_sweep_is_expanded_and_aggregated(ecloud: Deployment) -> None:
    job = ecloud.push(
        {
            "tasks": [
                {
                    "id": "s-{x}-{k}",
                    "foreach": {"x": {"range": [0, 5]}, "k": {"values": ["a", "b"]}},
                    "command": "mkdir out; echo {x}{k} > out/{x}{k}.txt",
                    "outputs": ["out/{x}{k}.txt"],
                },
                {"id": "all", "command": "cat out/*.txt | sort > all.txt", "inputs": ["out/*.txt"], "outputs": ["all.txt"]},
            ]
        },
        name="sweep",
    )
    states = ecloud.finished(job)
    assert set(states.values()) == {"succeeded"}, ecloud.admin("show_failed")
    assert len(states) == 11
    ecloud.admin("fetch", f"{job}:all.txt", "--to", "swept")
    assert (ecloud.folder / "swept" / "all.txt").read_text().split() == sorted(f"{x}{k}" for x in range(5) for k in "ab")


@pytest.mark.parametrize("dialect", ["gen1", "gen2"])
def test_the_originals_task_files_run(ecloud: Deployment, dialect: str) -> None:
    path = ROOT / "examples" / "legacy" / f"{dialect}.json"
    done = ecloud.run("push_tasks.py", str(path), "--name", dialect, "--watch")
    assert done.returncode == 1, (done.stdout, done.stderr)
    states = ecloud.states(dialect)
    by_number = {name[-1]: state for name, state in states.items()}
    assert by_number == {"0": "failed", "1": "skipped", "2": "failed", "3": "succeeded", "4": "succeeded"}
    failed = {task["id"][-1]: task for task in ecloud.look("show_failed", "--job", dialect)}
    assert failed["0"]["phase"] == "fetch"
    assert (failed["2"]["phase"], failed["2"]["exit_code"]) == ("run", 1)
    assert failed["0"]["reason"] in ecloud.admin("logs", f"{dialect}:{failed['0']['id']}")
    two = next(name for name in states if name.endswith("2"))
    assert "on purpose" in ecloud.admin("logs", f"{dialect}:{two}", "--stderr")
    ecloud.admin("fetch", dialect, "--to", f"fetched-{dialect}")
    (result,) = (ecloud.folder / f"fetched-{dialect}").rglob("TEST_SUCCEEDED")
    assert "3.42" in result.read_text()


def test_a_cancelled_task_leaves_no_process_behind(ecloud: Deployment) -> None:
    job = ecloud.push({"tasks": [{"id": "long", "command": "setsid sleep 4321 & sleep 4321; wait"}]}, name="long")

    def sleepers() -> list[str]:
        return [str(p) for p in Path("/proc").glob("[0-9]*/cmdline") if b"sleep\x004321" in _read(p)]

    until(lambda: True if len(sleepers()) == 2 else None, 30, "two sleepers")
    ecloud.admin("cancel", job, "--yes")
    until(lambda: True if not sleepers() else None, 30, "no sleepers")
    assert ecloud.states(job) == {"long": "cancelled"}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_failing_task_is_retried_and_its_log_kept(ecloud: Deployment) -> None:
    job = ecloud.push({"tasks": [{"id": "bad", "command": "echo oh no >&2; exit 7", "retries": 1}]}, name="bad")
    assert ecloud.finished(job) == {"bad": "failed"}
    task = ecloud.look("show_task", f"{job}:bad")
    assert (task["exit_code"], task["phase"], task["attempt"]) == (7, "run", 2)
    assert "oh no" in ecloud.admin("logs", f"{job}:bad", "--stderr")
    assert "phase run: exit code 7" in ecloud.admin("why", f"{job}:bad")


def test_bad_input_changes_nothing(ecloud: Deployment) -> None:
    before = ecloud.look("show_jobs")
    done = ecloud.run("push_tasks.py", str(_bad_file(ecloud)))
    assert done.returncode == 2
    assert "comand" in done.stderr and "command" in done.stderr
    assert ecloud.look("show_jobs") == before


def _bad_file(ecloud: Deployment) -> Path:
    path = ecloud.folder / "wrong.json"
    path.write_text(json.dumps({"tasks": [{"id": "a", "comand": "true"}, {"id": "a", "command": "true", "after": ["nobody"]}]}))
    return path


def test_the_pool_goes_back_to_zero(ecloud: Deployment) -> None:
    until(lambda: True if ecloud.look("show_vms") == [] else None, 60, "no VMs")
    assert [worker for worker in ecloud.look("show_workers") if worker["state"] == "online"] == []
