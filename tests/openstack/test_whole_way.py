"""From an empty cloud to all results and back to an empty cloud, with VMs that boot, join, run tasks and go."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boss.adapters.openstack import OpenStackCloud
from tests.e2e.deployment import Deployment, deployed, until
from tests.openstack.conftest import pool, sweep

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(500)]

SETTINGS = """
[pools.cloud]
provider = "openstack"
cloud = "lab"
image = "fake-image"
networks = "lab-net"
security_groups = "lab-sg"
flavors = ["lab.1"]
user_data = "script"
folder = "{folder}/vm"
poweroff_command = ""
task_user = ""
maximum = 5
cooldown = 3
[policy]
list_interval = 5
[vms]
boss_address = "{net}.1"
"""


@pytest.fixture
def boss(tmp_path: Path) -> Iterator[Deployment]:
    """A boss in the lab's namespace, as a user runs it."""
    settings = tmp_path / "ecloud.toml"
    settings.write_text(SETTINGS.format(folder=tmp_path, net=os.environ["LAB_NET"]))
    with deployed(tmp_path, ECLOUD_CONFIG=str(settings)) as boss:
        yield boss


@pytest.fixture
def cloud(boss: Deployment) -> Iterator[OpenStackCloud]:
    """The cloud as somebody sees it who looks for what this boss has there."""
    cluster = str(boss.look("show_context")["cluster"])
    cloud = OpenStackCloud("lab", cluster, 99, [pool("lab")], lambda _pool, _group, _count: "")
    yield cloud
    sweep(cloud)


def job(count: int) -> dict[str, Any]:
    """Tasks that take two seconds and say where they ran."""
    task = {
        "id": "t{n}",
        "foreach": {"n": {"range": [0, count]}},
        "command": "sleep 2; hostname >out-{n}",
        "outputs": ["out-{n}"],
    }
    return {"job": "whole", "tasks": [task]}


def empty(cloud: OpenStackCloud) -> bool | None:
    """Whether nothing of ours is in the cloud."""
    return None if cloud.inventory() else True


def test_from_an_empty_cloud_to_all_results_and_back_to_an_empty_cloud(boss: Deployment, cloud: OpenStackCloud) -> None:
    boss.push(job(30))
    assert set(boss.finished("whole", 300).values()) == {"succeeded"}
    boss.admin("fetch", "whole")
    hosts = [path.read_text() for path in (boss.folder / "whole").glob("out-*")]
    assert len(hosts) == 30
    assert all("-cloud-" in host for host in hosts)
    until(lambda: empty(cloud), 90, "the VMs to go by themselves")


def test_a_boss_that_is_killed_again_and_again_finds_its_vms_and_leaves_none(boss: Deployment, cloud: OpenStackCloud) -> None:
    boss.push(job(20))
    until(lambda: True if cloud.inventory() else None, 60, "the first server")
    boss.kill()
    boss.start()
    until(lambda: True if "succeeded" in boss.states("whole").values() else None, 200, "the first result")
    boss.kill()
    boss.start()
    assert set(boss.finished("whole", 300).values()) == {"succeeded"}
    until(lambda: empty(cloud), 90, "the VMs to go by themselves")
