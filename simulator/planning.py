"""What a task file would take: the real core plays it through on a virtual clock, with what a running boss has and knows.

Rules:
- A run time is the file's hint, else what was learned of the program, else a supposition; how many tasks each of these is for is told.
- It is played through at several settings of ``haste``: that is the choice between time and cost which a pool has. An empty cloud is
  supposed, with as much of the quota as is free now, and nobody else's jobs.
- Beyond how many VMs more of them do not help is found without the core: all tasks dealt out over so many machines that are up at once.
- Of more than ``MOST`` tasks equal ones are played through in pieces of several (``pieces``), and the plan says so; a job that cannot be
  parted like that is refused, because it would take an hour to make. Work, chain, width and number of VMs are of all tasks even then.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import ceil, inf
from typing import Any

from boss.core.basis import state_of_basis, with_pools
from boss.core.learned import UNKNOWN, program_of
from boss.core.model import Pool, TaskSpec, Template
from boss.core.placement import share_of
from boss.core.quotas import beyond, obtainable
from boss.core.ready import shape_of
from boss.core.rollout import Machine, Sight, roll
from boss.core.sizes import flavors
from boss.core.state import State
from simulator.elastic import ElasticWorld, Stuck
from simulator.pieces import Pieces, in_pieces
from simulator.workload import Workload

#: Tasks, or pieces of several, that are played through at most.
MOST = 6_000
#: Settings of haste that are played through; the pools' own comes first.
HASTES = (0.0, 0.25, 0.5, 0.75, 1.0)
#: So much longer than with as many VMs as there can be use counts as no help any more.
NO_HELP = 1.02
#: The number of VMs beyond which more do not help is exact up to this, and to this part beyond.
PRECISION = 200
_HOUR = 3600.0


class NoPlan(Exception):
    """A plan cannot be made; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to go: times in seconds, ``vm_hours`` of all VMs, ``price`` in the unit of the flavors' prices (0: none has one)."""

    haste: float | None
    makespan: float
    vm_hours: float
    cpu_hours: float
    price: float
    vms: int
    cpus: float


@dataclass(slots=True)
class Plan:
    """All that is told. ``hinted``, ``learned`` and ``supposed`` count tasks by where their run time comes from."""

    tasks: int
    work: float
    critical_path: float
    widest: int
    enough: int
    hinted: int
    learned: int
    supposed: int
    pieces: int = 0  #: that it was played through in; 0: task by task
    together: int = 1  #: tasks of a piece at most
    own: Way | None = None
    ways: list[Way] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)

    def data(self) -> dict[str, Any]:
        """As plain JSON data."""
        return asdict(self)


def plan(templates: Sequence[Template], specs: Sequence[TaskSpec], basis: dict[str, Any]) -> Plan:
    """The plan of these tasks. Raises NoPlan."""
    todo = [spec for spec in specs if not spec.done]
    if not todo:
        raise NoPlan("there is nothing to run")
    state = state_of_basis(basis)
    _check_sizes(templates, todo, state)
    made, load = _workload(templates, todo, state)
    parted = _parted(load, state)
    if parted.each > 1:
        made.pieces, made.together = len(parted.load.tasks), parted.each
    played = parted.load
    for way, haste in ((_way(played, basis, None), None), *((_way(played, basis, haste), haste) for haste in HASTES)):
        if haste is None:
            made.own, made.cut = way
        else:
            made.ways.append(way[0])
    made.enough = _enough(load, state)
    return made


def _check_sizes(templates: Sequence[Template], specs: Sequence[TaskSpec], state: State) -> None:
    if not any(flavors(state, pool) for pool in state.policy.pools):
        raise NoPlan("no pool has a flavor of which it is known what it offers; `admin.py status` says why")
    sizes = [flavor.resources for pool in state.policy.pools for flavor in obtainable(state, pool)]
    by_number = {template.number: template for template in templates}
    for spec in specs:
        shape = shape_of(by_number[spec.template])
        if all(share_of(shape, size) is None for size in sizes):
            needs = ", ".join(f"{name} {count:g}" for name, count in shape)
            large = [(pool, one) for pool in state.policy.pools for one in flavors(state, pool) if share_of(shape, one.resources)]
            why = f" that can be had: {beyond(state, *large[0])}" if large else " holds that"
            raise NoPlan(f"{spec.name} needs {needs}: no flavor of any pool{why}")


def _workload(templates: Sequence[Template], specs: Sequence[TaskSpec], state: State) -> tuple[Plan, Workload]:
    """The tasks with their run times, numbered anew from 0 (what is done already is left out)."""
    numbers = {spec.index: number for number, spec in enumerate(specs)}
    by_number = {template.number: template for template in templates}
    counts = {"hinted": 0, "learned": 0, "supposed": 0}
    runtimes, rows = [], []
    for number, spec in enumerate(specs):
        template = by_number[spec.template]
        seen = state.learned.programs.get(program_of(template))
        kind, seconds = (
            ("hinted", template.runtime) if template.runtime else ("learned", seen.seconds) if seen else ("supposed", UNKNOWN)
        )
        counts[kind] += 1
        runtimes.append(seconds)
        above = tuple(numbers[other] for other in spec.dependencies if other in numbers)
        rows.append(TaskSpec(number, spec.name, spec.template, spec.row, above, spec.rank))
    order = {template.number: place for place, template in enumerate(templates)}
    plain = tuple(
        replace(template, number=place, init=False, inputs=(), outputs=(), env=()) for place, template in enumerate(templates)
    )
    rows = [replace(row, template=order[row.template]) for row in rows]
    load = Workload("plan", plain, tuple(rows), runtimes)
    hinted, learned, supposed = counts["hinted"], counts["learned"], counts["supposed"]
    made = Plan(len(specs), load.work, load.critical_path, load.widest, 0, hinted, learned, supposed)
    return made, load


