"""The loop around the core, on a real SQLite store: commit before speaking, recovery, and events that the core cannot digest."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from boss.adapters.store import Store
from boss.core import reactor
from boss.core.changes import Changes
from boss.core.events import BrokerConnected, Event, VmCreated, WorkerSaid
from boss.core.requests import (
    Answer,
    ContextSet,
    JobOpened,
    JobPaused,
    JobResumed,
    JobStaged,
    StopWanted,
    TasksRedone,
    TasksStaged,
    WhyAsked,
)
from boss.inbox import LoopClock
from boss.loop import Loop, Outside
from boss.ports import Put, StoreError
from tests.core.scene import GIB, bag, policy
from worker.protocol import Acknowledge, Assign, Hello, Result, Results, ToWorker


class Outsider:
    """Broker, cloud and datastore in one: remembers what it was asked, in order."""

    provider = "local"

    def __init__(self) -> None:
        self.said: list[object] = []

    def start(self, put: Put) -> None:
        """Nothing to connect to."""

    def stop(self) -> None:
        """Nothing to end."""

    def send(self, worker: str, message: ToWorker) -> None:
        self.said.append((worker, message))

    def announce(self, kind: str, facts: Sequence[Mapping[str, object]]) -> None:
        self.said.append((kind, list(facts)))

    def create(self, vm: str, pool: str, flavor: str) -> None:
        self.said.append(("create", vm))

    def delete(self, vm: str, pool: str, server: str) -> None:
        self.said.append(("delete", vm))

    def list(self, asked: float) -> None:
        self.said.append(("list", asked))

    def accept(self, attempt: str, job: str, files: Sequence[tuple[str, int, str]], keep: bool = False) -> None:
        self.said.append(("accept", attempt))

    def reject(self, attempt: str) -> None:
        self.said.append(("reject", attempt))

    def shut_out(self, tokens: Mapping[str, float]) -> None:
        self.said.append(("shut out", tuple(tokens)))

    def read_record(self, attempt: str) -> None:
        self.said.append(("record", attempt))

    def grant(self, worker: str, attempt: str, job: str, task: str, inputs: Sequence[Sequence[object]]) -> str:
        return f"grant for {worker} {attempt}"


class FailingStore(Store):
    """A real store whose next commit fails before or after it took effect."""

    fail_before = False
    fail_after = False

    def commit(self, changes: Changes) -> None:
        if self.fail_before:
            self.fail_before = False
            raise StoreError("the disk is full")
        super().commit(changes)
        if self.fail_after:
            self.fail_after = False
            raise StoreError("the answer was lost")


class Boss:
    """A loop that the test turns by hand."""

    def __init__(self, folder: Path) -> None:
        self.store = FailingStore(f"sqlite:///{folder}/boss.sqlite", "c1")
        self.outsider = Outsider()
        self.steady = 0.0
        self.wall = 1000.0
        self.clock = LoopClock(lambda: self.wall, lambda: self.steady)
        outside = Outside(self.store, self.outsider, self.outsider, {"local": self.outsider})
        self.loop = Loop(outside, policy(), self.store.open(), self.clock)
        self.loop._load()
        self.turn(BrokerConnected())

    def turn(self, *events: Event) -> None:
        self.steady, self.wall = self.steady + 0.2, self.wall + 0.2  # so that each turn's picture is published
        for event in events:
            self.loop.put(event)
        self.loop.turn()

    def ask(self, request: object) -> Answer:
        self.steady, self.wall = self.steady + 0.2, self.wall + 0.2
        future: Future[Answer] = self.loop.ask(lambda reply: type(request)(**{**_fields(request), "reply": reply}))
        self.loop.turn()
        return future.result(timeout=0)

    def push(self, count: int = 1) -> None:
        self.turn(*self.pushed(count=count))

    def pushed(self, uid: str = "u1", count: int = 1) -> tuple[Event, ...]:
        name = "job" if uid == "u1" else uid
        return JobStaged(uid, name, "ada", uid), TasksStaged(uid, *bag(count)), JobOpened(uid, {})

    def join(self) -> None:
        hello = Hello("s1", self.loop._epoch, 0, {"cpus": 1, "memory": 4 * GIB}, {})
        self.turn(VmCreated("local-1", "7:7", "127.0.0.1"), WorkerSaid("local-1", hello))

    def finish(self, attempt: str) -> None:
        self.turn(WorkerSaid("local-1", Results("s1", (Result(attempt, "succeeded", exit_code=0),))))

    def messages(self, kind: type) -> list[object]:
        return [said[1] for said in self.outsider.said if isinstance(said, tuple) and isinstance(said[1], kind)]


def _fields(event: object) -> dict[str, object]:
    return {name: getattr(event, name) for name in event.__slots__}  # type: ignore[attr-defined]


@pytest.fixture
def boss(tmp_path: Path) -> Iterator[Boss]:
    one = Boss(tmp_path)
    yield one
    one.store.close()


def test_assignments_carry_the_grant_of_the_datastore(boss: Boss) -> None:
    boss.push()
    boss.join()
    (message,) = boss.messages(Assign)
    assert message.attempts[0].grant == "grant for local-1 u1.0.1"  # type: ignore[attr-defined]


def test_nothing_is_said_when_the_commit_fails_and_all_of_it_after_the_reload(boss: Boss) -> None:
    boss.push()
    boss.join()
    boss.outsider.said.clear()
    boss.store.fail_before = True
    boss.finish("u1.0.1")
    assert boss.messages(Acknowledge) == []
    boss.finish("u1.0.1")  # the worker says it again
    assert len(boss.messages(Acknowledge)) == 1
    assert boss.loop.view().tasks == {"succeeded": 1}


def test_a_commit_whose_answer_was_lost_is_not_done_twice(boss: Boss) -> None:
    boss.push()
    boss.join()
    boss.store.fail_after = True
    boss.finish("u1.0.1")
    boss.finish("u1.0.1")
    assert len(boss.messages(Acknowledge)) == 1
    assert len([said for said in boss.outsider.said if said == ("create", ("local-1",))]) == 1


def test_who_asked_in_a_failed_turn_is_told_to_ask_again(boss: Boss) -> None:
    boss.push()
    boss.store.fail_before = True
    answer = boss.ask(JobPaused("job"))
    assert answer.code == 503
    assert "ask again" in str(answer.detail["error"])
    assert boss.ask(JobPaused("job")).code == 200


def test_an_event_that_the_core_cannot_digest_is_put_aside_and_the_others_happen(
    boss: Boss, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss.push()
    whole = reactor.handle

    def stumble(state: object, event: Event, now: float) -> object:
        if isinstance(event, ContextSet):
            raise RuntimeError("cannot digest this")
        return whole(state, event, now)  # type: ignore[arg-type]

    monkeypatch.setattr(reactor, "handle", stumble)
    futures = [boss.loop.ask(lambda reply: ContextSet({"a": "b"}, reply)), boss.loop.ask(lambda reply: JobPaused("job", reply))]
    boss.turn()
    assert [future.result(timeout=0).code for future in futures] == [500, 200]
    assert boss.loop.view().jobs[0].state == "paused"


def test_whoever_is_answered_finds_in_the_picture_what_was_done(boss: Boss) -> None:
    boss.push()
    seen: list[str] = []
    for request in (JobPaused("job", 1), JobResumed("job", 1)):
        future = boss.loop.ask(lambda reply, request=request: type(request)(request.job, reply))
        future.add_done_callback(lambda _future: seen.append(boss.loop.view().jobs[0].state))
        boss.loop.turn()  # no time has passed since the last picture
    assert seen == ["paused", "running"]


def test_a_finished_jobs_tasks_leave_memory_and_come_back_when_they_are_needed(boss: Boss) -> None:
    boss.push()
    boss.join()
    boss.finish("u1.0.1")
    assert boss.loop._state.jobs["u1"].tasks == []
    assert boss.ask(WhyAsked("job", "t0")).detail["why"] == ["It succeeded (attempt 1)."]
    assert boss.loop._state.jobs["u1"].tasks == []
    assert boss.ask(TasksRedone("job", "t0")).code == 200
    assert [message.attempts[0].attempt for message in boss.messages(Assign)] == ["u1.0.1", "u1.0.2"]  # type: ignore[attr-defined]


def test_a_restarted_boss_goes_on_where_the_last_one_was_killed(tmp_path: Path) -> None:
    first = Boss(tmp_path)
    first.push(2)
    first.join()
    first.store.close()
    second = Boss(tmp_path)
    assert second.loop._epoch == 2
    hello = Hello("s1", 1, 2, {"cpus": 1, "memory": 4 * GIB}, {"u1.0.1": "finished"})
    second.turn(WorkerSaid("local-1", hello), WorkerSaid("local-1", Results("s1", (Result("u1.0.1", "succeeded"),))))
    assert second.loop.view().tasks == {"succeeded": 1, "assigned": 1}
    assert [one.attempts for one in second.messages(Acknowledge)] == [("u1.0.1",)]  # type: ignore[attr-defined]
    second.store.close()


def test_a_stopped_process_does_not_see_everybody_time_out() -> None:
    steady, wall = [0.0], [1000.0]
    clock = LoopClock(lambda: wall[0], lambda: steady[0])
    steady[0], wall[0] = 600.0, 1600.0
    assert clock.advance(1.0) == 1002.0
    assert clock.lag() == 598.0
    steady[0], wall[0] = 600.5, 1600.5
    assert clock.advance(1.0) == 1002.5


def test_a_clock_that_is_set_forward_or_back_moves_no_deadline() -> None:
    steady, wall = [0.0], [1000.0]
    clock = LoopClock(lambda: wall[0], lambda: steady[0])
    for jump in (86_400.0, -172_800.0):
        steady[0], wall[0] = steady[0] + 0.5, wall[0] + 0.5 + jump
        before = clock.now
        assert clock.advance(1.0) == before + 0.5
    assert clock.now == 1001.0
    assert clock.now + clock.lag() == wall[0], "what is shown and stored is the time of day"


def test_stopping_drains_deletes_and_ends(boss: Boss) -> None:
    boss.push()
    boss.join()
    boss.turn(StopWanted())
    for _ in range(40):
        boss.steady, boss.wall = boss.steady + 1.0, boss.wall + 1.0
        boss.turn(ContextSet({}))
        if boss.loop._ended:
            break
    assert ("delete", "local-1") in boss.outsider.said
    assert boss.loop._ended
    assert boss.loop.ask(lambda reply: JobPaused("job", reply)).result(timeout=0).code == 503
