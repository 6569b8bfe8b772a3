"""``make``: no queue, no network, nothing durable; the least that running a graph of processes costs."""

import subprocess
import sys
from pathlib import Path

from benchmarks.loads import SLOTS, Load
from benchmarks.peers.driver import Unable, serve


class Make:
    """A makefile for each load."""

    durable = "no"

    def __init__(self) -> None:
        said = subprocess.run(["make", "--version"], capture_output=True, text=True, check=True).stdout
        self.about = f"make {said.split()[2]} -j{SLOTS} (no queue, no network)"
        self._folder = Path()

    def start(self, folder: Path) -> None:
        """There is nothing to start."""
        self._folder = folder

    def run(self, load: Load) -> None:
        """Writing the makefile counts, as it does for ecloud's task file."""
        needs = load.after or ((),) * load.tasks
        names = " ".join(f"t{number}" for number in range(load.tasks))
        rules = "".join(
            f"t{number}: {' '.join(f't{other}' for other in needed)}\n\t@{' '.join(load.command)}\n"
            for number, needed in enumerate(needs)
        )
        file = self._folder / f"{load.name}.mk"
        file.write_text(f".PHONY: all {names}\nall: {names}\n{rules}")
        subprocess.run(["make", "--silent", f"-j{SLOTS}", "-f", file.name], cwd=self._folder, check=True)

    def submit(self, load: Load) -> None:
        """It has no queue."""
        raise Unable("no queue")

    def holders(self) -> list[int]:
        """Nobody."""
        return []

    def stop(self) -> None:
        """There is nothing to stop."""


if __name__ == "__main__":
    sys.exit(serve(Make()))
