"""A worker with a good certificate that says whatever it likes: nothing of it reaches others, and no nonsense gets further."""

from dataclasses import replace

import pytest

from boss.core import backlog
from boss.core.credible import CLOCK, FIGURES, SENTENCE, SLACK, TAIL
from boss.core.effects import AcceptResult, Certify, RejectResult
from boss.core.events import DatastoreSeen, MessagesDropped, WorkerSaid
from boss.core.model import TaskState, Worker, WorkerState
from boss.core.picture import publish
from boss.core.requests import WhyAsked
from tests.core import test_joining as joining
from tests.core.scene import GIB, Scene, bag, chain, local_pool
from worker.protocol import Certify as Asked
from worker.protocol import Heartbeat, Hello, Recalled, Result, Results, Started

FILES = (("out.txt", 3, "ab" * 32),)
#: What no attempt can be called, and what int() or a file system would choke on.
NAMES = (
    "",
    "..",
    "../../x",
    "u1.\u00b2.1",
    "u1.0." + "9" * 5000,
    "u1.-1.1",
    "u1.0.1/../x",
    "u1.0.1\0",
    "u1.\ud800.1",
    "u1",
    "x" * 9999,
)


def one_each() -> tuple[Scene, str, str]:
    """``(scene, the attempt of an honest worker, the name of another worker)``."""
    scene = Scene(pools=(local_pool(4),))
    scene.push(bag(2, needs={"cpus": 2}))
    names = list(scene.state.vms)
    for name in names:
        scene.join(name)
    [victim] = [worker for worker in scene.state.workers.values() if worker.held][:1]
    [attempt] = list(victim.held)[:1]
    other = next((name for name in names if name != victim.id), "")
    scene.hush()
    return scene, attempt, other


def says(scene: Scene, worker: str, *results: Result) -> list[object]:
    """A worker's results; what was wished for then."""
    return list(scene.turn(WorkerSaid(worker, Results("s1", results))))


def test_anothers_attempt_is_neither_finished_nor_thrown_away() -> None:
    scene, attempt, other = one_each()
    assert other
    for outcome in ("succeeded", "failed", "cancelled"):
        effects = says(scene, other, Result(attempt, outcome, files=FILES), Result(attempt, outcome, files=None))
        assert not [effect for effect in effects if isinstance(effect, RejectResult | AcceptResult)]
    scene.turn(WorkerSaid(other, Recalled("s1", (attempt,))), WorkerSaid(other, Started("s1", {attempt: 1e300})))
    task = scene.state.current(attempt)
    assert task is not None and task.state is TaskState.ASSIGNED
    victim = scene.state.workers[task.worker]
    assert attempt in victim.held
    scene.turn(WorkerSaid(victim.id, Results("s1", (Result(attempt, "succeeded", exit_code=0, files=FILES),))))
    assert says(scene, other, Result(attempt, "succeeded", files=FILES)) != []
    assert not [effect for effect in scene.said if isinstance(effect, RejectResult)]
    assert task.state is TaskState.PROMOTING


def test_what_a_silent_worker_has_put_at_the_datastore_is_not_thrown_away_by_anothers_word() -> None:
    scene, attempt, other = one_each()
    effects = scene.turn(WorkerSaid(other, Hello("s2", 1, 99, {"cpus": 2}, {attempt: "finished"})))
    assert RejectResult(attempt) not in effects


@pytest.mark.parametrize("name", NAMES)
def test_what_no_attempt_can_be_called_never_reaches_the_datastore(name: str) -> None:
    scene, _attempt, other = one_each()
    effects = says(scene, other, Result(name, "succeeded", files=FILES), Result(name, "failed", files=None))
    assert not [effect for effect in effects if isinstance(effect, RejectResult | AcceptResult)]
    scene.turn(
        WorkerSaid(other, Recalled("s1", (name,))),
        WorkerSaid(other, Started("s1", {name: 1.0})),
        WorkerSaid(other, Heartbeat("s1", 1, 99, {name: "running"}, undelivered=(name,))),
        WorkerSaid(other, Hello("s1", 1, 99, {"cpus": 2}, {name: "running"})),
    )
    assert scene.states() == {"t0": "assigned", "t1": "assigned"}


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a\0b", "a\nb", "\ud800", "SHA256SUMS", "x/", "", "a" * 300, "a/" * 600 + "b"]
)
def test_a_manifest_of_what_no_file_can_be_called_fails_the_attempt_and_goes_no_further(path: str) -> None:
    scene, attempt, _other = one_each()
    task = scene.state.current(attempt)
    assert task is not None
    effects = says(scene, task.worker, Result(attempt, "succeeded", exit_code=0, files=((path, 1, "ab" * 32),)))
    assert not [effect for effect in effects if isinstance(effect, AcceptResult)]
    assert task.phase == "promote" and "its worker names a result" in task.reason


def test_times_beyond_all_clocks_are_the_bosss_own() -> None:
    scene, attempt, _other = one_each()
    task = scene.state.current(attempt)
    assert task is not None
    scene.turn(WorkerSaid(task.worker, Started("s1", {attempt: -1e300})))
    assert task.started is not None and abs(task.started - scene.now) <= CLOCK
    scene.now += 10.0
    says(scene, task.worker, Result(attempt, "succeeded", exit_code=0, started=5.0, finished=1.7e308))
    assert task.started == pytest.approx(scene.now, abs=CLOCK)
    assert task.finished is not None and task.finished - task.started <= 10.0 + SLACK
    assert scene.state.used.get("u1", 0.0) <= 2 * (10.0 + SLACK), "a job's budget is not used up by a word"


