"""Plans and elastic runs: the real core on a virtual clock, with VMs that take their time to come up."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from wfcommons import WorkflowGenerator
from wfcommons.wfchef.recipes import MontageRecipe

from boss.core.basis import basis_of
from boss.core.events import Limit
from boss.core.learned import Mean
from boss.core.model import Flavor, Policy, Pool, TaskSpec, Template, Vm
from boss.core.state import State
from simulator import planning
from simulator.elastic import ElasticWorld, Run, simple_pool
from simulator.pieces import in_pieces
from simulator.planning import MOST, NoPlan, plan
from simulator.workload import Workload, read_trace

POLICY = Policy(heartbeat=60.0, offline_after=200.0, lease=600.0, create_timeout=3600.0)


def fan(width: int, seconds: float = 600.0, **template: Any) -> tuple[list[Template], list[TaskSpec]]:
    """So many tasks, and one that waits for them all."""
    specs = [TaskSpec(i, f"t{i}", 0, 0, (), 1) for i in range(width)]
    return [Template(0, "t", ("run",), runtime=seconds, **template)], [
        *specs,
        TaskSpec(width, "sum", 0, 0, tuple(range(width)), 0),
    ]


def basis(**limits: tuple[float, float]) -> dict[str, Any]:
    """What a boss with one pool in a cloud says."""
    state = State(Policy(pools=(Pool("cloud", "sky", (Flavor("one", {"cpus": 1}, 0.1),), maximum=20, cooldown=5.0),)))
    state.learned.booted(Vm("cloud-1", "cloud", "one", 0.0), 60.0)
    state.limits["sky"] = {name: Limit(total, used) for name, (total, used) in limits.items()}
    return basis_of(state, 1000.0)


def elastic(load: Workload, boot: float = 90.0, **pool: Any) -> Run:
    """One run from an empty cloud until nothing is left."""
    world = ElasticWorld(replace(POLICY, pools=(simple_pool(boot_timeout=3600.0, **pool),)), {("vm", "one"): boot})
    world.push(load)
    world.finish()
    return world.settle(4000)


@pytest.fixture(scope="module")
def montage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace in the shape of a real one."""
    path = tmp_path_factory.mktemp("traces") / "montage.json"
    WorkflowGenerator(MontageRecipe.from_num_tasks(120)).build_workflow().write_json(path)
    return path


def test_a_trace_ends_sooner_with_haste_and_cheaper_with_thrift_and_nothing_swings(montage: Path) -> None:
    load = read_trace(montage)
    thrifty, hasty = elastic(load, haste=0.0), elastic(load, haste=1.0)
    assert hasty.makespan <= thrifty.makespan
    assert thrifty.vm_seconds <= hasty.vm_seconds
    assert thrifty.oscillations(90.0) == hasty.oscillations(90.0) == 0
    assert hasty.makespan >= 90 + load.critical_path - 1e-6
    assert thrifty.vm_seconds >= load.work


def test_run_times_that_are_learned_while_running_still_bring_it_to_its_end(montage: Path) -> None:
    run = elastic(read_trace(montage, known=False))
    assert run.peak <= 50
    assert run.oscillations(90.0) == 0


def test_a_plan_tells_time_cost_and_where_run_times_come_from() -> None:
    made = plan(*fan(10), basis())
    assert (made.tasks, made.widest, made.critical_path, made.hinted) == (11, 10, 1200.0, 11)
    assert made.work == pytest.approx(6600)
    assert made.enough == 10
    assert made.own is not None
    assert made.own.makespan == pytest.approx(60 + 1200, abs=10)
    assert made.own.vms == 10
    assert made.own.price == pytest.approx(made.own.vm_hours * 0.1)
    assert [way.haste for way in made.ways] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_plan_keeps_to_the_quota_of_now_and_says_so() -> None:
    made = plan(*fan(10), basis(cpus=(20, 17)))
    assert made.own is not None
    assert made.own.vms == 3
    assert any("quota of 20 cpus" in sentence for sentence in made.cut)


