"""The loop in trouble: what a failed commit must not forget, effects that raise, a database that is gone, jobs that stay in memory."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.core.changes import Changes
from boss.core.events import BrokerConnected, BrokerDisconnected, WorkerSaid
from boss.core.model import Worker, WorkerState
from boss.core.requests import StopWanted, TasksCancelled, WorkersWanted
from boss.ports import Picture, StoreError
from tests.boss.test_loop import Boss
from worker.protocol import Assign, Heartbeat, Result, Results, ToWorker


@pytest.fixture
def boss(tmp_path: Path) -> Iterator[Boss]:
    one = Boss(tmp_path)
    yield one
    one.store.close()


def test_a_connection_that_comes_up_in_a_turn_whose_commit_fails_is_not_forgotten(boss: Boss) -> None:
    boss.turn(BrokerDisconnected("gone"))
    boss.store.fail_before = True
    boss.turn(BrokerConnected(), *boss.pushed())
    boss.turn(*boss.pushed())
    assert ("create", ("local-1",)) in boss.outsider.said


def test_after_a_reload_the_numbers_of_messages_go_on(boss: Boss) -> None:
    boss.push()
    boss.join()
    handled = boss.loop._state.workers["local-1"].sent
    boss.store.fail_before = True
    boss.finish("u1.0.1")
    boss.finish("u1.0.1")  # said again, as workers do
    boss.turn(*boss.pushed("u2"))
    beat = Heartbeat("s1", boss.loop._epoch, handled, {})
    boss.turn(WorkerSaid("local-1", beat))
    if not boss.messages(Assign):
        boss.turn(WorkerSaid("local-1", beat))
    (task,) = boss.loop._state.jobs["u2"].tasks
    assert (task.number, task.losses) == (1, 0)  # the worker cannot have handled that assignment when it said this
    assert boss.loop._state.workers["local-1"].sent > handled


def test_an_effect_that_raises_does_not_repeat_what_was_committed(boss: Boss) -> None:
    boss.push()
    boss.join()

    def send(worker: str, message: ToWorker) -> None:
        raise RuntimeError("a fault of ours")

    boss.outsider.send = send  # type: ignore[method-assign]
    boss.loop.put(WorkerSaid("local-1", Heartbeat("s1", boss.loop._epoch, 0, {})))
    assert boss.ask(WorkersWanted(1)).code == 200
    assert [said for said in boss.outsider.said if said == ("create", ("local-2",))] == [("create", ("local-2",))]


def test_a_boss_whose_database_is_gone_can_be_ended(boss: Boss) -> None:
    broken = threading.Event()

    def load() -> Picture:
        broken.set()
        raise StoreError("no route to host")

    boss.store.load = load  # type: ignore[method-assign]
    running = threading.Thread(target=boss.loop.run, daemon=True)
    running.start()
    assert broken.wait(5)
    boss.loop.put(StopWanted())
    running.join(10)
    assert not running.is_alive()


def test_what_has_happened_while_the_database_is_gone_is_heard_in_its_order(boss: Boss) -> None:
    inbox, asked = boss.loop._inbox, []

    def load() -> Picture:
        raise StoreError("no route to host")

    def sleep(seconds: float) -> None:
        if len(asked) < 3:
            asked.append(boss.loop.ask(lambda reply: WorkersWanted(1, reply=reply)))
            asked[-1].add_done_callback(lambda _asked: boss.loop.put(BrokerConnected()) and None)  # while what waits is looked at
            boss.loop.put(BrokerDisconnected("gone"))
        else:
            boss.store.load = there  # type: ignore[method-assign]

    there, boss.store.load = boss.store.load, load  # type: ignore[method-assign]
    boss.loop._clock.sleep = sleep
    boss.loop.begin()
    assert [future.result(0).code for future in asked] == [503] * 3
    assert not inbox.empty()
    assert inbox.drain(0.0) == [BrokerDisconnected("gone"), BrokerConnected()] * 3 and inbox.empty()


def test_a_cancelled_job_leaves_the_memory_when_its_last_attempt_has_ended(boss: Boss) -> None:
    boss.push()
    boss.join()
    boss.loop._state.pace["u1", 0] = 1.0
    boss.turn(TasksCancelled("job"))
    assert boss.loop._state.jobs["u1"].loaded
    boss.turn(WorkerSaid("local-1", Results("s1", (Result("u1.0.1", "cancelled"),))))
    boss.turn()
    assert not boss.loop._state.jobs["u1"].loaded
    assert boss.loop._state.pace == {}


def test_only_a_large_fleet_makes_the_loop_pause_so_that_more_arrives_for_each_look_at_it(boss: Boss) -> None:
    slept: list[float] = []
    boss.clock.sleep = slept.append
    commit = boss.store.commit

    def slowly(changes: Changes) -> None:
        boss.steady += 0.05
        commit(changes)

    boss.store.commit = slowly  # type: ignore[method-assign]
    boss.push()
    assert slept == []
    boss.loop._state.workers.update({f"w{n}": Worker(f"w{n}", state=WorkerState.GONE) for n in range(1200)})
    boss.turn(*boss.pushed("u2"))
    assert slept == [pytest.approx(0.03, rel=0.01)]

    def crowded(changes: Changes) -> None:
        boss.loop.put(BrokerConnected())
        slowly(changes)

    boss.store.commit = crowded  # type: ignore[method-assign]
    boss.turn(*boss.pushed("u3"))
    assert len(slept) == 1  # more waits already
