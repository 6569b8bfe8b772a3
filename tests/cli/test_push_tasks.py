"""push_tasks.py: the job's name last on stdout, problems one a line, exit codes."""

import json
from pathlib import Path

from tests.api.rig import Rig
from tests.cli.shell import Shell
from tests.workflows import task, trace_of

GOOD = {"tasks": [{"id": "a", "command": "true"}]}


def test_the_jobs_name_is_the_last_line(rig: Rig, shell: Shell) -> None:
    said = shell.push(GOOD)
    assert said.out == "x\n"
    assert said.err == "x: 1 task, 0 files (0 B)\n"
    assert shell.push(GOOD, "--name", "mine").out == "mine\n"
    assert shell.push(GOOD).out == "x-2\n"


def test_watching_shows_progress_on_stderr_and_ends_with_the_jobs_code(shell: Shell) -> None:
    said = shell.push(GOOD, "--watch")
    assert said.out == "x\n"
    assert "x succeeded: 1 succeeded" in said.err
    said = shell.push(
        {"tasks": [{"id": "a", "command": "fail"}, {"id": "b", "command": "true", "after": ["a"]}]}, "--watch", code=1
    )
    assert said.out == "x-2\n"
    assert "1 failed, 1 skipped" in said.err


def test_a_progress_bar_is_drawn_on_a_terminal(shell: Shell) -> None:
    (shell.folder / "x.json").write_text('{"tasks": [{"id": "a", "command": "true"}]}')
    said = shell.on_terminal("push_tasks.py", "x.json", "--watch")
    assert said.code == 0
    assert "━" in said.out and "1/1" in said.out
    assert said.out.rstrip().splitlines()[-1] == "x"


def test_ctrl_c_stops_watching_and_the_job_goes_on(rig: Rig, shell: Shell) -> None:
    (shell.folder / "x.json").write_text('{"tasks": [{"id": "a", "command": "hold"}]}')
    said = shell.on_terminal("push_tasks.py", "x.json", "--watch", interrupted_when=rig.watched())
    assert said.code == 130
    assert "job x goes on" in said.out
    assert rig.get("/jobs/x")["state"] == "running"


def test_a_dry_run_describes_and_pushes_nothing(rig: Rig, shell: Shell) -> None:
    (shell.folder / "in.txt").write_text("12345")
    said = shell.push({"files": ["in.txt"], **GOOD}, "--dry-run")
    assert said.out == "would be job x: 1 task, 1 file (5 B)\nno task reads in.txt\nnothing was pushed\n"
    assert rig.get("/jobs") == []


def test_a_dry_run_of_a_sweep_shows_one_task_with_its_parameters_in_place(shell: Shell) -> None:
    sweep = {
        "id": "s-{row}",
        "foreach": {"T": {"linspace": [1, 2, 3]}},
        "command": "run {T:.3f} $HOME",
        "outputs": ["o/{row}.txt"],
    }
    said = shell.push({"tasks": [{"id": "first", "command": "true"}, sweep]}, "--dry-run")
    assert "\nsuch as s-0: run 1.000 $HOME -> o/0.txt\n" in said.out
    assert "such as" not in shell.push(GOOD, "--dry-run").out


def test_every_problem_is_a_line_with_file_task_and_field(rig: Rig, shell: Shell) -> None:
    text = {"tasks": [{"id": "sim", "command": "true", "inputs": ["nowhere.txt"]}, {"id": "b", "comand": "x", "after": ["sin"]}]}
    said = shell.push(text, code=2)
    lines = said.err.splitlines()
    assert said.out == ""
    assert all(line.startswith("x.json: ") for line in lines)
    assert any("'sim'" in line and "inputs[0]" in line and "nowhere.txt" in line for line in lines)
    assert any("comand" in line and "command" in line for line in lines)
    assert any("'sin'" in line for line in lines)
    assert rig.get("/jobs") == []


