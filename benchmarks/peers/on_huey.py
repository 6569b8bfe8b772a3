"""Huey: a consumer with two worker processes, and a Redis of its own whose log goes to the disk once a second.

The end of a load is seen by how many results Redis has, which costs less than asking for each.
"""

import os
import pickle
import subprocess
import sys
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from benchmarks.loads import SLOTS, Load
from benchmarks.peers.driver import Unable, serve


class Huey:
    """A producer, with its consumer and its Redis."""

    durable = "Redis AOF each second"

    def __init__(self) -> None:
        self.about = f"Huey {version('huey')} + Redis"

    def start(self, folder: Path) -> None:
        """Start Redis, then the consumer."""
        os.environ["REDIS"] = str(folder / "redis.sock")
        redis = ["redis-server", "--port", "0", "--unixsocket", os.environ["REDIS"], "--dir", str(folder)]
        redis += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--loglevel", "warning"]
        self._redis = subprocess.Popen(redis)
        while not Path(os.environ["REDIS"]).exists():
            if self._redis.poll() is not None:
                raise RuntimeError("redis-server has ended")
            time.sleep(0.01)
        from benchmarks.peers.huey_tasks import queue, run_after  # noqa: PLC0415 (reads where Redis is)

        self._queue, self._task = queue, run_after
        consumer = [sys.executable, "-m", "huey.bin.huey_consumer", "benchmarks.peers.huey_tasks.queue"]
        self._consumer = subprocess.Popen([*consumer, "-w", str(SLOTS), "-k", "process", "--quiet", "--no-periodic"])

    def run(self, load: Load) -> None:
        """A message a task; a chain is one message that carries what follows."""
        if load.after is None:
            self.submit(load)
        elif load.parallel == 1:
            tasks = [self._task.s(load.command) for _ in range(load.tasks)]
            for task, following in pairwise(tasks):
                task.then(following)
            self._queue.enqueue(tasks[0])
        else:
            raise Unable("no graph")
        while self._queue.result_count() < load.tasks:
            if self._consumer.poll() is not None:
                raise RuntimeError("the consumer has ended")
            time.sleep(0.002)
        results = self._queue.all_results()
        self._queue.storage.flush_results()
        if set(results.values()) != {pickle.dumps(0, pickle.HIGHEST_PROTOCOL)}:
            raise RuntimeError("a task has failed")

    def submit(self, load: Load) -> None:
        """A call a task."""
        for _ in range(load.tasks):
            self._task(load.command)

    def holders(self) -> list[int]:
        """Redis."""
        return [self._redis.pid]

    def stop(self) -> None:
        """End both; the consumer's workers end with it."""
        self._consumer.kill()
        self._consumer.wait()
        self._redis.kill()
        self._redis.wait()


if __name__ == "__main__":
    sys.exit(serve(Huey()))
