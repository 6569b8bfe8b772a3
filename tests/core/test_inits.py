"""Init tasks: when they fail for ever, when nobody needs them any more, and when they are replaced."""

from boss.core import reactor
from boss.core.effects import CreateVms, DeleteVm
from boss.core.events import VmDeleted, WorkerSaid
from boss.core.explain import why
from boss.core.model import Flavor, Job, Pool, TaskSpec, Template
from boss.core.requests import JobExtended, JobPaused, JobResumed, TasksCancelled, TasksRedone, WorkersWanted
from tests.core.scene import GIB, Scene, local_pool
from worker.protocol import Assign, Cancel, Result, Results

TEMPLATES = (Template(0, "prepare", ("make",), init=True), Template(1, "t", ("true",)))
SPECS = (TaskSpec(0, "prepare", 0), TaskSpec(1, "a", 1), TaskSpec(2, "b", 1))


def prepared() -> tuple[Scene, Job]:
    """A job whose init has succeeded on local-1, which runs its task a; local-2 is coming."""
    scene = Scene()
    job = scene.push((TEMPLATES, SPECS))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1")
    return scene, job


def fail_all(scene: Scene, rounds: int, **fields: object) -> int:
    """Let every init attempt fail as soon as it is dealt, and every VM join; how many failed."""
    failed = 0
    for _ in range(rounds):
        for effect in scene.hush():
            if isinstance(effect, CreateVms):
                for vm in effect.vms:
                    scene.join(vm)
            elif isinstance(effect, DeleteVm):
                scene.turn(VmDeleted(effect.vm))
        for worker in list(scene.state.workers.values()):
            for name in [name for name, attempt in worker.held.items() if attempt.init]:
                scene.finish(worker.id, name, "failed", **fields)
                failed += 1
            if worker.resources and worker.id in scene.state.vms:
                scene.beat(worker.id)
        scene.wait(1)
    return failed


def test_an_init_that_fails_on_one_worker_after_the_other_pauses_the_job_on_a_small_pool_too() -> None:
    scene = Scene()
    job = scene.push((TEMPLATES, SPECS))
    fail_all(scene, 120, phase="run", reason="no compiler")
    assert job.wanted == "pause"
    assert "init task prepare failed" in job.reason
    assert "no compiler" in job.reason
    assert scene.task("prepare").number <= 4  # two workers may try at the same time
    scene.turn(JobResumed("job"))
    assert job.wanted == "run"
    assert scene.task("prepare").failures == 0


def test_an_init_that_no_worker_can_hold_is_not_dealt_for_ever() -> None:
    scene = Scene()
    job = scene.push((TEMPLATES, SPECS))
    failed = fail_all(scene, 60, phase="infrastructure", reason="needs 8 cpus, this worker has 1")
    assert failed <= scene.state.policy.infrastructure_budget + 1
    assert job.wanted == "pause"
    assert "needs 8 cpus" in job.reason


def test_an_init_that_succeeds_forgives_earlier_failures() -> None:
    scene, _ = prepared()
    scene.task("prepare").failures = 2
    scene.join("local-2")
    scene.finish("local-2", "u1.0.2")
    assert scene.task("prepare").failures == 0


def test_a_cancelled_jobs_inits_are_ended_too() -> None:
    scene, _ = prepared()
    scene.join("local-2")
    assert "u1.0.2" in scene.state.workers["local-2"].held
    scene.turn(TasksCancelled("job"))
    assert ("u1.0.2",) in [message.attempts for message in scene.heard(Cancel, "local-2")]  # type: ignore[attr-defined]
    scene.finish("local-2", "u1.0.2", "cancelled")
    assert not scene.state.workers["local-2"].held
    assert scene.states()["a"] == "cancelled"


def test_an_init_that_nobody_needs_any_more_is_ended() -> None:
    scene, job = prepared()
    scene.join("local-2")
    scene.finish("local-1", "u1.1.1")
    scene.finish("local-1", "u1.2.1")
    assert job.finished is not None
    assert ("u1.0.2",) in [message.attempts for message in scene.heard(Cancel, "local-2")]  # type: ignore[attr-defined]


def test_a_task_that_becomes_an_init_by_replacement_is_run_as_one() -> None:
    scene, job = prepared()
    scene.finish("local-1", "u1.1.1")
    scene.finish("local-1", "u1.2.1")
    templates = (Template(2, "a", ("make more",), init=True), Template(3, "t", ("true",)))
    scene.turn(JobExtended(job.uid, 3, templates, (TaskSpec(1, "a", 2), TaskSpec(3, "c", 3)), {}, "s9"))
    assert [(a.task, a.init) for a in scene.dealt("local-1")][-1] == ("a", True)
    scene.finish("local-1", "u1.1.2")
    assert [a.task for a in scene.dealt("local-1")][-1] == "c"
    scene.finish("local-1", "u1.3.1")
    assert job.finished is not None


