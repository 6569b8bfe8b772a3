"""A cloud whose servers are process trees of this machine, which run the rendered script user data; and a boss that has it.

``python -m tests.e2e.machines [--standby]`` is a boss like any other: its pools' servers come from here, and keep to the folder
``MACHINES``. A server is known by its host name (a ``hostname`` on its PATH says it), and is off when nothing of it runs any more.
"""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from boss import __main__ as boss
from boss import config, vms
from boss.adapters import processes
from boss.adapters.userdata import MachineTerms
from boss.config import BossConfig, VmSoftware
from boss.core.events import ConsoleRead, Server, ServersListed, VmCreated, VmCreateFailed, VmDeleted, VmDeleteFailed
from boss.ports import Cloud, Put, Thing

PROVIDER = "machines"
#: While this file lies in the folder, servers break at their first instruction.
STILLBORN = "stillborn"


class Machines:
    """Port ``Cloud``. ``folder`` is the one that the pool's settings name."""

    provider = PROVIDER

    def __init__(self, folder: Path, render: Callable[[str, str, int], str]) -> None:
        self._folder = folder
        self._render = render
        self._servers: dict[str, Server] = {}
        self._note = folder / "servers"
        self._put: Put = lambda _event: False

    def start(self, put: Put) -> None:
        """Begin; finds the servers of earlier lives."""
        self._put = put
        self._folder.mkdir(parents=True, exist_ok=True)
        self._look()

    def create(self, vms: tuple[str, ...], pool: str, flavor: str) -> None:
        """Start the servers of these claims."""
        try:
            text = self._render(pool, vms[0], len(vms))
        except ValueError as error:
            for vm in vms:
                self._put(VmCreateFailed(vm, str(error)))
            return
        for vm in vms:
            self._servers[vm] = Server(str(uuid.uuid4()), vm, pool, "ACTIVE", "127.0.0.1", vms[0])
            self._keep()
            self._boot(vm, text)
            self._put(VmCreated(vm, self._servers[vm].server, "127.0.0.1"))

    def delete(self, vm: str, pool: str, server: str) -> None:
        """End a server and remove its folder; refused while there is a file ``<vm>.kept`` beside it."""
        if (self._folder / f"{vm}.kept").exists():
            self._put(VmDeleteFailed(vm, "it is kept"))
            return
        self._servers.pop(vm, None)
        self._keep()
        for process in running(self._folder / vm):
            processes.end(process, 10.0, signal.SIGKILL)
        if (self._folder / vm).exists():
            shutil.copy(self._folder / vm / "log", self._folder / f"{vm}.log")
        shutil.rmtree(self._folder / vm, ignore_errors=True)
        self._put(VmDeleted(vm))

    def console(self, vm: str, pool: str, server: str) -> None:
        """The log is the console."""
        log = self._folder / vm / "log"
        self._put(ConsoleRead(vm, log.read_text() if log.exists() else ""))

    def inventory(self) -> list[Thing]:
        """The servers, and whatever of one is left."""
        return [
            Thing(self.provider, "server", path.name, path.name, path.name, "ACTIVE" if path.name in self._servers else "left")
            for path in self._folder.iterdir()
            if path.is_dir() and path.suffix != ".bin"
        ]

    def list(self, asked: float) -> None:
        """All servers; those of which nothing runs are off."""
        servers = (
            server if running(self._folder / vm) else replace(server, status="SHUTOFF") for vm, server in self._servers.items()
        )
        self._put(ServersListed(self.provider, asked, tuple(servers)))

    def read_console(self, vm: str, server: str) -> str:
        """The log is the console."""
        log = self._folder / vm / "log"
        return log.read_text() if log.exists() else ""

    def stop(self) -> None:
        """Servers stay."""

    def _look(self) -> None:
        if self._note.exists():
            self._servers = {vm: Server(**line) for vm, line in json.loads(self._note.read_text()).items()}

    def _keep(self) -> None:
        self._note.write_text(json.dumps({vm: asdict(server) for vm, server in self._servers.items()}))

    def _boot(self, vm: str, text: str) -> None:
        if (self._folder / STILLBORN).exists():
            return
        programs = self._folder / f"{vm}.bin"
        programs.mkdir(exist_ok=True)
        (programs / "hostname").write_text(f"#!/bin/sh\necho {vm}\n")
        script = programs / "user-data"
        script.write_text(text)
        for file in programs.iterdir():
            file.chmod(0o700)
        environment = {
            "PATH": f"{programs}:{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
        }
        # without our streams: whoever reads what this boss says on stdout would wait for the servers' end
        none = subprocess.DEVNULL
        subprocess.run([script], cwd="/", env=environment, check=True, stdin=none, stdout=none, start_new_session=True)


def running(folder: Path) -> list[processes.Identity]:
    """The processes of a server."""
    return [
        *processes.with_variable("ECLOUD_MACHINE", str(folder)),
        *processes.with_variable("ECLOUD_WORKER_FOLDER", str(folder / "work")),
    ]


def clouds(settings: BossConfig, cluster: str, epoch: int, render: Callable[[str, str, int], str]) -> Mapping[str, Cloud]:
    """The one cloud."""
    [folder] = {software.folder for software in settings.software.values()}
    return {PROVIDER: Machines(Path(folder), render)}


def main() -> int:
    """Run a boss whose pools are all made of such machines."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = config.load()
    pools = tuple(replace(pool, provider=PROVIDER) for pool in settings.policy.pools)
    software = VmSoftware("script", folder=os.environ["MACHINES"], poweroff="", task_user="")
    vms.MachineTerms = partial(MachineTerms, margin=3.0, watch=0.5, restart_pause=0.1)  # type: ignore[misc, assignment]
    settings = replace(settings, policy=replace(settings.policy, pools=pools), software={pool.name: software for pool in pools})
    with ExitStack() as stack:
        return boss.run(settings, stack, clouds, sys.argv[1:] == ["--standby"])


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
