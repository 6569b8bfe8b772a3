"""What is written on servers is what is read from them, and answers of Nova and Neutron become limits, sizes and addresses."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boss.adapters import openstack_facts as facts
from boss.core.events import Limit, Server

CLUSTER = "c0ffee01"
GIB = 2**30


def raw(vms: tuple[str, ...], place: int = 0, **changes: Any) -> dict[str, Any]:
    """A server as Nova lists it, made by the call for these claims."""
    name = facts.server_name(CLUSTER, vms[0]) + (f"-{place}" if place else "")
    server = {
        "id": "7",
        "name": name,
        "status": "ACTIVE",
        "metadata": facts.metadata(CLUSTER, 3, "p", vms, "", {}),
        "addresses": {"lab-net": [{"version": 4, "addr": "10.77.2.1", "OS-EXT-IPS:type": "fixed"}]},
    }
    return server | changes


def test_a_server_of_one_claim_is_read_as_it_was_written() -> None:
    assert facts.server_of(raw(("p-7",)), CLUSTER) == Server("7", "p-7", "p", "ACTIVE", "10.77.2.1", "p-7", "", 3)


@given(st.integers(1, 10**9), st.integers(2, 300), st.data())
def test_every_server_of_a_group_finds_its_claim_by_the_number_in_its_name(first: int, count: int, data: st.DataObject) -> None:
    vms = tuple(f"my-pool.1-{number}" for number in range(first, first + count))
    place = data.draw(st.integers(1, count))
    assert facts.claim_of(raw(vms, place), CLUSTER) == (vms[place - 1], vms[0])


@pytest.mark.parametrize("name", ["eva's", f"ecloud-{CLUSTER}-p-7-0", f"ecloud-{CLUSTER}-p-7-4", f"ecloud-{CLUSTER}-p-7-x", ""])
def test_a_server_whose_name_tells_nothing_is_only_known_by_its_group(name: str) -> None:
    assert facts.claim_of(raw(("p-7", "p-8", "p-9"), name=name), CLUSTER) == ("", "p-7")


def test_the_only_server_of_a_group_has_no_number_and_is_the_first_claims() -> None:
    assert facts.claim_of(raw(("p-7", "p-8")), CLUSTER) == ("p-7", "p-7")


def test_servers_of_others_and_deleted_ones_are_not_in_the_list() -> None:
    assert facts.server_of(raw(("p-7",), metadata={}), CLUSTER) is None
    assert facts.server_of(raw(("p-7",)), "c0ffee02") is None
    assert facts.server_of(raw(("p-7",), status="DELETED"), CLUSTER) is None


@pytest.mark.parametrize(
    "metadata", [{"ecloud-cluster": CLUSTER}, {"ecloud-cluster": CLUSTER, "ecloud-count": "many", "ecloud-epoch": "x"}]
)
def test_metadata_that_somebody_spoilt_makes_a_server_of_no_claim(metadata: dict[str, str]) -> None:
    server = facts.server_of(raw(("p-7",), metadata=metadata), CLUSTER)
    assert server is not None
    assert (server.vm, server.pool, server.epoch) == ("", "", 0)


def test_the_settings_metadata_never_replaces_ours() -> None:
    written = facts.metadata(CLUSTER, 3, "p", ("p-7",), "z1", {"owner": "eva", "ecloud-cluster": "x"})
    assert written["owner"] == "eva"
    assert (written["ecloud-cluster"], written["ecloud-zone"]) == (CLUSTER, "z1")


def test_an_address_is_the_floating_one_else_the_first_of_the_pools_networks() -> None:
    fixed = {"version": 4, "addr": "10.0.0.1", "OS-EXT-IPS:type": "fixed"}
    six = {"version": 6, "addr": "fe80::1", "OS-EXT-IPS:type": "fixed"}
    other = {"version": 4, "addr": "192.168.0.1", "OS-EXT-IPS:type": "fixed"}
    floating = {"version": 4, "addr": "172.30.0.9", "OS-EXT-IPS:type": "floating"}
    assert facts.address_of({"addresses": {"a": [six, fixed], "b": [other]}}) == "10.0.0.1"
    assert facts.address_of({"addresses": {"a": [six, fixed], "b": [other]}}, ["b"]) == "192.168.0.1"
    assert facts.address_of({"addresses": {"a": [fixed, floating]}}, ["a"]) == "172.30.0.9"
    assert facts.address_of({"addresses": {}}) == facts.address_of({}) == ""


def test_limits_are_in_cpus_and_bytes_and_minus_one_is_no_limit() -> None:
    absolute = {"maxTotalInstances": 10, "totalInstancesUsed": 3, "maxTotalCores": -1, "totalCoresUsed": 6}
    absolute |= {"maxTotalRAMSize": 16384, "totalRAMUsed": 12288}
    limits = facts.compute_limits({"limits": {"rate": [], "absolute": absolute}})
    assert limits == {"instances": Limit(10, 3), "cpus": Limit(math.inf, 6), "memory": Limit(16 * GIB, 12 * GIB)}
    assert facts.compute_limits({}) == {}
    assert facts.quota_limit({"quota": {"port": {"limit": 500, "used": 3, "reserved": 1}}}, "port") == Limit(500, 4)
    assert facts.quota_limit({}, "port") is None


def test_addresses_are_those_of_the_allocation_pools_and_ports_outside_them_take_none() -> None:
    subnets = [
        {"id": "s4", "ip_version": 4, "allocation_pools": [{"start": "10.77.0.10", "end": "10.77.3.250"}]},
        {"id": "s6", "ip_version": 6, "allocation_pools": [{"start": "fd00::1", "end": "fd00::ffff"}]},
    ]
    ports = [
        {"fixed_ips": [{"subnet_id": "s4", "ip_address": "10.77.0.1"}]},
        {"fixed_ips": [{"subnet_id": "s4", "ip_address": "10.77.0.10"}, {"subnet_id": "s6", "ip_address": "fd00::5"}]},
        {"fixed_ips": []},
    ]
    assert facts.addresses(subnets, ports) == Limit(1009, 1)
    assert facts.tightest([Limit(10, 9), Limit(5, 1)]) == Limit(10, 9)
    assert facts.tightest([]) is None


def test_a_flavor_offers_cpus_and_bytes_and_what_the_settings_add() -> None:
    flavor = {"vcpus": 2, "ram": 4096, "disk": 10, "OS-FLV-EXT-DATA:ephemeral": 5}
    assert facts.resources_of(flavor) == {"cpus": 2, "memory": 4 * GIB, "disk": 15 * GIB}
    assert facts.resources_of(flavor | {"disk": 0, "OS-FLV-EXT-DATA:ephemeral": 0}) == {"cpus": 2, "memory": 4 * GIB}
    assert facts.resources_of(flavor, boot_volume=40)["disk"] == 40 * GIB
    assert facts.with_extras({"cpus": 2.0}, {"gpus": 1.0}) == {"cpus": 2, "gpus": 1}


def test_the_name_of_the_longest_pool_leaves_room_for_tags() -> None:
    claim = f"{'p' * 40}-1234567890"
    assert len(claim) <= 60
    assert len(facts.tag(CLUSTER)) <= 60
    assert len(facts.server_name(CLUSTER, claim)) <= 255
