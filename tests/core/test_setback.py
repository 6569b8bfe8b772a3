"""A clock that was set back while no boss lived: what waits for a time does not wait for that longer."""

from boss.core import reactor, setback
from boss.core.events import BrokerConnected, ServersListed
from boss.core.model import TaskState, VmState
from boss.core.picture import state_of
from boss.core.requests import WorkersWanted
from tests.core.scene import Scene, bag

HOUR = 3600.0


def restarted(scene: Scene, back: float) -> None:
    """Another life on what was stored, that begins so many seconds earlier by the time of day."""
    old = scene.state
    scene.now -= back
    for worker in old.workers.values():
        worker.held, worker.used, worker.load = {}, {}, {}
    scene.state = state_of(old.policy, 2, old.context, old.jobs.values(), old.workers.values(), old.vms.values())
    reactor.resume(scene.state, scene.now)
    scene.state.take_changes()
    scene.turn(BrokerConnected())


def test_a_retry_is_not_put_off_by_an_hour() -> None:
    scene = Scene()
    scene.push(bag(1, retries=1))
    scene.join("local-1")
    scene.finish("local-1", "u1.0.1", "failed", phase="run")
    assert scene.task("t0").state is TaskState.DELAYED
    restarted(scene, HOUR)
    scene.wait(10)
    assert scene.task("t0").state is not TaskState.DELAYED


def test_deadlines_of_vms_and_what_is_kept_come_nearer_too() -> None:
    scene = Scene()
    scene.answer(WorkersWanted(1, keep=60.0, reply=1))
    restarted(scene, HOUR)
    vm = scene.state.vms["local-1"]
    assert vm.keep_until <= scene.now + 60
    assert vm.since <= scene.now
    for _ in range(30):
        scene.wait(10)
        scene.turn(ServersListed("local", scene.now, ()))
    assert vm.state is not VmState.CREATING


def test_a_clock_that_went_on_moves_nothing() -> None:
    scene = Scene()
    scene.answer(WorkersWanted(1, keep=60.0, reply=1))
    kept = scene.state.vms["local-1"].keep_until
    restarted(scene, -10.0)
    assert scene.state.vms["local-1"].keep_until == kept


def test_a_boss_that_stood_still_and_loads_again_has_no_clock_that_was_set_back() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.answer(WorkersWanted(1, keep=600.0, reply=1))
    scene.state.lag = HOUR  # it was stopped for so long: what is assigned since has a time of day ahead of its clock
    scene.join("local-1")
    assert scene.state.workers["local-1"].held
    kept = {vm.id: (vm.keep_until, vm.deadline) for vm in scene.state.vms.values()}
    assert setback.bring_back(scene.state, scene.now) == 0.0
    assert {vm.id: (vm.keep_until, vm.deadline) for vm in scene.state.vms.values()} == kept
