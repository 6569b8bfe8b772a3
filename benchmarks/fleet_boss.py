"""A boss whose local pool is a crowd: its workers are protocol clients in a few processes. ``python -m benchmarks.fleet_boss``.

Rules:
- All but the pool's provider is the boss as it ships: broker, certificates (a key and a certificate for each worker), database, API.
- The crowd's processes belong to the benchmark and outlive a boss; ``FLEET_SOCKETS`` names their sockets.
"""

import json
import logging
import os
import queue
import socket
import sys
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from boss import __main__ as boss
from boss.adapters import worker_config
from boss.adapters.certificates import Authority, Gate
from boss.adapters.worker_config import WorkerTerms
from boss.core.events import ConsoleRead, Server, ServersListed, VmCreated, VmDeleted
from boss.core.model import Pool
from boss.ports import Put, Thing

#: The sockets of the crowd's processes, separated by colons.
SOCKETS = "FLEET_SOCKETS"

_log = logging.getLogger(__name__)


class Crowd:
    """Port ``Cloud`` with provider ``local``: each claim is a client in one of the processes."""

    provider = "local"

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        authority: Authority,
        gate: Callable[[], Gate],
        pools: Sequence[Pool],
        terms: WorkerTerms,
        signers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._folder = folder.resolve()
        self._authority, self._gate, self._terms = authority, gate, terms
        self._resources = {(pool.name, flavor.name): dict(flavor.resources) for pool in pools for flavor in pool.flavors}
        self._put: Put = lambda _event: False
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._processes: list[Any] = []
        self._thread = threading.Thread(target=self._serve, name="crowd", daemon=True)

    def start(self, put: Put) -> None:
        """Connect to the processes."""
        self._put = put
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in os.environ[SOCKETS].split(":"):
            link = socket.socket(socket.AF_UNIX)
            link.connect(path)
            self._processes.append(link.makefile("rwb"))
        self._thread.start()

    def create(self, vms: tuple[str, ...], pool: str, flavor: str) -> None:
        """Each ends as VmCreated."""
        for vm in vms:
            self._orders.put(partial(self._create, vm, pool, flavor))

    def delete(self, vm: str, pool: str, server: str) -> None:
        """Ends as VmDeleted."""
        self._orders.put(partial(self._delete, vm))

    def console(self, vm: str, pool: str, server: str) -> None:
        """There is none."""
        self._put(ConsoleRead(vm, ""))

    def read_console(self, vm: str, server: str) -> str:
        """There is none."""
        return ""

    def inventory(self) -> Sequence[Thing]:
        """Nothing."""
        return ()

    def remove(self, thing: Thing) -> None:
        """There is nothing to remove."""

    def renew(self) -> None:
        """They last longer than any run."""

    def list(self, asked: float) -> None:
        """Ends as ServersListed."""
        self._orders.put(partial(self._list, asked))

    def stop(self) -> None:
        """End the thread; the crowd stays."""
        self._orders.put(None)

    def _serve(self) -> None:
        order = self._orders.get()
        while order is not None:
            try:
                order()
            except Exception:  # said in the boss's log, and the run fails by its own checks
                _log.exception("the crowd stumbled")
            order = self._orders.get()

    def _ask(self, process: Any, **words: Any) -> Any:
        process.write(json.dumps(words).encode() + b"\n")
        process.flush()
        return json.loads(process.readline())

    def _of(self, vm: str) -> Any:
        return self._processes[zlib.crc32(vm.encode()) % len(self._processes)]

    def _create(self, vm: str, pool: str, flavor: str) -> None:
        folder = self._folder / vm
        if not folder.exists():
            gate = self._gate()
            self._authority.issue_worker(vm, folder, 48.0, gate)
            config = worker_config.configuration(
                self._terms, gate, vm, pool, self._resources[pool, flavor], folder=str(folder / "work")
            )
            (folder / worker_config.FILE).write_text(worker_config.text(config))
        self._ask(self._of(vm), do="start", worker=vm, folder=str(folder))
        self._put(VmCreated(vm, f"crowd-{vm}", "127.0.0.1"))

    def _delete(self, vm: str) -> None:
        self._ask(self._of(vm), do="stop", worker=vm)
        self._put(VmDeleted(vm))

    def _list(self, asked: float) -> None:
        there = [worker for process in self._processes for worker in self._ask(process, do="list")["workers"]]
        self._put(ServersListed(self.provider, asked, tuple(Server(f"crowd-{vm}", vm, "local", "ACTIVE") for vm in there)))


def main() -> int:
    """Run it."""
    setattr(boss, "LocalCloud", Crowd)  # noqa: B010 (a module that exports nothing)
    return boss.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
