"""Ray on this machine: remote functions that run the command, dependencies as arguments."""

import os
import sys
from pathlib import Path
from typing import Any

import ray

from benchmarks.loads import SLOTS, Load
from benchmarks.peers.driver import serve, spawn
from benchmarks.processes import descendants


def run_after(command: tuple[str, ...], *needed: object) -> None:
    """The task: ``needed`` are results of others, which only make it wait."""
    spawn(command)


class Ray:
    """The driver of a cluster of this machine alone, which owns what it has submitted."""

    about = f"Ray {ray.__version__}"
    durable = "no"

    def start(self, folder: Path) -> None:
        """Start it without its dashboard; its sessions' files are in the folder, too."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        ray.init(
            num_cpus=SLOTS, include_dashboard=False, log_to_driver=False, configure_logging=False, _temp_dir=str(folder / "ray")
        )
        self._remote = ray.remote(run_after)
        self._held: list[Any] = []

    def run(self, load: Load) -> None:
        """Submit each task, then get the results of those that nobody waits for."""
        if load.after is None:
            ray.get([self._remote.remote(load.command) for _ in range(load.tasks)])
            return
        found: list[Any] = []
        for needed in load.after:
            found.append(self._remote.remote(load.command, *(found[other] for other in needed)))
        ray.get(found)

    def submit(self, load: Load) -> None:
        """The calls return at once; what waits is the driver's."""
        self._held += [self._remote.remote(load.command) for _ in range(load.tasks)]

    def holders(self) -> list[int]:
        """The driver, which owns the tasks, and Ray's own processes, without the workers."""
        daemons = [pid for pid, name in descendants(os.getpid()) if name in ("raylet", "gcs_server")]
        return [os.getpid(), *daemons]

    def stop(self) -> None:
        """End it."""
        ray.shutdown()


if __name__ == "__main__":
    sys.exit(serve(Ray()))
