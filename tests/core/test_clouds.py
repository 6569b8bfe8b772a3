"""Clouds say no in many ways, lose answers, and have servers that we do not know: each has its consequence, and is said."""

import pytest

from boss.core import deadlines, health, reactor, sizes
from boss.core.effects import CreateVms, DeleteVm, ListServers, ReadConsole, ReadRecord, RejectResult
from boss.core.events import (
    CloudFailed,
    ConsoleRead,
    DatastoreSeen,
    FlavorsSeen,
    Limit,
    LimitsSeen,
    RecordRead,
    Server,
    TimePassed,
    VmCreated,
    VmCreateFailed,
    VmDeleted,
)
from boss.core.model import Flavor, Refusal, VmState
from boss.core.requests import FleetClosed, FleetOpened, TrialAsked, WhyAsked, WorkersWanted
from tests.core.scene import Scene
from tests.core.skies import SMALL, asked, bag, cloud_pool, join, listed, notes
from worker.protocol import Result


@pytest.fixture
def scene() -> Scene:
    """A boss with one pool in a cloud, and nothing to do."""
    return Scene(pools=(cloud_pool(),))


# ---- claim groups and joins ----------------------------------------------------------------------------------------


def test_what_waits_is_asked_for_by_one_call(scene: Scene) -> None:
    scene.push(bag(3))
    assert asked(scene) == [("cloud-1", "cloud-2", "cloud-3")]
    assert {vm.group for vm in scene.state.vms.values()} == {"cloud-1"}


def test_a_group_has_as_many_workers_as_claims_and_a_key_gets_the_same_answer_again(scene: Scene) -> None:
    scene.push(bag(2))
    first, second = join(scene, "cloud-1", "k1"), join(scene, "cloud-1", "k2")
    assert {first.detail["worker"], second.detail["worker"]} == {"cloud-1", "cloud-2"}
    assert join(scene, "cloud-1", "k1").detail == first.detail
    refused = join(scene, "cloud-1", "k3")
    assert refused.code == 403 and "every claim of cloud-1 has its worker already" in str(refused.detail["error"])


def test_a_server_is_bound_to_its_own_claim_by_its_name_or_its_id(scene: Scene) -> None:
    scene.push(bag(3))
    assert join(scene, "cloud-1", "k2", name="ecloud-c-cloud-1-2").detail["worker"] == "cloud-2"
    scene.turn(VmCreated("cloud-3", "uuid-3"))
    assert join(scene, "cloud-1", "k3", server="uuid-3").detail["worker"] == "cloud-3"
    assert join(scene, "cloud-1", "k1").detail["worker"] == "cloud-1"


def test_a_claim_that_was_given_up_lets_nobody_in(scene: Scene) -> None:
    scene.push(bag(1))
    scene.turn(VmCreateFailed("cloud-1", "no"))
    assert join(scene, "cloud-1", "k1").code == 403
    assert join(scene, "cloud-99", "k1").code == 403


def test_servers_of_a_group_whose_names_say_nothing_are_bound_one_by_one(scene: Scene) -> None:
    scene.push(bag(2))
    servers = [Server(f"uuid-{n}", "", "cloud", "BUILD", group="cloud-1") for n in (1, 2)]
    listed(scene, *servers)
    listed(scene, *reversed(servers))
    assert {vm.id: vm.server for vm in scene.state.vms.values()} == {"cloud-1": "uuid-1", "cloud-2": "uuid-2"}
    assert {vm.state for vm in scene.state.vms.values()} == {VmState.BOOTING}


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_a_used_up_quota_is_waited_for_and_room_in_it_ends_the_wait(scene: Scene) -> None:
    scene.push(bag(1))
    reason = "Quota exceeded for cores: requested 1, used 6 of 6"
    scene.turn(VmCreateFailed("cloud-1", reason, kind=Refusal.QUOTA))
    scene.hush()
    scene.wait(5)
    assert not asked(scene) and reason in notes(scene)
    assert any(reason in said for said in scene.answer(WhyAsked("job", "t0", reply=1)).detail["why"])  # type: ignore[attr-defined]
    scene.turn(LimitsSeen("openstack", {"cpus": Limit(6, 6)}))
    assert not asked(scene)
    scene.turn(LimitsSeen("openstack", {"cpus": Limit(6, 5)}))
    assert asked(scene) == [("cloud-2",)]


