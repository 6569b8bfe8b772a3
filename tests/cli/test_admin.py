"""The admin commands: names, JSON, exit codes, one clear line on stderr."""

import json
import os
import re
from pathlib import Path
from unittest import mock

import pytest

from client import Client
from client.commands.watching import watch_job
from tests.api.rig import TOKEN, Rig
from tests.cli.shell import ROOT, Shell

COMMANDS = {
    "status", "show_jobs", "show_tasks", "show_task", "show_queued", "show_in_progress", "show_failed", "show_succeeded", "show_workers",
    "show_vms", "show_context", "drop_context", "set_datastore", "set_boss_address", "debug", "instantiate_worker", "drain_worker",
    "terminate_workers", "logs", "why",
    "redo_task", "retry_failed", "cancel", "pause", "resume", "fetch", "listen", "doctor", "table", "report", "show_graph", "create_token",
    "revoke_token", "show_tokens", "audit", "create_listener", "revoke_listener", "show_listeners", "notify_test",
    "put", "show_shared", "show_pools", "set_pool", "shutdown", "open", "console", "add_host", "remove_host", "vm_leaks", "adopt",
    "deploy",
}  # fmt: skip


def _one_line(text: str) -> str:
    assert text.count("\n") == 1 and text.endswith("\n"), text
    return text


def _job(rig: Rig) -> None:
    """A job with a task in each of several states."""
    rig.push(
        [
            {"id": "good", "command": "true", "outputs": ["good.txt"]},
            {"id": "bad", "command": "fail"},
            {"id": "after-bad", "command": "true", "after": ["bad"]},
            {"id": "long", "command": "hold"},
            {"id": "after-long", "command": "true", "after": ["long"]},
        ]
    )
    rig.until(lambda rig: set(rig.states().values()) == {"succeeded", "failed", "skipped", "running", "waiting"})


def test_the_commands_are_exactly_those_of_the_manual(shell: Shell) -> None:
    listed = re.findall(r"^│ ([a-z_]+) ", shell.admin("--help").out, re.MULTILINE)
    assert set(listed) == COMMANDS


def test_every_command_is_described_with_an_example(shell: Shell) -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert re.search(rf"^### `{command}[ `]", text, re.MULTILINE), command
        assert f"admin.py {command}" in text, command
    assert "push_tasks.py" in text


def test_dashes_are_accepted_for_underscores(shell: Shell) -> None:
    assert shell.look("show-jobs") == shell.look("show_jobs") == []


def test_listings_print_one_json_document(rig: Rig, shell: Shell) -> None:
    _job(rig)
    states = {
        "show_tasks": {"good", "bad", "after-bad", "long", "after-long"},
        "show_queued": {"after-long"},
        "show_in_progress": {"long"},
        "show_failed": {"bad"},
        "show_succeeded": {"good"},
    }
    for command, tasks in states.items():
        assert {task["id"] for task in shell.look(command)} == tasks, command
    failed = shell.look("show_failed")[0]
    assert (failed["exit_code"], failed["phase"], failed["reason"]) == (3, "run", "exit code 3")
    assert shell.look("show_tasks", "--job", "job", "--state", "skipped")[0]["id"] == "after-bad"
    assert {task["id"] for task in shell.look("show_tasks", "job:after-*")} == {"after-bad", "after-long"}
    assert shell.look("status")["tasks"]["running"] == 1
    assert shell.look("status", "--job", "job")["jobs"][0]["name"] == "job"
    assert shell.look("show_jobs")[0]["total"] == 5
    assert shell.look("show_workers")[0]["running"] == ["job:long"]
    assert shell.look("show_vms")[0]["pool"] == "local"
    assert {"boss_address", "datastore_address", "cluster", "api_url"} <= set(shell.look("show_context"))
    assert shell.look("why", "job:bad")["state"] == "failed"
    assert shell.look("show_task", "job:bad")["attempts"][0]["stderr"] == "err of it\n"
    assert shell.look("logs", "job:bad")["stdout"] == "out of it\n"


