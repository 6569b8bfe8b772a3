"""Scaling: the what-if over placement."""

from boss.core.effects import CreateVms, DeleteVm
from boss.core.events import Server, ServersListed, VmCreateFailed, VmDeleted, WorkerSaid
from boss.core.model import Flavor, Pool
from boss.core.requests import WorkersWanted
from tests.core.scene import GIB, Scene, bag, local_pool
from worker.protocol import Drain, Goodbye


def created(scene: Scene) -> list[str]:
    """The flavors of the VMs wished for since the last look."""
    return [effect.flavor for effect in scene.hush() if isinstance(effect, CreateVms) for _ in effect.vms]


def test_one_task_buys_one_vm_and_a_coming_vm_counts_as_room() -> None:
    scene = Scene(pools=(local_pool(8),))
    scene.push(bag(1))
    assert created(scene) == ["local.1"]
    scene.wait(5)
    assert created(scene) == []


def test_the_cheapest_flavor_that_fits_is_taken() -> None:
    scene = Scene(pools=(local_pool(8),))
    scene.push(bag(1, needs={"cpus": 3}))
    assert created(scene) == ["local.4"]


def test_the_price_decides_before_the_size() -> None:
    dear = Flavor("dear", {"cpus": 1, "memory": GIB}, price=3.0)
    cheap = Flavor("cheap", {"cpus": 2, "memory": GIB}, price=1.0)
    scene = Scene(pools=(Pool("p", "local", (dear, cheap)),))
    scene.push(bag(1))
    assert created(scene) == ["cheap"]


def test_a_task_that_no_flavor_can_hold_buys_nothing() -> None:
    scene = Scene()
    scene.push(bag(1, needs={"cpus": 64}))
    assert created(scene) == []


def test_the_sum_of_cpus_stays_within_the_pools_limit() -> None:
    scene = Scene(pools=(local_pool(4),))
    scene.push(bag(2, needs={"cpus": 3}))
    assert created(scene) == ["local.4"]


def test_idle_small_workers_make_room_for_a_task_that_needs_a_large_one() -> None:
    scene = Scene(pools=(local_pool(2, cooldown=1000.0),))
    scene.push(bag(2), "small")
    for name in ("local-1", "local-2"):
        scene.join(name)
    scene.push(bag(1, needs={"cpus": 2}), "large")
    assert not scene.heard(Drain)  # they are busy
    scene.finish("local-1", "u1.0.1")
    scene.finish("local-2", "u1.1.1")
    assert len(scene.heard(Drain)) == 2
    scene.hush()
    for name in ("local-1", "local-2"):
        scene.turn(WorkerSaid(name, Goodbye("s1")))
        scene.turn(VmDeleted(name))
    assert created(scene) == ["local.2"]


def test_a_large_task_does_not_starve_behind_small_ones() -> None:
    scene = Scene(pools=(local_pool(2, cooldown=10.0),))
    scene.push(bag(100), "small")
    for name in ("local-1", "local-2"):
        scene.join(name)
    scene.push(bag(1, needs={"cpus": 2}), "large")
    for _ in range(12):
        scene.wait(1)
        for name in ("local-1", "local-2"):
            scene.start(name, *scene.state.workers[name].held)
            scene.beat(name)
    assert len(scene.heard(Drain)) == 2
    assert {str(worker.state) for worker in scene.state.workers.values()} == {"online"}  # drained, not killed


def test_no_small_vm_comes_to_the_room_that_is_made_for_a_large_one() -> None:
    scene = Scene(pools=(local_pool(2, cooldown=10.0),))
    scene.push(bag(100, priority=1), "small")
    for name in ("local-1", "local-2"):
        scene.join(name)
    scene.push(bag(1, needs={"cpus": 2}), "large")
    for _ in range(12):
        scene.wait(1)
        for name in ("local-1", "local-2"):
            scene.start(name, *scene.state.workers[name].held)
            scene.beat(name)
    assert len(scene.heard(Drain)) == 2
    scene.hush()
    for name, comes in (("local-1", []), ("local-2", ["local.2"])):
        for attempt in list(scene.state.workers[name].held):
            scene.finish(name, attempt)
        scene.turn(WorkerSaid(name, Goodbye("s1")))
        scene.turn(VmDeleted(name))
        scene.wait(1)
        assert created(scene) == comes