def test_a_quota_never_pauses_a_pool(scene: Scene) -> None:
    scene.push(bag(1))
    for number in range(1, 8):
        scene.turn(VmCreateFailed(f"cloud-{number}", "quota", kind=Refusal.QUOTA))
        scene.wait(health.QUOTA * 1.3)
    assert f"cloud-{8}" in scene.state.vms and "paused" not in notes(scene)


@pytest.mark.parametrize(
    "fault", ["Maximum number of volumes allowed (2) exceeded for quota 'volumes'", "PortLimitExceeded: none left"]
)
def test_a_quota_that_shows_only_while_a_server_is_built_is_waited_for_and_never_pauses_a_pool(scene: Scene, fault: str) -> None:
    scene.push(bag(1))
    for number in range(1, 8):
        scene.turn(VmCreated(f"cloud-{number}", f"uuid-{number}"))
        listed(scene, Server(f"uuid-{number}", f"cloud-{number}", "cloud", "ERROR", reason=fault))
        assert fault in notes(scene)
        scene.turn(VmDeleted(f"cloud-{number}"))
        scene.wait(health.QUOTA * 1.3)
    assert "cloud-8" in scene.state.vms and "paused" not in notes(scene)


def test_a_boss_with_nothing_to_do_looks_for_servers_that_nobody_knows(scene: Scene) -> None:
    listed(scene)
    assert deadlines.next_look(scene.state, scene.now) == pytest.approx(scene.now + scene.state.policy.list_interval, abs=1.0)
    stray = Server("uuid-9", "cloud-9", "cloud", "SHUTOFF")
    listed(scene, stray)
    scene.hush()
    end = scene.now + scene.state.policy.stray_grace + 2 * scene.state.policy.list_interval
    while scene.now < end:
        scene.now = deadlines.next_look(scene.state, scene.now) or end
        if any(isinstance(effect, ListServers) for effect in scene.turn(TimePassed())):
            listed(scene, stray)
    assert DeleteVm("cloud-9", "cloud", "uuid-9") in scene.hush()


def test_where_no_host_has_room_the_next_flavor_is_tried() -> None:
    large = Flavor("large", {"cpus": 2.0, "memory": 2.0**31}, price=2.0)
    scene = Scene(pools=(cloud_pool(flavors=(SMALL, large)),))
    scene.push(bag(1))
    scene.turn(VmCreateFailed("cloud-1", "No valid host was found", kind=Refusal.NO_HOST))
    assert scene.state.vms["cloud-2"].flavor == "large"


def test_a_server_in_error_is_deleted_and_another_flavor_is_tried() -> None:
    large = Flavor("large", {"cpus": 2.0, "memory": 2.0**31}, price=2.0)
    scene = Scene(pools=(cloud_pool(flavors=(SMALL, large)),))
    scene.push(bag(1))
    scene.turn(VmCreated("cloud-1", "uuid-1"))
    listed(scene, Server("uuid-1", "cloud-1", "cloud", "ERROR", reason="No valid host was found."))
    assert DeleteVm("cloud-1", "cloud", "uuid-1") in scene.hush()
    assert scene.state.vms["cloud-2"].flavor == "large"


def test_a_busy_cloud_is_left_alone_for_as_long_as_it_asks_for(scene: Scene) -> None:
    scene.push(bag(1))
    scene.turn(VmCreateFailed("cloud-1", "429", kind=Refusal.BUSY, retry_after=40.0))
    scene.hush()
    scene.wait(39)
    assert not asked(scene)
    scene.wait(3)
    assert asked(scene)


