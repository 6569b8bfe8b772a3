"""What happens in the simulated world besides its own faults, and what must hold in the end."""

from boss.core.events import Event
from boss.core.model import OutputSpec, TaskSpec, TaskState, Template
from boss.core.requests import (
    FailedRetried,
    JobExtended,
    JobOpened,
    JobPaused,
    JobResumed,
    JobStaged,
    TasksCancelled,
    TasksRedone,
    TasksStaged,
    WorkersDrained,
    WorkersWanted,
)
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
        TasksRedone("one", "t1.2", descendants=True),
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


def prepared_job(world: World, uid: str, name: str) -> None:
    """Push a job of six tasks that need two init tasks on each worker."""
    inits = tuple(Template(number, f"init{number}", ("make",), init=True) for number in (0, 1))
    plain = Template(2, "p", ("true",), retries=3, outputs=(OutputSpec("out"),))
    specs = (TaskSpec(0, "init0", 0), TaskSpec(1, "init1", 1), *(TaskSpec(i, f"p{i}", 2, 0, (), 0) for i in range(2, 8)))
    world.inbox += [JobStaged(uid, name, "ben", uid), TasksStaged(uid, (*inits, plain), specs), JobOpened(uid, {})]


def extension(world: World, uid: str) -> list[Event]:
    """A merge: one task is replaced, one is new and depends on it; half of the time an init changes sides."""
    job = world.state.jobs.get(uid)
    if job is None:
        return []
    count, number = len(job.tasks), len(job.templates)
    templates = [Template(number, "x", ("new",), retries=3, outputs=(OutputSpec("out"),)), Template(number + 1, "y", ("new",))]
    specs = [TaskSpec(3, job.tasks[3].name, number), TaskSpec(count, f"n{count}", number + 1, 0, (3,))]
    if world.chance.random() < 0.5:
        templates.append(Template(number + 2, "init0", ("make",), init=not job.tasks[0].template.init))
        specs.insert(0, TaskSpec(0, "init0", number + 2))
    return [JobExtended(uid, count, tuple(templates), tuple(specs), {}, f"{uid}-{count}")]


def hostile_jobs(seed: int) -> World:
    """Two jobs, one with init tasks that merges change, among faults and people who meddle with jobs and workers; then calm."""
    world = World(seed)
    push(world, "u1", "one")
    prepared_job(world, "u2", "two")
    world.run(10)
    for uid, name, again in (("u1", "one", push), ("u2", "two", prepared_job)):
        if uid not in world.state.jobs:
            again(world, uid, name)
    for _ in range(12):
        job = world.chance.choice(["one", "two"])
        wishes: list[list[Event]] = [
            [JobPaused(job)],
            [JobResumed(job)],
            [TasksCancelled(job, world.chance.choice(["*", "p3", "t1.*", "init0"]))],
            [TasksRedone(job, world.chance.choice(["*", "p*", "t0.*", "init1"]))],
            [TasksRedone(job, world.chance.choice(["p4", "t1.*"]), descendants=True)],
            [FailedRetried(job, "*")],
            [WorkersDrained((), now=world.chance.random() < 0.3)],
            [WorkersWanted(1)],
            extension(world, "u2"),
        ]
        world.inbox += world.chance.choice(wishes)
        world.run(world.chance.uniform(1, 12))
    world.calm = True
    for _ in range(60):
        world.inbox += [JobResumed("one"), JobResumed("two")]
        world.run(15)
        if world.done():
            break
    judge(world)
    return world


def judge(world: World) -> None:
    """Every task has ended, each result was accepted once, and no machine outlives its use."""
    if not world.done():
        left = {f"{job.name}:{task.name}": str(task.state) for job in world.state.jobs.values() for task in job.tasks}
        raise Broken(f"not every task has ended: {left}")
    if len(world.accepts) != len(set(world.accepts)):
        raise Broken("a result was accepted twice")
    for task in (task for job in world.state.jobs.values() for task in job.tasks):
        attempt = f"{task.job.uid}.{task.index}.{task.number}"
        if task.state is TaskState.SUCCEEDED and task.template.outputs and attempt not in world.accepted:
            raise Broken(f"{task.name} succeeded without an accepted result")
    # a claim whose create call was never made lives until its deadline, and one whose deletion failed until it is asked again
    world.run(60 + world.state.policy.create_timeout + world.state.policy.delete_timeout)
    if world.processes or world.state.vms:
        raise Broken(f"machines outlive their use: {list(world.processes)}, {list(world.state.vms)}")
