"""The fake cloud of the unit tests keeps the contract that a real OpenStack keeps."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from boss.core.events import VmCreateFailed
from boss.core.model import Refusal
from boss.ports import Cloud
from tests.contract.cloud_contract import FLAVORS, CloudContract, Life
from tests.fake_cloud import GIB, FakeCloud, Faults, Project


class FakeRig:
    """Two projects in memory."""

    patience = 1.0

    def __init__(self) -> None:
        self.large, self.small = Project(), Project(instances=3, cpus=6, memory=16 * GIB, volume_limit=2)

    def open(self, cluster: str, epoch: int = 1, small: bool = False, volumes: bool = False) -> Cloud:
        return FakeCloud(self.small if small else self.large, cluster, epoch, {"p": list(FLAVORS)}, volumes=volumes)

    def wrong_credential(self, cluster: str) -> Cloud:
        return FakeCloud(Project(faults=Faults(credential=True)), cluster, 1, {"p": list(FLAVORS)})

    @contextmanager
    def down(self) -> Iterator[None]:
        self.large.faults.down = True
        yield
        self.large.faults.down = False

    @contextmanager
    def silent(self) -> Iterator[None]:
        self.large.faults.silent = True
        yield
        self.large.faults.silent = False

    @contextmanager
    def refused_deletion(self) -> Iterator[None]:
        self.large.faults.refused_deletions = 1
        yield

    @contextmanager
    def volumes_away(self) -> Iterator[None]:
        self.large.faults.volumes_away = True
        yield
        self.large.faults.volumes_away = False


@pytest.fixture
def rig() -> FakeRig:
    return FakeRig()


@pytest.fixture
def cluster() -> str:
    return "c0ffee01"


@pytest.fixture
def life(rig: FakeRig, cluster: str) -> Life:
    return Life(rig.open(cluster), rig.patience)


@pytest.fixture
def small(rig: FakeRig, cluster: str) -> Life:
    return Life(rig.open(cluster, small=True), rig.patience)


class TestFakeCloud(CloudContract):
    """All of it."""


def test_a_lost_answer_leaves_servers_that_the_next_list_shows(rig: FakeRig, life: Life) -> None:
    rig.large.faults.lost_answers = True
    ends = life.create("p-1", "p-2")
    assert {(end.final, end.kind) for end in ends.values() if isinstance(end, VmCreateFailed)} == {(False, Refusal.UNAVAILABLE)}
    assert {server.vm for server in life.servers().values()} == {"p-1", "p-2"}
    assert rig.large.calls == [("p-1", "p-2")]
