"""Looking ahead: VMs that take their time to come up are bought for the work that will be there then, and let go when it is not."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from boss.core import reactor, usage
from boss.core.effects import CreateVms, DeleteVm
from boss.core.events import BrokerConnected, Limit, LimitsSeen, VmCreated, VmDeleted, WorkerSaid
from boss.core.model import Flavor, Pool, TaskSpec, Template, Vm, VmState
from boss.core.picture import state_of
from boss.core.requests import JobOpened, JobPaused, JobResumed, JobStaged, TasksCancelled, TasksStaged, WhyAsked, WorkersWanted
from simulator.elastic import ElasticWorld, simple_pool
from simulator.workload import Workload
from tests.core.scene import GIB, Scene
from worker.protocol import Drain, Goodbye, Result, Results

ONE = Flavor("one", {"cpus": 1})
BOOT = 90.0


def cloud(**fields: object) -> Pool:
    """A pool of one-cpu VMs that take 90 s to come up."""
    return replace(Pool("cloud", "sky", (ONE,), maximum=50, cooldown=1.0), **fields)  # type: ignore[arg-type]


def stage(pool: Pool | None = None, **policy: object) -> Scene:
    """A boss that has such a pool, and has seen how long a boot takes."""
    scene = Scene(pools=(pool or cloud(),), **policy)
    scene.state.learned.booted(Vm("cloud-0", "cloud", "one", 0.0), BOOT)
    return scene


def layers(*widths: int, seconds: float = 600.0, **template: object) -> tuple[tuple[Template, ...], tuple[TaskSpec, ...]]:
    """Layers of tasks, each task waiting for all of the layer above."""
    specs: list[TaskSpec] = []
    above: tuple[int, ...] = ()
    for depth, width in enumerate(widths):
        first = len(specs)
        specs += [TaskSpec(first + i, f"t{depth}.{i}", 0, 0, above, len(widths) - 1 - depth) for i in range(width)]
        above = tuple(range(first, first + width))
    return (Template(0, "t", ("true",), runtime=seconds, **template),), tuple(specs)  # type: ignore[arg-type]


def created(scene: Scene) -> int:
    """How many VMs were asked for since the last look."""
    return sum(len(effect.vms) for effect in scene.hush() if isinstance(effect, CreateVms))


def why(scene: Scene, task: str, job: str = "job") -> str:
    """All that is said about a task."""
    return " ".join(scene.answer(WhyAsked(job, task, reply=1)).detail["why"])  # type: ignore[arg-type]


def dealt_to(scene: Scene) -> dict[str, str]:
    """Worker -> the attempt that it holds."""
    return {worker.id: next(iter(worker.held)) for worker in scene.state.workers.values() if worker.held}


def limits(scene: Scene, **of: tuple[float, float]) -> None:
    """The cloud says what the project may have and uses."""
    told: Mapping[str, Limit] = {name: Limit(total, used) for name, (total, used) in of.items()}
    scene.turn(LimitsSeen("sky", told))


# ---- what is bought ------------------------------------------------------------------------------------------------


def test_as_many_vms_come_as_there_are_long_tasks_be_they_hundreds() -> None:
    scene = stage(cloud(maximum=300, haste=1.0))
    scene.push(layers(300, seconds=36000.0))
    scene.wait(2)
    assert created(scene) == 300


@pytest.mark.parametrize("tasks", [800, 1500, 20_000])
def test_large_vms_are_filled_with_many_tasks_side_by_side(tasks: int) -> None:
    """Fifty VMs of 16 slots are worth it for hours of work on each slot, however many tasks that are."""
    large = Flavor("large", {"cpus": 16})
    scene = Scene(pools=(cloud(flavors=(large,), maximum=50, haste=1.0),))
    scene.state.learned.booted(Vm("cloud-0", "cloud", "large", 0.0), BOOT)
    scene.push(layers(tasks, seconds=800 * 36000.0 / tasks))
    scene.wait(2)
    assert 48 <= created(scene) <= 50


def test_few_tasks_on_large_vms_buy_no_more_than_hold_them() -> None:
    large = Flavor("large", {"cpus": 16})
    scene = Scene(pools=(cloud(flavors=(large,), maximum=50, haste=1.0),))
    scene.state.learned.booted(Vm("cloud-0", "cloud", "large", 0.0), BOOT)
    scene.push(layers(320, seconds=36000.0))
    scene.wait(2)
    assert created(scene) == 20


def test_long_tasks_are_worth_a_vm_each() -> None:
    scene = stage()
    scene.push(layers(8, seconds=3600))
    assert created(scene) == 8


def test_a_vm_that_would_be_up_only_after_the_work_is_gone_is_not_bought() -> None:
    scene = stage()
    scene.push(layers(2, seconds=600))
    scene.now += BOOT
    for name in ("cloud-1", "cloud-2"):
        scene.join(name)
        scene.start(name, dealt_to(scene)[name])
    created(scene)
    scene.now += 590
    scene.push(layers(10, seconds=3), "short")  # both will be free in 10 s, and through with these in 25 s
    assert created(scene) == 0
    said = why(scene, "t0.9", "short")
    assert "adds no VM for it at this moment: one takes about 90 s to come up" in said
    assert "all work in sight ends in about" in said


def test_of_short_tasks_a_few_vms_do_many() -> None:
    scene = stage()
    scene.push(layers(100, seconds=3))
    assert 1 <= created(scene) <= 12


def test_a_layer_that_is_known_to_come_is_prepared_for_one_boot_time_before_it_opens() -> None:
    scene = stage()
    scene.push(layers(1, 8, seconds=900))
    assert created(scene) == 1
    scene.now += BOOT
    scene.join("cloud-1")
    began = scene.now
    scene.start("cloud-1", *dealt_to(scene).values())
    while not (asked := created(scene)) and scene.now < began + 900:
        scene.wait(5)
        scene.beat("cloud-1")
    assert asked == 7  # the one that is there is the eighth
    assert 900 - BOOT - 30 <= scene.now - began <= 900 - BOOT + 10
    for _ in range(20):
        scene.wait(3)
        scene.beat("cloud-1")
    assert created(scene) == 0


def test_haste_buys_more_and_thrift_less() -> None:
    bought = []
    for haste in (0.0, 0.5, 1.0):
        scene = stage(cloud(haste=haste))
        scene.push(layers(40, seconds=60))
        bought.append(created(scene))
    assert bought == sorted(bought)
    assert bought[0] < bought[2]


def test_a_task_that_no_flavor_can_hold_buys_nothing_and_is_explained() -> None:
    scene = stage()
    scene.push(layers(3, needs={"cpus": 64}))
    scene.wait(5)
    assert created(scene) == 0
    assert "No VM of any pool can hold it" in why(scene, "t0.0")


def test_the_cheapest_mix_is_bought() -> None:
    big = Flavor("big", {"cpus": 8, "memory": 32 * GIB}, price=0.6)
    small = Flavor("small", {"cpus": 1, "memory": 4 * GIB}, price=0.1)
    scene = stage(cloud(flavors=(small, big)))
    scene.push(layers(18, seconds=3600))
    flavors = [vm.flavor for vm in scene.state.vms.values()]
    assert sorted(flavors) == ["big", "big", "small", "small"]


def test_unknown_tasks_are_tried_on_a_few_vms_and_long_ones_then_get_more() -> None:
    scene = stage()
    scene.push(layers(30, seconds=0))
    few = created(scene)
    assert few < 15
    scene.now += BOOT
    names = list(scene.state.vms)
    for name in names:
        scene.join(name)
    for name, attempt in dealt_to(scene).items():
        scene.start(name, attempt)
    for _ in range(60):
        scene.wait(10)
        for name in names:
            scene.beat(name)
    assert len(scene.state.vms) > few


# ---- what is let go ------------------------------------------------------------------------------------------------


def test_an_idle_vm_is_kept_over_a_short_gap_and_let_go_before_a_long_one() -> None:
    for seconds, kept in ((100.0, True), (2000.0, False)):
        scene = stage()
        rows = layers(2, 2, seconds=seconds)
        scene.push(rows)
        count = created(scene)
        assert count == 2
        scene.now += BOOT
        for name in ("cloud-1", "cloud-2"):
            scene.join(name)
        for name, attempt in dealt_to(scene).items():
            scene.start(name, attempt)
        scene.hush()
        scene.now += 1
        scene.finish("cloud-1", dealt_to(scene)["cloud-1"])  # the other one has ``seconds`` left
        for _ in range(4):
            scene.wait(2)
            scene.beat("cloud-1")
            scene.beat("cloud-2")
        assert bool(scene.heard(Drain, "cloud-1")) is not kept
        said = scene.answer(WhyAsked("", "cloud-1", reply=1)).detail["why"]
        assert ("kept for tasks that come" if kept else "nothing in sight needs it") in " ".join(said)  # type: ignore[arg-type]


def test_idle_vms_are_let_go_after_a_restart_of_the_boss_though_nothing_happens_any_more() -> None:
    scene = stage()
    scene.answer(WorkersWanted(1, keep=BOOT, reply=1))
    scene.now += BOOT
    scene.join("cloud-1")
    old = scene.state
    scene.state = state_of(old.policy, 2, old.context, (), old.workers.values(), old.vms.values())
    reactor.resume(scene.state, scene.now)
    scene.turn(BrokerConnected())
    scene.hush()
    for _ in range(10):
        scene.wait(2)
        scene.beat("cloud-1")
    assert scene.heard(Drain, "cloud-1")


def test_time_weighs_as_much_after_a_restart_of_the_boss_as_before() -> None:
    scene = stage()
    scene.now = 1.8e9  # a time of day
    scene.state.stopping = True  # nothing is bought in this life
    scene.push(layers(8, seconds=3600))
    old = scene.state
    for job in old.jobs.values():
        job.since = None
    scene.state = state_of(old.policy, 2, old.context, old.jobs.values(), (), ())
    scene.state.learned = old.learned
    reactor.resume(scene.state, scene.now)
    scene.turn(BrokerConnected())
    assert created(scene) == 8


def test_a_vm_that_was_kept_for_a_person_is_let_go_when_that_time_is_over() -> None:
    scene = stage()
    scene.answer(WorkersWanted(1, keep=BOOT + 60, reply=1))
    scene.now += BOOT
    scene.join("cloud-1")
    for seconds, goes in ((50, False), (40, True)):
        for _ in range(seconds // 2):
            scene.wait(2)
            scene.beat("cloud-1")
        assert bool(scene.heard(Drain, "cloud-1")) is goes


def test_a_job_that_was_paused_gets_its_vms_when_it_is_resumed() -> None:
    scene = stage()
    scene.turn(JobStaged("u1", "job", "ada", "s1"))
    scene.turn(TasksStaged("u1", *layers(2)))
    scene.turn(JobOpened("u1", {}), JobPaused("job"))
    scene.wait(60)
    assert created(scene) == 0
    scene.turn(JobResumed("job"))
    assert created(scene) == 2


def test_a_vm_whose_init_task_failed_is_replaced_and_let_go() -> None:
    scene = stage()
    template = Template(0, "t", ("true",), runtime=600.0)
    init = Template(1, "i", ("make",), init=True)
    scene.push(((template, init), (TaskSpec(0, "t", 0), TaskSpec(1, "init", 1))))
    scene.now += BOOT
    scene.join("cloud-1")
    scene.hush()
    scene.finish("cloud-1", "u1.1.1", "failed", phase="run")
    for _ in range(10):
        scene.wait(2)
        scene.beat("cloud-1")
    assert scene.state.workers["cloud-1"].barred == {"u1"}
    assert scene.heard(Drain, "cloud-1")
    assert created(scene) == 1


def test_an_equal_vm_is_not_bought_again_within_its_boot_time_unless_a_job_has_come() -> None:
    scene = stage()
    scene.push(layers(1, seconds=5))
    scene.now += BOOT
    scene.join("cloud-1")
    scene.finish("cloud-1", "u1.0.1")
    scene.wait(3)
    assert scene.heard(Drain, "cloud-1")
    scene.turn(WorkerSaid("cloud-1", Goodbye("s1")))
    scene.turn(VmDeleted("cloud-1"))
    scene.hush()
    assert scene.state.outlook.dropped["cloud", "one"] == pytest.approx(scene.now, abs=5)
    scene.push(layers(2, seconds=900), "next")
    assert created(scene) == 2


def test_vms_that_still_boot_are_given_up_when_their_work_is_cancelled() -> None:
    scene = stage()
    scene.push(layers(5, seconds=900))
    assert created(scene) == 5
    scene.answer(WorkersWanted(1, reply=1))
    scene.turn(TasksCancelled("job", "*"))
    scene.wait(5)
    going = {effect.vm for effect in scene.hush() if isinstance(effect, DeleteVm)}
    assert going == {"cloud-1", "cloud-2", "cloud-3", "cloud-4", "cloud-5"}  # the sixth a person has asked for


def test_what_is_paid_for_by_the_hour_is_let_go_near_the_end_of_the_hour() -> None:
    scene = stage(cloud(billing=3600.0))
    scene.push(layers(1, seconds=5))
    scene.now += BOOT
    scene.join("cloud-1")
    scene.finish("cloud-1", "u1.0.1")
    for _ in range(20):
        scene.wait(3)
        scene.beat("cloud-1")
    assert not scene.heard(Drain)
    assert "paid for" in " ".join(scene.answer(WhyAsked("", "cloud-1", reply=1)).detail["why"])  # type: ignore[arg-type]
    while not scene.heard(Drain) and scene.now < 6000:
        scene.wait(5)
        scene.beat("cloud-1")
    assert 3600 - 100 < scene.now - 1000.0 < 3600


@settings(max_examples=25, deadline=None)
@given(
    widths=some.lists(some.integers(1, 12), min_size=1, max_size=5),
    runtimes=some.lists(some.floats(0.0, 900.0), min_size=1, max_size=8),
    boot=some.sampled_from([20.0, 90.0, 300.0]),
    haste=some.floats(0.0, 1.0),
    known=some.booleans(),
)
def test_no_busy_worker_is_ever_let_go_and_no_vm_outlives_the_work(
    widths: list[int], runtimes: list[float], boot: float, haste: float, known: bool
) -> None:
    templates, specs = layers(*widths, seconds=0)
    times = [runtimes[task.index % len(runtimes)] for task in specs]
    if known:
        specs = tuple(replace(task, template=task.index) for task in specs)
        templates = tuple(replace(templates[0], number=i, runtime=seconds) for i, seconds in enumerate(times))
    pool = simple_pool(20, haste, boot_timeout=3600.0)
    world = ElasticWorld(
        replace(Scene().state.policy, pools=(pool,), heartbeat=60, offline_after=200, lease=600, create_timeout=3600, check=True),
        {("vm", "one"): boot},
    )  # the world itself refuses to delete a busy VM
    busy_when_drained: list[str] = []
    world.push(Workload("any", templates, specs, times))
    while not world.done():
        before = {vm.id for vm in world.state.vms.values() if vm.state is VmState.DRAINING}
        world.step()
        for vm in world.state.vms.values():
            if vm.state is VmState.DRAINING and vm.id not in before and world.state.workers[vm.id].held:
                busy_when_drained.append(vm.id)
        world.state.check()
    assert not busy_when_drained
    run = world.settle(4000)
    assert not world.state.vms
    assert run.oscillations(boot) == 0


# ---- what bounds it ------------------------------------------------------------------------------------------------


def test_head_room_of_the_projects_quota_is_left_to_its_people() -> None:
    scene = stage(cloud(head_room={"cpus": 8, "instances": 2}))
    limits(scene, cpus=(40, 20), instances=(100, 5))
    scene.push(layers(24, seconds=3600))
    assert created(scene) == 12
    assert "uses 32 of its quota of 40 cpus, and 8 are left to people (`head_room`)" in why(scene, "t0.23")


def test_no_more_vms_than_the_subnet_has_addresses() -> None:
    scene = stage()
    limits(scene, addresses=(254, 250))
    scene.push(layers(24, seconds=3600))
    assert created(scene) == 4
    assert "254 of 254 addresses" in why(scene, "t0.23")


def test_no_more_vms_than_the_quota_of_volumes_and_floating_ips_allows() -> None:
    scene = stage(cloud(takes={"volumes": 1.0, "volume_space": 20 * GIB, "floating_ips": 1.0}))
    limits(scene, volumes=(10, 2), volume_space=(500 * GIB, 400 * GIB), floating_ips=(50, 0))
    scene.push(layers(24, seconds=3600))
    assert created(scene) == 5
    assert "uses 500 of its quota of 500 GiB of volumes" in why(scene, "t0.23")
    limits(scene, volumes=(10, 2), volume_space=(500 * GIB, 0), floating_ips=(50, 48))
    scene.wait(1)
    assert created(scene) == 0
    assert "floating IPs" in why(scene, "t0.23")


def test_boots_per_minute_are_kept_and_the_rest_follows() -> None:
    scene = stage(cloud(boots_per_minute=5))
    scene.push(layers(10, seconds=3600))
    assert created(scene) == 5
    scene.wait(30)
    assert created(scene) == 0
    scene.wait(60)
    assert created(scene) == 5


def test_in_quiet_hours_nothing_is_bought_and_why_says_until_when() -> None:
    scene = stage(cloud(quiet=((0.0, 3600.0),)))  # the clock of the scene begins at 00:16:40
    scene.push(layers(3, seconds=3600))
    assert created(scene) == 0
    assert "quiet hours: no VM is created for another 43 min" in why(scene, "t0.0")
    scene.wait(2650, step=10)
    assert created(scene) == 3


def test_quiet_hours_are_of_local_time_and_may_span_midnight() -> None:
    scene = stage(cloud(quiet=((79200.0, 25200.0),)), zone=((0.0, 7 * 3600.0),))  # 07:16 here: just over
    scene.push(layers(1, seconds=3600))
    assert created(scene) == 1
    scene = stage(cloud(quiet=((79200.0, 25200.0),)), zone=((0.0, 6 * 3600.0),))
    scene.push(layers(1, seconds=3600))
    assert created(scene) == 0


def test_a_budget_that_is_used_up_means_no_new_vm_and_no_new_task_and_what_runs_finishes() -> None:
    scene = stage(cloud(maximum=2), budget=1.0)
    scene.push(layers(6, seconds=1800))
    assert created(scene) == 2
    scene.now += BOOT
    for name in ("cloud-1", "cloud-2"):
        scene.join(name)
    scene.now += 1800
    first = dealt_to(scene)
    scene.finish("cloud-1", first["cloud-1"])
    assert sum(state == "ready" for state in scene.states().values()) == 4
    assert "The budget is used up" in why(scene, "t0.5")
    scene.finish("cloud-2", first["cloud-2"])
    assert sum(state == "succeeded" for state in scene.states().values()) == 2
    scene.wait(5)
    assert created(scene) == 0
    assert len(scene.heard(Drain)) == 0 or all(vm.state is VmState.DRAINING for vm in scene.state.vms.values())


def test_a_vm_that_the_cloud_never_ran_uses_up_no_budget() -> None:
    scene = stage(cloud(maximum=2), budget=1.0)
    scene.push(layers(2, seconds=1800))
    assert created(scene) == 2
    scene.now += 7200
    assert usage.total(scene.state, scene.now) == 0  # nothing is known of a server
    scene.turn(VmCreated("cloud-1", "server-1"), VmCreated("cloud-2", "server-2"))
    assert usage.total(scene.state, scene.now) == 2 * 7200
    scene.state.statuses["cloud-2"] = "ERROR"
    assert usage.total(scene.state, scene.now) == 7200


def test_a_jobs_budget_stops_that_job_alone() -> None:
    scene = stage(cloud(maximum=1), job_budget=0.4)
    scene.push(layers(3, seconds=1800))
    scene.now += BOOT
    scene.join("cloud-1")
    scene.start("cloud-1", *dealt_to(scene).values())
    scene.now += 1800
    first = scene.state.workers["cloud-1"].held
    scene.push(layers(1, seconds=60), "other")
    name = next(iter(first))
    result = Result(name, "succeeded", exit_code=0, started=scene.now - 1800, finished=scene.now)
    scene.turn(WorkerSaid("cloud-1", Results("s1", (result,))))
    assert usage.of_job(scene.state, "u1", scene.now) == pytest.approx(1800)
    assert dealt_to(scene)["cloud-1"].startswith("u2.")
    assert "0.5 of the 0.4 vCPU hours" in why(scene, "t0.2")
