"""Hosts that were added by hand: kept up, never bought or drained by the autoscaler, forgotten only when they are empty."""

from boss.core import hosts
from boss.core.effects import CreateVms, DeleteVm
from boss.core.events import VmCreated, VmCreateFailed, VmDeleted, WorkerSaid
from boss.core.model import Refusal
from boss.core.requests import FleetClosed, HostAdded, HostRemoved
from tests.core.scene import Scene, bag, local_pool
from worker.protocol import Hello

LOGIN = "eva@big"


def with_host(**changes: object) -> Scene:
    """A boss whose only worker is on a host."""
    scene = Scene(pools=(hosts.POOL,), **changes)
    scene.answer(HostAdded(LOGIN, {"cpus": 2.0}, reply=1))
    return scene


def come_up(scene: Scene, vm: str) -> None:
    """The worker on the host says hello."""
    scene.turn(VmCreated(vm, "77:1"), WorkerSaid(vm, Hello("s1", 1, 0, {"cpus": 2.0}, {})))


def asked(scene: Scene) -> list[tuple[str, str]]:
    """The create calls since the last time: claim and login."""
    return [(effect.vms[0], effect.flavor) for effect in scene.hush() if isinstance(effect, CreateVms)]


def test_a_host_has_one_worker_which_the_autoscaler_neither_drains_nor_adds_to() -> None:
    scene = with_host()
    assert asked(scene) == [("hosts-1", LOGIN)]
    come_up(scene, "hosts-1")
    scene.push(bag(50))
    for _ in range(1000):
        scene.wait(2, step=2)
        scene.beat("hosts-1")
    assert asked(scene) == [] and not scene.state.workers["hosts-1"].draining


def test_a_host_that_fails_is_tried_again_less_and_less_often() -> None:
    scene = with_host()
    gaps, last = [], scene.now
    for number in range(1, 6):
        scene.turn(VmCreateFailed(f"hosts-{number}", "no route", kind=Refusal.NO_HOST))
        scene.hush()
        while not asked(scene):
            scene.wait(1)
        gaps.append(scene.now - last)
        last = scene.now
    assert gaps == sorted(gaps) and gaps[-1] > 60


def test_a_host_is_added_once_and_forgotten_when_its_worker_has_gone() -> None:
    scene = with_host(lease=1e6, offline_after=1e5)
    come_up(scene, "hosts-1")
    assert scene.answer(HostAdded(LOGIN, {"cpus": 2.0}, reply=1)).code == 409
    assert scene.answer(HostRemoved(LOGIN, now=True, reply=1)).detail["workers"] == ["hosts-1"]
    assert [effect.vm for effect in scene.hush() if isinstance(effect, DeleteVm)] == ["hosts-1"]
    assert LOGIN in hosts.known(scene.state.context)
    scene.turn(VmDeleted("hosts-1"))
    scene.wait(3)
    assert LOGIN not in hosts.known(scene.state.context) and not asked(scene)
    assert scene.answer(HostRemoved(LOGIN, reply=1)).code == 404


def test_a_fleet_that_is_shut_down_takes_the_hosts_workers_along() -> None:
    scene = Scene(pools=(local_pool(), hosts.POOL))
    scene.answer(HostAdded(LOGIN, {"cpus": 2.0}, reply=1))
    scene.answer(FleetClosed(now=True, reply=1))
    scene.turn(VmDeleted("hosts-1"))
    scene.hush()
    scene.wait(100)
    assert asked(scene) == [] and LOGIN in hosts.known(scene.state.context)
