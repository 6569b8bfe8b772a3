"""What is left when a boss was off, lost its memory, or is shut down: servers that are off, strays, volumes. Nothing stays."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boss.adapters import openstack_facts as facts
from boss.adapters.openstack import OpenStackCloud
from boss.ports import Thing
from tests.contract.cloud_contract import Life
from tests.e2e.deployment import Deployment, until
from tests.e2e.test_weekend import boss_off
from tests.openstack.conftest import OpenStackRig, pool, sweep
from tests.openstack.test_whole_way import SETTINGS, empty

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(600)]

#: Servers boot from volumes, power themselves off like machines do, and do not live long without their boss.
CHANGES = {
    'poweroff_command = ""': """poweroff_command = 'touch "$LAB_GUEST/off"; kill -KILL -1'\nboot_volume = 5""",
    "list_interval = 5": 'list_interval = 5\nstray_grace = 600\nlease = 18\nworker_lease = 20\n[workers]\nlongest_lease = "40s"',
    "cooldown = 3": "cooldown = 300",
}


@pytest.fixture
def boss(tmp_path: Path) -> Iterator[Deployment]:
    """A boss in the lab's namespace."""
    text = SETTINGS.format(folder=tmp_path, net=os.environ["LAB_NET"])
    for old, new in CHANGES.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "ecloud.toml").write_text(text)
    boss = Deployment(tmp_path, ECLOUD_CONFIG=str(tmp_path / "ecloud.toml"))
    try:
        boss.start()
        yield boss
    finally:
        boss.stop()
        print(boss.log.read_text()[-6000:])


@pytest.fixture
def cloud(boss: Deployment) -> Iterator[OpenStackCloud]:
    """The cloud as somebody sees it who looks for what this boss has there."""
    cluster = str(boss.look("show_context")["cluster"])
    cloud = OpenStackCloud("lab", cluster, 1, [pool("lab", boot_volume=5)], lambda _pool, _group, _count: "")
    yield cloud
    boss.stop()
    sweep(cloud)


def run_one(boss: Deployment, name: str = "w") -> None:
    """A task runs that ends when the file ``go`` is there."""
    go = boss.folder / "go"
    task: dict[str, Any] = {"id": "a", "command": f"until [ -e {go} ]; do sleep 0.2; done; hostname >out", "outputs": ["out"]}
    boss.push({"job": name, "tasks": [task]}, name=name)
    until(lambda: boss.states(name) == {"a": "running"} or None, 200, "the task to run")


def servers(cloud: OpenStackCloud) -> list[Thing]:
    """Our servers."""
    return [thing for thing in cloud.inventory() if thing.kind == "server"]


def test_after_a_weekend_servers_that_are_off_and_their_volumes_are_deleted_and_what_they_finished_counts(
    boss: Deployment, cloud: OpenStackCloud
) -> None:
    run_one(boss)
    assert {thing.kind for thing in cloud.inventory()} >= {"server", "volume", "port"}
    with boss_off(boss, "sshd"):
        until(
            lambda: all(thing.status == "SHUTOFF" for thing in servers(cloud)) or None, 200, "the servers to power themselves off"
        )
    assert boss.finished("w", 100) == {"a": "succeeded"}
    assert boss.look("show_tasks", "--job", "w")[0]["attempt"] == 1
    until(lambda: empty(cloud), 200, "servers, ports and volumes to be deleted")


def test_what_nobody_owns_is_named_and_removed_and_a_shutdown_leaves_nothing(
    boss: Deployment, cloud: OpenStackCloud, rig: OpenStackRig
) -> None:
    run_one(boss)
    [own] = servers(cloud)
    life = Life(cloud, rig.patience)
    life.create("p-77")
    life.until(lambda listed: all(server.status == "ACTIVE" for server in listed.values()))
    volume = {"size": 1, "name": "lost", "metadata": {facts.CLUSTER: own.cluster, facts.CLAIM: "cloud-66"}}
    cloud._api.call("POST", "volume", "/volumes", "lose a volume", json={"volume": volume})
    until(lambda: [one for one in cloud.inventory() if one.status == "available"] or None, 60, "the volume")
    said = boss.admin("vm_leaks", code=1)
    assert "cloud-66" in said and "p-77" in said and "nobody" in said
    boss.admin("vm_leaks", "--delete", "--yes", code=0)
    until(lambda: {thing.claim for thing in cloud.inventory()} == {own.claim} or None, 100, "what nobody owns to be gone")
    assert boss.states("w") == {"a": "running"}, "what has an owner is left alone"
    boss.admin("vm_leaks")
    done = boss.run("admin.py", "shutdown", "--now", "--yes", timeout=200)
    until(lambda: empty(cloud), 100, "everything to be gone")
    assert done.returncode == 0 or "volume" in done.stdout, done.stdout + done.stderr


def test_a_boss_with_an_older_database_touches_nothing_until_it_is_adopted_and_then_finds_the_stranger(
    boss: Deployment, cloud: OpenStackCloud
) -> None:
    boss.stop()
    shutil.copy(boss.state / "ecloud.db", boss.folder / "older.db")
    boss.start()
    run_one(boss)
    [own] = servers(cloud)
    boss.kill()
    for name in ("ecloud.db-wal", "ecloud.db-shm", "epoch"):
        (boss.state / name).unlink(missing_ok=True)
    shutil.copy(boss.folder / "older.db", boss.state / "ecloud.db")
    said = boss.run("admin.py", "adopt")
    assert said.returncode == 0, said.stderr
    boss.start()
    assert [thing.id for thing in servers(cloud)] == [own.id], "a stranger has its grace"
    assert "nobody" in boss.admin("vm_leaks", code=1)
    boss.admin("vm_leaks", "--delete", "--yes")
    until(lambda: empty(cloud), 100, "the stranger to be gone")
    (boss.folder / "go").touch()
    boss.push({"job": "again", "tasks": [{"id": "a", "command": "true"}]}, name="again")
    assert boss.finished("again", 200) == {"a": "succeeded"}
    boss.admin("shutdown", "--now", "--yes")
    until(lambda: empty(cloud), 100, "everything to be gone")
