"""The core's conversations: a push, workers, results, and everything that goes wrong in between."""

from boss.core import fleet
from boss.core.effects import AcceptResult, CreateVms, DeleteVm, ReadRecord, RejectResult
from boss.core.events import (
    BrokerConnected,
    RecordRead,
    ResultAccepted,
    ResultRefused,
    Server,
    ServersListed,
    VmDeleted,
    WorkerSaid,
    WorkerStatusSeen,
)
from boss.core.model import FileRef, InputSpec, OutputSpec, TaskSpec, Template, WorkerState
from boss.core.requests import FailedRetried, JobPaused, JobResumed, TasksCancelled, TasksRedone, WorkersDrained
from tests.core.scene import Scene, bag, chain, local_pool
from worker.protocol import Cancel, Drain, Goodbye, Hello, Recall, Recalled, Result, Results, Resync

FILES = (("out.txt", 3, "ab" * 32),)


def with_worker(**changes: object) -> Scene:
    """A scene in which a bag of one task has brought up worker local-1, and is done."""
    scene = Scene(**changes)
    scene.push(bag(1), "first")
    scene.join("local-1")
    scene.finish("local-1", scene.dealt()[0].attempt)
    scene.hush()
    return scene


def test_a_push_brings_up_a_vm_and_its_worker_gets_the_task() -> None:
    scene = Scene()
    scene.push(bag(1))
    assert [(e.vms, e.flavor) for e in scene.hush() if isinstance(e, CreateVms)] == [(("local-1",), "local.1")]
    scene.join("local-1")
    (assignment,) = scene.dealt("local-1")
    assert assignment.attempt == "u1.0.1"
    assert assignment.commands == ("true",)
    scene.start("local-1", "u1.0.1")
    assert scene.states() == {"t0": "running"}
    scene.finish("local-1", "u1.0.1")
    assert scene.states() == {"t0": "succeeded"}
    assert scene.acknowledged() == ["u1.0.1"]
    assert scene.state.jobs["u1"].finished is not None


def test_no_more_vms_than_the_limit_and_the_tasks_share_them() -> None:
    scene = Scene()
    scene.push(bag(10))
    assert [len(e.vms) for e in scene.hush() if isinstance(e, CreateVms)] == [2]
    scene.wait(5)
    assert not [e for e in scene.hush() if isinstance(e, CreateVms)]


def test_a_chain_runs_in_order() -> None:
    scene = Scene()
    scene.push(chain("a", "b", "c"))
    scene.join("local-1")
    for name, attempt in (("a", "u1.0.1"), ("b", "u1.1.1"), ("c", "u1.2.1")):
        assert scene.states()[name] == "assigned"
        scene.finish("local-1", attempt)
    assert set(scene.states().values()) == {"succeeded"}


def test_a_failure_skips_what_waited_and_keeps_the_cause() -> None:
    scene = Scene()
    scene.push(chain("a", "b", "c"))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", "failed", phase="run", exit_code=3, reason="exit code 3")
    assert scene.states() == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert scene.task("b").reason == "a failed: exit code 3"
    assert (scene.task("a").phase, scene.task("a").exit_code) == ("run", 3)


def test_retries_come_after_a_delay_and_run_out() -> None:
    scene = Scene()
    scene.push(bag(1, retries=1))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", "failed", phase="run")
    assert scene.states() == {"t0": "delayed"}
    assert scene.task("t0").not_before > scene.now
    for _ in range(4):
        scene.wait(1)
        scene.beat("local-1")
    assert scene.states() == {"t0": "assigned"}
    scene.finish("local-1", "u1.0.2", "failed", phase="run")
    assert scene.states() == {"t0": "failed"}


def test_outputs_are_accepted_before_success_and_before_the_acknowledgement() -> None:
    scene = Scene()
    scene.push(bag(1, outputs=(OutputSpec("out.txt"),)))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", files=FILES)
    assert scene.states() == {"t0": "promoting"}
    assert [e for e in scene.hush() if isinstance(e, AcceptResult)] == [AcceptResult("u1.0.1", "job", FILES)]
    assert scene.acknowledged() == []
    scene.finish("local-1", "u1.0.1", files=FILES)  # said again: nothing happens
    assert scene.hush() == []
    scene.turn(ResultAccepted("u1.0.1"))
    assert scene.states() == {"t0": "succeeded"}
    assert scene.acknowledged() == ["u1.0.1"]


