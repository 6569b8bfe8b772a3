"""What is run again, what is left alone because it would be skipped at once, and the commands that are named."""

import pytest

from boss.core.model import TaskSpec, Template
from boss.core.picture import publish
from boss.core.requests import FailedRetried, TasksCancelled, TasksRedone, WhyAsked
from tests.core.scene import Scene, bag, chain


def fan(count: int = 2) -> Scene:
    """slow-0, slow-1, ... -> end; two of them run."""
    scene = Scene()
    slow = tuple(TaskSpec(n, f"slow-{n}", 0, 0, (), 1) for n in range(count))
    scene.push(((Template(0, "t", ("true",)),), (*slow, TaskSpec(count, "end", 0, 0, tuple(range(count))))))
    scene.join("local-1")
    return scene


def why(scene: Scene, task: str) -> list[str]:
    said = scene.answer(WhyAsked("job", task, 1)).detail["why"]
    assert isinstance(said, list)
    return said


def test_a_skip_because_of_a_cancelled_task_says_so_and_names_the_command_that_opens_it() -> None:
    scene = fan()
    scene.turn(TasksCancelled("job", "slow-0"))
    assert why(scene, "end") == [
        "It was skipped because slow-0 was cancelled.",
        "`admin.py retry_failed job:slow-0` runs it again and opens this one.",
    ]
    assert scene.answer(FailedRetried("job", "slow-0", 1)).detail["retried"] == 1
    assert scene.states()["end"] == "waiting"


def test_what_was_skipped_because_of_a_skipped_one_keeps_the_first_cause() -> None:
    scene = Scene()
    scene.push(chain("a", "b", "c"))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", "failed", phase="run", exit_code=2, reason="exit code 2")
    assert {scene.task(name).reason for name in "bc"} == {"a failed: exit code 2"}
    assert why(scene, "c")[1] == "`admin.py retry_failed job` runs what failed again and opens this one."


def test_many_cancelled_sources_are_named_by_a_glob_that_runs_them() -> None:
    scene = fan(5)
    scene.turn(TasksCancelled("job", "slow-*"))
    assert (
        why(scene, "end")[1] == "`admin.py retry_failed 'job:*'` runs all that failed or was cancelled again and opens this one."
    )
    assert scene.answer(FailedRetried("job", "*", 1, named=True)).detail["retried"] == 5
    assert scene.states()["end"] == "waiting"


def test_a_jobs_name_alone_leaves_cancelled_tasks_alone_and_counts_them() -> None:
    scene = fan(3)
    scene.turn(TasksCancelled("job"))
    detail = scene.answer(FailedRetried("job", "*", 1)).detail
    assert (detail["retried"], detail["cancelled_left"]) == (0, 4)
    assert scene.answer(FailedRetried("job", "slow-[01]", 1)).detail["retried"] == 2
    assert scene.states() == {"slow-0": "ready", "slow-1": "ready", "slow-2": "cancelled", "end": "cancelled"}


@pytest.mark.parametrize(("ended", "word"), [("cancelled", "was cancelled"), ("failed", "failed")])
def test_a_redo_that_would_be_skipped_at_once_is_refused_with_the_command_that_runs_both(ended: str, word: str) -> None:
    scene = fan()
    if ended == "cancelled":
        scene.turn(TasksCancelled("job", "slow-0"))
    else:
        scene.finish("local-1", "u1.0.1", "failed", phase="run")
    before = scene.states()
    answer = scene.answer(TasksRedone("job", "end", 1))
    assert answer.code == 409
    assert answer.detail["error"] == (
        f"end waits for slow-0, which {word}; run that again too: `admin.py redo_task job:slow-0 job:end`"
    )
    assert scene.states() == before
    done = scene.answer(TasksRedone("job", "end", 1, others=("slow-0",))).detail
    assert (done["redone"], done["each"], done["held"]) == (2, [1, 1], 0)
    assert scene.states()["end"] == "waiting"