def test_work_of_several_sizes_together_keeps_to_the_maximum_of_its_pool() -> None:
    pool = Pool("vm", "simulated", (Flavor("small", {"cpus": 1.0}), Flavor("large", {"cpus": 2.0})), maximum=4)
    sizes = {("vm", one.name): one.resources for one in pool.flavors}
    state = State(Policy(pools=(pool,)), sizes=sizes, offered=sizes)
    templates = [
        Template(0, "prepare", ("true",), runtime=120.0),
        Template(1, "run", ("true",), runtime=600.0, needs={"cpus": 1.0}),
        Template(2, "sum", ("true",), runtime=300.0, needs={"cpus": 2.0}),
    ]
    runs = [TaskSpec(number, f"run-{number}", 1, dependencies=(0,)) for number in range(1, 41)]
    specs = [TaskSpec(0, "prepare", 0), *runs, TaskSpec(41, "sum", 2, dependencies=tuple(range(1, 41)))]
    state.learned.boots.update({key: Mean() for key in sizes})
    for mean in state.learned.boots.values():
        mean.learn(60.0)
    made = plan(templates, specs, basis_of(state, 0.0))
    assert made.own is not None and max(way.vms for way in (made.own, *made.ways)) == 4
    assert made.own.makespan > 120 + 40 * 600 / 8 + 300


def test_what_cannot_be_planned_says_why() -> None:
    with pytest.raises(NoPlan, match="t0 needs cpus 9: no flavor of any pool holds that"):
        plan(*fan(2, needs={"cpus": 9}), basis())
    templates = [
        Template(i, "t", (f"tool-{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{chr(97 + i // 676)}",)) for i in range(MOST + 1)
    ]
    with pytest.raises(NoPlan, match="too unlike each other"):
        plan(templates, [TaskSpec(i, f"t{i}", i) for i in range(MOST + 1)], basis())
    templates, specs = fan(1)
    with pytest.raises(NoPlan, match="nothing to run"):
        plan(templates, [replace(spec, done=True) for spec in specs], basis())


@pytest.mark.long
def test_a_large_sweep_is_played_through_in_pieces_and_comes_out_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = plan(*fan(1500, 30.0), basis())
    monkeypatch.setattr(planning, "MOST", 500)
    rough = plan(*fan(1500, 30.0), basis())
    assert (exact.pieces, exact.together) == (0, 1)
    assert 300 < rough.pieces <= 500
    assert rough.together == 4
    assert exact.own is not None
    assert rough.own is not None
    assert rough.own.makespan == pytest.approx(exact.own.makespan, rel=0.06)
    assert rough.own.vm_hours == pytest.approx(exact.own.vm_hours, rel=0.06)
    assert (rough.tasks, rough.work, rough.critical_path, rough.widest) == (1501, exact.work, exact.critical_path, 1500)
    assert rough.enough == exact.enough


def test_pieces_keep_the_work_the_chains_and_what_is_single() -> None:
    templates = (Template(0, "a", ("a",), runtime=2.0), Template(1, "b", ("b",), runtime=3.0), Template(2, "c", ("c",)))
    width = 1000
    tasks = (
        *(TaskSpec(i, f"a{i}", 0, 0, (), 2) for i in range(width)),
        *(TaskSpec(width + i, f"b{i}", 1, 0, (i,), 1) for i in range(width)),
        TaskSpec(2 * width, "c", 2, 0, tuple(range(width, 2 * width)), 0),
    )
    load = Workload("job", templates, tasks, [2.0] * width + [3.0] * width + [7.0])
    parted = in_pieces(load, 5, 250, lambda template: bool(template.runtime))
    assert parted is not None
    assert parted.each == 10
    assert len(parted.load.tasks) == 201
    assert parted.load.work == load.work
    assert [task.dependencies for task in parted.load.tasks[100:103]] == [(0,), (1,), (2,)]  # a piece waits for one alone
    last = parted.load.tasks[-1]
    assert last.dependencies == tuple(range(100, 200))
    assert parted.load.templates[last.template].runtime == 0.0  # nobody knows it beforehand
    assert parted.load.templates[0].runtime == 20.0