def test_a_refused_upload_is_run_again_without_using_up_retries() -> None:
    scene = Scene()
    scene.push(bag(1, outputs=(OutputSpec("out.txt"),)))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", files=FILES)
    scene.turn(ResultRefused("u1.0.1", "no such upload"))
    assert scene.states() == {"t0": "delayed"}
    assert (scene.task("t0").failures, scene.task("t0").losses) == (0, 1)


def test_a_manifest_too_long_for_a_message_is_read_from_the_record() -> None:
    scene = Scene()
    scene.push(bag(1, outputs=(OutputSpec("out/"),)))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", files=None)
    assert ReadRecord("u1.0.1") in scene.hush()
    scene.turn(RecordRead("u1.0.1", Result("u1.0.1", "succeeded", exit_code=0, files=FILES)))
    assert scene.states() == {"t0": "promoting"}


def test_a_repeated_result_of_a_finished_attempt_is_acknowledged_and_changes_nothing() -> None:
    scene = Scene()
    scene.push(chain("a", "b"))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1")
    scene.hush()
    scene.finish("local-1", "u1.0.1")
    assert scene.acknowledged() == ["u1.0.1"]
    assert scene.states() == {"a": "succeeded", "b": "assigned"}


def test_a_lost_workers_attempts_run_elsewhere_and_its_late_result_is_dropped() -> None:
    scene = Scene(pools=(local_pool(cooldown=1000.0),))
    scene.push(bag(2, outputs=(OutputSpec("out.txt"),)))
    scene.join("local-1")
    scene.join("local-2")
    assert [a.attempt for a in scene.dealt("local-1")] == ["u1.0.1"]
    scene.finish("local-2", "u1.1.1", files=FILES)
    scene.turn(ResultAccepted("u1.1.1"))
    for _ in range(17):
        scene.wait(1)
        scene.beat("local-2")
    assert scene.task("t0").worker == "local-2"
    assert scene.task("t0").number == 2
    scene.hush()
    scene.finish("local-1", "u1.0.1", files=FILES)
    assert scene.task("t0").attempt.id == "u1.0.2"  # type: ignore[union-attr]
    assert RejectResult("u1.0.1") in scene.said
    assert "u1.0.1" in scene.acknowledged()
    scene.finish("local-2", "u1.0.2", files=FILES)
    scene.turn(ResultAccepted("u1.0.2"))
    assert scene.states() == {"t0": "succeeded", "t1": "succeeded"}
    assert scene.task("t0").failures == 0


def test_an_offline_worker_gets_nothing_new_and_keeps_what_it_has() -> None:
    scene = with_worker()
    scene.push(bag(1))
    scene.turn(WorkerStatusSeen("local-1", False))
    assert scene.state.workers["local-1"].state is WorkerState.OFFLINE
    assert scene.states() == {"t0": "assigned"}
    scene.hush()
    scene.push(bag(1), "more")
    assert scene.dealt("local-1") == []


def test_a_worker_that_comes_back_before_the_next_attempt_is_adopted() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.join("local-1")
    scene.start("local-1", "u1.0.1")
    scene.turn(JobPaused("job"))  # so that the next attempt is not dealt at once
    scene.wait(14)
    assert scene.states() == {"t0": "running"}
    fleet.lose_worker(scene.state, scene.state.workers["local-1"], "silence", scene.now)
    assert scene.states() == {"t0": "ready"}
    scene.beat("local-1", {"u1.0.1": "running"})
    assert scene.states() == {"t0": "running"}
    assert scene.task("t0").losses == 0


def test_a_restarted_worker_process_loses_what_it_held() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.join("local-1", "s1")
    scene.join("local-1", "s2")
    assert scene.task("t0").number == 2
    assert scene.task("t0").losses == 1
    assert scene.states() == {"t0": "assigned"}