def test_nobody_makes_room_where_that_would_not_be_enough() -> None:
    scene = Scene(pools=(local_pool(3, cooldown=10.0),))
    scene.push(bag(1, needs={"cpus": 2}), "running")
    scene.join("local-1")
    scene.push(bag(1), "small")
    scene.join("local-2")
    for name in ("local-1", "local-2"):
        scene.start(name, *scene.state.workers[name].held)
    scene.push(bag(1, needs={"cpus": 2}), "large")
    for _ in range(15):
        scene.wait(1)
        scene.beat("local-1")
        scene.beat("local-2")
    assert not scene.heard(Drain)


def test_failures_make_a_pool_wait_longer_and_longer() -> None:
    scene = Scene()
    scene.push(bag(1))
    waits = []
    for number in range(1, 4):
        scene.turn(VmCreateFailed(f"local-{number}", "no fork"))
        waits.append(scene.state.health["local", ""].resume_at - scene.now)
        assert f"local-{number + 1}" not in scene.state.vms
        scene.wait(waits[-1] + 1)
        assert f"local-{number + 1}" in scene.state.vms
    assert waits == sorted(waits)


def test_a_burst_of_failures_counts_once() -> None:
    scene = Scene()
    scene.push(bag(2))
    scene.turn(VmCreateFailed("local-1", "no fork"), VmCreateFailed("local-2", "no fork"))
    assert scene.state.health["local", ""].bursts == 1


def test_the_minimum_is_kept_up_without_work_and_never_drained() -> None:
    pool = local_pool(2, cooldown=2.0)
    scene = Scene(pools=(Pool(**{**{name: getattr(pool, name) for name in pool.__slots__}, "minimum": 1}),))
    scene.wait(2)
    scene.join("local-1")
    for _ in range(10):
        scene.wait(1)
        scene.beat("local-1")
    assert not scene.heard(Drain)


def test_workers_wanted_by_hand_come_and_are_kept() -> None:
    scene = Scene()
    answer = scene.answer(WorkersWanted(1, keep=60.0, reply=1))
    assert answer.detail["workers"] == ["local-1"]
    scene.join("local-1")
    for _ in range(30):
        scene.wait(1)
        scene.beat("local-1")
    assert not scene.heard(Drain)
    assert scene.answer(WorkersWanted(5, reply=1)).code == 409
    assert scene.answer(WorkersWanted(1, "nowhere", reply=1)).code == 404


def test_strays_of_two_clouds_are_deleted_although_each_list_knows_only_its_own() -> None:
    far = Pool("far", "far", (Flavor("far.1", {"cpus": 1, "memory": GIB}),))
    scene = Scene(pools=(local_pool(), far))
    for _ in range(4):
        scene.turn(ServersListed("local", scene.now, (Server("7", "local-9", "local"),)))
        scene.turn(ServersListed("far", scene.now, (Server("8", "far-9", "far"),)))
        scene.now += 30
    assert {effect.server for effect in scene.hush() if isinstance(effect, DeleteVm)} == {"7", "8"}


def test_a_vm_that_dies_right_after_it_joined_is_not_replaced_at_once() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.join("local-1")
    scene.now += 1
    scene.hush()
    scene.turn(ServersListed("local", scene.now, ()))
    assert created(scene) == []
    scene.wait(4)
    assert created(scene) == ["local.1"]


def test_a_goodbye_of_an_earlier_process_says_nothing_about_this_one() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.join("local-1", "s1")
    scene.join("local-1", "s2")
    scene.turn(WorkerSaid("local-1", Goodbye("s1")))
    assert scene.states() == {"t0": "assigned"}
