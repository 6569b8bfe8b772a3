"""HyperQueue: a server and two workers of one cpu in a process of their own, programs as tasks, their output thrown away.

Its ``wait_for_jobs`` looks once a second. So a last task, which depends on all others, makes a file, and that is what is waited for.
"""

import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from hyperqueue import Job, LocalCluster
from hyperqueue.client import Client
from hyperqueue.cluster import WorkerConfig

from benchmarks.loads import SLOTS, Load
from benchmarks.peers.driver import serve

#: Seconds that a load may take.
_WAIT = 900.0


class HyperQueue:
    """A client of the server."""

    durable = "no (the package has no journal)"

    def __init__(self) -> None:
        self.about = f"HyperQueue {version('hyperqueue')}"

    def start(self, folder: Path) -> None:
        """Start the server in a process of its own, so that its memory can be told from the client's."""
        self._done = folder / "done"
        command = [sys.executable, "-m", "benchmarks.peers.on_hyperqueue", "--server", str(folder / "server")]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._server.stdout is not None
        for line in self._server.stdout:
            if line.strip() == "ready":
                break
        self._client = Client(str(folder / "server"))

    def run(self, load: Load) -> None:
        """One job, with a task more that tells the end."""
        job = Job(max_fails=0)
        tasks = self._add(job, load)
        job.program(["touch", str(self._done)], stdout=None, stderr=None, deps=[tasks[number] for number in load.ends])
        self._client.submit(job)
        deadline = time.monotonic() + _WAIT
        while not self._done.exists():
            if self._server.poll() is not None:
                raise RuntimeError("the server has ended")
            if time.monotonic() > deadline:  # as when a task has failed: then the last one never runs
                raise RuntimeError(f"not done within {_WAIT:.0f} s")
            time.sleep(0.001)
        self._done.unlink()

    def submit(self, load: Load) -> None:
        """One job; the server has it when the call returns."""
        job = Job(max_fails=0)
        self._add(job, load)
        self._client.submit(job)

    def _add(self, job: Job, load: Load) -> list[object]:
        command = list(load.command)
        tasks: list[object] = []
        for needed in load.after or ((),) * load.tasks:
            tasks.append(job.program(command, stdout=None, stderr=None, deps=[tasks[other] for other in needed]))
        return tasks

    def holders(self) -> list[int]:
        """The server; its workers are threads of the same process."""
        return [self._server.pid]

    def stop(self) -> None:
        """End the server, whatever runs there."""
        self._server.kill()
        self._server.communicate()


def be_server(folder: str) -> int:
    """Serve until stdin ends."""
    cluster = LocalCluster(server_dir=folder)
    for _ in range(SLOTS):
        cluster.start_worker(WorkerConfig(cores=1))
    print("ready", flush=True)
    sys.stdin.read()
    cluster.stop()
    return 0


if __name__ == "__main__":
    sys.exit(be_server(sys.argv[2]) if sys.argv[1] == "--server" else serve(HyperQueue()))
