"""What the core remembers and what the store remembers are the same, after every turn of whole conversations."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from boss.adapters.store import Store
from boss.core import reactor
from boss.core.effects import Effect
from boss.core.events import Event, ResultAccepted, ServersListed, VmCreateFailed, VmDeleted
from boss.core.model import FileRef, InputSpec, Job, JobState, OutputSpec, Task, TaskSpec, TaskState, Template, WorkerState
from boss.core.picture import state_of
from boss.core.requests import (
    FailedRetried,
    JobExtended,
    JobPaused,
    JobStaged,
    StagingDropped,
    TasksCancelled,
    TasksRedone,
    TasksStaged,
)
from tests.core.scene import Scene, bag, chain

FILES = (("out.txt", 3, "ab" * 32),)
#: What a load makes anew, or compares by itself.
DERIVED = ("job", "attempt", "dependents", "template", "dependencies")
#: States in which the loaded task has an attempt.
HELD = (TaskState.ASSIGNED, TaskState.RUNNING, TaskState.PROMOTING)


class StoredScene(Scene):
    """A scene whose turns are committed; after each, a load must show what the core knows."""

    def __init__(self, store: Store, **changes: object) -> None:
        self.store = store
        super().__init__(**changes)

    def turn(self, *events: Event) -> list[Effect]:
        """One turn of the loop, committed and compared."""
        effects: list[Effect] = []
        for event in events:
            effects += reactor.handle(self.state, event, self.now)
        effects += reactor.settle(self.state, self.now)
        self.state.check()
        self.store.commit(self.state.take_changes())
        self.compare()
        self.said += effects
        return effects

    def compare(self) -> None:
        """Load, and look for differences."""
        if any(job.state is JobState.STAGING for job in self.state.jobs.values()):
            return  # a load would drop it
        picture = self.store.load()
        assert {job.uid: shown(job) for job in picture.jobs} == {uid: shown(job) for uid, job in self.state.jobs.items()}
        for job in picture.jobs:
            if job.finished is not None:
                job.tasks, job.loaded = self.store.load_tasks(job), True
            known = self.state.jobs[job.uid]
            assert job.input_sets == known.input_sets
            assert [told(task) for task in job.tasks] == [told(task) for task in known.tasks]
        workers = {worker.id for worker in self.state.workers.values() if worker.state is not WorkerState.GONE}
        assert {worker.id for worker in picture.workers} == workers
        assert {vm.id: vm.state for vm in picture.vms} == {vm.id: vm.state for vm in self.state.vms.values()}
        facts = {name: value for name, value in picture.context.items() if name != "epoch"}
        assert facts == self.state.context
        state_of(self.state.policy, 1, picture.context, picture.jobs, picture.workers, picture.vms).check()


def shown(job: Job) -> dict[str, object]:
    """What a job is, without its tasks."""
    counts = {state: count for state, count in job.counts.items() if count}
    shown = {"name": job.name, "state": job.state, "wanted": job.wanted, "finished": job.finished, "counts": counts}
    return {**shown, "stale": job.stale}


def told(task: Task) -> dict[str, object]:
    """What a task is and how it stands."""
    return {
        **{field.name: getattr(task, field.name) for field in fields(task) if field.name not in DERIVED},
        "attempt": task.attempt.id if task.attempt is not None and task.state in HELD else None,
        "dependents": sorted(task.dependents),
        "dependencies": list(task.dependencies),
        "template": task.template,
    }


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[StoredScene]:
    """A scene on a fresh database."""
    store = Store(f"sqlite:///{tmp_path / 'state.db'}")
    store.open()
    store.load()
    yield StoredScene(store)
    store.close()


def test_a_chain_that_fails_is_retried_and_succeeds(scene: StoredScene) -> None:
    scene.push(chain("a", "b", "c", retries=1))
    scene.join("local-1")
    scene.start("local-1", "u1.0.1")
    scene.finish("local-1", "u1.0.1", "failed", phase="run", exit_code=3, reason="exit code 3", stderr="no ☃")
    scene.wait(3)
    scene.finish("local-1", "u1.0.2", "failed", phase="run")
    assert scene.states() == {"a": "failed", "b": "skipped", "c": "skipped"}
    scene.turn(FailedRetried("job"))
    for attempt in ("u1.0.3", "u1.1.1", "u1.2.1"):
        scene.finish("local-1", attempt)
    assert set(scene.states().values()) == {"succeeded"}


def test_results_are_accepted_and_done_again(scene: StoredScene) -> None:
    scene.push(chain("a", "b", outputs=(OutputSpec("out.txt"),)))
    scene.join("local-1")
    for attempt in ("u1.0.1", "u1.1.1"):
        scene.finish("local-1", attempt, files=FILES)
        scene.turn(ResultAccepted(attempt))
    scene.turn(TasksRedone("job", "a"))
    assert scene.states() == {"a": "assigned", "b": "succeeded"}


def test_stale_results_and_what_they_were_made_of_are_remembered(scene: StoredScene) -> None:
    template = Template(0, "t", ("true",), (InputSpec("a.py"),), (OutputSpec("out.txt"),))
    specs = (TaskSpec(0, "a", 0, rank=2), TaskSpec(1, "b", 0, 0, (0,), 1), TaskSpec(2, "c", 0, 0, (1,)))
    job = scene.push(((template,), specs), files={"a.py": FileRef("aa" * 32, 1)})
    scene.join("local-1")

    def succeed(attempt: str, digest: str) -> None:
        scene.finish("local-1", attempt, files=(("out.txt", 3, digest * 32),))
        scene.turn(ResultAccepted(attempt))

    for attempt in ("u1.0.1", "u1.1.1", "u1.2.1"):
        succeed(attempt, "ab")
    scene.turn(JobExtended(job.uid, 3, (), (), {"a.py": FileRef("bb" * 32, 1)}, "s9"))
    scene.turn(TasksRedone("job", "a"))
    succeed("u1.0.2", "cd")
    assert ([task.stale for task in job.tasks], job.stale) == ([0, 1, -1], 2)
    assert [task.input_set for task in job.tasks] == [2, 1, 1]
    scene.turn(TasksRedone("job", "b"))
    succeed("u1.1.2", "ab")
    assert ([task.stale for task in job.tasks], job.stale) == ([0, 0, 0], 0)


def test_a_lost_workers_tasks_are_ready_again(scene: StoredScene) -> None:
    scene.push(bag(4))
    scene.join("local-1")
    scene.join("local-2")
    scene.wait(20)
    scene.push(bag(2), "other")
    scene.turn(VmDeleted("local-2"))
    scene.join("local-1", session="s2")


def test_claims_end_in_every_way(scene: StoredScene) -> None:
    scene.push(bag(2))
    scene.turn(VmCreateFailed("local-1", "no fork"))
    scene.wait(60)
    scene.join("local-2")
    scene.turn(ServersListed("local", scene.now, ()))


def test_a_job_is_extended_redefined_paused_and_cancelled(scene: StoredScene) -> None:
    job = scene.push(chain("a", "b"))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1")
    scene.finish("local-1", "u1.1.1")
    specs = (TaskSpec(0, "a", 1, 0, (1,)), TaskSpec(1, "b", 1, 0, ()), TaskSpec(2, "c", 1, 0, (0, 1), 3))
    scene.turn(JobExtended(job.uid, 2, (Template(1, "t", ("echo new",)),), specs, {}, "s9", 1))
    assert scene.states() == {"a": "waiting", "b": "assigned", "c": "waiting"}
    scene.turn(JobPaused("job"))
    scene.finish("local-1", "u1.1.2")
    scene.turn(TasksCancelled("job"))
    assert scene.states() == {"a": "cancelled", "b": "succeeded", "c": "cancelled"}


def test_init_tasks_prepare_each_worker(scene: StoredScene) -> None:
    templates = (Template(0, "prepare", ("make",), init=True), Template(1, "t", ("true",)))
    scene.push((templates, (TaskSpec(0, "prepare", 0), TaskSpec(1, "a", 1), TaskSpec(2, "b", 1))))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1")
    scene.join("local-2")
    scene.finish("local-2", "u1.0.2")
    scene.finish("local-1", "u1.1.1")
    scene.finish("local-2", "u1.2.1")
    assert set(scene.states().values()) == {"succeeded"}


def test_a_push_that_is_given_up_leaves_nothing(scene: StoredScene) -> None:
    scene.turn(JobStaged("u7", "job", "ada", "s7"))
    scene.turn(TasksStaged("u7", *bag(3)))
    scene.turn(StagingDropped("u7"))
    scene.push(bag(1))
    assert scene.states() == {"t0": "ready"}
    scene.turn(JobStaged("u8", "other", "ada", "s8"), TasksStaged("u8", *bag(3)), StagingDropped("u8"))
    assert list(scene.state.jobs) == ["u1"]