def test_what_is_no_task_file_ends_with_2_and_changes_nothing(rig: Rig, shell: Shell) -> None:
    for text in (
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"nul \x00 byte",
        b"[[[[",
        b"{}",
        b"[]",
        b"3",
        b'{"tasks": []}',
        b'{"tasks": [{"id": NaN}]}',
    ):
        said = shell.push(text, code=2)
        assert said.out == ""
        assert said.err.startswith("x.json: "), text
    assert rig.get("/jobs") == []


def test_a_push_works_as_a_process_of_its_own(shell: Shell) -> None:
    (shell.folder / "x.json").write_text('{"tasks": [{"id": "a", "command": "true"}]}')
    assert shell.spawn("push_tasks.py", "x.json") == (0, "x\n", "x: 1 task, 0 files (0 B)\n")


def test_files_that_cannot_be_read_end_with_2(shell: Shell) -> None:
    for words in (["gone.json"], ["."]):
        said = shell.run("push_tasks.py", *words)
        assert said.code == 2
        assert said.err.count("\n") == 1


def test_problems_name_the_path_as_it_was_typed(shell: Shell) -> None:
    (shell.folder / "deep").mkdir()
    (shell.folder / "deep" / "x.json").write_text("[")
    assert shell.run("push_tasks.py", ".").err == ".: is a folder; push the task file in it\n"
    assert shell.run("push_tasks.py", "/dev/null").err == "/dev/null: is empty\n"
    assert shell.run("push_tasks.py", "deep/x.json").err.startswith("deep/x.json: ")


def test_a_file_over_the_limit_ends_with_2_and_the_remedy(shell: Shell) -> None:
    said = shell.push(b" " * (100 << 20), code=2)
    assert "x.json: is larger (100 MiB)" in said.err
    assert "foreach" in said.err


def test_missing_files_are_named(rig: Rig, shell: Shell) -> None:
    said = shell.push({"files": ["gone.txt", "gone/*.csv"], **GOOD}, code=2)
    assert [line.split(": ")[1] for line in said.err.splitlines()] == ["files[0]", "files[1]"]
    assert rig.get("/jobs") == []


def test_names_that_are_taken_or_unknown_end_with_2(rig: Rig, shell: Shell) -> None:
    rig.push({"a": "true"}, name="ising")
    assert "already" in shell.push(GOOD, "--name", "ising", code=2).err
    assert "did you mean 'ising'" in shell.push(GOOD, "--job", "isnig", code=2).err
    assert shell.push(GOOD, "--name", "x", "--job", "ising", code=2).err.count("\n") == 1
    assert "--merge" in shell.push(GOOD, "--merge", "replace", code=2).err
    assert shell.push(GOOD, "--merge", "mix", code=2).err.count("\n") == 1


def test_tasks_are_merged_into_a_job(rig: Rig, shell: Shell) -> None:
    text = {"job": "sim", "tasks": [{"id": "a", "command": "true"}]}
    assert shell.push(text, "--merge", "ignore", "--watch").out == "sim\n"
    more = {"job": "sim", "tasks": [{"id": "a", "command": "true"}, {"id": "b", "command": "true"}]}
    said = shell.push(more, "--merge", "keep-succeeded", "--watch")
    assert said.out == "sim\n"
    assert "1 new, 0 replaced, 1 left alone" in said.err
    assert rig.states("sim") == {"a": "succeeded", "b": "succeeded"}


def test_a_path_with_folders_is_read_from_where_it_lies(rig: Rig, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "y.json").write_text('{"tasks": [{"id": "a", "command": "true"}]}')
    assert shell.run("push_tasks.py", str(tmp_path / "deep" / "y.json")).out == "y\n"


# ---- files beside the text -----------------------------------------------------------------------------------------

LEGACY = [{"key": "a", "cmd": "true", "requires": ["prep.py"]}]


def test_a_local_file_that_a_list_of_the_original_requires_is_named_and_pushed_with_files(rig: Rig, shell: Shell) -> None:
    (shell.folder / "prep.py").write_text("12345")
    said = shell.push(LEGACY, "--dry-run")
    where = "'prep.py' is yielded by no task and is not in the job's folder"
    assert said.err.splitlines()[1:] == [
        f"x.json: [0] 'a': requires[0]: {where}; it lies beside the task file: push it with --files prep.py"
    ]
    said = shell.push(LEGACY, "--files", "prep.py", "--dry-run")
    assert "prep.py" not in said.err
    assert said.out == "would be job x: 1 task, 1 file (5 B)\nnothing was pushed\n"