def test_a_restarted_worker_keeps_what_lies_in_its_spool() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.join("local-1", "s1")
    scene.join("local-1", "s2", {"u1.0.1": "finished"})
    scene.finish("local-1", "u1.0.1")
    assert scene.states() == {"t0": "succeeded"}
    assert scene.task("t0").number == 1


def test_a_reconnected_worker_gets_again_what_it_never_received() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.join("local-1")
    scene.hush()
    scene.turn(WorkerSaid("local-1", Hello("s1", 1, 0, {"cpus": 1}, {})))
    assert [a.attempt for a in scene.dealt()] == ["u1.0.1"]
    assert scene.task("t0").number == 1


def test_a_heartbeat_that_misses_an_old_assignment_gives_it_up() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.join("local-1")
    scene.beat("local-1", {}, seq=0)
    assert scene.task("t0").number == 1  # the message may still be on its way
    scene.beat("local-1", {})
    assert scene.task("t0").number == 2


def test_an_attempt_that_waits_too_long_on_a_worker_is_asked_back() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.join("local-1")
    scene.now += 3
    scene.beat("local-1")
    assert scene.heard(Recall) == [Recall(1, scene.state.workers["local-1"].sent, ("u1.0.1",))]
    scene.turn(WorkerSaid("local-1", Recalled("s1", ("u1.0.1",))))
    assert scene.task("t0").number == 2


def test_reconnecting_asks_every_worker_what_it_holds() -> None:
    scene = with_worker()
    scene.turn(BrokerConnected())
    assert len(scene.heard(Resync, "local-1")) == 1


def test_a_cancelled_task_is_killed_and_its_result_dropped() -> None:
    scene = Scene()
    scene.push(chain("a", "b"))
    scene.join("local-1")
    scene.start("local-1", "u1.0.1")
    assert scene.answer(TasksCancelled("job", "*", 1)).code == 200
    assert scene.states() == {"a": "cancelled", "b": "cancelled"}
    assert scene.heard(Cancel)[0].attempts == ("u1.0.1",)  # type: ignore[attr-defined]
    assert scene.state.workers["local-1"].held  # its slot is not free before the worker says so
    scene.finish("local-1", "u1.0.1", "cancelled")
    assert not scene.state.workers["local-1"].held
    assert scene.states() == {"a": "cancelled", "b": "cancelled"}


def test_a_cancel_comes_too_late_for_what_is_being_accepted() -> None:
    scene = Scene()
    scene.push(bag(1, outputs=(OutputSpec("out.txt"),)))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", files=FILES)
    answer = scene.answer(TasksCancelled("job", "*", 1))
    assert (answer.detail["cancelled"], answer.detail["accepting"]) == (0, 1)
    scene.turn(ResultAccepted("u1.0.1"))
    assert scene.states() == {"t0": "succeeded"}


def test_a_paused_job_deals_nothing_new_until_it_is_resumed() -> None:
    scene = with_worker()
    scene.push(bag(1), "later")
    scene.finish("local-1", "u2.0.1")
    scene.push(chain("a", "b"))
    scene.turn(JobPaused("job"))
    scene.finish("local-1", "u3.0.1")
    assert scene.states() == {"a": "succeeded", "b": "ready"}
    scene.turn(JobResumed("job"))
    assert scene.states()["b"] == "assigned"


def test_redo_runs_a_finished_task_again_and_refuses_while_a_descendant_is_active() -> None:
    scene = with_worker()
    scene.push(chain("a", "b"))
    scene.finish("local-1", "u2.0.1")
    answer = scene.answer(TasksRedone("job", "a", 1))
    assert answer.code == 409
    assert "b depends on a" in str(answer.detail["error"])
    scene.finish("local-1", "u2.1.1")
    assert scene.answer(TasksRedone("job", "a", 1)).code == 200
    assert scene.states() == {"a": "assigned", "b": "succeeded"}
    scene.finish("local-1", "u2.0.1")  # a late repeat of the old attempt must not finish the new one
    assert scene.states()["a"] == "assigned"
    scene.finish("local-1", "u2.0.2")
    assert scene.states() == {"a": "succeeded", "b": "succeeded"}