def test_listings_for_people_are_plain_lines_through_a_pipe(rig: Rig, shell: Shell) -> None:
    _job(rig)
    lines = shell.admin("show_tasks").out.splitlines()
    assert lines[0].split() == ["task", "state", "attempt", "exit", "phase", "worker", "took", "reason"]
    assert lines[2].split()[:5] == ["job:bad", "failed", "1", "3", "run"]
    assert len(lines) == 6
    assert "job" in shell.admin("status").out
    said = shell.admin("show_task", "job:bad").out
    assert "stderr of attempt 1:\n  err of it" in said
    assert "memory" in said and "cpus" in said


def test_the_graph_is_shown_task_by_task(rig: Rig, shell: Shell) -> None:
    rig.push([{"id": "a", "command": "hold"}, {"id": "b", "command": "true", "after": ["a"]}])
    said = shell.admin("show_graph", "job")
    _, first, second = (line.split() for line in said.out.splitlines())
    assert (first[0], first[2], second) == ("a", "-", ["b", "waiting", "a"])
    assert said.err == "2 tasks, dependencies: 1\n"
    assert shell.look("show_graph", "job")["edges"] == [{"source": "a", "target": "b"}]
    assert "before:       b" in shell.admin("show_task", "job:a").out
    assert "after:        a" in shell.admin("show_task", "job:b").out
    assert "did you mean 'job'" in shell.admin("show_graph", "jab", code=2).err


def test_a_table_is_drawn_on_a_terminal(rig: Rig, shell: Shell) -> None:
    _job(rig)
    said = shell.on_terminal("admin.py", "show_tasks")
    assert said.code == 0
    assert "job:bad" in said.out and "\x1b[" in said.out


def test_an_empty_listing_says_of_what_nothing_is_how_on_stderr(rig: Rig, shell: Shell) -> None:
    said = shell.admin("show_failed")
    assert (said.out, said.err) == ("", "nothing has failed\n")
    assert shell.admin("show_tasks").err == "no tasks\n"
    rig.push({"a": "hold", "b": "hold"}, name="g2")
    rig.until(lambda rig: set(rig.states("g2").values()) == {"running"})
    for words, lack in (
        (["show_failed", "--job", "g2"], "nothing of g2 has failed"),
        (["show_failed", "--job", "g2", "--list"], "nothing of g2 has failed"),
        (["show_failed", "g2:a", "--group"], "nothing of g2:a has failed"),
        (["show_succeeded", "g2"], "nothing of g2 has succeeded"),
        (["show_queued", "g2:a", "g2:b"], "nothing of g2:a and g2:b waits"),
        (["show_tasks", "--job", "g2", "--state", "skipped", "--state", "failed"], "nothing of g2 is skipped or failed"),
        (["show_tasks", "g2", "--stale"], "nothing of g2 is stale"),
    ):
        assert (shell.admin(*words).err, shell.admin(*words).out) == (lack + "\n", ""), words
    rig.workers.end_all()
    rig.until(lambda rig: set(rig.states("g2").values()) == {"succeeded"})
    assert shell.admin("show_in_progress", "g2").err == "nothing of g2 is in progress\n"


def test_the_rate_of_all_jobs_is_not_shown_as_that_of_one(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "true"})
    assert "/s" in shell.admin("status").out and "/s" not in shell.admin("status", "job").out


def test_status_takes_the_job_as_an_argument_too(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "true"}, name="one")
    rig.push({"a": "true"}, name="two")
    rig.until(lambda rig: rig.states("one") == rig.states("two") == {"a": "succeeded"})
    for words in (["two"], ["--job", "two"], ["two", "--job", "two"]):
        assert [job["name"] for job in shell.look("status", *words)["jobs"]] == ["two"]
    assert "two succeeded" in shell.admin("status", "two", "--watch").err
    assert "one and --job two" in _one_line(shell.admin("status", "one", "--job", "two", code=2).err)
    assert "did you mean" in _one_line(shell.admin("status", "twa", code=2).err)