def test_an_init_that_becomes_a_plain_task_by_replacement_holds_nobody_up() -> None:
    scene, job = prepared()
    scene.finish("local-1", "u1.1.1")
    scene.finish("local-1", "u1.2.1")
    scene.turn(JobExtended(job.uid, 3, (Template(2, "prepare", ("echo",)),), (TaskSpec(0, "prepare", 2),), {}, "s9"))
    assert [(a.task, a.init) for a in scene.dealt("local-1")][-1] == ("prepare", False)
    scene.finish("local-1", "u1.0.2")
    assert job.finished is not None


def test_a_replaced_init_runs_again_on_prepared_workers() -> None:
    scene, job = prepared()
    scene.finish("local-1", "u1.1.1")
    scene.finish("local-1", "u1.2.1")
    templates = (Template(2, "prepare", ("make clean",), init=True), Template(3, "t", ("true",)))
    scene.turn(JobExtended(job.uid, 3, templates, (TaskSpec(0, "prepare", 2), TaskSpec(3, "c", 3)), {}, "s9"))
    assert scene.dealt("local-1")[-1].commands == ("make clean",)


def test_a_redone_init_runs_again_where_the_job_still_has_tasks() -> None:
    scene, _ = prepared()
    scene.turn(TasksRedone("job", "prepare"))
    scene.finish("local-1", "u1.1.1")
    assert scene.dealt("local-1")[-1].task == "prepare"


OTHERS = ((Template(0, "o", ("true",)),), tuple(TaskSpec(index, f"o{index}", 0) for index in range(4)))


def crowded() -> Scene:
    """A pool of one VM with four cpus."""
    big = Flavor("local.4", {"cpus": 4, "memory": 16 * GIB})
    return Scene(pools=(Pool("local", "local", (big,), maximum=1, limits={"cpus": 4}, cooldown=10.0),))


def test_other_jobs_use_the_room_of_a_worker_while_an_init_runs_there() -> None:
    scene = crowded()
    scene.push((TEMPLATES, SPECS))
    scene.push(OTHERS, name="others", owner="ben")
    scene.join("local-1")
    given = sorted((assignment.job, assignment.init) for assignment in scene.dealt("local-1"))
    assert given == [("job", True), ("others", False), ("others", False), ("others", False)]
    assert len(scene.heard(Assign, "local-1")) == 1


def test_a_job_that_comes_while_an_init_runs_gets_the_rest_of_the_worker() -> None:
    scene = crowded()
    scene.push((TEMPLATES, SPECS))
    scene.join("local-1")
    scene.hush()
    scene.push(OTHERS, name="others")
    assert [a.job for a in scene.dealt("local-1")] == ["others"] * 3
    scene.hush()
    scene.finish("local-1", "u1.0.1")
    assert sorted(a.job for a in scene.dealt("local-1")) == ["job"]


def test_a_preparation_buys_no_further_vm_for_tasks_that_will_have_room_after_it() -> None:
    scene = Scene(pools=(Pool("local", "local", (Flavor("f", {"cpus": 4, "memory": 16 * GIB}),), maximum=4),))
    scene.push((TEMPLATES, SPECS))
    scene.join("local-1")
    scene.wait(3)
    assert list(scene.state.vms) == ["local-1"]


def test_tasks_follow_their_init_at_once_when_the_worker_has_room() -> None:
    scene, _ = prepared()
    assert [(a.task, a.init) for a in scene.dealt("local-1")] == [("prepare", True), ("a", False)]


def test_a_failed_init_bars_its_worker_for_its_own_job_only() -> None:
    scene = Scene()
    job = scene.push((TEMPLATES, SPECS))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", "failed", phase="run", reason="no compiler")
    scene.hush()
    scene.push(OTHERS, name="others")
    scene.beat("local-1")
    assert {a.job for a in scene.dealt("local-1")} == {"others"}
    assert scene.state.workers["local-1"].barred == {job.uid}
    assert job.wanted == "run"


def test_a_failed_init_that_is_told_twice_counts_once() -> None:
    scene = Scene()
    scene.push((TEMPLATES, SPECS))
    scene.join("local-1")
    for _ in range(3):
        scene.finish("local-1", "u1.0.1", "failed", phase="run", reason="no compiler")
    assert scene.task("prepare").failures == 1
    assert scene.state.jobs["u1"].wanted == "run"


def test_a_loss_at_an_init_that_is_told_twice_counts_once_against_the_worker() -> None:
    scene = Scene()
    scene.push((TEMPLATES, SPECS))
    worker = scene.join("local-1")
    for _ in range(3):
        scene.finish("local-1", "u1.0.1", "failed", phase="infrastructure", reason="no folder")
    assert (scene.task("prepare").losses, worker.failures_in_a_row) == (1, 1)


