"""A datastore without room: what is said, what is held back, and that nothing is given up."""

import pytest

from boss.core.effects import Announce, CreateVms, DeleteVm, RejectResult
from boss.core.events import DatastoreSeen, ResultAccepted, WorkerSaid
from boss.core.picture import publish
from boss.core.requests import WhyAsked, WorkersDrained
from tests.core.scene import Scene, bag, local_pool
from worker.protocol import Drain, Heartbeat, Hello

FULL = "the datastore is full (No space left on device): free space in /srv/ecloud on store"


def stuck(scene: Scene, worker: str = "local-1", trouble: str = FULL, full: bool = True) -> None:
    """A heartbeat of a worker that cannot deliver what it holds."""
    held = dict.fromkeys(scene.state.workers[worker].held, "running")
    seq = scene.state.workers[worker].sent
    scene.turn(WorkerSaid(worker, Heartbeat("s1", 1, seq, held, undelivered=tuple(held), trouble=trouble, full=full)))


def notes(scene: Scene) -> tuple[str, ...]:
    return publish(scene.state, scene.now, 0.0).notes


def why(scene: Scene, task: str) -> str:
    said = scene.answer(WhyAsked("job", task, 1)).detail["why"]
    assert isinstance(said, list)
    return " ".join(said)


def running(count: int = 1, tasks: int = 1, **changes: object) -> Scene:
    """Workers of one cpu, each running a task that yields a file."""
    scene = Scene(pools=(local_pool(4),), **changes)
    scene.turn(DatastoreSeen(True, place="store:/srv/ecloud"))
    scene.push(bag(tasks, outputs=(), timeout=1e6))
    for number in range(1, count + 1):
        scene.join(f"local-{number}")
        scene.start(f"local-{number}", *scene.state.workers[f"local-{number}"].held)
    scene.hush()
    return scene


def test_status_and_why_say_how_many_results_wait_and_where_to_free_space() -> None:
    scene = running(2, 2)
    assert notes(scene) == ()
    stuck(scene, "local-1")
    assert notes(scene) == (
        "The datastore is full: 1 result waits on the workers; free space at store:/srv/ecloud; then everything goes on by itself.",
    )
    stuck(scene, "local-2")
    assert "2 results wait on the workers; free space at store:/srv/ecloud" in notes(scene)[0]
    assert "It has ended on local-1, where its results wait: the datastore is full: 2 results wait" in why(scene, "t0")
    assert "Nothing is lost" in why(scene, "t0")


def test_trouble_of_another_kind_is_said_too() -> None:
    scene = running()
    stuck(scene, trouble="the datastore: Connection refused", full=False)
    assert notes(scene) == ("1 result waits on the workers until they can be delivered: the datastore: Connection refused.",)
    assert "its results wait until they can be delivered: the datastore: Connection refused" in why(scene, "t0")


def test_what_is_delivered_is_not_counted_any_more() -> None:
    scene = running()
    stuck(scene)
    (attempt,) = scene.state.workers["local-1"].held
    scene.finish("local-1", attempt)
    assert scene.states() == {"t0": "succeeded"}
    assert notes(scene) == (), "before the next heartbeat"
    scene.beat("local-1")
    assert not scene.state.workers["local-1"].undelivered


def test_results_that_cannot_be_moved_into_place_are_named_as_well() -> None:
    scene = Scene(pools=(local_pool(4),))
    scene.push(bag(1))
    scene.join("local-1")
    (attempt,) = scene.state.workers["local-1"].held
    scene.finish("local-1", attempt, files=(("x", 1, "ab"),))
    assert scene.states() == {"t0": "promoting"}
    scene.turn(DatastoreSeen(True, full=True, place="store:/srv/ecloud"))
    assert "0 results wait on the workers and 1 at the datastore; free space at store:/srv/ecloud" in notes(scene)[0]
    assert "its results are at the datastore, but cannot be moved into place" in why(scene, "t0")
    scene.turn(DatastoreSeen(True), ResultAccepted(attempt))
    assert notes(scene) == ()
    assert scene.states() == {"t0": "succeeded"}


def test_no_machine_is_bought_while_there_is_no_room_and_those_with_results_stay() -> None:
    scene = running(1, 1)
    stuck(scene)
    scene.push(bag(4), name="more")
    for _ in range(100):
        scene.now += 2.0
        stuck(scene)
    made = [effect for effect in scene.hush() if isinstance(effect, CreateVms | DeleteVm | RejectResult)]
    assert made == [] and scene.heard(Drain) == []
    assert "No VM is added while the datastore is full: 1 result waits on the workers" in " ".join(
        str(one)
        for one in scene.answer(WhyAsked("more", "t0", 1)).detail["why"]  # type: ignore[attr-defined]
    )
    (attempt,) = scene.state.workers["local-1"].held
    scene.finish("local-1", attempt)
    scene.beat("local-1")
    assert [effect for effect in scene.hush() if isinstance(effect, CreateVms)], "there is room: what waits gets its machines"


@pytest.mark.parametrize("full", [False, True])
def test_short_tasks_are_dealt_ahead_only_while_there_is_room(full: bool) -> None:
    scene = Scene(pools=(local_pool(1),), prefetch_seconds=10.0)
    scene.push(bag(200))
    scene.join("local-1")
    (first,) = scene.state.workers["local-1"].held
    scene.turn(DatastoreSeen(True, full=full))
    scene.start("local-1", first)
    scene.hush()
    scene.finish("local-1", first)
    assert len(scene.dealt()) == 1 if full else len(scene.dealt()) > 1


def test_a_drained_machine_that_holds_results_is_waited_for_however_long() -> None:
    scene = running(drain_timeout=100.0)
    scene.turn(WorkersDrained(("local-1",)))
    for _ in range(200):
        scene.now += 2.0
        stuck(scene)
        scene.wait(0.5)
    assert scene.states() == {"t0": "running"}
    assert not [effect for effect in scene.hush() if isinstance(effect, DeleteVm)]


def test_a_drained_machine_whose_task_only_runs_has_its_time() -> None:
    scene = running(drain_timeout=100.0)
    scene.turn(WorkersDrained(("local-1",)))
    for _ in range(60):
        scene.now += 2.0
        scene.beat("local-1")
        scene.wait(0.5)
    assert [effect for effect in scene.hush() if isinstance(effect, DeleteVm)]


def test_another_process_of_a_worker_has_nothing_undelivered() -> None:
    scene = running()
    stuck(scene)
    scene.turn(WorkerSaid("local-1", Hello("s2", 1, 0, {"cpus": 1}, {})))
    assert notes(scene) == ()
    assert not any(isinstance(effect, Announce) and "full" in effect.facts for effect in scene.hush())


def test_an_attempt_whose_inputs_are_on_their_way_is_not_asked_back() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.join("local-1")
    (attempt,) = scene.state.workers["local-1"].held
    scene.hush()
    scene.now += 600.0
    scene.state.workers["local-1"].last_seen = scene.now
    scene.beat("local-1", {attempt: "fetching"})
    assert scene.hush() == []
    scene.beat("local-1", {attempt: "queued"})
    assert len(scene.hush()) == 1, "asked back"