def test_a_bare_id_is_said_to_be_of_its_job(rig: Rig, shell: Shell) -> None:
    _job(rig)
    said = shell.admin("why", "bad")
    assert said.err == "bad: of job job\n"
    assert "retry_failed" in said.out


def test_a_change_refuses_an_id_that_two_jobs_have(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "hold"}, name="one")
    rig.push({"a": "hold"}, name="two")
    assert "two:a or one:a" in _one_line(shell.admin("cancel", "a", code=2).err)


def test_wrong_usage_and_unknown_targets_end_with_2_and_one_line(rig: Rig, shell: Shell) -> None:
    rig.push({"good": "true"})
    for words in (
        ["show_task", "nothing"], ["show_task", "job:nothing"], ["cancel", "nothing"], ["logs", "nothing"], ["pause", "nothing"],
        ["status", "--job", "nothing"], ["fetch", "nothing"], ["drain_worker", "nobody"], ["retry_failed", "nothing"],
        ["terminate_workers"], ["terminate_workers", "w", "--all"], ["logs", "job:good", "--stdout", "--stderr"], ["no_such_command"],
        ["status", "--colour"], ["show_tasks", "--state", "sleeping"], ["instantiate_worker", "--keep-alive", "soon"], ["cancel"],
        ["set_datastore", "nowhere"], ["set_boss_address", "no host"], ["debug", "nobody"],
    ):  # fmt: skip
        said = shell.admin(*words, code=2)
        assert said.out == "", words
        _one_line(said.err)


def test_what_is_refused_as_things_stand_ends_with_1(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "true"})
    rig.until(lambda rig: rig.states() == {"a": "succeeded"})
    assert "is succeeded" in _one_line(shell.admin("cancel", "job:a", code=1).err)
    assert "nothing of it is left" in _one_line(shell.admin("pause", "job", code=1).err)
    assert (
        "0 results" in shell.admin("fetch", "job", code=1).err or "no results; 1 of 1" in shell.admin("fetch", "job", code=1).err
    )


def test_a_boss_that_is_not_there_ends_with_3(tmp_path: Path) -> None:
    shell = Shell(None, tmp_path)
    for words in (["status"], ["show_jobs", "--json"], ["cancel", "x"], ["fetch", "x"], ["status", "--watch"]):
        said = shell.admin(*words, code=3)
        assert said.out == ""
        assert "no boss is known here" in _one_line(said.err)
    shell.environment["ECLOUD_API_URL"] = "http://127.0.0.1:9"
    said = _one_line(shell.admin("status", code=3).err)
    assert "no boss answers at http://127.0.0.1:9" in said and "ask its admin" in said
    (tmp_path / "x.json").write_text("{}")
    assert shell.run("push_tasks.py", "x.json").code == 3


def test_a_wrong_token_ends_with_4(shell: Shell) -> None:
    for words, token in (
        (["status"], ""),
        (["cancel", "job"], "wrong"),
        (["logs", "a", "--follow"], "wrong"),
        (["listen"], "wrong"),
    ):
        shell.environment["ECLOUD_TOKEN"] = token
        assert "token" in _one_line(shell.admin(*words, code=4).err.replace("listening; Ctrl-C ends it\n", ""))


def test_changes_are_made_and_told(rig: Rig, shell: Shell) -> None:
    _job(rig)
    assert shell.admin("pause", "job").out == "job paused\n"
    assert shell.admin("resume", "job").out == "job resumed\n"
    assert shell.admin("retry_failed", "job").out == "1 task of job to be tried again\n"
    rig.until(lambda rig: rig.states()["bad"] == "failed")
    assert shell.admin("retry_failed").out == "1 task of job to be tried again\n"
    assert shell.admin("redo_task", "good").out == "1 task of job to be run again\n"
    assert shell.admin("cancel", "job:long").out == "1 task of job cancelled\n"
    assert shell.look("show_tasks", "job:long")[0]["state"] == "cancelled"


