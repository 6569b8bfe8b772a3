"""A job whose init task fails: what a researcher reads, and how the job goes on."""

import threading

from tests.api.rig import Rig
from tests.cli.shell import Said, Shell
from worker.protocol import Result

TASKS = [
    {"id": "prepare", "command": "hold", "init": True},
    {"id": "u-0", "command": "true"},
    {"id": "last", "command": "true", "after": ["u-0"]},
]


def fail_init(rig: Rig) -> None:
    """The init task fails wherever it runs now."""
    rig.until(lambda rig: any(assignment.init for _, assignment in rig.workers.held.values()))
    for attempt, (_, assignment) in list(rig.workers.held.items()):
        if assignment.init:
            fields = {"exit_code": 7, "reason": "exit code 7", "stderr": "make: ...\nno compiler\n"}
            rig.workers.tell(attempt, Result(attempt, "failed", "run", started=1000.0, finished=1001.0, **fields))  # type: ignore[arg-type]
    rig.until(lambda rig: rig.get("/failures", target="x")["inits"])


def fail_until_paused(rig: Rig) -> None:
    """Worker after worker makes room for the next, until the boss has seen enough."""
    fail_init(rig)
    while not any(job["reason"] for job in rig.get("/jobs")):
        rig.post("/workers/terminate", {"all": True, "now": True})
        rig.until(lambda rig: paused(rig) or any(assignment.init for _, assignment in rig.workers.held.values()))
        if not paused(rig):
            fail_init(rig)
    rig.until(paused)


def paused(rig: Rig) -> bool:
    """Whether the picture and the store have it."""
    return bool(rig.get("/status", job="x")["jobs"][0]["state"] == rig.get("/jobs/x")["state"] == "paused")


def test_watching_a_job_that_the_boss_pauses_ends_with_reason_and_next_commands(rig: Rig, shell: Shell) -> None:
    said: list[Said] = []
    watcher = threading.Thread(target=lambda: said.append(shell.spawn_push({"tasks": TASKS}, "--watch")))
    watcher.start()
    rig.until(lambda rig: rig.get("/jobs"))
    fail_until_paused(rig)
    watcher.join(30)
    assert said[0].code == 1
    assert said[0].out == "x\n"
    lines = said[0].err.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("x paused: init task prepare failed"))
    assert lines[place].endswith("exit code 7: no compiler")
    assert "./admin.py logs x:prepare" in lines[place + 1]
    assert "--job x --merge changed" in lines[place + 2] and "./admin.py resume x" in lines[place + 2]


def test_a_failing_init_is_named_by_status_show_failed_and_why(rig: Rig, shell: Shell) -> None:
    shell.push({"tasks": TASKS})
    fail_init(rig)
    first, second = shell.admin("show_failed", "--job", "x").out.splitlines()
    assert "init task x:prepare failed, the last time on local-" in first
    assert "exit code 7: no compiler; it is tried on other workers" in first
    assert second.strip() == "./admin.py logs x:prepare"
    assert shell.look("show_task", "x:prepare")["state"] == "waiting"
    rig.post("/resume", {"targets": ["x"]})
    fail_until_paused(rig)
    assert "exit code 7: no compiler" in shell.admin("status").out
    assert "the job is paused for it" in shell.admin("show_failed").out
    said = shell.admin("why", "x:last").out
    assert "It waits for 1 of 1 dependencies" in said and "Job x is paused (init task prepare failed" in said


def test_a_push_that_replaces_the_init_resumes_what_the_boss_paused(rig: Rig, shell: Shell) -> None:
    shell.push({"tasks": TASKS})
    fail_until_paused(rig)
    same = shell.push({"tasks": [*TASKS, {"id": "more", "command": "true"}]}, "--job", "x", "--merge", "changed")
    assert "x stays paused: init task prepare failed" in same.err and "./admin.py resume x" in same.err
    mended = [{**TASKS[0], "command": "true"}, *TASKS[1:]]
    dry = shell.push({"tasks": mended}, "--job", "x", "--merge", "changed", "--dry-run")
    assert "until `admin.py resume x`, or a push replaces the init task that failed (init task prepare failed" in dry.err
    said = shell.push({"tasks": mended}, "--job", "x", "--merge", "changed", "--watch")
    assert "is dealt out until" not in said.err
    assert "x was paused because an init task failed; that was replaced, so the job is resumed" in said.err
    row = shell.look("show_task", "x:prepare")
    assert (row["state"], row["phase"], row["reason"]) == ("succeeded", "", "")
    assert rig.get("/failures", target="x")["inits"] == []


def test_what_a_person_paused_stays_paused_whatever_is_pushed(rig: Rig, shell: Shell) -> None:
    shell.push({"tasks": TASKS})
    shell.admin("pause", "x")
    mended = [{**TASKS[0], "command": "true"}, *TASKS[1:]]
    said = shell.push({"tasks": mended}, "--job", "x", "--merge", "changed")
    assert "x stays paused; ./admin.py resume x" in said.err and said.err.count("paused") == 1
    assert rig.get("/jobs/x")["state"] == "paused"
