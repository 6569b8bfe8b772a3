"""How often workers beat: all of them together a bounded number of times a second, and silence is judged by what each was told."""

from dataclasses import replace

from boss.core import reactor, rhythm
from boss.core.events import BrokerConnected, WorkerSaid, WorkerStatusSeen
from boss.core.model import WorkerState
from boss.core.picture import state_of
from tests.core.scene import Scene, bag, local_pool
from worker.protocol import Goodbye, Heartbeat, Renew


def fleet_of(count: int, **changes: object) -> Scene:
    """A scene with so many workers, each of which runs one task; two heartbeats a second are allowed."""
    scene = Scene(pools=(local_pool(count),), heartbeat_rate=2.0, lease=30.0, worker_lease=1800.0, **changes)
    scene.push(bag(count))
    for name in list(scene.state.vms):
        worker = scene.join(name)
        scene.start(name, *worker.held)
    scene.hush()
    return scene


def told(scene: Scene, name: str) -> list[float]:
    """The intervals that a worker was told since the last look."""
    heard = [message.interval for message in scene.heard(Renew, name) if isinstance(message, Renew)]
    scene.hush()
    return heard


def test_a_small_fleet_beats_as_the_policy_says() -> None:
    scene = fleet_of(4)
    scene.beat("local-1")
    assert told(scene, "local-1") == [2.0]
    assert rhythm.offline_after(scene.state, scene.state.workers["local-1"]) == 6.0
    assert rhythm.lease(scene.state, scene.state.workers["local-1"]) == 30.0


def test_a_large_fleet_beats_as_often_in_all_and_each_of_it_less_often() -> None:
    scene = fleet_of(40)
    scene.beat("local-1")
    assert told(scene, "local-1") == [20.0], "40 workers at 2 a second"
    worker = scene.state.workers["local-1"]
    assert rhythm.offline_after(scene.state, worker) == 60.0, "three of them missed, as ever"
    assert rhythm.lease(scene.state, worker) == 84.0, "as long after that as ever"


def test_a_worker_that_beats_seldom_is_not_silent_between_two_beats() -> None:
    scene = fleet_of(40)
    for name in list(scene.state.workers):
        scene.beat(name)
    scene.wait(59.0)
    assert {worker.state for worker in scene.state.workers.values()} == {WorkerState.ONLINE}
    for name in list(scene.state.workers)[1:]:
        scene.beat(name)
    scene.wait(2.0)
    silent = scene.state.workers["local-1"]
    assert silent.state is WorkerState.OFFLINE
    assert silent.held, "its tasks stay its own"
    for name in list(scene.state.workers)[1:]:
        scene.beat(name)
    scene.wait(24.0)
    assert not silent.held, "now it is lost"
    assert sum(worker.state is WorkerState.ONLINE for worker in scene.state.workers.values()) == 39


def test_a_last_will_counts_at_once_however_seldom_a_worker_beats() -> None:
    scene = fleet_of(40)
    scene.turn(WorkerStatusSeen("local-1", False))
    assert scene.state.workers["local-1"].state is WorkerState.OFFLINE


def test_silence_is_judged_by_the_longest_interval_until_the_worker_has_heard_the_shorter_one() -> None:
    scene = fleet_of(40)
    scene.beat("local-1")
    scene.beat("local-1")
    worker = scene.state.workers["local-1"]
    assert rhythm.beats(scene.state, worker) == 20.0
    handled = worker.sent
    for name in [name for name in scene.state.workers if name != "local-1"]:
        scene.turn(WorkerSaid(name, Goodbye("s1")))
    scene.beat("local-1")
    assert told(scene, "local-1")[-1] == 2.0
    assert rhythm.beats(scene.state, worker) == 20.0, "perhaps it has not heard that"
    scene.beat("local-1", seq=handled)
    assert rhythm.beats(scene.state, worker) == 20.0, "it had not when it said this"
    scene.beat("local-1")
    assert rhythm.beats(scene.state, worker) == 2.0


def test_those_who_say_hello_at_the_same_moment_do_not_beat_at_the_same_moment() -> None:
    scene = fleet_of(40)
    scene.turn(BrokerConnected())
    scene.hush()
    said: list[float] = []
    for name in list(scene.state.workers):
        scene.join(name, held=dict.fromkeys(scene.state.workers[name].held, "running"), seq=scene.state.workers[name].sent)
        said += told(scene, name)
    assert len(said) == 40
    assert all(2.0 <= interval <= 20.0 for interval in said)
    assert len({round(interval) for interval in said}) > 10


def test_a_boss_that_starts_again_gives_its_workers_the_time_that_they_were_told_before() -> None:
    scene = fleet_of(40)
    old, now = scene.state, scene.now
    jobs = list(old.jobs.values())
    workers = [replace(worker, held={}, used={}, load={}) for worker in old.workers.values()]
    scene.state = state_of(old.policy, old.epoch + 1, old.context, jobs, workers, list(old.vms.values()))
    reactor.resume(scene.state, now)
    scene.turn(BrokerConnected())
    scene.wait(59.0)
    assert {worker.state for worker in scene.state.workers.values()} == {WorkerState.OFFLINE}
    assert all(worker.held for worker in scene.state.workers.values()), "nobody was given up"


def test_no_interval_is_so_long_that_a_worker_would_take_its_boss_for_being_off() -> None:
    scene = Scene(pools=(local_pool(8),), heartbeat_rate=0.01, lease=30.0, worker_lease=160.0)
    scene.push(bag(8))
    for name in list(scene.state.vms):
        scene.join(name)
    scene.hush()
    scene.beat("local-1")
    (interval,) = told(scene, "local-1")
    assert interval == 10.0, "a quarter of what it waits for an answer"
    assert rhythm.lease(scene.state, scene.state.workers["local-1"]) <= 160.0


def test_a_heartbeat_of_another_life_of_the_boss_confirms_nothing() -> None:
    scene = fleet_of(40)
    worker = scene.state.workers["local-1"]
    worker.beats = 77.0
    scene.turn(WorkerSaid("local-1", Heartbeat("s1", 0, 10**6, dict.fromkeys(worker.held, "running"))))
    assert worker.beats == 77.0
