"""Trials: one VM that joins, runs one task and goes; no part of scaling, and never left behind."""

import json
from dataclasses import replace

from boss.core import reactor, trials
from boss.core.effects import CreateVms, DeleteVm, ListServers, ReadConsole
from boss.core.events import (
    BrokerConnected,
    ConsoleRead,
    ResultAccepted,
    Server,
    ServersListed,
    VmCreated,
    VmCreateFailed,
    VmDeleted,
    WorkerSaid,
)
from boss.core.model import Flavor, Policy, Pool, Refusal, Worker, WorkerState
from boss.core.picture import state_of
from boss.core.requests import Answer, ContextSet, FleetClosed, JoinAsked, TrialAsked, TrialStopped
from boss.core.trials import Trial
from tests.core.scene import GIB, Scene, bag, local_pool
from worker.protocol import Assign, Hello
from worker.trust import TrustedKey

OFFERS = {"cpus": 2.0, "memory": 4 * GIB}
CLOUD = Pool("cloud", "openstack", (Flavor("one", OFFERS),), maximum=2, cooldown=30.0, boot_timeout=100.0)


def stage(**changes: object) -> Scene:
    return Scene(**{"pools": (local_pool(), CLOUD), **changes})


def ask(scene: Scene, pool: str = "", flavor: str = "") -> Answer:
    return scene.answer(TrialAsked(pool, f"uid-{scene.now:.0f}", "ada", flavor, reply=1))


def trial(scene: Scene) -> Trial:
    return trials.known(scene.state.context)["cloud"]


def come_up(scene: Scene, vm: str = "cloud-1") -> None:
    """Server, join door, broker."""
    scene.turn(VmCreated(vm, f"server-{vm}"))
    answer = scene.answer(JoinAsked(vm, "key", reply=1))
    assert answer.code == 200, answer
    scene.turn(WorkerSaid(vm, Hello("s1", 1, 0, dict(answer.detail["resources"]), {})))  # type: ignore[call-overload]


def work(scene: Scene, vm: str = "cloud-1") -> None:
    """Its worker runs what it was given, and the datastore accepts the result."""
    [message] = scene.heard(Assign, vm)
    [assignment] = message.attempts  # type: ignore[attr-defined]
    scene.finish(vm, assignment.attempt, files=(("trial.txt", 5, "ab" * 32),))
    scene.turn(ResultAccepted(assignment.attempt))


def deleted(scene: Scene) -> list[str]:
    return [effect.vm for effect in scene.said if isinstance(effect, DeleteVm)]


def test_where_only_signed_work_is_run_a_trial_ends_with_the_join_and_nothing_is_refused_as_unsigned() -> None:
    scene = stage(pools=(local_pool(), replace(CLOUD, signers=(TrustedKey("SHA256:key", "ada"),))))
    ask(scene)
    come_up(scene)
    assert not scene.heard(Assign) and deleted(scene) == ["cloud-1"]
    assert {"accepted", "called", "joined"} <= trial(scene).steps.keys() and "ran" not in trial(scene).steps
    assert trial(scene).worked and (trial(scene).stage, trial(scene).reason) == ("", "")
    assert "runs only what is signed" in trial(scene).unrun and scene.state.unverified[0] == 0


def test_servers_of_two_trials_in_two_clouds_are_looked_at_alike() -> None:
    scene = stage(pools=(CLOUD, replace(CLOUD, name="other", provider="openstack:other")))
    for name in ("cloud", "other"):
        vm = str(ask(scene, name).detail["vm"])
        scene.turn(VmCreated(vm, f"server-{vm}"))
    scene.said.clear()
    scene.wait(6)
    for provider in ("openstack", "openstack:other"):
        assert len([effect for effect in scene.said if effect == ListServers(provider)]) >= 2


def test_a_trial_makes_one_vm_that_joins_runs_one_task_and_is_deleted_with_a_time_for_each_step() -> None:
    scene = stage()
    assert dict(ask(scene).detail) == {"pool": "cloud", "vm": "cloud-1"}
    scene.wait(2)
    scene.turn(VmCreated("cloud-1", "server-cloud-1"))
    scene.wait(4)
    assert len([effect for effect in scene.said if effect == ListServers("openstack")]) >= 2
    scene.turn(ServersListed("openstack", scene.now, (Server("server-cloud-1", "cloud-1", "cloud"),)))
    scene.wait(30)
    answer = scene.answer(JoinAsked("cloud-1", "key", reply=1))
    scene.wait(2)
    scene.turn(WorkerSaid("cloud-1", Hello("s1", 1, 0, dict(answer.detail["resources"]), {})))  # type: ignore[call-overload]
    assert not deleted(scene)
    work(scene)
    assert deleted(scene) == ["cloud-1"] and trial(scene).over is None
    scene.wait(3)
    scene.turn(VmDeleted("cloud-1"))
    done = trial(scene)
    assert tuple(done.steps) == ("accepted", "active", "called", "joined", "ran", "leaving", "deleted")
    assert list(done.steps.values()) == sorted(done.steps.values())
    assert (done.worked, done.reason, done.stage) == (True, "", "") and done.over == done.steps["deleted"]
    assert not scene.state.trials and not scene.state.vms


