"""What people ask of large jobs costs one walk over them, not one per task."""

from boss.core import dag
from boss.core.model import Job, Task, TaskState, Template
from boss.core.requests import TasksRedone
from tests.core.scene import Scene, chain


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
