"""The roster: what a turn is told without looking at all workers is what it would have seen."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boss.core.deals import offers_for, offers_of
from boss.core.events import WorkerSaid
from boss.core.fairness import shares_of_long_tasks, shares_on
from boss.core.model import Vm, VmState, Worker, WorkerState
from boss.core.placement import Demand, Shares, place
from boss.core.state import State
from tests.core.scene import Scene, bag, local_pool, policy
from worker.protocol import Heartbeat

SIZES = st.sampled_from([0.0, 0.1, 1.0, 2.0, 3.0])


@st.composite
def fleets(draw: st.DrawFn) -> State:
    """Some workers, more or less busy, some of them of no use."""
    state = State(policy())
    for number in range(draw(st.integers(0, 12))):
        total = {"cpus": draw(st.sampled_from([1.0, 2.0, 4.0])), "gpus": draw(st.sampled_from([0.0, 1.0]))}
        used = {"cpus": draw(st.sampled_from([0.0, 0.1, 1.0, 2.0, 4.0, 6.0])), "gpus": draw(st.sampled_from([0.0, 1.0]))}
        worker = Worker(f"w{number}", "local", draw(st.sampled_from([WorkerState.ONLINE, WorkerState.OFFLINE])))
        worker.resources, worker.used, worker.draining = total, used, draw(st.booleans()) and draw(st.booleans())
        state.workers[worker.id] = worker
    return state


@st.composite
def queues(draw: st.DrawFn) -> list[Demand]:
    """Some kinds of ready tasks, of two owners."""
    demands = []
    for number in range(draw(st.integers(1, 5))):
        shape = tuple((name, draw(SIZES)) for name in ("cpus", "gpus"))
        asked = tuple((name, count) for name, count in shape if count)
        refused = frozenset(draw(st.lists(st.sampled_from(["w0", "w1", "w2"]), max_size=2)))
        owner, count = draw(st.sampled_from(["ada", "bob"])), draw(st.integers(0, 6))
        demands.append(Demand(number, draw(st.integers(0, 1)), owner, f"u{number}", asked, count, refused))
    return demands


def copies(demands: Sequence[Demand]) -> list[Demand]:
    """``place`` changes what it is given."""
    return [replace(demand) for demand in demands]


@settings(max_examples=300, deadline=None)
@given(fleets(), queues())
def test_the_offers_that_make_a_difference_are_dealt_the_same_as_all_of_them(state: State, demands: list[Demand]) -> None:
    everything, few = copies(demands), copies(demands)
    expected = place(everything, list(offers_of(state)), Shares())
    chosen = offers_for(state, few)
    assert place(few, chosen, Shares()) == expected
    assert [demand.count for demand in few] == [demand.count for demand in everything]


def test_a_few_tasks_make_few_offers_however_many_workers_are_idle() -> None:
    state = State(policy())
    for number in range(1000):
        worker = state.workers[f"w{number}"] = Worker(f"w{number}", "local", WorkerState.ONLINE)
        worker.resources = {"cpus": 4.0}
    offers = offers_for(state, [Demand("one", 0, "ada", "u1", (("cpus", 1.0),), 3)])
    assert len(offers) == 3


def test_full_workers_are_not_looked_at() -> None:
    state = State(policy())
    for number in range(10):
        worker = state.workers[f"w{number}"] = Worker(f"w{number}", "local", WorkerState.ONLINE)
        worker.resources, worker.used = {"cpus": 1.0}, {"cpus": 1.0 if number else 0.0}
    assert list(state.roster.room(1.0)) == ["w0"]
    assert len(list(state.roster.room(-inf))) == 10
    assert state.roster.cpus() == 10.0


def test_shares_of_long_tasks_are_those_that_a_look_at_everybody_finds() -> None:
    scene = Scene(pools=(local_pool(4),))
    for owner, count in (("ada", 3), ("bob", 1)):
        scene.push(bag(count), f"of-{owner}", owner)
    for name in list(scene.state.vms):
        scene.join(name)
    shares = shares_of_long_tasks(scene.state)
    assert shares is not None
    looked = shares_on(scene.state, list(offers_of(scene.state)))
    assert (shares.owners, shares.jobs) == (looked.owners, looked.jobs)
    assert shares.owners == {"ada": 3.0, "bob": 1.0}
    scene.state.pace["u1", 0] = 0.01
    assert shares_of_long_tasks(scene.state) is None, "rows of short tasks are weighed worker by worker"


def test_who_comes_and_who_goes_is_noted_without_a_word() -> None:
    state = State(policy())
    state.workers["w"] = Worker("w", "local", WorkerState.ONLINE)
    state.vms["w"] = Vm("w", "local", "local.1", 0.0, VmState.JOINED)
    assert state.roster.speaking() == 1
    assert (state.roster.standing("local"), state.roster.coming()) == (1, ["w"])
    state.trials["w"] = state.vms["w"]
    assert (state.roster.standing("local"), state.roster.coming()) == (0, [])
    del state.trials["w"]
    state.vms.pop("w", None)
    assert (state.roster.standing("local"), state.roster.speaking()) == (0, 1)
    del state.workers["w"]
    assert state.roster.speaking() == 0
    assert state.roster.wrong() == []


def test_a_change_that_nobody_has_noted_breaks_the_invariant() -> None:
    scene = Scene()
    scene.push(bag(1))
    worker = scene.join("local-1")
    scene.state.check()
    worker.state = WorkerState.OFFLINE
    with pytest.raises(AssertionError, match="the roster has local-1"):
        scene.state.check()


def test_the_longest_idle_are_known_and_told_in_the_order_in_which_they_came() -> None:
    state = State(policy())
    for number, since in enumerate((30.0, 10.0, 20.0)):
        state.workers[f"w{number}"] = Worker(f"w{number}", "local", WorkerState.ONLINE, idle_since=since)
        state.vms[f"w{number}"] = Vm(f"w{number}", "local", "local.1", 0.0, VmState.JOINED)
    assert state.roster.idle("local", now=40.0, cooldown=10.0) == ["w0", "w1", "w2"]
    assert state.roster.idle("local", now=40.0, cooldown=20.0) == ["w1", "w2"]
    assert state.roster.idle("local", now=40.0, cooldown=31.0) == []
    assert state.roster.idle("other", now=40.0, cooldown=0.0) == []


def test_a_full_datastore_is_known_by_the_workers_that_say_so_and_have_something_to_deliver() -> None:
    scene = Scene()
    scene.push(bag(1))
    scene.join("local-1")
    held = dict.fromkeys(scene.state.workers["local-1"].held, "running")
    (name,) = held
    scene.turn(WorkerSaid("local-1", Heartbeat("s1", 1, 9, held, undelivered=(name,), trouble="no room", full=True)))
    assert scene.state.roster.stuck() == ["local-1"]
    scene.turn(WorkerSaid("local-1", Heartbeat("s1", 1, 9, held)))
    assert scene.state.roster.stuck() == []
