"""Reruns on the command line: reasons, what is kept, what is stale, what a result was made of."""

import hashlib
from typing import Any

from tests.api.rig import Rig
from tests.cli.shell import Shell

REASON = "made from an older result of sim-1"


def study(rows: int = 3) -> dict[str, Any]:
    return {
        "files": ["sim.py", "agg.py"],
        "tasks": [
            {
                "id": "sim-{n}",
                "foreach": {"n": {"range": [rows]}},
                "command": "true",
                "inputs": ["sim.py"],
                "outputs": ["out-{n}"],
            },
            {"id": "agg", "command": "true", "inputs": ["agg.py", "out-*"], "outputs": ["t.csv"]},
            {"id": "plot", "command": "true", "inputs": ["t.csv"], "outputs": ["plot.png"]},
        ],
    }


def finished(rig: Rig, shell: Shell, rows: int = 3) -> None:
    """The study, pushed as job x past the datastore that this rig does not have, and finished."""
    write(shell)
    files = {name: {"digest": digest(shell, name), "size": 1} for name in ("sim.py", "agg.py")}
    plan = rig.plan({"job": "x", **study(rows)}, files=files)
    rig.post(f"/pushes/{plan['push']}/open")
    rig.until(lambda rig: rig.get("/jobs/x")["finished"])


def digest(shell: Shell, name: str) -> str:
    return hashlib.sha256((shell.folder / name).read_bytes()).hexdigest()


def write(shell: Shell, **texts: str) -> None:
    for name, text in {"sim": "1", "agg": "1", **texts}.items():
        (shell.folder / f"{name}.py").write_text(text)


def make_stale(rig: Rig, shell: Shell) -> None:
    rig.workers.digest = "cc" * 32
    shell.admin("redo_task", "x:sim-1")
    rig.until(lambda rig: rig.get("/jobs/x")["stale"] == 2)


def test_a_dry_run_gives_each_reason_on_a_line(rig: Rig, shell: Shell) -> None:
    finished(rig, shell)
    write(shell, agg="2")
    said = shell.push(study(), "--job", "x", "--merge", "changed", "--dry-run")
    assert said.out.splitlines() == [
        "agg: agg.py changed",
        "plot: input t.csv of agg will change",
        "adds to job x: 2 tasks (0 new, 2 replaced, 3 left alone), 2 files (2 B)",
        "nothing was pushed",
    ]
    assert said.err == "x.json: 3 tasks that the job has already are left alone\n"


def test_the_reasons_of_a_large_sweep_are_told_by_its_first_rows(rig: Rig, shell: Shell) -> None:
    finished(rig, shell, 50)
    write(shell, sim="2")
    said = shell.push(study(50), "--job", "x", "--merge", "changed", "--dry-run")
    assert said.out.splitlines()[:5] == [
        "sim-0: sim.py changed",
        "sim-1: sim.py changed",
        "sim-2: sim.py changed (and 47 more tasks like it)",
        "agg: input out-0 of sim-0 will change",
        "plot: input t.csv of agg will change",
    ]


def test_a_push_shows_the_first_reasons_and_counts_the_others(rig: Rig, shell: Shell) -> None:
    before = {
        "job": "y",
        "tasks": [{"id": f"t{n}-{{k}}", "foreach": {"k": {"range": [1]}}, "command": "true"} for n in range(15)],
    }
    shell.push(before, "--watch")
    for entry in before["tasks"]:
        entry["command"] = "true again"  # type: ignore[index]
    said = shell.push(before, "--merge", "changed", "--watch")
    lines = said.err.splitlines()
    assert lines[:10] == [f"t{n}-0: its command changed" for n in range(10)]
    assert lines[10] == "and 5 more tasks"
    assert said.out == "y\n"


def test_the_time_of_a_watched_rerun_counts_from_the_rerun(rig: Rig, shell: Shell) -> None:
    finished(rig, shell)
    [before] = rig.get("/status", job="x")["jobs"]
    assert before["since"] == before["created"]
    shell.admin("redo_task", "x:plot")
    rig.until(lambda rig: rig.get("/jobs/x")["finished"])
    [after] = rig.get("/status", job="x")["jobs"]
    assert after["created"] == before["created"] and after["since"] >= before["finished"]
    said = shell.admin("status", "--job", "x", "--watch").err.splitlines()[-2]
    assert said.startswith("x succeeded: 5 succeeded in ")


def test_keeping_what_succeeded_lists_what_is_kept_although_something_changed(rig: Rig, shell: Shell) -> None:
    finished(rig, shell)
    write(shell, agg="2", sim="2")
    for words in (["--merge", "keep-succeeded"], ["--merge", "replace", "--skip-existing"]):
        said = shell.push(study(), "--job", "x", *words, "--dry-run")
        assert "x.json: kept although sim.py changed: sim-0, sim-1, sim-2\n" in said.err
        assert "x.json: kept although agg.py changed: agg\n" in said.err


