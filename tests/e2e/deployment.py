"""A whole ecloud in a folder: the real boss with its own mosquitto, sshd and workers, and the command line as users call it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


class Deployment:
    """Starts and stops a boss on ``folder/state``; ``admin`` and ``push`` run the two commands against it."""

    #: What Python runs as the boss.
    program: Sequence[str] = ("-m", "boss")

    def __init__(self, folder: Path, through: Sequence[str] = (), **settings: str) -> None:
        """``through`` is a command that ends by running what follows it (another view of the disks, say)."""
        self.folder = folder
        self.through = tuple(through)
        self.state = folder / "state"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")},
            "ECLOUD_STATE": str(self.state),
            "ECLOUD_LOCAL_SLOTS": "2",
            "ECLOUD_POLICY__CHECK": "true",
            "PYTHONPATH": str(ROOT),
            "PYTHONFAULTHANDLER": "1",  # a boss that does not end is aborted, and its log has the stack of each thread
            **settings,
        }
        self.boss: subprocess.Popen[str] | None = None
        self._reader = threading.Thread()
        self.log = folder / "boss.log"

    # ---- the boss --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the boss and wait for its ready line."""
        said = self.begin()
        until(lambda: said[-1:] or (None if self.alive() else ["it ended"]), 60, "a word of the boss")
        assert said and said[0].startswith("ready: http"), f"{said}\n{self.log.read_text()[-4000:]}"

    def alive(self) -> bool:
        """Whether the boss's process runs."""
        return self.boss is not None and self.boss.poll() is None

    def begin(self, *words: str) -> list[str]:
        """Start the boss; the lines that it has said on stdout, which become more."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self.boss = subprocess.Popen(
                [*self.through, sys.executable, *self.program, *words],
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        lines: list[str] = []
        said = self.boss.stdout
        assert said is not None

        def read() -> None:
            with said:
                for line in said:
                    lines.append(line)

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()
        return lines

    def kill(self, which: signal.Signals = signal.SIGKILL) -> None:
        """Signal the boss; with SIGKILL, wait until it is gone."""
        assert self.boss is not None
        self.boss.send_signal(which)
        if which is signal.SIGKILL:
            self.boss.wait(30)
            self._reader.join(30)

    def stop(self) -> int:
        """End the boss as a user would; its exit code. One that does not end is aborted, and its log says where it was."""
        if self.boss is None or self.boss.poll() is not None:
            return self.boss.returncode if self.boss else 0
        self.boss.send_signal(signal.SIGCONT)
        self.boss.terminate()
        try:
            code = self.boss.wait(60)
        except subprocess.TimeoutExpired:
            self.boss.send_signal(signal.SIGABRT)
            code = self.boss.wait(60)
        self._reader.join(30)
        return code

    # ---- the commands ----------------------------------------------------------------------------------------------

    def run(self, program: str, *words: str, timeout: float = 90) -> "subprocess.CompletedProcess[str]":
        """Run one of the two commands and wait for it."""
        return subprocess.run(
            [sys.executable, str(ROOT / program), *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def admin(self, *words: str, code: int = 0) -> str:
        """What an admin command prints; it must end with ``code``."""
        done = self.run("admin.py", *words)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def look(self, *words: str) -> Any:
        """The JSON document of a listing."""
        return json.loads(self.admin(*words, "--json"))

    def push(self, document: Any, *words: str, name: str = "job", code: int = 0) -> str:
        """Push a task file; returns the job's name (the last line on stdout)."""
        path = self.folder / f"{name}.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        done = self.run("push_tasks.py", str(path), *words)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""

    # ---- looking ---------------------------------------------------------------------------------------------------

    def states(self, job: str) -> dict[str, str]:
        """Task id -> state."""
        return {task["id"]: task["state"] for task in self.look("show_tasks", "--job", job)}

    def finished(self, job: str, timeout: float = 120) -> dict[str, str]:
        """Wait until no task of the job can change any more; task id -> state."""

        def look() -> dict[str, str] | None:
            final = {"succeeded", "failed", "skipped", "cancelled"}
            states = self.states(job)
            return states if states and set(states.values()) <= final else None

        return until(look, timeout, f"job {job} to finish; {self.log}")

    def process(self, name: str) -> int:
        """The pid of the private ``mosquitto`` or ``sshd``, or of a worker by its id."""
        for recorded in (self.state / name / "pid", self.state / "workers" / name / "pid"):
            if recorded.exists():
                return int(recorded.read_text().split(":")[0].split()[0])
        raise AssertionError(f"no pid file of {name} below {self.state}")


def until(look: Callable[[], T | None], timeout: float, what: str) -> T:
    """Look again and again until something is found; fails with a sentence when the time is over."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        found = look()
        if found is not None:
            return found
        assert time.monotonic() < deadline, f"waited {timeout:.0f} s for {what}"
        pause.wait(0.1)


@contextmanager
def deployed(
    folder: Path, through: Sequence[str] = (), kind: type[Deployment] = Deployment, **settings: str
) -> Iterator[Deployment]:
    """A running deployment that is ended, whatever happens; its log is shown when the test fails."""
    deployment = kind(folder, through, **settings)
    try:
        deployment.start()
        yield deployment
        assert deployment.stop() == 0
    except BaseException:
        deployment.stop()
        print(deployment.log.read_text()[-12000:] if deployment.log.exists() else "no log")
        raise
