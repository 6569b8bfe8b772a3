"""What one run is made of, all of it from the seed: the cluster, the jobs, what people do, what goes wrong when.

Rules:
- A plan is data. A run of it is the same each time; with a part left out it is another run, which is how histories are shortened.
- Worlds are small and differ: one seed has two workers and a chain, another one groups of VMs, init tasks and a boss that is replaced.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

from boss.core.model import Flavor, InputSpec, OutputSpec, Policy, Pool, TaskSpec, Template
from simulator.hostile.chance import Fault
from simulator.hostile.faults import CHANCES, INCIDENTS
from worker.protocol import Assignment, Result

if TYPE_CHECKING:
    from simulator.hostile.world import World

GIB = 2.0**30
#: Seconds after which nothing new goes wrong.
CALM = (25.0, 50.0)


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task. ``fails`` of its attempts fail, by chance; ``hangs``: some never end before their timeout; ``long``: a long manifest."""

    dependencies: tuple[int, ...] = ()
    output: bool = False
    cpus: float = 1.0
    retries: int = 1
    priority: int = 0
    fails: float = 0.0
    hangs: bool = False
    long: bool = False
    init: bool = False


@dataclass(frozen=True, slots=True)
class JobPlan:
    """A job that somebody pushes at a time."""

    name: str
    owner: str
    at: float
    tasks: tuple[TaskPlan, ...]
    priority: int = 0

    def templates(self) -> tuple[Template, ...]:
        """One template for each task."""
        made = []
        for index, task in enumerate(self.tasks):
            made.append(template_of(index, task, self.tasks))
        return tuple(made)

    def specs(self) -> tuple[TaskSpec, ...]:
        """One row for each task; the rank is the longest chain below it."""
        ranks = [0] * len(self.tasks)
        for index in range(len(self.tasks) - 1, -1, -1):
            for above in self.tasks[index].dependencies:
                ranks[above] = max(ranks[above], ranks[index] + 1)
        return tuple(TaskSpec(i, f"t{i}", i, 0, task.dependencies, ranks[i]) for i, task in enumerate(self.tasks))


