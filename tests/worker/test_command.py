"""Which commands need a shell, and what a task finds in its environment."""

import subprocess

import pytest

from worker.command import Command, Surroundings, in_shell, plain_words, prepare
from worker.protocol import Assignment

BASH = "/bin/bash"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("true", ["true"]),
        ("  cp  -r a\tb ", ["cp", "-r", "a", "b"]),
        ("grep 'two words' \"one file\"", ["grep", "two words", "one file"]),
        ("./run.sh a,b c:d", ["./run.sh", "a,b", "c:d"]),
        ("caf\u00e9 \u00a0", ["caf\u00e9", "\u00a0"]),
    ],
)
def test_a_plain_command_is_split_as_the_shell_would(command: str, words: list[str]) -> None:
    assert plain_words([command]) == words
    told = subprocess.run([BASH, "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True)
    assert told.stdout.split("\n")[:-1] == words


@pytest.mark.parametrize(
    "command",
    [
        "", "   ", "a | b", "a && b", "a; b", "a > b", "a < b", "(a)", "echo $HOME", "a `b`", "a \\ b", "ls *.txt", "ls ?", "ls [ab]",
        "a # b", "cat ~/x", "X=1 a", "a {1,2}", "a 100%", "! a", "a\nb", "a\0b", "cd x", "export X", "exit 3", "ulimit -t 5",
        ". x", "source x", "exec x", "set -x", "eval x", "trap x", "wait", "[ -f x ]", "test -f x", "time a", "'open quote",
    ],
)  # fmt: skip
def test_whatever_a_shell_could_understand_differently_goes_to_the_shell(command: str) -> None:
    assert plain_words([command]) == []
    assert prepare([command], "/usr/bin:/bin", "/", BASH) == in_shell([command], BASH)


def test_several_commands_share_one_shell_that_stops_at_the_first_failure() -> None:
    command = in_shell(["cd /", "export X=1", "echo $PWD $X", "false | true", "echo not reached"], BASH)
    ran = subprocess.run(command.argv, executable=command.program, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (1, "/ 1\n")


def test_a_program_is_looked_up_on_the_path_of_the_task_and_else_left_to_the_shell() -> None:
    assert prepare(["env -i"], "/nowhere:/usr/bin:/bin", "/", BASH) == Command("/usr/bin/env", ["env", "-i"])
    assert prepare(["bin/env"], "", "/usr", BASH) == Command("/usr/bin/env", ["bin/env"])
    assert prepare(["env"], "/nowhere", "/", BASH) == in_shell(["env"], BASH)


def test_the_environment_is_clean_and_says_who_and_how_much() -> None:
    surroundings = Surroundings("w1", "/var/w1", {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "SECRET": "x", "TMPDIR": "/y"})
    assignment = Assignment("uid.7.3", "job", "task", ("true",), env={"MINE": "1", "OMP_NUM_THREADS": "9"}, needs={"cpus": 2.0})
    assert surroundings.environment(assignment, "/t", "") == {
        "PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "TMPDIR": "/t", "MINE": "1",
        "ECLOUD_JOB": "job", "ECLOUD_TASK": "task", "ECLOUD_ATTEMPT": "3", "ECLOUD_ATTEMPT_ID": "uid.7.3",
        "ECLOUD_WORKER": "w1", "ECLOUD_WORKER_FOLDER": "/var/w1", "ECLOUD_CPUS": "2",
        "OMP_NUM_THREADS": "9", "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2",
    }  # fmt: skip
    assert surroundings.environment(assignment, "/t", "/i")["ECLOUD_INIT"] == "/i"


def test_a_task_cannot_hide_its_processes_by_another_name_in_its_environment() -> None:
    hidden = {"ECLOUD_ATTEMPT_ID": "other", "ECLOUD_WORKER": "other", "ECLOUD_WORKER_FOLDER": "other"}
    env = Surroundings("w1", "/var/w1", {}).environment(Assignment("u.1.1", "j", "t", ("true",), env=hidden), "/t", "")
    assert (env["ECLOUD_ATTEMPT_ID"], env["ECLOUD_WORKER"], env["ECLOUD_WORKER_FOLDER"]) == ("u.1.1", "w1", "/var/w1")
    assert env["PATH"]