def test_files_take_folders_and_globs_of_the_task_files_folder_in_every_format(rig: Rig, shell: Shell) -> None:
    (shell.folder / "deep" / "lib").mkdir(parents=True)
    for name in ("lib/a.py", "1.csv", "2.csv"):
        (shell.folder / "deep" / name).write_text("12345")
    text = {"tasks": [{"id": "a", "command": "true", "inputs": ["lib/", "*.csv"]}]}
    said = shell.push(text, "--files", "lib/", "--files", "*.csv", "--dry-run", name="deep/x.json")
    assert said.out == "would be job x: 1 task, 3 files (15 B)\nnothing was pushed\n"


def test_files_that_cannot_be_pushed_end_with_2_and_name_the_option(rig: Rig, shell: Shell) -> None:
    said = shell.push(LEGACY, "--files", "gone.py", "--files", "../x", "--files", "*.csv", code=2)
    assert said.err.splitlines() == [
        f"x.json: --files gone.py: there is no file 'gone.py': paths are relative to the task file's folder, {shell.folder}",
        "x.json: --files ../x: '../x' leaves the job's folder ('..')",
        "x.json: --files *.csv: '*.csv' matches no file",
    ]
    assert rig.get("/jobs") == []


# ---- CSV files -----------------------------------------------------------------------------------------------------

SWEEP = {"tasks": [{"id": "a-{n}", "foreach": {"csv": "data/p.csv"}, "command": "true {x!q}"}]}


def _csv(shell: Shell, text: str, name: str = "data/p.csv") -> None:
    (shell.folder / "data").mkdir(exist_ok=True)
    (shell.folder / name).write_text(text)


def test_a_csv_file_is_read_beside_the_task_file_and_makes_a_task_of_each_line(rig: Rig, shell: Shell) -> None:
    _csv(shell, "n,x\n007,0.10\n008,it's\n")
    assert (
        shell.push(SWEEP, "--dry-run").out
        == "would be job x: 2 tasks, 0 files (0 B)\nsuch as a-007: true 0.10\nnothing was pushed\n"
    )
    assert rig.get("/jobs") == []
    assert shell.push(SWEEP, "--watch").out == "x\n"
    task = shell.look("show_task", "x:a-008")
    assert (task["commands"], task["params"]) == (["true 'it'\"'\"'s'"], {"n": "008", "x": "it's"})
    assert "parameter:    n = 007" in shell.admin("show_task", "x:a-007").out


def test_a_task_file_elsewhere_and_an_absolute_path_find_their_csv_files(rig: Rig, shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "deep" / "data").mkdir(parents=True)
    (tmp_path / "deep" / "data" / "p.csv").write_text("n,x\n1,2\n")
    (tmp_path / "deep" / "y.json").write_text(json.dumps(SWEEP))
    assert shell.run("push_tasks.py", str(tmp_path / "deep" / "y.json")).out == "y\n"
    foreach = [{"csv": str(tmp_path / "deep" / "data" / "p.csv")}, {"k": {"range": [3]}}]
    said = shell.push({"tasks": [{"id": "{n}{k}", "foreach": foreach, "command": "true"}]})
    assert "3 tasks" in said.err


def test_lines_that_a_csv_file_gains_are_added_to_the_job(rig: Rig, shell: Shell) -> None:
    _csv(shell, "n,x\n1,a\n2,b\n")
    shell.push(SWEEP, "--watch")
    _csv(shell, "n,x\n1,a\n2,b\n3,c\n")
    said = shell.push(SWEEP, "--job", "x", "--merge", "keep-succeeded", "--watch")
    assert "1 new, 0 replaced, 2 left alone" in said.err
    assert rig.states("x") == {"a-1": "succeeded", "a-2": "succeeded", "a-3": "succeeded"}


