"""A driver that does nothing, or what the words after the folder say: for tests of the comparison itself."""

import subprocess
import sys
from pathlib import Path

from benchmarks.loads import Load
from benchmarks.peers.driver import Unable, serve, spawn


class Idle:
    """Runs a process a task, one after the other; has no graph; may end, fail, or leave a process of its own behind."""

    about = "Idle 1"
    durable = "no"

    def __init__(self, word: str) -> None:
        self._word = word

    def start(self, folder: Path) -> None:
        """Starts what it will not end, in a session of its own."""
        if self._word == "dies":
            sys.exit("no such luck")
        if self._word == "leaves":
            shell = "setsid sleep 1000 &"
            subprocess.run(["sh", "-c", shell], check=True, stdout=subprocess.DEVNULL)

    def run(self, load: Load) -> None:
        """One after the other."""
        if load.name == "layers":
            raise Unable("no graph")
        for _ in range(load.tasks):
            spawn(("false",) if self._word == "fails" else load.command)

    def submit(self, load: Load) -> None:
        """Nowhere."""
        raise Unable("no queue")

    def holders(self) -> list[int]:
        """Nobody."""
        return []

    def stop(self) -> None:
        """There is nothing to stop."""


if __name__ == "__main__":
    sys.exit(serve(Idle(sys.argv[2] if len(sys.argv) > 2 else "")))
