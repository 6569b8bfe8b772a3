"""Pushing into a job that exists: new tasks, replaced tasks, and what must not change."""

from boss.core import fleet
from boss.core.effects import RejectResult
from boss.core.model import Job, OutputSpec, TaskSpec, Template
from boss.core.requests import JobExtended, JobPaused
from tests.core.scene import Scene, bag, chain
from worker.protocol import Cancel


def extend(job: Job, *specs: TaskSpec, expected: int = -1, template: Template | None = None) -> JobExtended:
    number = len(job.templates)
    new = template or Template(number, "t", ("echo new",))
    return JobExtended(job.uid, len(job.tasks) if expected < 0 else expected, (new,), specs, {}, "s9", 1)


def finished_chain() -> tuple[Scene, Job]:
    scene = Scene()
    job = scene.push(chain("a", "b"))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1")
    scene.finish("local-1", "u1.1.1")
    return scene, job


def test_new_tasks_may_depend_on_finished_ones() -> None:
    scene, job = finished_chain()
    assert scene.answer(extend(job, TaskSpec(2, "c", 1, 0, (1,)))).code == 200
    assert scene.states() == {"a": "succeeded", "b": "succeeded", "c": "assigned"}
    assert job.finished is None
    assert scene.dealt()[-1].commands == ("echo new",)


def test_a_replaced_task_runs_again_with_its_new_definition() -> None:
    scene, job = finished_chain()
    assert scene.answer(extend(job, TaskSpec(0, "a", 1))).code == 200
    assert scene.states() == {"a": "assigned", "b": "succeeded"}
    assert scene.dealt()[-1].commands == ("echo new",)
    scene.finish("local-1", "u1.0.2")
    assert job.finished is not None


def test_replaced_tasks_may_depend_on_each_other_the_other_way_round() -> None:
    scene, job = finished_chain()
    specs = (TaskSpec(0, "a", 1, 0, (1,)), TaskSpec(1, "b", 1, 0, ()))
    assert scene.answer(extend(job, *specs)).code == 200
    assert scene.states() == {"a": "waiting", "b": "assigned"}
    scene.finish("local-1", "u1.1.2")
    assert scene.states() == {"a": "assigned", "b": "succeeded"}


def test_a_running_task_is_not_replaced() -> None:
    scene = Scene()
    job = scene.push(bag(1))
    scene.join("local-1")
    answer = scene.answer(extend(job, TaskSpec(0, "t0", 1)))
    assert answer.code == 409
    assert "t0 of job job is assigned" in str(answer.detail["error"])
    assert len(job.templates) == 1


def test_a_push_computed_from_an_older_picture_is_refused() -> None:
    scene, job = finished_chain()
    assert scene.answer(extend(job, TaskSpec(1, "c", 1), expected=1)).code == 409
    assert len(job.tasks) == 2


def test_the_same_push_twice_changes_nothing() -> None:
    scene, job = finished_chain()
    event = extend(job, TaskSpec(2, "c", 1))
    assert scene.answer(event).code == 200
    assert scene.answer(event).code == 200
    assert len(job.tasks) == 3


def test_a_new_task_below_a_failed_one_is_skipped_at_once() -> None:
    scene = Scene()
    job = scene.push(bag(1))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", "failed", phase="run")
    scene.answer(extend(job, TaskSpec(1, "c", 1, 0, (0,))))
    assert scene.states() == {"t0": "failed", "c": "skipped"}
    assert job.finished is not None


def test_a_replaced_task_whose_results_exist_is_not_run_again() -> None:
    scene, job = finished_chain()
    assert scene.answer(extend(job, TaskSpec(0, "a", 1, done=True), TaskSpec(1, "b", 1, 0, (0,)))).code == 200
    assert scene.states() == {"a": "succeeded", "b": "assigned"}
    assert scene.task("a").number == 1


def test_a_failed_task_whose_results_exist_counts_as_done_when_it_is_replaced() -> None:
    scene = Scene()
    job = scene.push(chain("a", "b"))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", "failed", phase="run")
    assert scene.answer(extend(job, TaskSpec(0, "a", 1, done=True))).code == 200
    assert scene.states() == {"a": "succeeded", "b": "assigned"}


def test_a_lost_attempt_of_the_old_definition_does_not_finish_the_new_one() -> None:
    scene = Scene()
    job = scene.push(bag(1, outputs=(OutputSpec("out.txt"),)))
    scene.join("local-1")
    scene.start("local-1", "u1.0.1")
    scene.turn(JobPaused("job"))  # so that the next attempt is not dealt at once
    fleet.lose_worker(scene.state, scene.state.workers["local-1"], "silence", scene.now)
    assert scene.states() == {"t0": "ready"}
    scene.answer(extend(job, TaskSpec(0, "t0", 1), template=Template(1, "t", ("echo new",), outputs=(OutputSpec("out.txt"),))))
    scene.beat("local-1", {"u1.0.1": "running"})
    assert [message.attempts for message in scene.heard(Cancel)] == [("u1.0.1",)]  # type: ignore[attr-defined]
    scene.finish("local-1", "u1.0.1", files=(("out.txt", 3, "ab" * 32),))
    assert scene.states() == {"t0": "ready"}
    assert RejectResult("u1.0.1") in scene.said


def test_a_ready_task_that_is_replaced_by_a_larger_one_does_not_go_where_the_small_one_would_have_gone() -> None:
    scene = Scene()
    job = scene.push(bag(3))
    scene.join("local-1")  # runs t0
    large = Template(1, "t", ("echo new",), needs={"cpus": 2})
    scene.answer(extend(job, TaskSpec(1, "t1", 1), template=large))
    scene.finish("local-1", "u1.0.1")
    assert [(a.task, a.needs) for a in scene.dealt("local-1")][1:] == [("t2", {"cpus": 1})]
    assert scene.states()["t1"] == "ready"
