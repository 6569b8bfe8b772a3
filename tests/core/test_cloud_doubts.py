"""What a cloud will never give, or takes long to: told with numbers, and asked for no more than helps."""

import pytest

from boss.core.events import (
    ConsoleRead,
    Limit,
    LimitsSeen,
    Server,
    VmCreated,
    VmCreateFailed,
    VmDeleted,
    VmDeleteFailed,
)
from boss.core.model import Flavor, Refusal, VmState
from boss.core.requests import WhyAsked, WorkersDrained, WorkersWanted
from tests.core.scene import Scene
from tests.core.skies import SMALL, asked, bag, cloud_pool, listed, notes


@pytest.fixture
def scene() -> Scene:
    """A boss with one pool in a cloud, and nothing to do."""
    return Scene(pools=(cloud_pool(),))


# ---- what can never be had -----------------------------------------------------------------------------------------

LARGE = Flavor("lab.16", {"cpus": 16.0, "memory": 2.0**34})


def small_project(**fields: object) -> Scene:
    """A project that may have 6 cpus, and a pool with a small flavor and one of 16."""
    scene = Scene(pools=(cloud_pool(flavors=(SMALL, LARGE), **fields),))
    scene.turn(LimitsSeen("openstack", {"cpus": Limit(6, 0), "instances": Limit(3, 0)}))
    return scene


def why(scene: Scene, task: str = "t0") -> str:
    """What `why` says of a task."""
    return " ".join(scene.answer(WhyAsked("job", task, reply=1)).detail["why"])  # type: ignore[arg-type]


def test_a_flavor_beyond_the_whole_quota_is_impossible_and_is_not_bought() -> None:
    scene = small_project()
    scene.push(bag(2, needs={"cpus": 10}))
    scene.wait(60)
    assert not asked(scene)
    assert "pool cloud: lab.16 asks for 16 cpus, and the project's quota is 6" in why(scene)
    assert "have the quota raised" in why(scene)
    assert "2 ready task(s) (of job job first) can never run as things are" in notes(scene)
    assert scene.answer(WhyAsked("job", "t0", reply=1)).detail["never"]


def test_a_quota_that_is_raised_ends_it() -> None:
    scene = small_project()
    scene.push(bag(1, needs={"cpus": 10}))
    scene.turn(LimitsSeen("openstack", {"cpus": Limit(20, 0)}))
    scene.wait(5)
    assert asked(scene) and "can never" not in notes(scene)


def test_a_boot_volume_beyond_the_whole_quota_is_impossible_too() -> None:
    scene = small_project(takes={"volumes": 1.0, "volume_space": 80 * 2.0**30})
    scene.turn(LimitsSeen("openstack", {"cpus": Limit(60, 0), "volumes": Limit(10, 0), "volume_space": Limit(50 * 2.0**30, 0)}))
    scene.push(bag(1))
    scene.wait(60)
    assert not asked(scene)
    assert "asks for 80 GiB of volumes, and the project's quota is 50 GiB" in why(scene)


def test_head_room_and_the_pools_own_limits_can_make_a_flavor_impossible() -> None:
    scene = small_project(head_room={"instances": 3})
    assert "Pool cloud can have no VM at all" in notes(scene)
    assert "of which 3 are left to people (`head_room`)" in notes(scene)
    scene = small_project(limits={"cpus": 8})
    scene.turn(LimitsSeen("openstack", {"cpus": Limit(60, 0)}))
    scene.push(bag(1, needs={"cpus": 10}))
    assert "lab.16 asks for 16 cpus, and `limits` of pool cloud allows 8" in why(scene)


def test_nobody_makes_room_for_a_vm_that_can_never_be_had() -> None:
    scene = small_project(limits={"cpus": 8}, minimum=1)
    scene.wait(2)
    scene.join("cloud-1")
    scene.push(bag(1, needs={"cpus": 10}))
    for _ in range(40):
        scene.wait(5)
        scene.beat("cloud-1")
    assert scene.state.vms["cloud-1"].state is VmState.JOINED