def test_three_barred_workers_pause_the_job_although_inits_succeed_elsewhere() -> None:
    scene = Scene(pools=(local_pool(8),))
    job = scene.push((TEMPLATES, tuple(TaskSpec(index, f"t{index}", 1 if index else 0) for index in range(40))))
    scene.turn(WorkersWanted(4, "local", 0.0, 0))
    for vm in list(scene.state.vms):
        scene.join(vm)
    inits = [(worker.id, name) for worker in scene.state.workers.values() for name, one in worker.held.items() if one.init]
    for number, (worker, name) in enumerate(inits[:5]):
        assert job.wanted == "run"
        scene.finish(worker, name, "succeeded" if number % 2 else "failed", phase="run", reason="no compiler")
    assert job.wanted == "pause"
    assert "3 workers are barred" in job.reason and "no compiler" in job.reason


def test_why_says_that_the_job_is_paused_where_its_init_wrote_and_how_it_goes_on() -> None:
    scene = Scene()
    scene.push((TEMPLATES, SPECS))
    fail_all(scene, 120, phase="run", reason="no compiler")
    for name in ("a", "prepare"):
        said = why(scene.state, scene.task(name), scene.now)
        assert "paused (init task prepare failed 3 times in a row" in said[0]
        assert "admin.py logs job:prepare" in said[1]
        assert "admin.py resume job" in said[-1]


def test_why_names_the_workers_that_are_being_prepared() -> None:
    scene = Scene()
    scene.push((TEMPLATES, SPECS))
    scene.join("local-1")
    assert "The job's init tasks run first on each worker, now on local-1." in why(scene.state, scene.task("a"), scene.now)


def failed_once() -> Scene:
    """The one worker that may be is barred: its init failed."""
    scene = crowded()
    scene.push((TEMPLATES, (*SPECS, TaskSpec(3, "last", 1, dependencies=(1, 2)))))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", "failed", phase="run", exit_code=7, reason="exit code 7", stderr="a\nno compiler\n")
    return scene


def test_why_says_where_and_how_the_init_failed_instead_of_asking_for_a_larger_pool() -> None:
    scene = failed_once()
    said = " ".join(why(scene.state, scene.task("a"), scene.now))
    assert "Its job's init task prepare failed on local-1: exit code 7: no compiler." in said
    assert "2 more failures pause the job. `admin.py logs job:prepare` shows what it wrote." in said
    assert "full" not in said and "maximum" not in said and "All 0" not in said
    assert "no compiler" in " ".join(why(scene.state, scene.task("prepare"), scene.now))


def test_why_of_what_waits_for_others_says_that_the_job_is_paused_and_for_what() -> None:
    scene = Scene()
    scene.push((TEMPLATES, (*SPECS, TaskSpec(3, "last", 1, dependencies=(1, 2)))))
    fail_all(scene, 120, phase="run", reason="exit code 7", stderr="no compiler\n")
    said = why(scene.state, scene.task("last"), scene.now)
    assert said[0].startswith("It waits for 2 of 2 dependencies")
    assert said[1].startswith("Job job is paused (init task prepare failed 3 times in a row")
    assert said[1].endswith("exit code 7: no compiler).")


def test_a_success_clears_what_was_said_of_the_failures_before() -> None:
    scene = Scene()
    scene.push((TEMPLATES, SPECS))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", "failed", phase="run", exit_code=7, reason="exit code 7")
    scene.join("local-2")
    scene.finish("local-2", "u1.0.2")
    task = scene.task("prepare")
    assert (task.phase, task.reason, task.exit_code) == ("", "", 0)


def test_replacing_the_init_resumes_what_the_boss_paused_and_forgives_the_workers() -> None:
    scene = Scene()
    job = scene.push((TEMPLATES, SPECS))
    fail_all(scene, 120, phase="run", reason="no compiler")
    assert job.wanted == "pause"
    scene.turn(JobExtended(job.uid, 3, (Template(2, "prepare", ("gcc",), init=True),), (TaskSpec(0, "prepare", 2),), {}, "s9"))
    assert (job.wanted, job.reason, scene.task("prepare").failures) == ("run", "", 0)
    assert not any(job.uid in worker.barred for worker in scene.state.workers.values())


def test_replacing_the_init_does_not_resume_what_a_person_paused() -> None:
    scene, job = prepared()
    scene.turn(JobPaused("job"))
    scene.finish("local-1", "u1.1.1")
    scene.turn(JobExtended(job.uid, 3, (Template(2, "prepare", ("gcc",), init=True),), (TaskSpec(0, "prepare", 2),), {}, "s9"))
    assert job.wanted == "pause"


def test_the_end_of_an_init_that_was_given_up_is_on_record_though_nothing_follows_from_it() -> None:
    scene = Scene()
    scene.push(
        ((Template(0, "t", ("true",)), Template(1, "i", ("make",), init=True)), (TaskSpec(0, "t", 0), TaskSpec(1, "i", 1)))
    )
    worker = scene.join("local-1")
    worker.barred.add("u1")
    attempt = worker.held["u1.1.1"]
    scene.state.release(worker, attempt.id, scene.now)  # as after a load
    reactor.handle(
        scene.state,
        WorkerSaid("local-1", Results("s1", (Result("u1.1.1", "failed", "run", 7, reason="exit code 7"),))),
        scene.now,
    )
    assert scene.state.changes.attempts["u1.1.1"].state == "failed"
    assert scene.task("i").failures == 0