def test_three_bursts_of_failures_pause_the_pool_which_tries_again_by_itself(scene: Scene) -> None:
    scene.push(bag(1))
    for number in range(1, 4):
        scene.turn(VmCreateFailed(f"cloud-{number}", "the API does not answer", kind=Refusal.UNAVAILABLE))
        said = notes(scene)
        if number < 3:
            scene.wait(10)
    assert "paused after 3 failures in a row" in said and "the API does not answer" in said
    scene.hush()
    scene.wait(scene.state.policy.pool_pause * 1.3)
    assert asked(scene) == [("cloud-4",)]
    scene.turn(VmCreateFailed("cloud-4", "still down", kind=Refusal.UNAVAILABLE))
    rest = health.resting(scene.state, "cloud", "", scene.now)
    assert rest is not None and rest.resume_at - scene.now > scene.state.policy.pool_pause


def test_a_bad_credential_pauses_every_pool_of_that_cloud_at_once() -> None:
    scene = Scene(pools=(cloud_pool(), cloud_pool(name="other"), cloud_pool(name="elsewhere", provider="openstack:far")))
    scene.push(bag(1))
    scene.turn(VmCreateFailed("cloud-1", "the password is wrong", kind=Refusal.CREDENTIAL))
    assert health.resting(scene.state, "other", "", scene.now) is not None
    assert health.resting(scene.state, "elsewhere", "", scene.now) is None
    assert "paused" in notes(scene)


def test_an_api_that_is_down_is_said_until_it_answers(scene: Scene) -> None:
    scene.turn(CloudFailed("openstack", "connection refused", Refusal.UNAVAILABLE))
    assert "connection refused" in notes(scene)
    listed(scene)
    assert "Cloud openstack" not in notes(scene)


# ---- VMs that never join, die, or are strangers ---------------------------------------------------------------------


def test_a_vm_that_never_joins_is_deleted_after_the_end_of_its_console_was_kept(scene: Scene) -> None:
    scene.push(bag(1))
    scene.turn(VmCreated("cloud-1", "uuid-1"))
    scene.hush()
    scene.wait(601)
    assert ReadConsole("cloud-1", "cloud", "uuid-1") in (said := scene.hush())
    assert not [effect for effect in said if isinstance(effect, DeleteVm)]
    scene.turn(ConsoleRead("cloud-1", "no route to the boss"))
    assert DeleteVm("cloud-1", "cloud", "uuid-1") in scene.hush()
    assert scene.state.consoles["cloud-1"] == "no route to the boss"


def test_a_console_that_cannot_be_read_keeps_no_vm_alive(scene: Scene) -> None:
    scene.push(bag(1))
    scene.turn(VmCreated("cloud-1", "uuid-1"))
    scene.wait(601)
    scene.hush()
    scene.wait(25)
    assert DeleteVm("cloud-1", "cloud", "uuid-1") in scene.hush()


def powered_off(scene: Scene, **template: object) -> str:
    """A VM that runs an attempt is found off, while another one idles; the attempt."""
    scene.push(bag(2, **template))
    scene.join("cloud-1")
    scene.join("cloud-2")
    [first, second] = scene.dealt()
    scene.finish("cloud-2", second.attempt)
    [held] = scene.state.workers["cloud-1"].held
    assert held == first.attempt
    scene.hush()
    off_now(scene)
    return first.attempt


def off_now(scene: Scene) -> None:
    """The next list of the cloud."""
    scene.now += 30
    for name in ("cloud-2",):
        scene.beat(name)
    listed(scene, Server("server-cloud-1", "cloud-1", "cloud", "SHUTOFF"), Server("server-cloud-2", "cloud-2", "cloud", "ACTIVE"))


DELETED = DeleteVm("cloud-1", "cloud", "server-cloud-1")


