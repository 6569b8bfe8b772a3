"""The Tab key: real bash with the script that is installed, and what it must never do: wait, complain, offer what breaks a line."""

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from client.commands import completing
from tests.api.rig import Rig
from tests.cli.shell import ROOT, Shell

BASH = r"""
unset COMP_WORDBREAKS
source completion.sh
tab() { COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=(); _adminpy_completion "$PROGRAM"; echo "${COMPREPLY[*]}"; }
tab admin.py why a
tab admin.py why ab : ru
tab admin.py why ab :
tab admin.py status --job ""
tab admin.py drain_worker loc
tab admin.py show_ta
"""


def test_bash_completes_commands_jobs_tasks_behind_their_colon_and_workers(rig: Rig, shell: Shell) -> None:
    rig.push({"run-1": "true", "run-2": "hold", "sum": "true"}, name="ab")
    rig.push({"x": "true"}, name="ac")
    rig.until(lambda rig: rig.get("/workers"))
    quiet = {**shell.environment, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = shell.command("admin.py", "--show-completion", "bash")
    script = subprocess.run(command, env=quiet, capture_output=True, text=True, check=True)
    (shell.folder / "completion.sh").write_text(script.stdout)
    (shell.folder / "tab.sh").write_text(BASH)
    environment = {**shell.environment, "PROGRAM": str(ROOT / "admin.py")}
    said = subprocess.run(["bash", "tab.sh"], cwd=shell.folder, env=environment, capture_output=True, text=True, timeout=60)
    assert said.stderr == ""
    found = [set(line.split()) for line in said.stdout.splitlines()]
    tasks, both = {"run-1", "run-2"}, {"ab", "ac"}
    assert found[:4] == [both, tasks, tasks | {"sum"}, both] and found[5] == {"show_task", "show_tasks"}
    assert {"local-1"} <= found[4] <= {"local-1", "local-2"}


@pytest.mark.parametrize(
    ("words", "at", "found"),
    [
        (["admin.py", "why", "a"], 2, (["admin.py", "why", "a"], 2, "")),
        (["admin.py", "why", "a", ":", "ru"], 4, (["admin.py", "why", "a:ru"], 2, "a:")),
        (["admin.py", "why", "a", ":"], 3, (["admin.py", "why", "a:"], 2, "a:")),
        (["admin.py", "cancel", "a", ":", "x", "b"], 5, (["admin.py", "cancel", "a:x", "b"], 3, "")),
        (["admin.py", "why"], 2, (["admin.py", "why"], 2, "")),
    ],
)
def test_what_bash_parts_at_colons_is_joined_again(words: list[str], at: int, found: tuple[list[str], int, str]) -> None:
    assert completing.joined(words, at) == found


def test_a_glob_letter_in_what_was_typed_is_a_letter_and_odd_names_are_not_offered(
    rig: Rig, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.push({"a*b": "true", "axb": "true", "a b": "true", "plain": "true"}, name="job")
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    assert completing.targets("job:a") == ["job:axb"]
    assert completing.targets("job:a*") == []
    assert completing.targets("jo") == ["job:axb", "job:plain"]
    assert completing.targets("nobody:") == completing.jobs("z") == []


def test_a_boss_that_is_away_or_hangs_offers_nothing_and_does_not_keep_the_shell(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECLOUD_STATE", str(tmp_path))
    monkeypatch.delenv("ECLOUD_API_URL", raising=False)
    assert completing.jobs("") == []
    monkeypatch.setattr(completing, "PATIENCE", 0.05)
    held = threading.Event()
    monkeypatch.setattr(completing, "Client", lambda: held.wait(30))
    begun = time.monotonic()
    assert completing.jobs("") == []
    assert time.monotonic() - begun < 10
    held.set()


def test_nothing_but_names_is_printed_when_the_boss_is_away(shell: Shell) -> None:
    asked = {
        "_ADMIN.PY_COMPLETE": "complete_bash",
        "COMP_WORDS": "admin.py\nwhy\n",
        "COMP_CWORD": "2",
        "ECLOUD_API_URL": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        shell.command("admin.py"),
        env={**shell.environment, **asked},
        cwd=shell.folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert os.listdir(shell.folder) == []
