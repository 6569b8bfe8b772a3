"""Init tasks: when they fail for ever, when nobody needs them any more, and when they are replaced."""

from boss.core.effects import CreateVm, DeleteVm
from boss.core.events import JobExtended, JobResumed, TasksCancelled, TasksRedone, VmDeleted
from boss.core.model import Job, TaskSpec, Template
from tests.core.scene import Scene
from worker.protocol import Cancel

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
            if isinstance(effect, CreateVm):
                scene.join(effect.vm)
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
