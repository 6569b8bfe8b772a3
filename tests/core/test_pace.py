"""How many tasks are dealt ahead of time, by what was seen of their run times."""

from boss.core.model import TaskSpec, Template
from tests.core.scene import Scene, local_pool
from worker.grid import Axis


def stages(many: int) -> tuple[tuple[Template, ...], tuple[TaskSpec, ...]]:
    """A single task, and ``many`` alike that wait for it."""
    templates = Template(0, "first", ("true",)), Template(1, "many", ("true",), grid=(Axis("i", tuple(range(many))),))
    rows = [TaskSpec(1 + number, f"many-{number}", 1, number, dependencies=(0,)) for number in range(many)]
    return templates, (TaskSpec(0, "first", 0), *rows)


def test_a_quick_task_says_hardly_anything_about_the_many_that_follow_it() -> None:
    scene = Scene(pools=(local_pool(1),), prefetch_seconds=10.0)
    scene.push(stages(100))
    scene.join("local-1")
    (first,) = scene.state.workers["local-1"].held
    scene.start("local-1", first)
    scene.hush()
    scene.now += 0.01
    scene.finish("local-1", first)
    held = scene.dealt()
    assert len(held) == 2, "the one that runs, and one ahead"
    scene.start("local-1", held[0].attempt)
    scene.now += 0.01
    scene.finish("local-1", held[0].attempt)
    assert len(scene.state.workers["local-1"].held) > 10, "now one of their own has been quick"