def test_vms_that_are_wanted_whatever_waits_are_of_a_flavor_that_can_be_had() -> None:
    scene = Scene(pools=(cloud_pool(flavors=(LARGE, SMALL)),))
    scene.turn(LimitsSeen("openstack", {"cpus": Limit(6, 0)}))
    assert scene.answer(WorkersWanted(1, reply=1)).code == 200
    assert scene.state.vms["cloud-1"].flavor == "small"
    scene.turn(LimitsSeen("openstack", {"cpus": Limit(0, 0)}))
    refused = scene.answer(WorkersWanted(1, reply=1))
    assert refused.code == 409 and "the project's quota is 0" in str(refused.detail["error"])


# ---- what takes long ------------------------------------------------------------------------------------------------


def test_a_cloud_that_does_not_answer_is_told_and_so_are_claims_that_wait_for_it(scene: Scene) -> None:
    scene.push(bag(1))
    scene.wait(40)
    assert "Cloud openstack has not answered for" in notes(scene)
    assert "the cloud has not said whether there is one; it is given up in 80 s" in notes(scene)
    scene.turn(VmCreateFailed("cloud-1", "it did not answer: no answer in time", False, Refusal.UNAVAILABLE))
    assert "(it did not answer: no answer in time)" in why(scene)
    assert "the work in sight" in scene.state.vms["cloud-1"].reason  # why it was asked for stays
    scene.wait(90)
    assert "the cloud did not answer within" in notes(scene) and "no answer in time" in notes(scene)


def test_a_slow_boot_is_told_with_the_clouds_word_and_what_is_usual(scene: Scene) -> None:
    scene.push(bag(1))
    scene.turn(VmCreated("cloud-1", "uuid-1"))
    listed(scene, Server("uuid-1", "cloud-1", "cloud", "BUILD"))
    assert "has been booting for" not in notes(scene)
    scene.wait(200)
    said = " ".join(scene.answer(WhyAsked("", "cloud-1", reply=1)).detail["why"])  # type: ignore[arg-type]
    for words in ("has been booting for 201 s (usually", "the cloud says BUILD", "given up in", "`boot_timeout`"):
        assert words in notes(scene) and words in why(scene) and words in said
    listed(scene, Server("uuid-1", "cloud-1", "cloud", "BUILD"))
    scene.wait(401)
    assert "says BUILD still (`boot_timeout`)" in notes(scene)


def test_one_vm_that_never_joins_is_one_burst_and_tells_its_consoles_last_line(scene: Scene) -> None:
    scene.push(bag(1))
    scene.turn(VmCreated("cloud-1", "uuid-1"))
    scene.wait(640)  # its console was waited for, too
    assert scene.state.health["cloud", ""].bursts == 1
    assert "is being tried again after a failure, the last: cloud-1: its worker was not heard within" in notes(scene)
    scene.turn(VmCreated("cloud-2", "uuid-2"))
    scene.wait(601)
    scene.turn(ConsoleRead("cloud-2", "join: trying\njoin: https://10.0.0.1:8444 is not reached: timed out\n\n"))
    assert "its console ends with: join: https://10.0.0.1:8444 is not reached: timed out" in notes(scene)
    assert "its console ends with" in scene.state.vms["cloud-2"].reason


def test_a_deletion_that_fails_is_told_until_it_is_done(scene: Scene) -> None:
    scene.push(bag(1))
    scene.join("cloud-1")
    scene.turn(WorkersDrained(("cloud-1",), now=True), VmDeleteFailed("cloud-1", "the cloud says ERROR"))
    assert "cloud-1 could not be deleted yet: the cloud says ERROR; it is tried again" in notes(scene)
    said = " ".join(scene.answer(WhyAsked("", "cloud-1", reply=1)).detail["why"])  # type: ignore[arg-type]
    assert "could not be deleted yet: the cloud says ERROR" in said and "Why it goes: terminated by hand." in said
    scene.turn(VmDeleted("cloud-1"))
    assert "could not be deleted" not in notes(scene)


def test_why_says_when_a_flavor_without_a_host_is_tried_again(scene: Scene) -> None:
    scene.push(bag(1))
    scene.turn(VmCreateFailed("cloud-1", "No valid host was found", kind=Refusal.NO_HOST))
    assert "Pool cloud (small) waits" in why(scene) and "No valid host was found" in why(scene)
