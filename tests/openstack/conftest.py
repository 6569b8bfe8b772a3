"""A real OpenStack for the tests of this folder: each has a cluster of its own, and fails if it leaves anything behind."""

import fcntl
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openstack
import pytest

from boss.adapters import openstack_volumes
from boss.adapters.openstack import OpenStackCloud
from boss.config import CloudPool
from tests.contract.cloud_contract import FLAVORS, Life
from tests.servers import eventually

HERE = Path(__file__).parent
#: What the servers of tests run: nothing.
USER_DATA = "#!/bin/sh\necho CONSOLE\n"


def pytest_configure(config: pytest.Config) -> None:
    """openstacksdk warns of what its own modules do among each other."""
    config.addinivalue_line("filterwarnings", "ignore::PendingDeprecationWarning")


def lab(*words: str) -> None:
    """``tests/openstack/lab``, from inside."""
    subprocess.run([HERE / "lab", *words], check=True, stdout=subprocess.DEVNULL)


def pool(cloud: str, **changes: object) -> CloudPool:
    """The pool ``p`` of the tests."""
    facts: dict[str, object] = {
        "name": "p",
        "cloud": cloud,
        "image": "fake-image",
        "flavors": {name: {} for name in FLAVORS},
        "networks": ("lab-net",),
    }
    return CloudPool(**(facts | changes))  # type: ignore[arg-type]


class OpenStackRig:
    """The projects of the lab."""

    patience = 60.0

    def __init__(self) -> None:
        self.opened: list[OpenStackCloud] = []

    def open(self, cluster: str, epoch: int = 1, small: bool = False, volumes: bool = False, **changes: object) -> OpenStackCloud:
        changes |= {"boot_volume": 5} if volumes else {}
        return self._open("lab-small" if small else "lab", cluster, epoch, **changes)

    def wrong_credential(self, cluster: str) -> OpenStackCloud:
        return self._open("lab-refused", cluster, 1)

    @contextmanager
    def down(self) -> Iterator[None]:
        lab("stop", "nova-api")
        try:
            yield
        finally:
            lab("up")

    @contextmanager
    def silent(self) -> Iterator[None]:
        lab("pause", "nova-api")
        try:
            yield
        finally:
            lab("resume", "nova-api")

    @contextmanager
    def refused_deletion(self) -> Iterator[None]:
        lab("faults", '{"delete_fail": 1}')
        try:
            yield
        finally:
            lab("faults")

    @contextmanager
    def volumes_away(self) -> Iterator[None]:
        lab("stop", "cinder-api")
        try:
            yield
        finally:
            lab("up")

    def _open(self, name: str, cluster: str, epoch: int, **changes: object) -> OpenStackCloud:
        cloud = OpenStackCloud(name, cluster, epoch, [pool(name, **changes)], lambda _pool, _group, _count: USER_DATA)
        self.opened.append(cloud)
        return cloud


@pytest.fixture(scope="session", autouse=True)
def _alone() -> Iterator[None]:
    """These tests say what they need instead of failing one by one, and find an empty cloud whose services answer."""
    if not os.environ.get("OS_CLIENT_CONFIG_FILE", "").endswith("clouds.yaml") or os.environ.get("LAB_INSIDE") != "1":
        pytest.exit("these tests run inside the lab: scripts/test --openstack, or tests/openstack/README.md", 2)
    with (Path(os.environ["LAB_DIR"]) / "tests.lock").open("w") as taken:
        try:
            fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.exit(
                "other tests run in this lab: wait for them, or take one of your own (LAB_DIR, tests/openstack/README.md)", 2
            )
        empty()
        yield


def empty() -> None:
    """Undo what tests that were killed have left: faults, a service that is paused, servers that fill a quota."""
    lab("faults")
    lab("resume", "nova-api")
    for name in ("lab", "lab-small"):
        with openstack.connect(cloud=name) as cloud:
            for server in cloud.compute.servers():
                cloud.compute.delete_server(server)
            eventually(lambda cloud=cloud: not list(cloud.compute.servers()), timeout=60.0)
            for address in cloud.network.ips():
                cloud.network.delete_ip(address)
            for volume in cloud.block_storage.volumes() if cloud.has_service("block-storage") else ():
                cloud.block_storage.delete_volume(volume)


@pytest.fixture
def cluster() -> str:
    return uuid.uuid4().hex[:8]


@pytest.fixture
def rig(cluster: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenStackRig]:
    """Whatever a test has opened ends with it, and nothing of its cluster is left in the cloud."""
    rig = OpenStackRig()
    monkeypatch.setattr(openstack_volumes, "GRACE", 2.0)
    yield rig
    for cloud in rig.opened:
        cloud.stop()
    for name in {cloud.provider.partition(":")[2] for cloud in rig.opened} - {"lab-refused"}:
        sweep(OpenStackCloud(name, cluster, 99, [pool(name)], lambda _pool, _group, _count: ""))


def sweep(cloud: OpenStackCloud) -> None:
    """Delete what a test has left of its own; ports and volumes must go with their servers."""
    for thing in cloud.inventory():
        if thing.kind in ("server", "floating IP"):
            cloud.remove(thing)
    eventually(lambda: not [thing for thing in cloud.inventory() if thing.kind == "server"], timeout=60.0)
    assert not cloud.inventory(), "what belongs to a server stayed when it went"


@pytest.fixture
def life(rig: OpenStackRig, cluster: str) -> Life:
    return Life(rig.open(cluster), rig.patience)


@pytest.fixture
def small(rig: OpenStackRig, cluster: str) -> Life:
    return Life(rig.open(cluster, small=True), rig.patience)
