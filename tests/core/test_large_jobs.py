"""What people ask of large jobs costs one walk over them, not one per task."""

from collections.abc import Iterator

from boss.core import dag, reactor
from boss.core.effects import Reply
from boss.core.model import Job, Task, TaskState, Template
from boss.core.requests import FailedRetried, TasksCancelled, TasksRedone
from tests.core.scene import Scene, bag, chain


class Counted(list[Task]):
    """A job's tasks that count how often one was looked up."""

    looks = 0

    def __getitem__(self, index: int) -> Task:  # type: ignore[override]
        self.looks += 1
        return super().__getitem__(index)


def test_looking_below_all_tasks_of_a_chain_looks_at_each_once() -> None:
    job = Job("u1", "job", "ada", 0.0)
    template = Template(0, "t", ("true",))
    tasks = Counted(Task(job, i, f"t{i}", template, dependents=[i + 1] if i < 499 else []) for i in range(500))
    job.tasks = tasks
    assert dag.active_below(list(tasks)) is None
    assert tasks.looks <= 500
    first, *_, last = tasks
    last.state = TaskState.RUNNING
    assert dag.active_below(list(tasks)) == (first, last)


def test_the_whole_of_a_finished_chain_is_redone() -> None:
    scene = Scene()
    scene.push(chain("a", "b"))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1")
    scene.finish("local-1", "u1.1.1")
    assert scene.answer(TasksRedone("job", "*", 1)).detail["redone"] == 2
    assert scene.states() == {"a": "assigned", "b": "waiting"}


class Unsearchable(list[Task]):
    """The tasks of a job that may be looked up, and must not be gone through."""

    def __iter__(self) -> Iterator[Task]:
        raise AssertionError("all tasks of the job were looked at")


def test_one_task_by_name_is_found_where_it_is_known_to_be() -> None:
    scene = Scene()
    job = scene.push(bag(50))
    job.tasks = Unsearchable(job.tasks)
    assert reply(scene, TasksCancelled("job", "t7", 1, at=7)) == {"cancelled": 1}
    assert reply(scene, FailedRetried("job", "t7", 1, at=(7,))) == {"retried": 1}
    assert reply(scene, TasksCancelled("job", "t7", 1, at=7)) == {"cancelled": 1}
    assert reply(scene, TasksRedone("job", "t7", 1, at=(7,))) == {"redone": 1}


def test_a_place_that_is_not_that_of_the_task_any_more_changes_no_other_one() -> None:
    scene = Scene()
    job = scene.push(bag(5))
    for at in (3, 99):
        scene.turn(TasksCancelled("job", "t1", 1, at=at))
        assert job.tasks[1].state == "cancelled"
        scene.turn(FailedRetried("job", "t1", 1, at=(at,)))
    assert {task.state for task in job.tasks} == {"ready"}


def reply(scene: Scene, event: TasksCancelled | FailedRetried | TasksRedone) -> dict[str, object]:
    """How many tasks it says that it took; without the look at all of them that ends each turn here."""
    effects = reactor.handle(scene.state, event, scene.now)
    (answer,) = [effect.answer for effect in effects if isinstance(effect, Reply)]
    assert answer.code == 200
    return {name: count for name, count in answer.detail.items() if name in ("cancelled", "retried", "redone")}
