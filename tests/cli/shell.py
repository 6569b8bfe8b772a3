"""Runs ``admin.py`` and ``push_tasks.py`` as users do: through pipes, or on a terminal.

Most tests run the commands within this process (starting Python takes longer than all that a command does); ``spawn`` and
``on_terminal`` start them for real.
"""

import contextlib
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import typer

import admin
import push_tasks
from client.commands import frame
from tests.api.rig import TOKEN, Rig

APPS = {"admin.py": admin.app, "push_tasks.py": push_tasks.app}
ROOT = Path(__file__).resolve().parents[2]


class Said(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


class Shell:
    """A folder and an environment. ``rig`` is the boss, None when there is none."""

    def __init__(self, rig: Rig | None, folder: Path) -> None:
        self.folder = folder
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")}
        self.environment = {**clean, "ECLOUD_STATE": str(folder / "no-state"), "COLUMNS": "200", "TERM": "xterm"}
        if rig is not None:
            self.environment |= {"ECLOUD_API_URL": rig.url, "ECLOUD_TOKEN": TOKEN}

    def command(self, program: str, *words: str) -> list[str]:
        """The argument list of one of the two commands."""
        return [sys.executable, str(ROOT / program), *words]

    def run(self, program: str, *words: str) -> Said:
        """Run a command in this process, with the environment, folder, arguments and streams of its own."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.environment, clear=True),
            mock.patch.object(sys, "argv", [program, *words]),
            mock.patch.object(sys, "stdin", io.StringIO()),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = _exit_code(APPS[program])
        return Said(code, out.getvalue(), err.getvalue())

    def spawn(self, program: str, *words: str) -> Said:
        """Start a command as a process of its own, its streams through pipes."""
        done = subprocess.run(
            self.command(program, *words), cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=60,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def admin(self, *words: str, code: int = 0) -> Said:
        """An admin command that must end with this code."""
        said = self.run("admin.py", *words)
        assert said.code == code, said
        return said

    def look(self, *words: str) -> Any:
        """The JSON document of an admin command, which prints nothing else on stdout."""
        return json.loads(self.admin(*words, "--json").out)

    def push(self, document: Any, *words: str, code: int = 0, name: str = "x.json") -> Said:
        """Push a task file that must end with this code."""
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        (self.folder / name).write_bytes(text)
        said = self.run("push_tasks.py", name, *words)
        assert said.code == code, said
        return said

    def spawn_push(self, document: Any, *words: str, name: str = "x.json") -> Said:
        """Push a task file with a process of its own, which may be one of several at a time."""
        (self.folder / name).write_text(json.dumps(document), encoding="utf-8")
        return self.spawn("push_tasks.py", name, *words)

    def on_terminal(
        self, program: str, *words: str, typed: str = "", interrupted_when: Callable[[], object] | None = None
    ) -> Said:
        """Run a command on a terminal of its own, type something, or press Ctrl-C when something is so; all output is in ``out``."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            self.command(program, *words), cwd=self.folder, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        os.write(ours, typed.encode())
        out = b""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if interrupted_when is not None and interrupted_when():
                process.send_signal(signal.SIGINT)
                interrupted_when = None
            if select.select([ours], [], [], 0.05)[0]:
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # the other end is closed
                    break
                out += piece
        code = process.wait(10)
        os.close(ours)
        text = out.decode()
        assert "Traceback" not in text, text
        return Said(code, text, "")


def _exit_code(app: typer.Typer) -> int:
    try:
        frame.run(app)
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        return ended.code
