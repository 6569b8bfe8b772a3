"""What happens in the simulated world besides its own faults, and what must hold in the end."""

from boss.core.events import (
    Event,
    FailedRetried,
    JobOpened,
    JobPaused,
    JobResumed,
    JobStaged,
    TasksCancelled,
    TasksRedone,
    TasksStaged,
)
from boss.core.model import OutputSpec, TaskSpec, TaskState, Template
from simulator.world import Broken, World


def push(world: World, uid: str, name: str) -> None:
    """Push a job of 4 x 4 tasks, each depending on two of the layer above; every second one has an output."""
    template = Template(0, "t", ("true",), outputs=(OutputSpec("out"),), retries=3)
    plain = Template(1, "p", ("true",), retries=3)
    specs = []
    for layer in range(4):
        for column in range(4):
            above = tuple((layer - 1) * 4 + (column + shift) % 4 for shift in (0, 1)) if layer else ()
            specs.append(TaskSpec(layer * 4 + column, f"t{layer}.{column}", (layer + column) % 2, 0, above, 3 - layer))
    world.inbox += [JobStaged(uid, name, "ada", uid), TasksStaged(uid, (template, plain), tuple(specs)), JobOpened(uid, {})]


def hostile_job(seed: int) -> World:
    """One job among faults and meddling people; then calm. Raises Broken (or AssertionError) with what does not hold."""
    world = World(seed)
    push(world, "u1", "one")
    world.run(20)
    if "u1" not in world.state.jobs:  # the boss died before the push was committed: its client pushes again
        push(world, "u1", "one")
    people: list[Event] = [
        JobPaused("one"),
        JobResumed("one"),
        TasksCancelled("one", "t2.1"),
        TasksRedone("one", "t0.*"),
        FailedRetried("one", "*"),
    ]
    for _ in range(10):
        world.inbox.append(world.chance.choice(people))
        world.run(world.chance.uniform(1, 12))
    world.calm = True
    world.inbox.append(JobResumed("one"))
    for _ in range(40):
        world.run(15)
        if world.done():
            break
    judge(world)
    return world


def judge(world: World) -> None:
    """Every task has ended, each result was accepted once, and no machine outlives its use."""
    if not world.done():
        left = {task.name: str(task.state) for task in world.state.jobs["u1"].tasks}
        raise Broken(f"not every task has ended: {left}")
    if len(world.accepts) != len(set(world.accepts)):
        raise Broken("a result was accepted twice")
    for task in world.state.jobs["u1"].tasks:
        if task.state is TaskState.SUCCEEDED and task.template.outputs and f"u1.{task.index}.{task.number}" not in world.accepted:
            raise Broken(f"{task.name} succeeded without an accepted result")
    world.run(60 + world.state.policy.create_timeout)  # a claim whose create call was never made lives until its deadline
    if world.processes or world.state.vms:
        raise Broken(f"machines outlive their use: {list(world.processes)}, {list(world.state.vms)}")
