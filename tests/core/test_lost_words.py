"""Words that get lost, or come from an attempt that was given up: what is said again, and what is not believed."""

from boss.core import reactor
from boss.core.effects import AcceptResult, RejectResult
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


def test_a_boss_killed_after_it_dealt_a_lost_task_anew_still_rejects_the_upload_of_the_lost_attempt() -> None:
    scene = Scene()
    scene.push(bag(1, outputs=(OutputSpec("out.txt"),)))
    scene.join("local-1")
    scene.start("local-1", "u1.0.1")
    assert not rejected(scene)  # nothing came before the first
    scene.join("local-1", session="s2")  # its process has died: the attempt is lost, and dealt anew
    assert scene.dealt()[-1].attempt == "u1.0.2"
    scene.hush()  # and the boss is killed before the datastore has heard of it
    assert rejected(scene) == ["u1.0.1"]
    scene.finish("local-1", "u1.0.2", files=(("out.txt", 3, "ab" * 32),))
    resumed = reactor.resume(scene.state, scene.now)
    assert [type(effect) for effect in resumed if isinstance(effect, AcceptResult | RejectResult)] == [RejectResult, AcceptResult]


def rejected(scene: Scene) -> list[str]:
    """The attempts of which a boss that is started again says that they are rejected."""
    return [effect.attempt for effect in reactor.resume(scene.state, scene.now) if isinstance(effect, RejectResult)]