def template_of(number: int, task: TaskPlan, tasks: tuple[TaskPlan, ...]) -> Template:
    """A task's template: it reads what its dependencies yield."""
    inputs = tuple(InputSpec(f"out/{above}") for above in task.dependencies if tasks[above].output)
    outputs = (OutputSpec(f"out/{number}"),) if task.output else ()
    return Template(
        number,
        f"t{number}",
        ("run",),
        inputs,
        outputs,
        needs={"cpus": task.cpus},
        timeout=6.0,
        retries=task.retries,
        priority=task.priority,
        init=task.init,
    )


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody does at a time: ``kind`` is a method of ``users.Person``, on a job (by number) and what the pattern names."""

    at: float
    kind: str
    job: int = 0
    pattern: str = "*"


@dataclass(frozen=True, slots=True)
class Incident:
    """A fault that was planned: when, for how long, and a number that means what the fault needs."""

    at: float
    kind: str
    seconds: float
    number: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. ``only``: exactly these faults of chance happen (None: as the dice fall)."""

    seed: int
    policy: Policy
    jobs: tuple[JobPlan, ...]
    acts: tuple[Act, ...]
    incidents: tuple[Incident, ...]
    rates: dict[str, float]
    calm: float
    gather: float = 0.01  #: seconds for which the boss lets events gather in one turn
    bytes: bool = False  #: messages go through real bytes
    quota: float = 0.0
    longest_lease: float = 90.0
    only: frozenset[Fault] | None = None
    kept: dict[str, tuple[int, ...]] = field(default_factory=dict)  #: what a shortened plan has kept of each list

    def without(self, part: str, numbers: frozenset[int]) -> "Plan":
        """The plan with some of its jobs, acts or incidents left out, numbered as they are here."""
        left = [i for i in range(len(getattr(self, part))) if i not in numbers]
        before = self.kept.get(part, tuple(range(len(getattr(self, part)))))
        kept = {**self.kept, part: tuple(before[i] for i in left)}
        chosen = tuple(getattr(self, part)[i] for i in left)
        if part == "jobs":
            acts = [act for act in self.acts if act.job in left]
            numbers_kept = [i for i, act in enumerate(self.acts) if act.job in left]
            acts_before = self.kept.get("acts", tuple(range(len(self.acts))))
            kept["acts"] = tuple(acts_before[i] for i in numbers_kept)
            moved = tuple(replace(act, job=left.index(act.job)) for act in acts)
            return replace(self, jobs=chosen, acts=moved, kept=kept)
        if part == "acts":
            return replace(self, acts=chosen, kept=kept)
        return replace(self, incidents=chosen, kept=kept)

    def is_long(self, assignment: Assignment) -> bool:
        """Whether the attempt's manifest is too long for a message."""
        task = self._task(assignment)
        return task is not None and task.long

    def outcome(self, world: "World", assignment: Assignment) -> tuple[float, Result]:
        """How long an attempt runs, and how it ends."""
        name, chance = assignment.attempt, world.chance
        seconds = 0.3 + 3.0 * chance.of(f"runs {name}") ** 2
        if chance.fault("task slow"):
            seconds = chance.detail(10.0, 25.0)
        task = self._task(assignment)
        if task is not None and task.hangs and chance.of(f"hangs {name}") < 0.4:
            return min(assignment.timeout, 6.0), Result(name, "failed", "run", reason="timed out")
        fails = chance.of(f"fails {name}") < (task.fails if task is not None else 0.0)
        if fails or chance.fault("task fails"):
            return seconds, Result(name, "failed", "run", 1, reason="exit code 1")
        return seconds, Result(name, "succeeded", exit_code=0)

    def _task(self, assignment: Assignment) -> TaskPlan | None:
        job = next((job for job in self.jobs if job.name == assignment.job), None)
        index = int(assignment.attempt.split(".")[1])
        return job.tasks[index] if job is not None and index < len(job.tasks) else None


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    chance = Random(seed * 7919 + 17)  # noqa: S311 (a simulation)
    calm = chance.uniform(*CALM)
    policy, longest = _policy(chance)
    largest = max(flavor.resources["cpus"] for pool in policy.pools for flavor in pool.flavors)
    jobs = tuple(_job(chance, number, calm, largest) for number in range(chance.choice((1, 1, 1, 2, 2, 3))))
    return Plan(
        seed,
        policy,
        jobs,
        _acts(chance, jobs, calm),
        _incidents(chance, calm),
        _rates(chance),
        calm,
        gather=chance.choice((0.01, 0.05, 0.3)),
        bytes=chance.random() < 0.1,
        quota=chance.choice((0.0, 0.0, 2.0)),
        longest_lease=longest,
    )


def _policy(chance: Random) -> tuple[Policy, float]:
    """A laptop, a cloud, or both; leases so short that trouble comes quickly."""
    local = tuple(Flavor(f"local.{size}", {"cpus": size, "memory": size * 4 * GIB}) for size in (1, 2))
    sky = tuple(Flavor(f"sky.{size}", {"cpus": size, "memory": size * 4 * GIB}, 0.1 * size) for size in (1, 2, 4))
    laptop = Pool(
        "local",
        "local",
        local,
        maximum=3,
        limits={"cpus": chance.choice((2, 3))},
        cooldown=chance.choice((2.0, 5.0)),
        boot_timeout=12.0,
    )
    vms = Pool(
        "sky",
        "sky",
        sky[: chance.choice((1, 2, 3))] if chance.random() < 0.8 else sky[1:],
        minimum=chance.choice((0, 0, 0, 1)),
        maximum=chance.choice((2, 3, 4)),
        cooldown=chance.choice((2.0, 5.0)),
        boot_timeout=12.0,
        haste=chance.random(),
    )
    pools = chance.choice(((laptop,), (laptop,), (vms,), (laptop, vms)))
    policy = Policy(
        pools=pools,
        heartbeat=3.0,
        offline_after=7.0,
        lease=chance.choice((10.0, 14.0)),
        worker_lease=chance.choice((30.0, 60.0)),
        create_timeout=15.0,
        delete_timeout=10.0,
        drain_timeout=90.0,
        stop_grace=5.0,
        stray_grace=6.0,
        list_interval=6.0,
        retry_base=0.5,
        retry_limit=4.0,
        infrastructure_budget=chance.choice((5, 5, 2)),
        prefetch_seconds=chance.choice((0.25, 4.0)),
        check=True,
    )
    return policy, chance.choice((60.0, 120.0))


