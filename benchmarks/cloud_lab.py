"""The project of a cloud that is measured on, asked by plain openstacksdk, and bosses with a pool in it.

Made for the cloud of ``tests/openstack/lab``: its names are the defaults of ``Place``.
"""

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openstack

from benchmarks.private_boss import PrivateBoss, start, stop
from client import Client, ClientError

#: Threads of the bare loop.
THREADS = 10
_MARK = "ecloud-cluster"

Server = tuple[str, str, str, dict[str, str]]  #: id, name, status, metadata


class TookTooLong(Exception):
    """What was waited for did not happen in time."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where servers are made: the names in clouds.yaml and in the cloud; ``address`` is where its servers reach this machine."""

    cloud: str = "lab"
    image: str = "fake-image"
    flavor: str = "lab.1"
    network: str = "lab-net"
    address: str = field(default_factory=lambda: f"{os.environ.get('LAB_NET', '10.77.0')}.1")


class Project:
    """A project, as anybody with openstacksdk sees it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.sdk = openstack.connect(cloud=place.cloud)

    def servers(self, name: str = "") -> list[Server]:
        """Those whose name begins so, without deleted ones."""
        found = self.sdk.compute.servers(**({"name": f"^{name}"} if name else {}))
        return [(one.id, one.name, one.status, dict(one.metadata)) for one in found if one.status != "DELETED"]

    def ours(self) -> list[Server]:
        """Those of any cluster of ecloud."""
        return [one for one in self.servers() if _MARK in one[3]]

    def ports(self) -> int:
        """How many ports any cluster of ecloud has."""
        return sum(1 for port in self.sdk.network.ports() if any(tag.startswith("ecloud-") for tag in port.tags))

    def create_bare(self, prefix: str, count: int) -> float:
        """Ask for servers one by one with ten threads; the seconds until all calls are answered."""
        compute, place = self.sdk.compute, self.place
        image, flavor = self.sdk.image.find_image(place.image).id, compute.find_flavor(place.flavor).id
        network = self.sdk.network.find_network(place.network).id
        begun = time.monotonic()
        with ThreadPoolExecutor(THREADS) as threads:
            made = [
                threads.submit(
                    compute.create_server,
                    name=f"{prefix}{number}",
                    image_id=image,
                    flavor_id=flavor,
                    networks=[{"uuid": network}],
                )
                for number in range(count)
            ]
            for one in made:
                one.result()
        return time.monotonic() - begun

    def delete(self, prefix: str) -> None:
        """Delete servers by their name's beginning, and wait until they are gone."""
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(self.sdk.compute.delete_server, [one[0] for one in self.servers(prefix)]))
        wait(lambda: not self.servers(prefix), 600, f"the servers {prefix}* to be gone")


def wait(look: Callable[[], object], limit: float, what: str, pause: float = 0.5) -> None:
    """Look again and again. Raises TookTooLong."""
    begun, bell = time.monotonic(), threading.Event()
    while not look():
        if time.monotonic() - begun > limit:
            raise TookTooLong(f"waited {limit:.0f} s for {what}")
        bell.wait(pause)


class LabBoss:
    """A boss with a pool in the project, which can be killed and started again."""

    def __init__(self, state: Path, place: Place, pool: dict[str, Any], policy: dict[str, Any]) -> None:
        self.state = state
        table = {
            "provider": "openstack", "cloud": place.cloud, "image": place.image, "networks": place.network,
            "flavors": [place.flavor], "folder": str(state / "vm"), "poweroff_command": "", "task_user": "",
        } | pool  # fmt: skip
        tables = {"pools.cloud": table, "policy": policy, "vms": {"boss_address": place.address}}
        text = "\n".join(
            f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
            for name, values in tables.items()
        )
        self._settings = state / "ecloud.toml"
        self._settings.write_text(text)
        self.start()
        access = json.loads((state / "api.json").read_text())
        self.client = Client(access["url"], access["token"])

    def start(self) -> None:
        """Start the boss, and wait until it is ready."""
        self.process = start(self.state, {"ECLOUD_CONFIG": str(self._settings)})

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait()

    def measured(self) -> PrivateBoss:
        """What it costs."""
        return PrivateBoss(self.process.pid, self.state, self.client)

    def ask(self, question: Callable[[Client], Any]) -> Any:
        """An answer of a boss that may be starting at this moment."""
        for _ in range(60):
            try:
                return question(self.client)
            except ClientError as error:
                last = error
                threading.Event().wait(0.5)
        raise last


@contextmanager
def lab_boss(place: Place, pool: dict[str, Any], policy: dict[str, Any]) -> Iterator[LabBoss]:
    """A boss that is stopped afterwards, when all its VMs are gone."""
    with tempfile.TemporaryDirectory(prefix="ecloud-bench.", ignore_cleanup_errors=True) as folder:
        boss = LabBoss(Path(folder), place, pool, policy)
        try:
            yield boss
        finally:
            boss.ask(lambda client: client.close_fleet(now=True))
            wait(lambda: not boss.ask(lambda client: client.vms()), 900, "the VMs to be gone")
            boss.client.close()
            stop(boss.process)
