"""Which of several idle VMs is let go: that which keeps the least of what waiting tasks need, and wastes the least that is paid for."""

from dataclasses import replace

from boss.core.caches import needed_by, worth
from boss.core.events import WorkerSaid
from boss.core.forecast import Forecast
from boss.core.leaving import Leaving
from boss.core.machines import Machines
from boss.core.model import FileRef, Flavor, InputSpec, Pool, TaskSpec, Template, Vm
from tests.core.scene import Scene
from worker.protocol import Heartbeat, Hello, cache_name

PUSHED = "ab" * 32


def stage(**pool: object) -> Scene:
    """Three idle workers on VMs that take 90 s to come up, and a job whose tasks wait for one another and read three files."""
    cloud = replace(Pool("cloud", "sky", (Flavor("one", {"cpus": 1}),), maximum=3, cooldown=1.0), **pool)  # type: ignore[arg-type]
    scene = Scene(pools=(cloud,))
    scene.state.learned.booted(Vm("cloud-0", "cloud", "one", 0.0), 90.0)
    inputs = (InputSpec("shared:genome.fa"), InputSpec("run.py"), InputSpec("made.csv"))
    templates = (Template(0, "t", ("true",), inputs=inputs, runtime=3600.0),)
    scene.push((templates, tuple(TaskSpec(i, f"t{i}", 0) for i in range(6))), files={"run.py": FileRef(PUSHED, 10)})
    scene.wait(2)
    for name in sorted(scene.state.vms):
        scene.join(name)
    assert len(scene.state.workers) == 3
    return scene


def tell(scene: Scene, name: str, **cached: float) -> None:
    """A worker says what it keeps."""
    worker = scene.state.workers[name]
    held = dict.fromkeys(worker.held, "queued")
    scene.turn(WorkerSaid(name, Heartbeat("s1", 1, worker.sent, held, cached=cached)))


def order(scene: Scene) -> list[str]:
    """The order in which the workers would be let go if all were idle."""
    waiting = [task for task in scene.state.jobs["u1"].tasks if task.attempt is None]
    forecast = Forecast(waiting=waiting)
    machines = Machines(scene.state, forecast, [], scene.now)
    machines.idle = list(scene.state.workers.values())
    return [worker.id for worker in Leaving(scene.state, forecast, machines, scene.now).order]


def test_shared_data_results_and_pushed_files_are_known_by_worker_and_boss_alike() -> None:
    scene = stage()
    waiting = [task for task in scene.state.jobs["u1"].tasks if task.attempt is None]
    assert needed_by(waiting) == {cache_name("", "shared:genome.fa"), cache_name("job", "made.csv"), PUSHED[:16]}
    assert cache_name("one", "made.csv") != cache_name("two", "made.csv")
    assert cache_name("one", "shared:x") == cache_name("two", "shared:x")


def test_the_one_that_keeps_the_least_of_what_waits_goes_first() -> None:
    scene = stage()
    genome, other = cache_name("", "shared:genome.fa"), "0" * 16
    tell(scene, "cloud-1", **{genome: 3e9})
    tell(scene, "cloud-2", **{other: 4e9})
    tell(scene, "cloud-3", **{genome: 1e9})
    assert order(scene) == ["cloud-2", "cloud-3", "cloud-1"]
    assert worth(scene.state.workers["cloud-1"], {genome}) == 60.0


def test_of_those_that_keep_nothing_that_is_needed_the_emptiest_goes_first() -> None:
    scene = stage()
    tell(scene, "cloud-1", **{"0" * 16: 2e9})
    tell(scene, "cloud-2", **{"1" * 16: 1e9})
    assert order(scene) == ["cloud-3", "cloud-2", "cloud-1"]


def test_what_is_left_of_a_paid_hour_weighs_against_what_would_be_fetched_again() -> None:
    scene = stage(billing=3600.0)
    wall = scene.state.wall(scene.now)
    for name, used in (("cloud-1", 3400.0), ("cloud-2", 3500.0), ("cloud-3", 600.0)):
        scene.state.vms[name].created = wall - used
    assert order(scene) == ["cloud-2", "cloud-1", "cloud-3"]
    tell(
        scene, "cloud-2", **{cache_name("", "shared:genome.fa"): 10e9}
    )  # 200 s to fetch: more than the 100 s that cloud-1 has left on top
    assert order(scene) == ["cloud-1", "cloud-2", "cloud-3"]


def test_another_process_on_the_same_vm_and_an_older_worker_keep_nothing_that_is_known() -> None:
    scene = stage()
    tell(scene, "cloud-1", **{"0" * 16: 2e9})
    assert scene.state.workers["cloud-1"].cached
    scene.turn(WorkerSaid("cloud-1", Hello("s2", 1, 0, {"cpus": 1}, {})))
    assert scene.state.workers["cloud-1"].cached == {}