def test_no_other_task_goes_to_a_trials_vm_and_its_task_goes_to_no_other() -> None:
    scene = stage()
    scene.push(bag(1))
    scene.join("local-1")
    vm = str(ask(scene).detail["vm"])
    scene.push(bag(40), name="more")
    come_up(scene, vm)
    for message in scene.heard(Assign, vm):
        assert [assignment.task for assignment in message.attempts] == ["trial"]  # type: ignore[attr-defined]
    for name in ("local-1", "local-2"):
        for message in scene.heard(Assign, name):
            assert "trial" not in [assignment.task for assignment in message.attempts]  # type: ignore[attr-defined]
    assert scene.states(f"trial-{vm}") == {"trial": "assigned"}


def test_scaling_neither_counts_on_a_trials_vm_nor_buys_for_its_task() -> None:
    scene = stage(pools=(CLOUD,))
    ask(scene)
    scene.hush()
    scene.push(bag(2))
    scene.wait(2)
    bought = [effect for effect in scene.hush() if isinstance(effect, CreateVms)]
    assert [effect.vms for effect in bought] == [("cloud-2",)]  # the tasks need one of their own
    come_up(scene)
    scene.wait(60)
    assert not [effect for effect in scene.hush() if isinstance(effect, CreateVms)]


def test_a_trial_keeps_no_minimum_and_counts_against_the_maximum() -> None:
    one = Pool("cloud", "openstack", (Flavor("one", OFFERS),), minimum=1, maximum=2, cooldown=30.0)
    scene = stage(pools=(one,))
    scene.wait(1)
    assert list(scene.state.vms) == ["cloud-1"]
    assert ask(scene).code == 200
    scene.wait(2)
    assert list(scene.state.vms) == ["cloud-1", "cloud-2"]
    full = stage(pools=(Pool("cloud", "openstack", (Flavor("one", OFFERS),), minimum=1, maximum=1),))
    full.wait(1)
    assert "has its maximum of 1" in str(ask(full).detail["error"])


def test_what_cannot_be_tried_is_refused_with_what_could_be() -> None:
    scene = stage()
    assert ask(scene, "local").detail["error"] == "there is no pool of VMs named 'local'; there are: cloud"
    assert ask(scene, "cloud", "two").detail["error"] == "pool cloud has no flavor 'two'; it has: one"
    ask(scene)
    assert ask(scene).detail["error"] == "pool cloud is being tried already, with cloud-1"
    assert (
        Scene().answer(TrialAsked("", "u", "ada", reply=1)).detail["error"] == "no pool of the settings has VMs; there are: none"
    )
    unknown = stage(pools=(Pool("cloud", "openstack", (Flavor("one", {}),)),))
    assert "has not said what one of pool cloud offers" in str(ask(unknown).detail["error"])
    closed = stage()
    closed.answer(FleetClosed(reply=1))
    assert "the fleet is shut down" in str(ask(closed).detail["error"])


def test_a_refused_create_call_ends_the_trial_with_the_clouds_reason() -> None:
    scene = stage()
    ask(scene)
    scene.turn(VmCreateFailed("cloud-1", "cores: 8 asked for, 4 of 6 used", kind=Refusal.QUOTA))
    done = trial(scene)
    assert (done.stage, done.reason, done.worked) == ("accepted", "cores: 8 asked for, 4 of 6 used", False)
    assert done.over is not None and "quota" in trials.where_to_look(done)


def test_a_vm_that_is_never_heard_is_deleted_with_its_console_read_and_the_way_to_the_boss_named() -> None:
    scene = stage()
    ask(scene)
    scene.turn(
        VmCreated("cloud-1", "server-cloud-1"),
        ServersListed("openstack", scene.now, (Server("server-cloud-1", "cloud-1", "cloud"),)),
    )
    scene.wait(105)
    assert [effect for effect in scene.said if isinstance(effect, ReadConsole)]
    scene.turn(ConsoleRead("cloud-1", "no route to host"))
    assert deleted(scene) == ["cloud-1"]
    scene.turn(VmDeleted("cloud-1"))
    done = trial(scene)
    assert (
        done.stage == "called"
        and done.reason.startswith("its worker was not heard within 10")
        and "no route to host" in done.reason
    )
    assert "10.1.1.1 at [vms] join_port" in trials.where_to_look(done, "10.1.1.1")