def _job(chance: Random, number: int, calm: float, largest: float) -> JobPlan:
    shape = chance.choice(SHAPES)
    count = chance.randint(2, 7)
    outputs = chance.choice((0.3, 0.7, 1.0))
    tasks: list[TaskPlan] = []
    inits = chance.choice((1, 1, 2)) if chance.random() < 0.2 else 0
    for _ in range(inits):
        tasks.append(TaskPlan(init=True, cpus=1.0, fails=chance.choice((0.0, 0.0, 0.3))))
    for index in range(count):
        above = tuple(inits + other for other in shape(index))
        tasks.append(
            TaskPlan(
                above,
                output=chance.random() < outputs,
                cpus=1.0 if chance.random() < 0.8 else min(2.0, largest),
                retries=chance.choice((0, 1, 1, 2)),
                priority=chance.choice((0, 0, 0, 1)),
                fails=1.0 if chance.random() < 0.04 else chance.choice((0.0, 0.0, 0.2)),
                hangs=chance.random() < 0.06,
                long=chance.random() < 0.15,
            )
        )
    owner = chance.choice(("ada", "ben"))
    return JobPlan(
        f"job{number}", owner, 0.2 if number == 0 else chance.uniform(0.2, calm * 0.6), tuple(tasks), chance.choice((0, 0, 1))
    )


def _chain(index: int) -> tuple[int, ...]:
    return (index - 1,) if index else ()


def _fan(index: int) -> tuple[int, ...]:
    return (0,) if index else ()


def _bag(index: int) -> tuple[int, ...]:
    return ()


def _lattice(index: int) -> tuple[int, ...]:
    return tuple(other for other in (index - 2, index - 3) if other >= 0)


SHAPES: tuple[Callable[[int], tuple[int, ...]], ...] = (_chain, _fan, _bag, _lattice, _lattice)

#: What people do, each as often as it stands here.
ACTS = [
    "pause",
    "resume",
    "cancel",
    "cancel_all",
    "redo",
    "redo",
    "redo_below",
    "redo_stale",
    "retry",
    "retry_all",
    "drain_worker",
    "terminate_worker",
    "instantiate",
    "close_fleet",
    "open_fleet",
    "extend",
    "extend",
    "why",
    "cancel",
    "redo",
]


def _acts(chance: Random, jobs: tuple[JobPlan, ...], calm: float) -> tuple[Act, ...]:
    acts = []
    for _ in range(chance.choice((0, 0, 1, 2, 4, 8))):
        job = chance.randrange(len(jobs))
        task = chance.randrange(len(jobs[job].tasks))
        pattern = chance.choice((f"t{task}", f"t{task}", "t*", "*"))
        acts.append(Act(chance.uniform(1.0, calm), chance.choice(ACTS), job, pattern))
    return tuple(sorted(acts, key=lambda act: act.at))


def _incidents(chance: Random, calm: float) -> tuple[Incident, ...]:
    found: list[Incident] = []
    happened: dict[str, int] = {}
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3, 5))):
        kind = chance.choice(tuple(INCIDENTS))
        if happened.get(kind, 0) >= INCIDENTS[kind].most:
            continue
        happened[kind] = happened.get(kind, 0) + 1
        seconds = chance.choice((1.0, 4.0, 10.0, 25.0)) * chance.uniform(0.5, 1.5)
        found.append(Incident(chance.uniform(1.0, calm), kind, seconds, chance.random()))
    return tuple(sorted(found, key=lambda incident: incident.at))


def _rates(chance: Random) -> dict[str, float]:
    """Most kinds are off in most runs."""
    share = chance.choice((0.1, 0.25, 0.5))
    return {kind: fault.rate * chance.uniform(0.1, 1.0) for kind, fault in CHANCES.items() if chance.random() < share}