def test_a_late_repeat_of_the_old_attempt_does_not_finish_a_redone_task_that_waits() -> None:
    scene = with_worker()
    scene.push(bag(1))
    scene.finish("local-1", "u2.0.1")
    scene.push(bag(1), "busy")
    scene.turn(TasksRedone("job", "t0"))
    assert scene.states() == {"t0": "ready"}
    scene.finish("local-1", "u2.0.1")
    assert scene.states()["t0"] != "succeeded"


def test_retrying_failures_opens_what_was_skipped() -> None:
    scene = with_worker()
    scene.push(chain("a", "b", "c"))
    scene.finish("local-1", "u2.0.1", "failed", phase="run")
    assert scene.answer(FailedRetried("job", "*", 1)).detail["retried"] == 1
    assert scene.states() == {"a": "assigned", "b": "waiting", "c": "waiting"}


def test_an_unknown_target_changes_nothing_and_says_so() -> None:
    scene = with_worker()
    scene.push(bag(1))
    assert scene.answer(TasksCancelled("nope", "*", 1)).code == 404
    assert scene.answer(TasksCancelled("job", "x*", 1)).code == 404
    assert scene.states() == {"t0": "assigned"}


def test_an_idle_worker_is_drained_after_its_cooldown_and_its_vm_deleted() -> None:
    scene = with_worker()
    for _ in range(12):
        scene.wait(1)
        scene.beat("local-1")
    assert scene.heard(Drain, "local-1")
    scene.turn(WorkerSaid("local-1", Goodbye("s1")))
    assert [e.vm for e in scene.hush() if isinstance(e, DeleteVm)] == ["local-1"]
    scene.turn(VmDeleted("local-1"))
    assert scene.state.vms == {}


def test_a_busy_worker_is_never_scaled_down() -> None:
    scene = with_worker()
    scene.push(bag(1))
    for _ in range(60):
        scene.wait(1)
        scene.start("local-1", "u2.0.1")
        scene.beat("local-1")
    assert not scene.heard(Drain)
    assert scene.states() == {"t0": "running"}


def test_a_draining_worker_gets_nothing_new() -> None:
    scene = with_worker()
    scene.turn(WorkersDrained(("local-1",)))
    scene.hush()
    scene.push(bag(1))
    assert scene.dealt("local-1") == []


def test_a_vm_that_vanishes_gives_its_attempts_back_at_once() -> None:
    scene = with_worker()
    scene.push(bag(1))
    scene.now += 5
    scene.turn(ServersListed("local", scene.now, ()))
    assert scene.task("t0").state == "ready"
    assert scene.task("t0").losses == 1
    assert [e.vms for e in scene.hush() if isinstance(e, CreateVms)] == [("local-2",)]


def test_a_vm_that_never_joins_is_deleted_and_its_pool_backs_off() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.hush()
    scene.wait(125)
    assert [e.vm for e in scene.hush() if isinstance(e, DeleteVm)][:1] == ["local-1"]
    assert scene.state.health["local", ""].bursts == 1


def test_a_server_that_no_claim_knows_is_deleted_after_a_grace() -> None:
    scene = with_worker()
    stray = Server("77", "local-9", "local")
    known = Server("server-local-1", "local-1", "local")
    scene.turn(ServersListed("local", scene.now, (stray, known)))
    assert scene.hush() == []
    scene.now += 61
    scene.turn(ServersListed("local", scene.now, (stray, known)))
    assert [e.server for e in scene.hush() if isinstance(e, DeleteVm)] == ["77"]


def test_a_second_server_of_a_living_claim_goes_by_itself_and_the_claim_keeps_what_is_its_own() -> None:
    scene = with_worker()
    second, own = Server("77", "local-1", "local"), Server("server-local-1", "local-1", "local")
    scene.turn(ServersListed("local", scene.now, (second, own)))
    scene.now += 61
    scene.turn(ServersListed("local", scene.now, (second, own)))
    assert [e for e in scene.hush() if isinstance(e, DeleteVm)] == [DeleteVm("", "local", "77")]
    scene.turn(VmDeleted(""))
    assert scene.state.vms["local-1"].server == "server-local-1" and scene.state.workers["local-1"].state is WorkerState.ONLINE


