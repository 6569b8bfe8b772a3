"""A boss whose local pool is a crowd: its workers are protocol clients in a few processes. ``python -m benchmarks.fleet_boss``.

Rules:
- All but the pool's provider is the boss as it ships: broker, certificates (a key and a certificate for each worker), database, API.
- The crowd's processes belong to the benchmark and outlive a boss; ``FLEET_SOCKETS`` names their sockets.
"""

import json
import os
import socket
import sys
import zlib
from typing import Any

from boss import __main__ as boss
from boss.adapters.local import LocalCloud
from boss.core.events import Server, ServersListed, VmCreated, VmDeleted

#: The sockets of the crowd's processes, separated by colons.
SOCKETS = "FLEET_SOCKETS"


class Crowd(LocalCloud):
    """The local pool, whose claims are clients in the crowd's processes instead of processes of their own."""

    def _adopt(self) -> None:
        self._processes: list[Any] = []
        for path in os.environ[SOCKETS].split(":"):
            link = socket.socket(socket.AF_UNIX)
            link.connect(path)
            self._processes.append(link.makefile("rwb"))

    def _create(self, vm: str, pool: str, flavor: str) -> None:
        folder = self._folder / vm
        if not folder.exists():
            self._prepare(vm, pool, self._flavors[pool, flavor])
        self._ask(self._of(vm), do="start", worker=vm, folder=str(folder))
        self._put(VmCreated(vm, f"crowd-{vm}", "127.0.0.1"))

    def _delete(self, vm: str) -> None:
        self._ask(self._of(vm), do="stop", worker=vm)
        self._put(VmDeleted(vm))

    def _list(self, asked: float) -> None:
        there = [worker for process in self._processes for worker in self._ask(process, do="list")["workers"]]
        self._put(ServersListed(self.provider, asked, tuple(Server(f"crowd-{vm}", vm, "local", "ACTIVE") for vm in there)))

    def _of(self, vm: str) -> Any:
        return self._processes[zlib.crc32(vm.encode()) % len(self._processes)]

    def _ask(self, process: Any, **words: Any) -> Any:
        process.write(json.dumps(words).encode() + b"\n")
        process.flush()
        return json.loads(process.readline())


def main() -> int:
    """Run it."""
    setattr(boss, "LocalCloud", Crowd)  # noqa: B010 (a module that exports nothing)
    return boss.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