def test_what_a_vm_that_powered_itself_off_has_left_counts_and_is_not_run_again_on_an_idle_one(scene: Scene) -> None:
    attempt = powered_off(scene)
    said = scene.hush()
    assert ReadRecord(attempt) in said and DELETED not in said and not scene.dealt()
    scene.turn(RecordRead(attempt, Result(attempt, "succeeded", exit_code=0)))
    said = scene.hush()
    assert DELETED in said and RejectResult(attempt) in said, "the record has done its service"
    assert set(scene.states().values()) == {"succeeded"} and scene.task("t0").number == 1


def test_what_it_has_not_left_is_run_again_at_once(scene: Scene) -> None:
    attempt = powered_off(scene)
    scene.hush()
    scene.turn(RecordRead(attempt, None))
    assert DELETED in scene.said
    assert [assignment.task for assignment in scene.dealt()] == ["t0"]


def test_a_datastore_that_is_away_is_waited_for_and_one_that_does_not_answer_until_the_next_list(scene: Scene) -> None:
    powered_off(scene)
    scene.turn(DatastoreSeen(False, "no route"))
    off_now(scene)
    assert DELETED not in scene.hush()
    scene.turn(DatastoreSeen(True))
    off_now(scene)
    assert DELETED in scene.hush()


def test_after_a_long_absence_the_datastore_is_asked_for_results_without_files_too(scene: Scene) -> None:
    scene.push(bag(1))
    scene.join("cloud-1")
    [assignment] = scene.dealt()
    assert ReadRecord(assignment.attempt) not in reactor.resume(scene.state, scene.now)
    scene.now += scene.state.policy.worker_lease
    assert ReadRecord(assignment.attempt) in reactor.resume(scene.state, scene.now)


def test_a_worker_that_is_back_and_tells_such_a_result_itself_leaves_nothing_at_the_datastore(scene: Scene) -> None:
    scene.push(bag(1))
    scene.join("cloud-1")
    [assignment] = scene.dealt()
    scene.hush()
    scene.join("cloud-1", held={assignment.attempt: "finished"}, seq=9)
    assert RejectResult(assignment.attempt) in scene.hush()
    scene.finish("cloud-1", assignment.attempt)
    assert scene.states() == {"t0": "succeeded"}


def test_a_server_deleted_behind_our_back_gives_its_tasks_back_without_using_up_retries(scene: Scene) -> None:
    scene.push(bag(1))
    scene.join("cloud-1")
    scene.now += 60
    listed(scene)
    assert "cloud-1" not in scene.state.vms
    assert (scene.task("t0").failures, scene.states()["t0"]) == (0, "ready")
    assert asked(scene)[-1] == ("cloud-2",)


def test_a_second_server_of_a_claim_is_a_stranger(scene: Scene) -> None:
    scene.push(bag(1))
    scene.join("cloud-1")
    own, other = (Server(name, "cloud-1", "cloud") for name in ("server-cloud-1", "twin"))
    for _ in range(3):
        scene.now += 40
        scene.hush()
        listed(scene, other, own)
    deleted = [effect.server for effect in scene.hush() if isinstance(effect, DeleteVm)]
    assert deleted == ["twin"] and scene.state.vms["cloud-1"].server == "server-cloud-1"


def test_a_boss_on_an_older_database_creates_and_deletes_nothing(scene: Scene) -> None:
    scene.push(bag(1))
    scene.hush()
    listed(scene, Server("uuid-7", "cloud-7", "cloud", epoch=5))
    scene.push(bag(3), name="more")
    scene.wait(200)
    assert not [effect for effect in scene.hush() if isinstance(effect, CreateVms | DeleteVm)]
    assert "python -m boss adopt" in notes(scene)
    assert scene.answer(WorkersWanted(1, reply=1)).code == 409


# ---- flavors and their sizes ---------------------------------------------------------------------------------------


