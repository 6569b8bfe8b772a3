"""The commands come to run under the .venv beside them, from any shell."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.shell import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the two commands without anything else that Python could import."""
    for name in ("admin.py", "push_tasks.py", "launch.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def _bare_python() -> str:
    """The Python that the environment of the tests was made from: it has no packages of ours."""
    return os.path.join(sys.base_prefix, "bin", "python3")


def _run(script: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    program = (
        f"import sys, runpy; sys.path.insert(0, {str(script.parent)!r}); sys.argv = [{str(script)!r}, *{list(words)!r}]; "
        f"runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    command = [_bare_python(), "-I", "-S", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)


@pytest.mark.parametrize("name", ["admin.py", "push_tasks.py"])
def test_without_a_venv_the_remedy_is_said(checkout: Path, name: str) -> None:
    done = _run(checkout / name, "status")
    assert done.returncode == 2
    assert done.stderr == f"{name}: not set up yet: run scripts/setup\n"


@pytest.mark.parametrize("name", ["admin.py", "push_tasks.py"])
def test_the_venv_beside_the_command_is_used_with_all_words(checkout: Path, name: str) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nfor word; do echo "<$word>"; done\n')
    python.chmod(0o755)
    done = _run(checkout / name, "two words", "--job", "")
    assert done.stdout.splitlines() == [f"<{checkout / name}>", "<two words>", "<--job>", "<>"]


def test_the_commands_can_be_executed() -> None:
    for name in ("admin.py", "push_tasks.py"):
        assert os.access(ROOT / name, os.X_OK)
        assert (ROOT / name).read_text(encoding="utf-8").startswith("#!/usr/bin/env python3\n")
