"""Bosses with a pool in the lab, as their users would set them up: small deadlines, so that faults are over soon."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boss.adapters.openstack import OpenStackCloud
from tests.e2e.deployment import Deployment, deployed, until
from tests.openstack.conftest import pool, sweep

POOL = {
    "provider": "openstack",
    "cloud": "lab",
    "image": "fake-image",
    "networks": "lab-net",
    "flavors": ["lab.1"],
    "user_data": "script",
    "poweroff_command": "",
    "task_user": "",
    "maximum": 3,
    "cooldown": 3,
    "boot_timeout": 60,
}
POLICY = {"list_interval": 2, "retry_base": 1, "pool_pause": 5}


def toml(value: Any) -> str:
    """A value as a settings file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {toml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def write(folder: Path, pools: Mapping[str, Mapping[str, Any]], policy: Mapping[str, Any], vms: Mapping[str, Any]) -> Path:
    """The settings file of a boss in the lab."""
    own = {"folder": str(folder / "vm")}
    tables: dict[str, Mapping[str, Any]] = {f"pools.{name}": POOL | own | dict(changes) for name, changes in pools.items()}
    tables |= {"policy": POLICY | dict(policy), "vms": {"boss_address": f"{os.environ['LAB_NET']}.1"} | dict(vms)}
    lines = [
        f"[{name}]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in table.items()) for name, table in tables.items()
    ]
    file = folder / "ecloud.toml"
    file.write_text("\n".join(lines))
    return file


class Boss(Deployment):
    """A boss in the lab, and the cloud as somebody sees it who looks for what this boss has there."""

    cloud: OpenStackCloud

    def servers(self) -> list[str]:
        """The ids of its servers."""
        return [thing.id for thing in self.cloud.inventory() if thing.kind == "server"]

    def notes(self) -> str:
        """What `status` says beside the numbers."""
        return "\n".join(self.look("status")["notes"])

    def why(self, what: str) -> str:
        """The sentences about a task or a VM."""
        return " ".join(self.look("why", what)["why"])

    def says(self, within: float, *words: str) -> str:
        """Wait until `status` says all of these words; all that it says then."""
        return _told(self.notes, within, words)

    def explains(self, what: str, within: float, *words: str) -> str:
        """Wait until `why` says all of these words; all that it says then."""
        return _told(lambda: self.why(what), within, words)

    def empty(self, within: float = 90) -> None:
        """Wait until nothing of it is in the cloud."""
        until(lambda: None if self.cloud.inventory() else True, within, "the VMs to go by themselves")


def _told(ask: Callable[[], str], within: float, words: tuple[str, ...]) -> str:
    told: dict[str, None] = {}

    def look() -> str | None:
        said = ask()
        told[said] = None
        return said if all(word in said for word in words) else None

    try:
        return until(look, within, f"{words}")
    except AssertionError as error:
        raise AssertionError("\n".join([f"{error}; said was:", *told])) from None


@contextmanager
def running(
    folder: Path,
    pools: Mapping[str, Mapping[str, Any]] | None = None,
    policy: Mapping[str, Any] | None = None,
    vms: Mapping[str, Any] | None = None,
    **environment: str,
) -> Iterator[Boss]:
    """A boss with these changes to the pool ``cloud`` (or with these pools), that leaves nothing in the cloud."""
    pools = pools or {"cloud": {}}
    settings = write(folder, pools, policy or {}, vms or {})
    with deployed(folder, kind=Boss, ECLOUD_CONFIG=str(settings), **environment) as boss:
        assert isinstance(boss, Boss)
        name = str(next(iter(pools.values())).get("cloud", "lab"))
        name = "lab" if name == "lab-refused" else name
        boss.cloud = OpenStackCloud(name, str(boss.look("show_context")["cluster"]), 99, [pool(name)], lambda _p, _g, _c: "")
        try:
            yield boss
        finally:
            boss.admin("shutdown", "--now", "--yes")
            sweep(boss.cloud)


def job(count: int, command: str = "sleep 2", **fields: Any) -> dict[str, Any]:
    """Tasks t0, t1 ... of the job ``faults``."""
    task = {"id": "t{n}", "foreach": {"n": {"range": [0, count]}}, "command": command, **fields}
    return {"job": "faults", "tasks": [task]}
