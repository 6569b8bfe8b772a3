"""A boss with pools in a cloud, and what a test says to it and hears of it."""

from dataclasses import replace

from boss.core import picture
from boss.core.effects import CreateVms
from boss.core.events import (
    Server,
    ServersListed,
)
from boss.core.model import Flavor, Pool, TaskSpec, Template
from boss.core.requests import Answer, JoinAsked
from tests.core import scene as stage
from tests.core.scene import Scene

SMALL = Flavor("small", {"cpus": 1.0, "memory": 2.0**30})


def bag(count: int, **template: object) -> tuple[tuple[Template, ...], tuple[TaskSpec, ...]]:
    """Tasks that are said to run so long that each is worth a VM."""
    return stage.bag(count, **{"runtime": 3600.0, **template})


def cloud_pool(**fields: object) -> Pool:
    """A pool of a cloud whose VMs take one task each."""
    return replace(Pool("cloud", "openstack", (SMALL,), maximum=8), **fields)  # type: ignore[arg-type]


def asked(scene: Scene) -> list[tuple[str, ...]]:
    """The create calls since the last time."""
    return [effect.vms for effect in scene.hush() if isinstance(effect, CreateVms)]


def notes(scene: Scene) -> str:
    """What `status` says beside the numbers."""
    return " ".join(picture.publish(scene.state, scene.now, 0.0).notes)


def join(scene: Scene, group: str, key: str, **fields: str) -> Answer:
    """A VM shows the token of a group."""
    return scene.answer(JoinAsked(group, key, reply=1, **fields))


def listed(scene: Scene, *servers: Server) -> None:
    """A complete list of the cloud's servers."""
    scene.now += 1
    scene.turn(ServersListed("openstack", scene.now, servers))
