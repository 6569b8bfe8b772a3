"""Pools that an admin changes while the boss runs: what holds, what is refused, and that it outlives a restart."""

import json
from dataclasses import replace
from typing import Any

import pytest

from boss.core import limits, picture, pools
from boss.core.effects import Reply
from boss.core.model import Flavor
from boss.core.reactor import handle
from boss.core.requests import PoolSet
from boss.core.state import State
from tests.core.scene import local_pool, policy

TWO = Flavor("two", {"cpus": 2})
OLD = replace(local_pool(), name="old", flavors=(TWO,), minimum=0, maximum=4, limits={})
NEW = replace(OLD, name="new")


def _state() -> State:
    return State(policy(pools=(OLD, NEW)))


def _set(state: State, pool: str = "old", /, **changes: Any) -> tuple[int, dict[str, Any]]:
    handle(state, PoolSet(pool, changes, 7), 10.0)
    effects = handle(state, PoolSet(pool, changes, 8), 10.0)
    (answer,) = [effect.answer for effect in effects if isinstance(effect, Reply)]
    return answer.code, dict(answer.detail)


def test_a_changed_maximum_bounds_the_pool_and_no_other() -> None:
    state = _state()
    assert _set(state, maximum=1)[0] == 200
    assert [limits.within(state, pool, TWO, []).count for pool in state.policy.pools] == [1, 4]


def test_a_paused_pool_gets_no_vm_and_says_so_until_it_goes_on() -> None:
    state = _state()
    _set(state, paused=True)
    room = limits.within(state, state.policy.pools[0], TWO, [])
    assert room.count == 0
    assert "set_pool old --resume" in room.cut
    assert "Pool old is paused by an admin: no VM of it comes." in picture.publish(state, 10.0, 0.0).notes
    _set(state, paused=False)
    assert limits.within(state, state.policy.pools[0], TWO, []).count == 4


def test_what_was_changed_outlives_a_restart_and_is_taken_back_by_no_change() -> None:
    state = _state()
    _set(state, minimum=1, maximum=2)
    again = picture.state_of(policy(pools=(OLD, NEW)), 2, state.context, (), (), ())
    assert (again.policy.pools[0].minimum, again.policy.pools[0].maximum) == (1, 2)
    code, said = _set(again)
    assert (code, said["minimum"], said["maximum"], said["given_maximum"]) == (200, 0, 4, 4)
    assert pools.FACT not in again.context


def test_a_value_that_is_that_of_the_settings_is_no_change() -> None:
    state = _state()
    _set(state, maximum=2)
    _set(state, maximum=4)
    assert pools.FACT not in state.context


@pytest.mark.parametrize("changes", [{"minimum": 5}, {"maximum": -1}, {"minimum": 3, "maximum": 2}, {"maximum": 1_000_000}])
def test_numbers_that_make_no_sense_change_nothing(changes: dict[str, int]) -> None:
    state = _state()
    code, said = _set(state, **changes)
    assert code == 409
    assert "the minimum not above the maximum" in said["error"]
    assert state.context == {}
    assert state.policy.pools == (OLD, NEW)


def test_an_unknown_pool_is_refused_with_the_known_ones() -> None:
    code, said = _set(_state(), "odl", maximum=1)
    assert code == 404
    assert said["error"] == "there is no pool named 'odl'; there are: old, new"


@pytest.mark.parametrize(
    "fact",
    [
        "",
        "[]",
        "no json",
        '{"old": 3}',
        '{"old": {"maximum": "x"}}',
        '{"old": {"minimum": 9}}',
        '{"gone": {"maximum": 1}}',
        "{}",
        "null",
    ],
)
def test_a_fact_that_makes_no_sense_changes_nothing(fact: str) -> None:
    assert pools.in_force(policy(pools=(OLD, NEW)), {pools.FACT: fact}).pools == (OLD, NEW)


def test_the_fact_has_what_differs_from_the_settings_and_nothing_else() -> None:
    state = _state()
    _set(state, minimum=0, maximum=3, paused=True)
    assert json.loads(state.context[pools.FACT]) == {"old": {"maximum": 3, "paused": True}}


def test_pools_are_shown_with_what_holds_and_what_the_settings_say() -> None:
    state = _state()
    _set(state, maximum=9)
    (old, new) = picture.publish(state, 10.0, 0.0).pools
    assert (old.maximum, old.given_maximum, new.maximum) == (9, 4, 4)