def test_workers_come_and_go_by_command(rig: Rig, shell: Shell) -> None:
    made = shell.look("instantiate_worker", "2", "--pool", "local", "--keep-alive")["workers"]
    assert len(made) == 2
    rig.until(lambda rig: [worker["state"] for worker in rig.get("/workers")] == ["online"] * 2)
    assert shell.admin("drain_worker", made[0]).out == f"{made[0]} draining\n"
    assert shell.look("terminate_workers", "--all", "--now")["workers"][-1] == made[1]
    rig.until(lambda rig: rig.get("/vms") == [])
    assert "dropped" in shell.admin("drop_context").out
    assert shell.admin("set_datastore", "eva@new").out == "datastore eva@new: wrote and read 16 bytes\n"
    assert shell.admin("set_boss_address", "boss.example.org").out.startswith("VMs will reach the boss at boss.example.org")
    assert shell.look("show_context")["boss_address"] == "boss.example.org"


def test_a_worker_of_this_machine_is_not_looked_into_over_ssh(rig: Rig, shell: Shell) -> None:
    [made] = shell.look("instantiate_worker", "1", "--pool", "local")["workers"]
    rig.until(lambda rig: [worker["state"] for worker in rig.get("/workers")] == ["online"])
    said = shell.admin("debug", made, code=1)
    assert said.out == "" and "worker.log" in _one_line(said.err)


def test_keep_alive_takes_a_time_or_stands_alone(shell: Shell) -> None:
    for words in (["--keep-alive=1h"], ["--keep-alive", "90s", "1"], ["--keep-alive", "--json"]):
        shell.admin("instantiate_worker", *words)
        shell.admin("terminate_workers", "--all", "--now")


def test_a_keep_alive_that_is_no_time_or_may_be_a_count_creates_nothing(rig: Rig, shell: Shell) -> None:
    for words in (["1", "--keep-alive", "banana"], ["--keep-alive=banana"], ["--keep-alive", "banana"]):
        assert "--keep-alive 'banana' is no time such as 90s, 15m, 6h or 2d" in _one_line(
            shell.admin("instantiate_worker", *words, code=2).err
        )
    said = _one_line(shell.admin("instantiate_worker", "--keep-alive", "2", code=2).err)
    assert "2 workers or 2 seconds?" in said and "`instantiate_worker 2 --keep-alive`" in said
    assert rig.get("/workers") == []
    assert len(shell.look("instantiate_worker", "--keep-alive", "3600", "2")["workers"]) == 2


def test_workers_are_drained_by_globs_too(rig: Rig, shell: Shell) -> None:
    made = shell.look("instantiate_worker", "2", "--keep-alive")["workers"]
    rig.until(lambda rig: [worker["state"] for worker in rig.get("/workers")] == ["online"] * 2)
    assert "there is no worker cloud-*" in _one_line(shell.admin("drain_worker", "cloud-*", "local-*", code=2).err)
    assert not any(worker["draining"] for worker in rig.get("/workers"))
    assert shell.look("drain_worker", "local-*", made[0])["workers"] == made


def test_what_destroys_asks_on_a_terminal_and_only_there(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "hold", "b": "hold"})
    said = shell.on_terminal("admin.py", "cancel", "job", typed="n\n")
    assert said.code == 1
    assert "This cancels 2 tasks" in said.out and "nothing was changed" in said.out
    assert rig.get("/jobs/job")["state"] == "running"
    assert shell.on_terminal("admin.py", "cancel", "job:a", typed="y\n").code == 0
    assert shell.on_terminal("admin.py", "cancel", "job", "--yes").code == 0
    assert rig.get("/jobs/job")["state"] == "cancelled"


def test_watching_ends_with_the_job_and_its_code(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "true"}, name="good")
    said = shell.admin("status", "--job", "good", "--watch")
    assert "good succeeded: 1 succeeded" in said.err
    rig.push({"a": "fail", "b": "true"}, name="bad")
    assert "bad failed: 1 succeeded, 1 failed" in shell.admin("status", "--job", "bad", "--watch", code=1).err


