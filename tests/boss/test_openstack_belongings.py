"""Floating IPs of servers that were just made: who looks for them, and how often."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from boss.adapters import openstack_facts as facts
from boss.adapters.openstack_belongings import Belongings
from boss.adapters.openstack_errors import CloudError
from boss.config import CloudPool
from boss.core.model import Refusal

POOL = CloudPool("lab", "", "debian", {"one": {}}, floating_network="public")


class Cloud:
    """A project whose new servers have no ports yet; and the lane that looks."""

    def __init__(self) -> None:
        self.servers: list[dict[str, Any]] = []
        self.jobs: list[Callable[[], None]] = []
        self.ports: list[dict[str, Any]] = []
        self.left: list[str] = []  # addresses that are free
        self.meanwhile: Callable[[], None] = lambda: None

    def raw(self) -> list[dict[str, Any]]:
        found = list(self.servers)
        self.meanwhile()
        return found

    def networks(self, names: Sequence[str]) -> list[str]:
        return ["n"]

    def pages(self, service: str, path: str, *words: object, **more: object) -> list[dict[str, Any]]:
        return self.ports if path == "/ports" else []

    def call(self, *words: object, json: Any, **more: object) -> dict[str, Any]:
        """Give a floating IP, or refuse it when none is left; anything else is fine."""
        if "floatingip" not in json:
            return {}
        if not self.left:
            raise CloudError(Refusal.QUOTA, "no floating IP is left", status=409)
        return {"floatingip": {"id": f"f{self.left}", "floating_ip_address": self.left.pop()}}

    def network(self, name: str) -> dict[str, str]:
        return {"id": name}

    def project(self) -> str:
        return "p"

    def do(self, job: Callable[[], None], wait: float = 0.0) -> None:
        self.jobs.append(job)

    def made(self, *names: str) -> None:
        self.servers += [{"id": name, "status": "BUILD", "metadata": {facts.POOL: "lab"}, "addresses": {}} for name in names]

    def work(self) -> None:
        """Do what the lane has to do now."""
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job()


def begun() -> tuple[Any, Belongings]:
    cloud: Any = Cloud()
    return cloud, Belongings(cloud, cloud, cloud, "c1", {"lab": POOL})


def test_one_look_after_the_other_serves_all_servers_that_wait_however_many_calls_have_made_them() -> None:
    cloud, belongings = begun()
    cloud.made("a", "b", "c")
    for _ in range(3):
        belongings.expect(POOL, cloud)
    for _ in range(5):
        assert len(cloud.jobs) == 1
        cloud.work()
    cloud.servers.clear()
    cloud.work()
    assert cloud.jobs == []  # nobody waits, nobody looks
    belongings.expect(POOL, cloud)
    assert len(cloud.jobs) == 1


def test_a_server_that_is_made_while_somebody_looks_is_looked_for_too() -> None:
    cloud, belongings = begun()
    belongings.expect(POOL, cloud)
    cloud.meanwhile = lambda: belongings.expect(POOL, cloud)
    cloud.work()
    cloud.meanwhile = lambda: None
    assert len(cloud.jobs) == 1


def test_a_look_that_fails_in_a_way_that_nobody_knows_is_not_the_last() -> None:
    cloud, belongings = begun()
    cloud.servers = [{}]
    belongings.expect(POOL, cloud)
    with pytest.raises(KeyError):  # a lane logs it
        cloud.work()
    assert len(cloud.jobs) == 1


def test_a_floating_ip_that_is_refused_to_one_server_takes_nothing_from_the_others() -> None:
    cloud, belongings = begun()
    cloud.left = ["192.0.2.1"]
    cloud.ports = [{"id": f"p{name}", "device_id": name, "network_id": "n", "tags": []} for name in "ab"]
    cloud.made("a", "b")
    belongings.expect(POOL, cloud)
    cloud.work()
    assert belongings.address("a") == "192.0.2.1" and not belongings.address("b")
    assert len(cloud.jobs) == 1  # b is looked after again
