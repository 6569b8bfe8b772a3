"""What the adapter does in OpenStack beyond the contract: tags, floating IPs, zones, names, faults of single services, the inventory."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from boss.adapters import openstack_asking
from boss.adapters.openstack import OpenStackCloud
from boss.adapters.openstack_api import Api
from boss.adapters.openstack_inventory import Kind
from boss.core.events import CloudFailed, FlavorsSeen, LimitsSeen, VmCreated, VmCreateFailed
from boss.core.model import Refusal
from boss.ports import CloudDown
from tests.contract.cloud_contract import Life, only
from tests.openstack.conftest import OpenStackRig, lab, pool
from tests.servers import eventually

pytestmark = pytest.mark.openstack


def is_active(servers: dict) -> bool:  # type: ignore[type-arg]
    return all(server.status == "ACTIVE" and server.address for server in servers.values())


def test_servers_and_ports_carry_cluster_and_claim_and_are_in_the_inventory(rig: OpenStackRig, cluster: str) -> None:
    cloud = rig.open(cluster)
    life = Life(cloud, rig.patience)
    life.create("p-1", "p-2")
    life.until(is_active)
    life.servers()
    ports = eventually(lambda: [one for one in cloud.inventory() if one.kind is Kind.PORT], timeout=30)
    servers = {one.id: one for one in cloud.inventory() if one.kind is Kind.SERVER}
    assert sorted((one.claim, one.status) for one in servers.values()) == [("p-1", "ACTIVE"), ("p-2", "ACTIVE")]
    assert {(one.claim, one.uses) for one in ports} == {(one.claim, one.id) for one in servers.values()}
    assert all(one.created and 0 < time.time() - one.created < 300 for one in servers.values())
    raw = eventually(
        lambda: cloud._api.get("network", "/ports", "look", tags=f"ecloud-{cluster},p-2")["ports"]
    )  # not by way of servers
    assert [servers[port["device_id"]].claim for port in raw] == ["p-2"]


def test_the_inventory_shows_other_clusters_when_asked_and_removes_what_it_shows(rig: OpenStackRig, cluster: str) -> None:
    life = Life(rig.open(cluster), rig.patience)
    life.create("p-1")
    other = rig.open("0ther000")
    assert not other.inventory()
    thing = next(one for one in other.inventory(every_cluster=True) if one.cluster == cluster and one.kind is Kind.SERVER)
    other.remove(thing)
    life.until(lambda servers: not servers)
    other.remove(thing)  # gone is fine


def test_a_server_gets_a_floating_ip_before_the_next_list_and_gives_it_back_when_it_goes(rig: OpenStackRig, cluster: str) -> None:
    cloud = rig.open(cluster, floating_network="lab-ext")
    life = Life(cloud, rig.patience)
    life.create("p-1", "p-2")
    floating = eventually(lambda: addresses if len(addresses := floating_of(cloud)) == 2 else None, timeout=60)
    assert sorted(one.claim for one in floating) == ["p-1", "p-2"]
    life.until(lambda servers: {server.address for server in servers.values()} == {one.name for one in floating})
    limits = life.next(LimitsSeen).limits
    assert limits["floating_ips"].used >= 2
    life.delete("p-1", "p-2")
    assert not floating_of(cloud)
    assert not cloud.inventory()


def floating_of(cloud):  # type: ignore[no-untyped-def]
    return [one for one in cloud.inventory() if one.kind is Kind.FLOATING_IP]


def test_after_a_zone_without_a_host_the_next_one_is_asked(rig: OpenStackRig, cluster: str) -> None:
    cloud = rig.open(cluster, availability_zones=("fake", "internal"))
    life = Life(cloud, rig.patience)
    life.create("p-1", flavor="lab.huge")
    life.until(lambda servers: only(servers).status == "ERROR")
    refused = life.create("p-2", flavor="lab.huge")["p-2"]
    assert isinstance(refused, VmCreateFailed)
    assert "there is no availability zone 'internal'" in refused.reason
    assert isinstance(life.create("p-3")["p-3"], VmCreated)  # another flavor stays where there is room


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": "fake-imge"}, "there is no image 'fake-imge'; there are: fake-image"),
        ({"networks": ("lab-nt",)}, "there is no network 'lab-nt'; there are: lab-net"),
        ({"key_name": "lab"}, "there is no key pair 'lab'; there are: lab-key"),
        ({"security_groups": ("lab-gs",)}, "there is no security group 'lab-gs'; there are: lab-sg"),
        ({"availability_zones": ("nova",)}, "there is no availability zone 'nova'; there are: fake"),
    ],
)
def test_what_the_settings_name_and_is_not_there_is_said_before_anything_is_sent(
    rig: OpenStackRig,
    cluster: str,
    changes: dict,
    said: str,  # type: ignore[type-arg]
) -> None:
    life = Life(rig.open(cluster, **changes), rig.patience)
    refused = life.create("p-1", "p-2")["p-1"]
    assert isinstance(refused, VmCreateFailed)
    assert (refused.final, refused.kind) == (True, Refusal.INVALID)
    assert said in refused.reason


def test_a_cloud_that_clouds_yaml_does_not_have_is_told_with_those_that_it_has(rig: OpenStackRig, cluster: str) -> None:
    life = Life(rig._open("labb", cluster, 1), rig.patience)
    assert "there is no cloud 'labb'" in (reason := life.next(CloudFailed).reason)
    assert "lab, lab-admin, lab-refused, lab-small" in reason
    rig.opened.clear()


def test_a_revoked_token_is_replaced_without_a_word(rig: OpenStackRig, cluster: str) -> None:
    cloud = rig.open(cluster)
    life = Life(cloud, rig.patience)
    life.next(FlavorsSeen)
    session = cloud._api._connected().session
    session.delete(f"{session.auth.auth_url}/auth/tokens", headers={"X-Subject-Token": session.get_token()}, authenticated=True)
    assert isinstance(life.create("p-1")["p-1"], VmCreated)
    assert {server.vm for server in life.servers().values()} == {"p-1"}


def test_without_the_image_service_nothing_is_sent_and_with_it_all_goes_on(rig: OpenStackRig, cluster: str) -> None:
    lab("stop", "glance-api")
    try:
        life = Life(rig.open(cluster), rig.patience)
        refused = life.create("p-1")["p-1"]
    finally:
        lab("up")
    assert isinstance(refused, VmCreateFailed)
    assert (refused.final, refused.kind) == (True, Refusal.UNAVAILABLE)
    assert "the image service cannot be reached" in refused.reason
    assert isinstance(life.create("p-2")["p-2"], VmCreated)


def test_an_answer_that_is_lost_leaves_the_claims_open_and_the_list_finds_what_was_made(
    rig: OpenStackRig, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openstack_asking, "_READ", 2.0)
    life = Life(rig.open(cluster), rig.patience)
    life.create("p-1")  # what the settings name is known from here on
    with rig.silent():
        ends = life.create("p-2", "p-3")
    assert {(end.final, end.kind) for end in ends.values() if isinstance(end, VmCreateFailed)} == {(False, Refusal.UNAVAILABLE)}
    assert "did not answer" in next(end.reason for end in ends.values() if isinstance(end, VmCreateFailed))
    assert {server.vm for server in life.until(lambda servers: len(servers) == 3).values()} == {"p-1", "p-2", "p-3"}


def test_a_service_that_fails_and_says_so_has_made_nothing_that_a_list_does_not_show(rig: OpenStackRig, cluster: str) -> None:
    life = Life(rig.open(cluster), rig.patience)
    life.create("p-1")
    lab("stop", "glance-api")  # Nova asks it for the image, and answers 500; a list does not need it
    try:
        ends = life.create("p-2", "p-3")
    finally:
        lab("up")
    assert {(end.final, end.kind) for end in ends.values() if isinstance(end, VmCreateFailed)} == {(True, Refusal.UNAVAILABLE)}
    assert "the compute service failed (5" in next(end.reason for end in ends.values() if isinstance(end, VmCreateFailed))
    assert {server.vm for server in life.servers().values()} == {"p-1"}
    assert isinstance(life.create("p-4")["p-4"], VmCreated)


def test_user_data_beyond_what_nova_takes_is_refused_before_anything_is_sent(rig: OpenStackRig, cluster: str) -> None:
    cloud = OpenStackCloud("lab", cluster, 1, [pool("lab")], lambda _pool, _group, _count: "#" * 50_000)
    rig.opened.append(cloud)
    refused = Life(cloud, rig.patience).create("p-1")["p-1"]
    assert isinstance(refused, VmCreateFailed)
    assert (refused.final, refused.kind) == (True, Refusal.INVALID)
    assert "has 66668 bytes, and Nova takes 65535" in refused.reason


def test_a_server_whose_boot_fails_is_in_error_with_the_reason(rig: OpenStackRig, cluster: str) -> None:
    life = Life(rig.open(cluster, metadata={"lab_spawn_fail": "1"}), rig.patience)
    life.create("p-1")
    assert "fault injected" in only(life.until(lambda servers: only(servers).status == "ERROR")).reason


def test_a_server_that_never_leaves_build_can_be_deleted(rig: OpenStackRig, cluster: str) -> None:
    lab("faults", '{"spawn_hang": true}')
    try:
        life = Life(rig.open(cluster), rig.patience)
        life.create("p-1")
        began = time.monotonic()
        assert only(life.until(lambda _servers: time.monotonic() - began > 3)).status == "BUILD"
        life.delete("p-1")
        assert not life.servers()
    finally:
        lab("faults")


def test_a_volume_that_the_cloud_cannot_delete_is_shown_and_left_to_its_operators(rig: OpenStackRig, cluster: str) -> None:
    cloud = rig.open(cluster, volumes=True)
    life = Life(cloud, rig.patience)
    life.create("p-1")
    life.until(is_active)
    life.servers()
    lab("faults", '{"volume_delete_fail": 1}')
    try:
        life.delete("p-1")
        [left] = eventually(lambda: [one for one in cloud.inventory() if one.status == "error_deleting"], timeout=30)
    finally:
        lab("faults")
    life.servers()  # a list, and what follows it, does not fail for that
    with pytest.raises(CloudDown, match=r"refuses to delete the volume ecloud-.*-p-1: .*status must be available"):
        cloud.remove(left)
    assert (left.claim, left.kind) == ("p-1", Kind.VOLUME)
    admin = Api("lab-admin")
    owner = cloud._api.project()
    reset = {"os-reset_status": {"status": "error"}}
    [path] = [
        f"/volumes/{raw['id']}/action"
        for raw in admin.pages("volume", "/volumes/detail", "volumes", "look", all_tenants=1, project_id=owner)
        if raw["id"] == left.id
    ]
    admin.call("POST", "volume", path, "let it be deleted again", json=reset)
    life.until(lambda _servers: not cloud.inventory())  # the next list takes it away


def test_a_server_that_somebody_renames_stays_ours(rig: OpenStackRig, cluster: str) -> None:
    cloud = rig.open(cluster)
    life = Life(cloud, rig.patience)
    life.create("p-1", "p-2")
    servers = life.until(is_active)
    first = next(server for server in servers.values() if server.vm == "p-1")
    cloud._api.call("PUT", "compute", f"/servers/{first.server}", "rename", json={"server": {"name": "eva's"}})
    renamed = life.servers()[first.server]
    assert (renamed.vm, renamed.group) == ("", "p-1")  # which of its group it is cannot be told any more


def test_doctor_looks_at_the_cloud(tmp_path: Path) -> None:
    (tmp_path / "ecloud.toml").write_text(
        '[pools.c]\nprovider = "openstack"\ncloud = "lab"\nimage = "fake-image"\nnetworks = "lab-nt"\n'
        'flavors = ["lab.1", {name = "lab.2", gpus = 1}]\n[pools.r]\nprovider = "openstack"\ncloud = "lab-refused"\n'
        'image = "x"\nflavors = ["y"]\n'
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [root / ".venv/bin/python", "-m", "boss", "doctor"],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env={**os.environ, "ECLOUD_CONFIG": str(tmp_path / "ecloud.toml"), "ECLOUD_STATE": str(tmp_path / "state")},
    )
    lines = {line[8:20].strip(): line for line in ran.stdout.splitlines()}
    assert ran.returncode == 1
    assert "lab.2 (2 cpus, 4 GiB memory, 10 GiB disk, 1 gpus)" in lines["flavors"]
    assert lines["network"].startswith("failed")
    assert "there is no network 'lab-nt'; there are: lab-net" in lines["network"]
    assert "set networks of [pools.c]" in lines["network"]
    assert "instances free" in lines["quota"]
    assert "unknown until" in lines["reach"]
    assert "does not accept our credential (401)" in lines["cloud"]
