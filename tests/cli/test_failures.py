"""``show_failed`` by cause, and the causes where a job's end is told."""

import json

import pytest

from tests.api.rig import Rig
from tests.cli.shell import Shell
from worker.protocol import Result


def crash(rig: Rig, name: str = "sweep", count: int = 30) -> None:
    """A job of ``count`` tasks: every third is killed by a signal, the others raise an error with their number in it."""
    rig.push({f"t{number}": "hold" for number in range(count)}, name=name)
    crashed = 0
    while crashed < count:
        rig.until(lambda rig: any(a.job == name for _, a in rig.workers.held.values()))
        for attempt, (_, assignment) in list(rig.workers.held.items()):
            if assignment.job == name:
                number = int(assignment.task[1:])
                facts = {
                    "exit_code": 1,
                    "reason": "exit code 1",
                    "stderr": f"Traceback\nValueError: T = {number / 7} is too high\n",
                }
                if number % 3 == 0:
                    facts = {
                        "exit_code": None,
                        "signal": 11,
                        "reason": "killed by SIGSEGV",
                        "stderr": "\x1b[31mfault 1\a\x1b[0m\n",
                    }
                rig.workers.tell(attempt, Result(attempt, "failed", "run", started=1000.0, finished=1001.0, **facts))  # type: ignore[arg-type]
                crashed += 1
    rig.until(lambda rig: rig.get(f"/jobs/{name}")["finished"])


def test_failures_are_shown_by_cause_with_count_example_and_the_next_command(rig: Rig, shell: Shell) -> None:
    crash(rig)
    said = shell.admin("show_failed", "--job", "sweep")
    assert said.out.splitlines() == [
        "30 tasks of sweep failed, in 2 ways",
        "",
        "  20  exit code 1",
        "      ValueError: T = # is too high",
        "      such as: ValueError: T = 0.14285714285714285 is too high",
        "      ./admin.py logs sweep:t1",
        "",
        "  10  killed by SIGSEGV",
        "      fault 1\\x07",
        "      ./admin.py logs sweep:t0",
        "",
        "one by one: ./admin.py show_failed --job sweep --list",
        "run them again, as they were pushed: ./admin.py retry_failed sweep",
        "after you changed a pushed file or the task file: ./push_tasks.py FILE --job sweep --merge keep-succeeded",
        "  (runs only what failed; --merge changed runs all that reads the file)",
    ]
    assert said.err == ""


def test_a_target_a_list_and_json_show_the_tasks_one_by_one(rig: Rig, shell: Shell) -> None:
    crash(rig, count=6)
    assert len(shell.look("show_failed")) == len(shell.look("show_failed", "--job", "sweep")) == 6
    assert {"job", "id", "state", "attempt", "exit_code", "phase", "reason"} <= set(shell.look("show_failed", "--list")[0])
    assert shell.admin("show_failed", "--list").out.splitlines()[1].split()[:4] == ["sweep:t0", "failed", "1", "-"]
    assert (
        shell.admin("show_failed", "sweep:t1").out.splitlines()[1].endswith(f"  exit code 1: ValueError: T = {1 / 7} is too high")
    )
    assert shell.admin("show_failed", "--list").out.splitlines()[1].endswith("  killed by SIGSEGV: fault 1\\x07")
    assert f"The last line that it wrote to stderr: ValueError: T = {1 / 7} is too high" in shell.admin("why", "sweep:t1").out
    assert len(shell.admin("show_failed", "sweep:t1").out.splitlines()) == 2
    assert len(shell.admin("show_failed", "sweep").out.splitlines()) == 7


def test_causes_of_a_target_and_as_json_on_demand(rig: Rig, shell: Shell) -> None:
    crash(rig, count=6)
    found = shell.look("show_failed", "--group")
    assert [(cause["count"], cause["signal"]) for cause in found["causes"]] == [(4, None), (2, 11)]
    assert shell.admin("show_failed", "sweep:t[12]", "--group").out.startswith("2 tasks of sweep failed\n")
    assert shell.admin("show_failed", "--group", "--list", code=2).out == ""


