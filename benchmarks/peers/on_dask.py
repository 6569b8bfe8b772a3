"""Dask: a scheduler and two workers of one thread, each a process; functions that run the command, dependencies as arguments."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import distributed
from distributed import Client, wait

from benchmarks.loads import SLOTS, Load
from benchmarks.peers.driver import serve, spawn


def run_after(number: int, command: tuple[str, ...], *needed: object) -> None:
    """The task: ``needed`` are results of others, which only make it wait."""
    spawn(command)


class Dask:
    """A client of the scheduler."""

    about = f"Dask {distributed.__version__}"
    durable = "no"

    def start(self, folder: Path) -> None:
        """Start scheduler and workers without their dashboards, and wait for the workers."""
        address = str(folder / "scheduler.json")
        dask, common = [sys.executable, "-m", "dask"], ["--scheduler-file", address, "--no-dashboard"]
        workers = ["--nworkers", str(SLOTS), "--nthreads", "1", "--local-directory", str(folder)]
        self._processes = [
            subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", *common]),
            subprocess.Popen([*dask, "worker", "--host", "127.0.0.1", *workers, *common]),
        ]
        self._client = Client(scheduler_file=address)
        self._client.wait_for_workers(SLOTS)
        self._held: list[Any] = []

    def run(self, load: Load) -> None:
        """Submit, then wait; a failed task raises."""
        if load.after is None:
            futures = self._map(load)
        else:
            futures = []
            for number, needed in enumerate(load.after):
                futures.append(
                    self._client.submit(run_after, number, load.command, *(futures[other] for other in needed), pure=False)
                )
        wait(futures)
        for future in futures:
            if future.status != "finished":
                raise RuntimeError(f"a task has {future.status}")

    def submit(self, load: Load) -> None:
        """The call returns when the tasks are on their way; the scheduler has them when it has answered once more."""
        self._held += self._map(load)
        seen = 0
        while seen < len(self._held):
            seen = self._client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))

    def _map(self, load: Load) -> list[Any]:
        return list(self._client.map(run_after, range(load.tasks), command=load.command, pure=False))

    def holders(self) -> list[int]:
        """The scheduler."""
        return [self._processes[0].pid]

    def stop(self) -> None:
        """End them all, whatever runs there."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


if __name__ == "__main__":
    sys.exit(serve(Dask()))