def test_a_watcher_on_a_terminal_hears_that_the_job_is_paused(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "hold"})
    rig.post("/pause", {"targets": ["job"]})
    said = shell.on_terminal("admin.py", "status", "--job", "job", "--watch", interrupted_when=rig.watched())
    assert "job job is paused by hand, and watched on; ./admin.py resume job" in said.out


def test_a_watcher_through_a_pipe_hears_of_a_pause_and_why_nothing_runs(rig: Rig, shell: Shell) -> None:
    rig.push([{"id": "big", "command": "true", "cpus": 99}])
    rig.until(lambda rig: rig.states() == {"big": "ready"})
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        if "big waits: No VM of any pool can hold it: it needs cpus 99" in line:
            rig.post("/pause", {"targets": ["job"]})
        if "is paused" in line:
            rig.post("/cancel", {"targets": ["job"]})

    with (
        mock.patch.dict(os.environ, shell.environment, clear=True),
        mock.patch("client.commands.watching.say", tell),
        mock.patch("client.commands.news.STUCK", 0.0),
        Client() as client,
    ):
        assert watch_job(client, "job") == 1
    assert [line.split(":")[0] for line in told[:4]] == [
        "job",
        "note",  # that it can never run as things are
        "big waits",
        "job job is paused by hand, and watched on; ./admin.py resume job deals its tasks out again",
    ]


def test_ctrl_c_only_stops_the_watching(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "hold"})
    watched = rig.watched()
    said = shell.on_terminal("admin.py", "status", "--job", "job", "--watch", interrupted_when=watched)
    assert said.code == 130
    assert "stopped watching" in said.out and "1 running" in said.out
    assert rig.get("/jobs/job")["state"] == "running"


def test_ctrl_c_ends_listening_with_130(rig: Rig, shell: Shell) -> None:
    assert shell.on_terminal("admin.py", "listen", "--json", interrupted_when=rig.watched("/events")).code == 130


def test_following_a_log_prints_it_as_it_comes(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "true"})
    rig.until(lambda rig: rig.states() == {"a": "succeeded"})
    assert shell.admin("logs", "a", "--follow").out == "out of it\nerr of it\n"
    assert shell.admin("logs", "a", "--follow", "--stderr").out == "err of it\n"
    assert shell.admin("logs", "job:a", "--stdout").out == "out of it\n"


def test_logs_of_a_task_without_output_say_why(rig: Rig, shell: Shell) -> None:
    _job(rig)
    assert shell.admin("logs", "job:after-bad").err.startswith("no output: the task was skipped because ")
    assert shell.admin("logs", "job:after-long").err == "no output: the task has not run yet, it is waiting\n"
    lacking = "attempt 1 is running and has written nothing so far; --follow shows what it writes\n"
    assert shell.admin("logs", "job:long").err == lacking
    held = next(iter(rig.workers.held))
    rig.workers.end(held, stdout="", stderr="")
    rig.until(lambda rig: rig.states()["long"] == "succeeded")
    assert shell.admin("logs", "job:long").err == "no output: attempt 1 wrote nothing; it succeeded\n"


def test_fetch_says_how_many_tasks_did_not_succeed(rig: Rig, shell: Shell) -> None:
    rig.push([{"id": "a", "command": "fail"}, {"id": "b", "command": "true", "after": ["a"]}, {"id": "c", "command": "true"}])
    rig.until(lambda rig: set(rig.states().values()) == {"failed", "skipped", "succeeded"})
    assert "3 of 3 tasks finished (1 failed, 1 skipped)" in shell.admin("fetch", "job", code=1).err