def test_several_jobs_are_told_one_after_the_other_newest_first(rig: Rig, shell: Shell) -> None:
    crash(rig, "old", 1)
    crash(rig, "new", 2)
    heads = [line for line in shell.admin("show_failed").out.splitlines() if "failed, " in line or line.endswith("failed")]
    assert heads == ["2 tasks of new failed, in 2 ways", "1 task of old failed"]


def test_names_that_a_shell_would_split_are_quoted_in_the_command(rig: Rig, shell: Shell) -> None:
    rig.push({"a b$": "fail"})
    rig.until(lambda rig: rig.states() == {"a b$": "failed"})
    assert "./admin.py logs 'job:a b$'\n" in shell.admin("show_failed").out


def test_very_many_causes_are_shortened_and_counted(rig: Rig, shell: Shell) -> None:
    rig.push({f"t{number}": "hold" for number in range(14)})
    for number in range(14):
        rig.until(lambda rig, task=f"t{number}": any(a.task == task for _, a in rig.workers.held.values()))  # type: ignore[misc]
        [attempt] = [name for name, (_, a) in rig.workers.held.items() if a.task == f"t{number}"]
        rig.workers.tell(attempt, Result(attempt, "failed", "run", exit_code=number + 1, reason=f"exit code {number + 1}"))
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])
    said = shell.admin("show_failed").out
    assert said.startswith("14 tasks of job failed, in 14 ways\n")
    assert "\n4 tasks failed in 4 further ways\n" in said


def test_the_end_of_a_watched_job_names_the_largest_causes_and_the_next_command(rig: Rig, shell: Shell) -> None:
    crash(rig)
    lines = [
        "  20  exit code 1: ValueError: T = # is too high",
        "  10  killed by SIGSEGV: fault 1\\x07",
    ]
    *_, first, second, end, then = shell.admin("status", "--job", "sweep", "--watch", code=1).err.splitlines()
    assert [first, second] == lines
    assert end.startswith("sweep failed: ") and "30 failed" in end
    assert then == "next: ./admin.py show_failed --job sweep"
    told = shell.admin("status", "--job", "sweep").out.splitlines()[-3:]
    assert told == [*lines, "  more: ./admin.py show_failed --job sweep"]
    assert "exit code" not in shell.admin("status").out


def test_a_push_that_is_watched_ends_with_the_causes(rig: Rig, shell: Shell) -> None:
    said = shell.push({"tasks": [{"id": f"t{number}", "command": "fail"} for number in range(3)]}, "--watch", code=1)
    *_, cause, end, then = said.err.splitlines()
    assert cause == "  3  exit code 3: err of it" and end.startswith("x failed: 3 failed in ")
    assert then == "next: ./admin.py show_failed --job x"
    assert said.out == "x\n"


def test_a_job_that_succeeds_says_nothing_of_causes(rig: Rig, shell: Shell) -> None:
    assert "show_failed" not in shell.push({"tasks": [{"id": "a", "command": "true"}]}, "--watch").err


def test_rows_of_csv_that_crash_are_found_by_cause_among_hundreds(rig: Rig, shell: Shell) -> None:
    rows = [{"id": f"r{number}", "command": "fail" if number % 20 == 0 else "true"} for number in range(600)]
    rig.push(rows, name="big")
    rig.until(lambda rig: rig.get("/jobs/big")["finished"])
    assert shell.admin("show_failed").out.startswith("30 tasks of big failed\n\n  30  exit code 3\n      err of it\n")
    assert json.dumps(shell.look("show_failed", "--group")).count("big:r0") == 1


@pytest.mark.long
def test_a_job_that_the_boss_paused_says_why_in_the_list_of_jobs(rig: Rig, shell: Shell) -> None:
    rig.push([{"id": "setup", "init": True, "command": "fail"}, {"id": "a", "command": "true"}])
    rig.until(lambda rig: rig.get("/jobs/job")["state"] == "paused" and rig.get("/status")["notes"])
    line = shell.admin("show_jobs").out.splitlines()[-1]
    assert line.startswith("job is paused: init task setup failed") and line.endswith("go on: ./admin.py resume job")
    assert "Job job is paused: init task setup failed" in shell.admin("status").out
    assert "paused (init task setup failed" in shell.admin("why", "job:a").out