def _parted(load: Workload, state: State) -> Pieces:
    shapes = {shape_of(template) for template in load.templates}
    slots = 0.0
    for pool in state.policy.pools:
        shares = [share_of(shape, one.resources) for one in flavors(state, pool) for shape in shapes]
        slots += pool.maximum / min((share for share in shares if share), default=1.0)
    slots = min(ceil(slots), max(1, load.widest))
    found = in_pieces(
        load, slots, MOST, lambda template: bool(template.runtime or program_of(template) in state.learned.programs)
    )
    if found is None:
        raise NoPlan(
            f"{len(load.tasks):,} tasks are too many to play through one by one, and too unlike each other, or for too many slots "
            f"({slots:,}), to play them through in at most {MOST:,} pieces; plan a smaller file of the same shape"
        )
    return found


def _way(load: Workload, basis: dict[str, Any], haste: float | None) -> tuple[Way, list[str]]:
    """Play it through at one setting of haste (None: that of each pool), and what had kept the core from more VMs."""
    state = state_of_basis(basis)
    policy = replace(state.policy, heartbeat=60.0, offline_after=200.0, lease=600.0, create_timeout=3600.0)
    policy = with_pools(policy, boot_timeout=86400.0, **({} if haste is None else {"haste": haste}))
    boots = {
        (pool.name, one.name): state.learned.boot(pool.name, one.name, pool.provider)
        for pool in policy.pools
        for one in pool.flavors
    }
    world = ElasticWorld(policy, boots, state=state, began=float(basis["now"]))
    prices = {(pool.name, one.name): one.price for pool in policy.pools for one in pool.flavors}
    cut: dict[str, None] = {}
    world.push(load)
    try:
        while not world.done():
            world.step()
            if world.state.ready.buckets:
                cut.update(dict.fromkeys(world.state.outlook.binding))
            if world.now - world.began > 400 * 86400.0:
                raise Stuck("it does not end within a year")
    except Stuck as error:
        raise NoPlan(str(error)) from None
    makespan = world.now - world.began
    run = world.settle(2 * _HOUR)
    cpus = {key: resources.get("cpus", 0.0) for key, resources in world.sizes.items()}
    hours = {key: seconds / _HOUR for key, seconds in run.vm_time.items()}
    way = Way(
        haste,
        makespan,
        sum(hours.values()),
        sum(spent * cpus[key] for key, spent in hours.items()),
        sum(spent * prices[key] for key, spent in hours.items()),
        run.peak,
        run.peak_cpus,
    )
    return way, list(cut)


def _enough(load: Workload, state: State) -> int:
    """The number of VMs (of the flavor that the most tasks fit best) beyond which more hardly help."""
    sight = Sight(jobs=1)
    kinds: dict[tuple[tuple[str, float], ...], int] = {}
    for task in load.tasks:
        shape = shape_of(load.templates[task.template])
        if shape not in kinds:
            kinds[shape] = len(kinds)
            sight.kinds.append((0, 0, ""))
        node = sight.add((load.runtimes[task.index],), kinds[shape], task.rank, len(task.dependencies))
        if not task.dependencies:
            sight.roots.append((0.0, node))
    for task in load.tasks:
        for other in task.dependencies:
            sight.below[other].append(task.index)
    machine = min(
        (_machine(pool, flavor.name, kinds, state) for pool in state.policy.pools for flavor in obtainable(state, pool)),
        key=_lack,
    )
    if _lack(machine)[0]:
        return 0
    return _fewest(lambda count: max(roll(sight, [machine] * count).ends), max(1, load.widest))


def _machine(pool: Pool, flavor: str, kinds: dict[tuple[tuple[str, float], ...], int], state: State) -> Machine:
    resources = next(one.resources for one in flavors(state, pool) if one.name == flavor)
    return Machine(
        flavor, [share_of(shape, resources) for shape in kinds], 1.0, state.learned.boot(pool.name, flavor, pool.provider)
    )


def _lack(machine: Machine) -> tuple[int, float]:
    """How many kinds do not fit, then how much room is over."""
    return sum(share is None for share in machine.share), -sum(share or 0.0 for share in machine.share)


def _fewest(ends: Callable[[int], float], most: int) -> int:
    best = ends(most)
    if best == inf:
        return 0
    low, high = 1, most
    while high - low > high // PRECISION:
        middle = (low + high) // 2
        if ends(middle) <= best * NO_HELP + 1e-6:
            high = middle
        else:
            low = middle + 1
    return high
