"""What a cloud's words about a VM are of: of the state that it is in, of its own server, and of nothing else."""

from boss.core.events import Server, ServersListed, VmCreated, VmCreateFailed, VmDeleted, VmDeleteFailed, WorkerSaid
from boss.core.model import Flavor, Pool, Refusal, VmState
from boss.core.picture import publish
from boss.core.requests import WorkersDrained, WorkersWanted
from tests.core.scene import GIB, Scene
from worker.protocol import Hello

SILENT = "it did not answer: no answer in time"


def claimed() -> Scene:
    """One server of a cloud was asked for by hand."""
    scene = Scene(pools=(Pool("cloud", "openstack", (Flavor("one", {"cpus": 1.0, "memory": GIB}),), maximum=4, cooldown=1e6),))
    scene.answer(WorkersWanted(1, "cloud", 1e6, 1))
    return scene


def unanswered() -> Scene:
    """Of which nobody knows whether there is one."""
    scene = claimed()
    scene.turn(VmCreateFailed("cloud-1", SILENT, final=False, kind=Refusal.UNAVAILABLE))
    assert SILENT in told(scene)
    return scene


def told(scene: Scene) -> str:
    """What `status` says of VMs."""
    view = publish(scene.state, scene.now, 0.0)
    return " ".join((*view.notes, *(vm.reason for vm in view.vms)))


def test_a_worker_that_is_heard_ends_the_doubt_whether_there_is_a_server() -> None:
    scene = unanswered()
    scene.turn(WorkerSaid("cloud-1", Hello("s1", 1, 0, {"cpus": 1.0}, {})))
    assert scene.state.vms["cloud-1"].state is VmState.JOINED and SILENT not in told(scene)


def test_a_creation_in_doubt_is_not_told_as_a_deletion_that_fails() -> None:
    scene = unanswered()
    scene.turn(WorkersDrained(("cloud-1",), now=True))
    assert scene.state.vms["cloud-1"].state is VmState.DELETING
    assert "could not be deleted" not in told(scene) and SILENT not in told(scene)
    scene.turn(VmCreateFailed("cloud-1", SILENT, final=False, kind=Refusal.UNAVAILABLE))  # the call's answer, later than the wish
    assert "could not be deleted" not in told(scene) and SILENT not in told(scene)


def test_the_end_of_another_server_of_the_same_name_is_not_that_of_the_worker() -> None:
    scene = claimed()
    worker = scene.join("cloud-1")
    scene.turn(VmDeleteFailed("cloud-1", "the cloud says ERROR"))
    assert "the cloud says ERROR" not in told(scene)
    scene.turn(VmDeleted("cloud-1"))
    assert scene.state.vms["cloud-1"].state is VmState.JOINED and scene.state.workers["cloud-1"] is worker
    assert worker.state == "online"


def test_a_cloud_that_answers_a_boss_on_an_older_database_is_not_called_silent() -> None:
    scene = claimed()
    scene.turn(VmCreated("cloud-1", "uuid-1"))
    scene.wait(40)
    assert "has not answered for" in told(scene)
    scene.turn(ServersListed("openstack", scene.now, (Server("uuid-7", "cloud-7", "cloud", epoch=5),)))
    assert scene.state.fenced and "has not answered for" not in told(scene)
