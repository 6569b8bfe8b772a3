"""ecloud as one of the systems that are compared: a boss of its own as shipped, on SQLite or (``--mariadb``) a private MariaDB.

The client is this process, and counts: it pushes a task file and waits for the job, as a user does.
"""

import json
import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks.loads import Load
from benchmarks.peers.driver import serve
from benchmarks.private_boss import private_boss
from chaos.mariadb import MariaDb

#: Seconds that a load may take.
_WAIT = 900.0


class Ecloud:
    """A client of a private boss."""

    def __init__(self, mariadb: bool) -> None:
        self.about = f"ecloud on {'MariaDB' if mariadb else 'SQLite'}"
        self.durable = "every change, MariaDB's defaults" if mariadb else "every change, synchronous=FULL"
        self._mariadb = mariadb
        self._open = ExitStack()

    def start(self, folder: Path) -> None:
        """Start the database, if it is a server, and the boss."""
        url = None
        if self._mariadb:
            (folder / "mariadb").mkdir()
            server = MariaDb(folder / "mariadb")
            self._open.callback(server.stop)
            server.start()
            server.welcome()
            server.execute("CREATE DATABASE benchmark")
            url = server.url("benchmark")
        self._boss = self._open.enter_context(private_boss(url))
        self._folder = folder

    def run(self, load: Load) -> None:
        """Push it and wait."""
        job = self._boss.client.push(self._written(load))
        state = job.wait(_WAIT)
        if state != "succeeded":
            raise RuntimeError(f"the job has {state}: {job.status()['tasks']}")

    def submit(self, load: Load) -> None:
        """Push it."""
        self._boss.client.push(self._written(load))

    def _written(self, load: Load) -> Path:
        file = self._folder / f"{load.name}.json"
        file.write_text(json.dumps(load.document))
        return file

    def holders(self) -> list[int]:
        """The boss."""
        return [self._boss.pid]

    def stop(self) -> None:
        """Cancel what waits, and end all."""
        with self._open:
            if hasattr(self, "_boss"):
                for job in self._boss.client.jobs():
                    if job["state"] not in ("succeeded", "failed", "cancelled"):
                        self._boss.client.job(job["job"]).cancel()


if __name__ == "__main__":
    sys.exit(serve(Ecloud("--mariadb" in sys.argv)))