def test_what_is_wrong_with_a_csv_file_ends_with_2_and_names_task_field_file_and_line(rig: Rig, shell: Shell) -> None:
    told = shell.push({**SWEEP, "files": ["gone.txt"]}, code=2).err.splitlines()
    assert told == [
        f"x.json: files[0]: there is no file 'gone.txt': paths are relative to the task file's folder, {shell.folder}",
        f"x.json: tasks[0] 'a-{{n}}': foreach.csv: 'data/p.csv' was not found: there is none beside the task file, in {shell.folder}",
    ]
    _csv(shell, "n,x\n1,2\n", "data/P.csv")
    assert "(did you mean 'data/P.csv'?)" in shell.push(SWEEP, code=2).err
    _csv(shell, "n,x\n1,2\n3\n")
    told = shell.push(SWEEP, code=2).err.splitlines()
    assert told == [
        "x.json: tasks[0] 'a-{n}': foreach.csv: 'data/p.csv': line 3 has 1 cell, but the header in line 1 has 2 names"
    ]
    assert rig.get("/jobs") == []


def test_a_csv_file_over_the_limit_ends_with_2_and_the_remedy(rig: Rig, shell: Shell) -> None:
    _csv(shell, "n,x\n" + "1,2\n" * (1 << 19))
    said = shell.push(SWEEP, code=2)
    assert said.err.startswith("x.json: tasks[0] 'a-{n}': foreach.csv: 'data/p.csv' is too large (2.0 MiB): ")
    assert said.err.count("\n") == 1


# ---- replays -------------------------------------------------------------------------------------------------------

TRACE = trace_of(task("a", "in /data/x", "mid"), task("b", "mid", "out", parents="a"), sizes=2000)


def test_a_dry_run_of_a_replay_counts_the_files_that_would_be_made(rig: Rig, shell: Shell) -> None:
    said = shell.push(TRACE, "--replay", "0.5", "--dry-run")
    assert said.out == "would be job x: 2 tasks, 2 files (2.0 KiB)\nnothing was pushed\n"
    assert "x.json: replays a workflow (WfFormat 1.5) at 0.5: 2 files with 2,000 bytes made here" in said.err
    assert "1 file has a name that cannot be a path in the job's folder: '/data/x' lies at 'data/x'" in said.err
    assert rig.get("/jobs") == []


def test_a_trace_needs_a_scale_and_a_scale_a_trace(rig: Rig, shell: Shell) -> None:
    assert "--replay SCALE" in shell.push(TRACE, code=2).err
    for scale in ("fast", "0", "nan", "1e400"):
        said = shell.push(TRACE, "--replay", scale, code=2).err
        assert said == f"Invalid value: --replay SCALE is a number greater than 0, such as 0.01, not {scale}\n"
    assert "--replay is for workflow traces" in shell.push(GOOD, "--replay", "1", code=2).err
    for scale in ("0", "-1", "nan", "inf", "1e12", "x"):
        said = shell.push(TRACE, f"--replay={scale}", code=2)
        assert "--replay" in said.err and said.err.count("\n") == 1, said
    assert rig.get("/jobs") == []


def test_a_trace_that_contradicts_itself_is_told_with_task_and_field(rig: Rig, shell: Shell) -> None:
    said = shell.push(trace_of(task("a", parents="b")), "--replay", "1", code=2)
    assert said.err == "x.json: workflow.specification.tasks[0] 'a': parents[0]: there is no task 'b'\n"
    assert rig.get("/jobs") == []


def test_a_push_says_at_once_that_a_task_fits_nowhere(rig: Rig, shell: Shell) -> None:
    first = {"id": "first", "command": "hold"}
    said = shell.push({"tasks": [first, {"id": "big", "command": "true", "cpus": 64}]}, "--name", "one")
    assert said.out == "one\n"
    assert "big will wait: No VM of any pool can hold it: it needs cpus 64 (the largest VM has" in said.err
    assert said.err.endswith(" More: ./admin.py why one:big\n")
    said = shell.push({"tasks": [first, {"id": "later", "command": "true", "cpus": 64, "after": ["first"]}]}, "--name", "two")
    assert "later will wait: No VM of any pool can hold it" in said.err
    assert "will wait" not in shell.push({"tasks": [first]}, "--name", "three").err