def test_fetch_of_a_task_says_that_paths_are_meant_and_names_what_the_task_yields(rig: Rig, shell: Shell) -> None:
    outputs = ["t.csv", {"path": "pics/", "optional": True}]
    rig.push(
        [
            {"id": "agg", "command": "true", "outputs": outputs},
            {"id": "mute", "command": "true"},
            {"id": "late", "command": "hold"},
        ]
    )
    rig.until(lambda rig: rig.states() == {"agg": "succeeded", "mute": "succeeded", "late": "running"})
    meant = "no result fits {}, a glob over paths, not over tasks"
    said = _one_line(shell.admin("fetch", "job:agg", code=1).err)
    assert meant.format("agg") + "; task agg is succeeded and yields t.csv, pics/: ./admin.py fetch job:t.csv; 2 of 3" in said
    assert meant.format("mute") + "; task mute yields no files; 2 of 3" in shell.admin("fetch", "job:mute", code=1).err
    for unknown in ("nobody", "*e", "[", "late/*"):
        assert meant.format(unknown) + "; 2 of 3" in _one_line(shell.admin("fetch", f"job:{unknown}", code=1).err)


@pytest.mark.long
def test_doctor_of_a_boss_elsewhere_checks_the_way_there_and_ends_with_1_when_it_is_barred(rig: Rig, shell: Shell) -> None:
    said = shell.admin("doctor", code=1)
    lines = {line.split()[1]: line for line in said.out.splitlines()}
    assert set(lines) == {"Python", "ssh", "boss", "token", "datastore"}
    assert lines["token"].split(maxsplit=2)[2] == "of root, admin, for ever"
    assert lines["datastore"].startswith("failed") and " -> " in lines["datastore"]
    assert "mosquitto" not in said.out
    facts = json.loads(shell.admin("doctor", "--json", code=1).out)
    assert set(facts[0]) == {"check", "verdict", "detail", "remedy"}


def test_adopt_is_for_the_machine_of_a_stopped_boss_and_says_so(rig: Rig, shell: Shell, tmp_path: Path) -> None:
    assert "on the boss's own machine, with the boss stopped" in shell.admin("adopt", code=2).err
    said = Shell(None, tmp_path).spawn("admin.py", "adopt")
    assert said.code == 1 and "no boss has" in said.err, "it is the boss's own word"


def test_doctor_needs_no_boss_and_passes_its_output_and_code(tmp_path: Path) -> None:
    said = Shell(None, tmp_path).spawn("admin.py", "doctor", "--json")
    assert said.code in (0, 1)
    assert json.loads(said.out)


def test_commands_work_as_processes_of_their_own(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "true"})
    assert json.loads(shell.spawn("admin.py", "show-jobs", "--json").out)[0]["name"] == "job"
    assert shell.spawn("admin.py", "show_task", "nothing") == (
        2,
        "",
        "there is no job and no task named 'nothing' (the only job is 'job')\n",
    )


def test_the_token_is_in_no_output(rig: Rig, shell: Shell) -> None:
    _job(rig)
    said = [shell.admin(*words) for words in (["status"], ["show_context"], ["show_context", "--json"])]
    assert TOKEN not in str(said)


def test_a_retry_that_leaves_cancelled_tasks_alone_says_how_they_are_run(rig: Rig, shell: Shell) -> None:
    rig.push([{"id": "a", "command": "hold"}, {"id": "b", "command": "true", "after": ["a"]}])
    shell.admin("cancel", "job:a")
    assert "It was skipped because a was cancelled." in shell.admin("why", "job:b").out
    left = "1 cancelled task left alone (./admin.py retry_failed 'job:*' runs them too)"
    assert shell.admin("retry_failed", "job").out == f"0 tasks of job to be tried again; {left}\n"
    assert "named: ./admin.py retry_failed 'job:*'" in shell.admin("retry_failed").err
    refused = shell.admin("redo_task", "job:b", code=1).err
    assert "b waits for a, which was cancelled; run that again too: `admin.py redo_task job:a job:b`" in refused
    assert shell.admin("retry_failed", "job:*").out == "1 task of job to be tried again\n"
    rig.until(lambda rig: rig.states() == {"a": "running", "b": "waiting"})