def test_skip_existing_and_changed_contradict_each_other(rig: Rig, shell: Shell) -> None:
    finished(rig, shell)
    said = shell.push(study(), "--job", "x", "--merge", "changed", "--skip-existing", code=2)
    assert said.err == "x.json: --skip-existing keeps the results that --merge changed makes anew: use one of the two\n"


def test_a_redo_says_what_it_leaves_alone_and_with_descendants_what_runs_too(rig: Rig, shell: Shell) -> None:
    finished(rig, shell)
    said = shell.admin("redo_task", "x:sim-1")
    left = "2 descendants left alone, stale if the new results differ (--descendants runs them too)"
    assert said.out == f"1 task of x to be run again; {left}\n"
    rig.until(lambda rig: rig.get("/jobs/x")["finished"])
    assert shell.admin("redo-task", "x:sim-1", "--descendants").out == "1 task of x to be run again; 2 descendants too\n"
    rig.until(lambda rig: rig.get("/jobs/x")["finished"])
    assert [task["attempt"] for task in shell.look("show_tasks", "x:plot")] == [2]


def test_whoever_runs_again_what_reads_pushed_files_is_told_that_they_are_those_that_were_pushed(rig: Rig, shell: Shell) -> None:
    write(shell)
    document = {
        "files": ["sim.py"],
        "tasks": [{"id": "a", "command": "fail", "inputs": ["sim.py"]}, {"id": "b", "command": "fail"}],
    }
    plan = rig.plan({"job": "x", **document}, files={"sim.py": {"digest": digest(shell, "sim.py"), "size": 1}})
    rig.post(f"/pushes/{plan['push']}/open")
    rig.until(lambda rig: rig.get("/jobs/x")["finished"])
    push = "x: with the files as they were pushed; if you changed one: ./push_tasks.py FILE --job x"
    said = shell.admin("retry_failed", "x")
    assert said.err == f"{push} --merge keep-succeeded (only what failed) or --merge changed (all that reads it)\n"
    assert said.out == "2 tasks of x to be tried again\n"
    rig.until(lambda rig: rig.get("/jobs/x")["finished"])
    assert shell.admin("redo_task", "x:a").err == f"{push} --merge changed (all that reads it)\n"
    rig.until(lambda rig: rig.get("/jobs/x")["finished"])
    assert shell.admin("retry_failed", "x:b").err == ""
    assert "x:b" in shell.admin("show_failed", "x").out


def test_a_person_is_asked_before_descendants_run_again(rig: Rig, shell: Shell) -> None:
    finished(rig, shell)
    said = shell.on_terminal("admin.py", "redo_task", "x:agg", "--descendants", typed="n\n")
    assert "This runs 1 task (1 succeeded), and all that was made from them, again" in said.out
    assert said.code == 1


def test_stale_results_are_shown_as_such(rig: Rig, shell: Shell) -> None:
    finished(rig, shell)
    make_stale(rig, shell)
    assert "5 succeeded (2 of them stale)" in shell.admin("show_jobs").out
    assert "5 succeeded (2 of them stale)" in shell.admin("status").out
    listed = shell.admin("show_tasks", "x", "--stale").out.splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["x:agg", "x:plot"]
    assert all(line.endswith(f"stale: {REASON}") for line in listed[1:])
    assert {task["id"]: task["stale"] for task in shell.look("show_tasks", "x")}["plot"] == REASON
    assert f"stale:        {REASON}\n" in shell.admin("show_task", "x:plot").out
    assert shell.look("show_task", "x:plot")["stale"] == REASON
    why = shell.admin("why", "x:plot").out
    assert f"Its result is stale: {REASON}." in why and "`admin.py redo_task x:plot --stale`" in why


def test_the_command_that_why_names_ends_all_that_is_stale(rig: Rig, shell: Shell) -> None:
    finished(rig, shell)
    make_stale(rig, shell)
    assert "This runs 1 task (1 succeeded), the stale ones that they are made from, and all that was made from them, again" in (
        shell.on_terminal("admin.py", "redo_task", "x:plot", "--stale", typed="n\n").out
    )
    assert shell.admin("redo_task", "x:plot", "--stale").out == "2 tasks of x to be run again\n"
    rig.until(lambda rig: rig.get("/jobs/x")["finished"])
    assert rig.get("/jobs/x")["stale"] == 0
    assert shell.admin("redo_task", "x", "--stale").out == "nothing of x is stale\n"


def test_a_task_shows_the_digests_of_what_its_result_was_made_of(rig: Rig, shell: Shell) -> None:
    finished(rig, shell)
    out = shell.admin("show_task", "x:agg").out
    lines = [line.split(maxsplit=2) for line in out[out.index("made of (attempt 1):") :].splitlines()[1:6]]
    assert lines[0] == ["file", "sha256", "from"]
    assert lines[1] == ["agg.py", digest(shell, "agg.py"), "pushed"]
    assert [line[0] for line in lines[2:]] == ["out-0", "out-1", "out-2"]
    assert lines[2][2] == "sim-0, attempt 1"
    assert len(shell.look("show_task", "x:agg")["made_of"]["files"]) == 4