def test_a_server_that_ends_in_error_is_told_apart_from_one_that_does_not_call() -> None:
    scene = stage()
    ask(scene)
    broken = Server("server-cloud-1", "cloud-1", "cloud", "ERROR", reason="No valid host was found")
    scene.turn(VmCreated("cloud-1", "server-cloud-1"), ServersListed("openstack", scene.now, (broken,)))
    assert deleted(scene) == ["cloud-1"]
    assert (trial(scene).stage, trial(scene).reason) == ("active", "the cloud says ERROR: No valid host was found")


def test_one_that_has_called_and_does_not_speak_over_the_broker_points_at_the_broker() -> None:
    scene = stage()
    ask(scene)
    scene.turn(VmCreated("cloud-1", "server-cloud-1"))
    scene.answer(JoinAsked("cloud-1", "key", reply=1))
    scene.wait(130)
    assert trial(scene).stage == "joined" and "broker_port" in trials.where_to_look(trial(scene))


def test_a_task_that_fails_or_does_not_end_fails_the_trial_and_the_vm_goes() -> None:
    for end in ("failed", "never"):
        scene = stage()
        ask(scene)
        come_up(scene)
        [message] = scene.heard(Assign, "cloud-1")
        attempt = message.attempts[0].attempt  # type: ignore[attr-defined]
        if end == "failed":
            scene.finish("cloud-1", attempt, "failed", phase="run", reason="exit code 1")
            assert trial(scene).reason == "its task did not succeed: run: exit code 1"
        else:
            for _ in range(200):
                scene.wait(1)
                if scene.state.vms["cloud-1"].state == "joined":
                    scene.beat("cloud-1")
            assert trial(scene).reason.startswith("its task did not end within 180 s")
        assert deleted(scene)[0] == "cloud-1" and trial(scene).stage == "ran"
        scene.turn(VmDeleted("cloud-1"))
        job = scene.state.job_named("trial-cloud-1")
        assert job is not None and job.finished is not None


def test_a_trial_that_is_stopped_is_over_when_its_vm_is_gone() -> None:
    scene = stage()
    assert scene.answer(TrialStopped("cloud", reply=1)).code == 404
    ask(scene)
    come_up(scene)
    scene.answer(TrialStopped("cloud", reply=1))
    assert deleted(scene) == ["cloud-1"] and trial(scene).reason == "it was stopped by hand"
    scene.turn(VmDeleted("cloud-1"))
    assert trial(scene).over is not None and scene.states("trial-cloud-1") == {"trial": "cancelled"}
    assert ask(scene).code == 200


def test_a_boss_that_is_started_again_in_the_middle_brings_the_trial_to_its_end() -> None:
    scene = stage()
    ask(scene)
    come_up(scene)
    old, policy = scene.state, Policy(pools=scene.state.policy.pools, heartbeat=2.0)
    worker = Worker(
        "cloud-1", "cloud", WorkerState.ONLINE, resources=old.workers["cloud-1"].resources, session="s1"
    )  # as it is stored
    scene.state = state_of(policy, 2, old.context, old.jobs.values(), [worker], old.vms.values())
    scene.said.clear()
    scene.said += reactor.resume(scene.state, scene.now)
    scene.turn(BrokerConnected())
    scene.push(bag(4), name="other")
    offers = dict(CLOUD.flavors[0].resources) | {"trial": 1.0}
    scene.turn(WorkerSaid("cloud-1", Hello("s1", 1, 1, offers, {})))
    work(scene)
    scene.turn(VmDeleted("cloud-1"))
    assert trial(scene).worked and trial(scene).over is not None


def test_a_trials_vm_whose_fact_was_dropped_is_deleted() -> None:
    scene = stage()
    ask(scene)
    come_up(scene)
    scene.turn(ContextSet({"trial:cloud": None}))
    assert deleted(scene) == ["cloud-1"] and not scene.state.trials


def test_a_trial_whose_vm_is_gone_when_the_boss_comes_back_is_over() -> None:
    scene = stage()
    ask(scene)
    scene.state = state_of(scene.state.policy, 2, scene.state.context, [], [], [])
    scene.turn(BrokerConnected())
    assert trial(scene).over is not None and "started again" in trial(scene).reason
    assert json.loads(scene.state.context["trial:cloud"])["vm"] == "cloud-1"