def test_a_clock_that_is_hours_off_is_believed() -> None:
    scene, attempt, _other = one_each()
    task = scene.state.current(attempt)
    assert task is not None
    early = scene.now - 8 * 3600
    says(scene, task.worker, Result(attempt, "succeeded", exit_code=0, started=early, finished=early + 3))
    assert (task.started, task.finished) == (early, early + 3)


def test_an_outcome_that_there_is_none_of_is_a_failure_of_the_infrastructure() -> None:
    scene, attempt, _other = one_each()
    task = scene.state.current(attempt)
    assert task is not None
    says(scene, task.worker, Result(attempt, "glorious\ud800" * 1000))
    assert task.phase == "infrastructure" and "which is nothing" in task.reason


def test_texts_without_end_are_cut() -> None:
    scene, attempt, _other = one_each()
    task = scene.state.current(attempt)
    assert task is not None and task.attempt is not None
    usage = {f"figure {n}": float(n) for n in range(5000)}
    said = Result(
        attempt, "failed", "x" * 9999, 1, reason="y" * 99_999, usage=usage, stdout="o" * 99_999, stderr="e" * 99_999 + "end"
    )
    kept = task.attempt
    says(scene, task.worker, said)
    assert len(kept.phase) <= 200 and len(kept.reason) <= SENTENCE and len(kept.usage) <= FIGURES
    assert len(kept.stdout) <= TAIL and kept.stderr.endswith("end")


def test_a_worker_offers_no_more_than_its_machine_has() -> None:
    scene = Scene(pools=(local_pool(2),))
    scene.push(bag(500))
    for cpus in (1e308, 1e9, -5.0):
        scene.turn(WorkerSaid("local-1", Hello("s1", 1, 0, {"cpus": cpus, "memory": 1e308, "unheard-of": -1.0}, {})))
        worker = scene.state.workers["local-1"]
        assert 0 <= worker.resources["cpus"] <= 2 and worker.resources["memory"] <= 8 * GIB
        assert worker.resources["unheard-of"] == 0.0
        assert len(worker.held) <= 2


def test_a_worker_that_offers_nothing_does_not_make_its_flavor_worthless() -> None:
    scene = Scene(pools=(local_pool(2),))
    scene.push(bag(4))
    scene.turn(WorkerSaid("local-1", Hello("s1", 1, 0, {"cpus": 0.0, "memory": 1.0}, {})))
    assert scene.state.offered == {}


def test_an_init_of_another_worker_is_not_ended_by_this_one() -> None:
    scene = Scene(pools=(local_pool(4),))
    rows = chain("prepare", "work")
    templates = (replace(rows[0][0], init=True), replace(rows[0][0], number=1))
    specs = (rows[1][0], replace(rows[1][1], template=1, dependencies=()))
    scene.push((templates, specs))
    name = next(iter(scene.state.vms))
    scene.join(name)
    [attempt] = scene.state.workers[name].held
    scene.state.workers["evil"] = Worker("evil", state=WorkerState.ONLINE, draining=True, session="s1")
    for _ in range(10):
        says(scene, "evil", Result(attempt, "failed", "run", 1, reason="haha"))
    job = scene.state.job_named("job")
    assert job is not None and job.reason == "" and job.tasks[0].failures == 0
    scene.finish(name, attempt)
    assert scene.state.workers[name].prepared[job.uid] == {0}


def test_signing_is_not_asked_for_more_often_than_anybody_needs() -> None:
    stage = joining.scene()
    joining.join(stage)
    stage.join("cloud-1")
    effects = [effect for _ in range(1000) for effect in stage.turn(WorkerSaid("cloud-1", Asked("s1", *joining.KEYS)))]
    assert len([effect for effect in effects if isinstance(effect, Certify)]) == 1


def test_dropped_messages_are_told_with_number_and_reason_and_who_was_put_aside_gets_nothing_new() -> None:
    scene = Scene(pools=(local_pool(2),))
    scene.push(bag(50))
    scene.join("local-1")
    scene.turn(MessagesDropped("local-1", 12_031, "more than 500 messages a second"), MessagesDropped("stranger", 3, "not JSON"))
    view = publish(scene.state, scene.now, 0.0)
    assert view.notes == ("Worker local-1: 12,031 messages dropped: more than 500 messages a second.",)
    assert [(worker.id, worker.dropped) for worker in view.workers if worker.dropped] == [("local-1", 12_031)]
    scene.turn(MessagesDropped("local-1", 20_000, "more than 500 messages a second", aside=True))
    assert "Worker local-1 is put aside (20,000 messages dropped" in publish(scene.state, scene.now, 0.0).notes[0]
    assert scene.state.workers["local-1"].draining
    scene.hush()
    for name in list(scene.state.workers["local-1"].held):
        scene.finish("local-1", name)
    assert not scene.dealt("local-1")
    scene.wait(1)
    said = scene.answer(WhyAsked("", "local-1", reply=1)).detail["why"]
    assert "Why it goes: it was put aside: more than 500 messages a second." in said  # type: ignore[operator]


def test_what_waits_for_the_datastore_is_said_of_ones_own_attempts_only() -> None:
    scene, attempt, other = one_each()
    lie = Heartbeat("s1", 1, 99, {}, undelivered=(attempt,), trouble="no room", full=True)
    scene.turn(WorkerSaid(other, lie), DatastoreSeen(True))
    assert not backlog.is_full(scene.state), "one worker's word about another's attempt stops nothing"