def test_of_many_those_that_would_be_skipped_at_once_are_left_alone_and_counted() -> None:
    scene = Scene()
    specs = (TaskSpec(0, "pre-0", 0, rank=1), TaskSpec(1, "pre-1", 0, rank=1), TaskSpec(2, "post-0", 0, 0, (0,)))
    scene.push(((Template(0, "t", ("true",)),), (*specs, TaskSpec(3, "post-1", 0, 0, (1,)))))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1")
    scene.finish("local-1", "u1.1.1", "failed", phase="run")
    scene.finish("local-1", "u1.2.1")
    done = scene.answer(TasksRedone("job", "post-*", 1)).detail
    assert (done["redone"], done["held"], done["held_because"]) == (1, 1, "post-1 waits for pre-1, which failed")
    assert scene.states() == {"pre-0": "succeeded", "pre-1": "failed", "post-0": "assigned", "post-1": "skipped"}


def test_a_result_below_a_failed_task_is_kept_and_not_turned_into_a_skip() -> None:
    scene = Scene()
    scene.push(chain("a", "b"))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1")
    scene.finish("local-1", "u1.1.1")
    scene.answer(TasksRedone("job", "a", 1))
    scene.finish("local-1", "u1.0.2", "failed", phase="run")
    assert scene.answer(TasksRedone("job", "b", 1)).code == 409
    assert scene.states() == {"a": "failed", "b": "succeeded"}


def test_what_lies_between_two_tasks_that_run_again_holds_neither_back() -> None:
    scene = Scene()
    scene.push(chain("a", "b", "c"))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", "failed", phase="run")
    done = scene.answer(TasksRedone("job", "c", 1, others=("a",))).detail
    assert (done["redone"], done["held"]) == (2, 0)
    assert scene.states() == {"a": "assigned", "b": "waiting", "c": "waiting"}


def test_a_cancelled_chain_is_retried_from_its_middle_only_together_with_what_is_above() -> None:
    scene = Scene()
    scene.push(chain("a", "b", "c"))
    scene.join("local-1")
    scene.turn(TasksCancelled("job"))
    assert why(scene, "b")[1] == "`admin.py retry_failed job:a job:b` runs it again."
    answer = scene.answer(FailedRetried("job", "c", 1))
    assert (
        answer.detail["error"]
        == "c waits for b, which was cancelled; run that again too: `admin.py retry_failed job:a job:b job:c`"
    )
    assert scene.answer(FailedRetried("job", "b", 1, others=("a",))).detail["each"] == [1, 1]
    assert scene.states() == {"a": "ready", "b": "waiting", "c": "cancelled"}


def test_names_that_a_shell_would_split_are_quoted_in_the_remedy() -> None:
    scene = Scene()
    scene.push(chain("a b", "c"))
    scene.join("local-1")
    scene.turn(TasksCancelled("job", "a b"))
    assert "`admin.py retry_failed 'job:a b'`" in why(scene, "c")[1]


def test_what_was_cancelled_or_skipped_is_no_throughput() -> None:
    scene = fan(20)
    scene.finish("local-1", "u1.0.1")
    scene.finish("local-1", "u1.1.1", "failed", phase="run")
    scene.turn(TasksCancelled("job"))
    assert publish(scene.state, scene.now, scene.now - 100).rate == 0.2


def test_a_job_counts_its_time_from_when_it_was_run_again() -> None:
    scene = Scene()
    job = scene.push(bag(2))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1")
    assert job.since == job.created
    scene.now += 2
    scene.turn(TasksRedone("job", "t0"))
    assert job.since == job.created
    scene.finish("local-1", "u1.1.1")
    scene.finish("local-1", "u1.0.2")
    assert job.finished is not None
    scene.now += 2
    scene.turn(TasksRedone("job", "t1"))
    assert job.since == scene.state.wall(scene.now)
    assert publish(scene.state, scene.now, 0.0).jobs[0].since == job.since
