"""Servers that stay, in a real OpenStack: made once, found again by name, never the fleet's; and what is said when one cannot be made."""

import os
from collections.abc import Iterator

import openstack
import pytest

from boss.adapters.openstack_errors import CloudError
from boss.adapters.openstack_standing import Plan, Servers, opened
from boss.core.events import ServersListed
from tests.openstack.conftest import OpenStackRig
from tests.servers import eventually

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(300)]


def plan(name: str, **changes: object) -> Plan:
    facts: dict[str, object] = {
        "name": name,
        "mark": "boss",
        "image": "fake-image",
        "flavor": "lab.1",
        "networks": ("lab-net",),
        "security_groups": ("lab-sg",),
    }
    return Plan(**(facts | changes))  # type: ignore[arg-type]


@pytest.fixture
def name() -> Iterator[str]:
    """A name; servers and floating IPs that begin so are removed."""
    name = f"stay-{os.getpid()}"
    yield name
    lab = openstack.connect(cloud="lab")
    for floating in [floating for floating in lab.network.ips() if str(floating.description).startswith(name)]:
        lab.network.delete_ip(floating)
    for server in [server for server in lab.compute.servers() if server.name.startswith(name)]:
        lab.compute.delete_server(server)
    eventually(lambda: not [server for server in lab.compute.servers() if server.name.startswith(name)], timeout=60.0)


@pytest.fixture
def servers() -> Iterator[Servers]:
    with opened("lab") as servers:
        yield servers


def test_a_server_is_made_once_and_found_again_by_its_very_name(servers: Servers, name: str) -> None:
    assert servers.find(name) is None
    made = servers.create(plan(name), "#cloud-config\n")
    standing = servers.active(plan(name), made, 120.0)
    assert standing.address.startswith(os.environ["LAB_NET"].rpartition(".")[0])
    found = servers.find(name)
    assert found is not None and (found["id"], found["metadata"]) == (made, {"ecloud-standing": "boss"})
    assert servers.find(name[:-1]) is None and servers.find(f"{name}x") is None
    assert servers.keys(standing, 1.0).keys == ()  # the servers of this zone have no console of their own


def test_a_server_that_stays_gets_a_floating_ip_where_it_is_asked_for(servers: Servers, name: str) -> None:
    floating = plan(name, floating_network="lab-ext")
    standing = servers.active(floating, servers.create(floating, ""), 120.0)
    assert standing.address.startswith("172.30.0.")


def test_no_fleet_knows_it(servers: Servers, name: str, rig: OpenStackRig, cluster: str) -> None:
    servers.active(plan(name), servers.create(plan(name), ""), 120.0)
    cloud = rig.open(cluster)
    heard: list[object] = []
    cloud.start(lambda event: bool(heard.append(event)) or True)
    cloud.list(0.0)
    [listed] = eventually(lambda: [event for event in heard if isinstance(event, ServersListed)], timeout=60.0)
    assert listed.servers == () and cloud.inventory() == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"image": "fake-imag"}, "there is no image 'fake-imag'; there are: fake-image"),
        ({"flavor": "lab.3"}, "there is no flavor 'lab.3'"),
        ({"networks": ("lab-nett",)}, "there is no network 'lab-nett'"),
        ({"security_groups": ("lab",)}, "there is no security group 'lab'"),
        ({"floating_network": "nowhere"}, "there is no network 'nowhere'"),
        ({"zone": "moon"}, "there is no availability zone 'moon'"),
    ],
)
def test_what_is_not_there_is_named_before_anything_is_made(
    servers: Servers, name: str, changes: dict[str, object], why: str
) -> None:
    with pytest.raises(CloudError) as caught:
        servers.check(plan(name, **changes))
    assert why in caught.value.reason
    assert servers.find(name) is None


def test_a_server_that_no_host_has_room_for_says_so(servers: Servers, name: str) -> None:
    huge = plan(name, flavor="lab.huge")
    made = servers.create(huge, "")
    with pytest.raises(CloudError) as caught:
        servers.active(huge, made, 120.0)
    assert "is in ERROR" in caught.value.reason and "No valid host" in caught.value.reason
