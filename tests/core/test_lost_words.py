"""Words that get lost, or come from an attempt that was given up: what is said again, and what is not believed."""

from boss.core.events import RecordRead
from boss.core.model import OutputSpec
from boss.core.requests import TasksCancelled
from tests.core.scene import Scene, bag
from worker.protocol import Cancel


def test_a_lost_cancel_is_said_again_until_the_worker_has_ended_the_attempt() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.join("local-1")
    scene.start("local-1", "u1.0.1")
    scene.turn(TasksCancelled("job"))
    scene.hush()  # and the message is lost
    scene.beat("local-1", {"u1.0.1": "running"})
    assert [message.attempts for message in scene.heard(Cancel)] == [("u1.0.1",)]  # type: ignore[attr-defined]
    scene.finish("local-1", "u1.0.1", "cancelled")
    scene.hush()
    scene.beat("local-1", {})
    assert scene.heard(Cancel) == []


def test_a_result_whose_record_is_not_there_is_run_again_instead_of_waiting_for_ever() -> None:
    scene = Scene()
    scene.push(bag(1, outputs=(OutputSpec("out/"),)))
    scene.join("local-1")
    scene.turn(RecordRead("u1.0.1", None))  # asked after a load: it has not finished yet
    assert scene.states() == {"t0": "assigned"}
    scene.finish("local-1", "u1.0.1", files=None)
    scene.turn(RecordRead("u1.0.1", None))
    assert scene.states() == {"t0": "delayed"}
    assert (scene.task("t0").phase, scene.task("t0").losses) == ("promote", 1)
    assert scene.acknowledged() == ["u1.0.1"]
    assert not scene.state.workers["local-1"].held