def test_flavors_that_the_cloud_has_not_described_are_not_bought_and_why_says_so() -> None:
    scene = Scene(pools=(cloud_pool(flavors=(Flavor("m1.small", {}),)),))
    scene.push(bag(1))
    scene.turn(CloudFailed("openstack", "connection refused", Refusal.UNAVAILABLE))
    assert not asked(scene)
    why = scene.answer(WhyAsked("job", "t0", reply=1)).detail["why"]
    assert any("m1.small" in said and "connection refused" in said for said in why)  # type: ignore[attr-defined]
    scene.turn(FlavorsSeen("openstack", {("cloud", "m1.small"): {"cpus": 1.0, "memory": 2.0**30}}))
    scene.wait(10)
    assert asked(scene) == [("cloud-1",)]


def test_a_flavor_that_the_cloud_does_not_have_is_told_and_does_not_hide_what_can_never_run() -> None:
    no = "there is no flavor 'm1.smal'; there are: m1.small"
    scene = Scene(pools=(cloud_pool(flavors=(Flavor("m1.smal", {}),)),))
    scene.turn(FlavorsSeen("openstack", {}, {("cloud", "m1.smal"): no}))
    scene.push(bag(1))
    said = scene.answer(WhyAsked("job", "t0", reply=1)).detail
    assert said["never"] and any(no in one and "[pools.cloud]" in one for one in said["why"])  # type: ignore[attr-defined]
    assert no in notes(scene)
    assert no in str(scene.answer(TrialAsked("", "u", "ada", reply=1)).detail["error"])
    scene.turn(FlavorsSeen("openstack", {("cloud", "m1.smal"): {"cpus": 1.0, "memory": 2.0**30}}))
    scene.wait(10)
    assert asked(scene) == [("cloud-1",)] and no not in notes(scene)


def test_one_wrong_flavor_beside_a_good_one_is_told_and_the_good_one_is_bought() -> None:
    no = "there is no flavor 'm1.smal'; there are: m1.small"
    scene = Scene(pools=(cloud_pool(flavors=(SMALL, Flavor("m1.smal", {}))),))
    scene.turn(FlavorsSeen("openstack", {}, {("cloud", "m1.smal"): no}))
    scene.push(bag(1))
    scene.wait(10)
    assert asked(scene) == [("cloud-1",)] and no in notes(scene)
    scene.push(bag(1, needs={"cpus": 64.0}), name="huge")
    assert "the largest VM has cpus 1" in str(scene.answer(WhyAsked("huge", "t0", reply=1)).detail["never"])


def test_a_task_that_fits_the_promise_but_not_the_guest_does_not_buy_vms_for_ever(scene: Scene) -> None:
    scene.push(bag(1, needs={"cpus": 1, "memory": 2.0**30}))
    vm = scene.state.vms["cloud-1"]
    sizes.learn(scene.state, vm, {"cpus": 1.0, "memory": 0.97 * 2**30})
    scene.turn(VmCreateFailed("cloud-1", "no"))
    scene.hush()
    scene.wait(300)
    assert not asked(scene)
    assert "No VM of any pool can hold it" in scene.answer(WhyAsked("job", "t0", reply=1)).detail["why"][0]  # type: ignore[index]


# ---- shutting down -------------------------------------------------------------------------------------------------


def test_a_fleet_that_is_shut_down_goes_and_stays_away_until_it_is_opened(scene: Scene) -> None:
    scene.push(bag(2))
    scene.join("cloud-1")
    answer = scene.answer(FleetClosed(now=True, reply=1))
    assert answer.detail["workers"] == ["cloud-1", "cloud-2"]
    assert {effect.vm for effect in scene.hush() if isinstance(effect, DeleteVm)} == {"cloud-1", "cloud-2"}
    for name in ("cloud-1", "cloud-2"):
        scene.turn(VmDeleted(name))
    scene.wait(100)
    assert not asked(scene) and not scene.state.vms
    assert "admin.py open" in notes(scene)
    scene.answer(FleetOpened(reply=1))
    assert asked(scene) == [("cloud-3", "cloud-4")]