def test_a_stranger_is_told_to_stop_and_its_results_are_acknowledged() -> None:
    scene = Scene()
    scene.turn(WorkerSaid("nobody", Hello("s", 1, 4, {"cpus": 1}, {"u9.0.1": "running"})))
    assert scene.heard(Cancel)[0].attempts == ("u9.0.1",)  # type: ignore[attr-defined]
    scene.turn(WorkerSaid("nobody", Results("s", (Result("u9.0.1", "succeeded"),))))
    assert scene.acknowledged() == ["u9.0.1"]


def test_init_runs_once_on_each_worker_before_the_jobs_other_tasks() -> None:
    templates = (Template(0, "prepare", ("make",), init=True), Template(1, "t", ("true",)))
    scene = Scene()
    scene.push((templates, (TaskSpec(0, "prepare", 0), TaskSpec(1, "a", 1), TaskSpec(2, "b", 1))))
    scene.join("local-1")
    assert [(a.task, a.init) for a in scene.dealt("local-1")] == [("prepare", True)]
    scene.finish("local-1", "u1.0.1")
    assert [a.task for a in scene.dealt("local-1")] == ["prepare", "a"]
    scene.join("local-2")
    assert [a.task for a in scene.dealt("local-2")] == ["prepare"]
    scene.finish("local-2", "u1.0.2")
    scene.finish("local-1", "u1.1.1")
    scene.finish("local-2", "u1.2.1")
    assert set(scene.states().values()) == {"succeeded"}


def test_a_worker_whose_init_fails_is_not_used_for_that_job_only() -> None:
    templates = (Template(0, "prepare", ("make",), init=True), Template(1, "t", ("true",)))
    scene = with_worker()
    scene.push((templates, (TaskSpec(0, "prepare", 0), TaskSpec(1, "a", 1))))
    scene.finish("local-1", "u2.0.1", "failed", phase="run", reason="no compiler")
    assert "u2.1.1" not in [a.attempt for a in scene.dealt("local-1")]
    assert scene.states()["a"] == "ready"
    scene.push(bag(1), "other")
    assert [a.job for a in scene.dealt("local-1")][-1] == "other"


def ran(scene: Scene, seconds: float, name: str) -> None:
    """A job of many tasks whose first one has run so long."""
    scene.push(bag(41), name)
    result = Result("u2.0.1", "succeeded", exit_code=0, started=scene.now, finished=scene.now + seconds)
    scene.hush()
    scene.turn(WorkerSaid("local-1", Results("s1", (result,))))


def test_a_short_task_is_dealt_ahead() -> None:
    scene = with_worker()
    ran(scene, 0.01, "short")
    assert len(scene.dealt("local-1")) > 10


def test_a_long_task_is_not_dealt_ahead() -> None:
    scene = with_worker()
    ran(scene, 60.0, "long")
    assert len(scene.dealt("local-1")) == 1


def test_what_had_to_be_asked_back_is_not_dealt_ahead_again() -> None:
    scene = with_worker()
    ran(scene, 0.01, "short")
    first, *others = [assignment.attempt for assignment in scene.dealt("local-1")]
    scene.start("local-1", first)
    scene.now += 5
    scene.hush()
    scene.turn(WorkerSaid("local-1", Recalled("s1", tuple(others))))
    assert scene.dealt("local-1") == []


def test_owners_of_equal_priority_take_turns() -> None:
    scene = Scene()
    scene.push(bag(50), "many", "ada")
    scene.push(bag(2), "few", "ben")
    scene.join("local-1")
    scene.join("local-2")
    assert sorted(a.job for a in scene.dealt()) == ["few", "many"]


def test_the_tasks_own_input_files_are_sent_by_digest() -> None:
    scene = Scene()
    rows = bag(1, inputs=(InputSpec("sim.py"), InputSpec("old.csv")))
    scene.push(rows, files={"sim.py": FileRef("cd" * 32, 10, 0o755)})
    scene.join("local-1")
    (assignment,) = scene.dealt()
    assert assignment.inputs[0] == ("sim.py", "", "cd" * 32, 0o755)
    assert assignment.inputs[1].digest == ""
