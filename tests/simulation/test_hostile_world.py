"""Promise 1 on a virtual clock: whatever dies when, every task ends, and no result is accepted twice or from an old attempt."""

import pytest

from boss.core.events import FailedRetried, JobOpened, JobPaused, JobResumed, JobStaged, TasksCancelled, TasksRedone, TasksStaged
from boss.core.model import OutputSpec, TaskSpec, TaskState, Template
from tests.simulation.world import World


def push(world: World, uid: str, name: str) -> None:
    """A diamond of layers: 4 x 4 tasks with outputs, each depending on two of the layer above."""
    template = Template(0, "t", ("true",), outputs=(OutputSpec("out"),), retries=3)
    plain = Template(1, "p", ("true",), retries=3)
    specs = []
    for layer in range(4):
        for column in range(4):
            above = tuple((layer - 1) * 4 + (column + shift) % 4 for shift in (0, 1)) if layer else ()
            specs.append(TaskSpec(layer * 4 + column, f"t{layer}.{column}", (layer + column) % 2, 0, above, 3 - layer))
    world.inbox += [JobStaged(uid, name, "ada", uid), TasksStaged(uid, (template, plain), tuple(specs)), JobOpened(uid, {})]


@pytest.mark.parametrize("seed", range(40))
def test_every_task_ends_and_each_result_is_accepted_once(seed: int) -> None:
    world = World(seed)
    push(world, "u1", "one")
    world.run(20)
    if "u1" not in world.state.jobs:  # the boss died before the push was committed: its client pushes again
        push(world, "u1", "one")
    meddle = [
        JobPaused("one"),
        JobResumed("one"),
        TasksCancelled("one", "t2.1"),
        TasksRedone("one", "t0.*"),
        FailedRetried("one", "*"),
    ]
    for _ in range(10):
        world.inbox.append(world.chance.choice(meddle))
        world.run(world.chance.uniform(1, 12))
    world.calm = True
    world.inbox.append(JobResumed("one"))
    for _ in range(40):
        world.run(15)
        if world.done():
            break
    assert world.done(), {task.name: str(task.state) for task in world.state.jobs["u1"].tasks}
    assert len(world.accepts) == len(set(world.accepts))
    for task in world.state.jobs["u1"].tasks:
        if task.state is TaskState.SUCCEEDED and task.template.outputs:
            assert f"u1.{task.index}.{task.number}" in world.accepted
    world.run(60 + world.state.policy.create_timeout)  # a claim whose create call was never made lives until its deadline
    assert not world.workers, "workers outlive their use"
    assert not world.state.vms
