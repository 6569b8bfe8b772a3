"""What an admin has changed of the pools while the boss runs: minimum, maximum, paused. Part of the reactor.

Rules:
- It is a fact in the context, so that it outlives restarts; the settings' own numbers hold again when it is taken back.
- A fact about a pool that the settings do not have any more, or that makes no sense, changes nothing.
- Pools without flavors (that of the hosts) have no VMs that the boss could let come: they are not spoken of.
- A paused pool gets no new VM, for whatever reason; what it has goes on, and goes when it is idle.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from boss.core import health, jobs
from boss.core.model import Policy, Pool
from boss.core.requests import PoolSet
from boss.core.state import State
from boss.core.view import PoolView

#: The fact: JSON, pool -> what is changed.
FACT: Final = "pools"
#: The most VMs that a pool may be said to have.
MOST: Final = 10_000


def in_force(policy: Policy, context: Mapping[str, str]) -> Policy:
    """The policy of the settings with what was changed since."""
    said = _said(context)
    return replace(policy, pools=tuple(_changed(pool, said.get(pool.name, {})) for pool in policy.pools))


def on_set(state: State, event: PoolSet, now: float) -> None:
    """Change a pool, or (with no change) take back what was changed."""
    base = state.given or state.policy
    given = next((pool for pool in base.pools if pool.name == event.pool and pool.flavors), None)
    if given is None:
        known = ", ".join(pool.name for pool in base.pools if pool.flavors) or "none"
        jobs.answer(state, event.reply, 404, error=f"there is no pool named {event.pool!r}; there are: {known}")
        return
    said = _said(state.context)
    changes = {**said.get(event.pool, {}), **event.changes} if event.changes else {}
    pool = replace(given, **changes)
    if not 0 <= pool.minimum <= pool.maximum <= MOST:
        error = (
            f"pool {pool.name} cannot have minimum {pool.minimum} and maximum {pool.maximum}:"
            f" they are whole numbers from 0 to {MOST:,}, the minimum not above the maximum; give both together if both change"
        )
        jobs.answer(state, event.reply, 409, error=error)
        return
    said[event.pool] = {name: value for name, value in changes.items() if value != getattr(given, name)}
    kept = {name: one for name, one in said.items() if one}
    state.set_context(FACT, json.dumps(kept, sort_keys=True) if kept else None)
    state.given, state.policy = base, in_force(base, state.context)
    state.outlook.due = 0.0  # look ahead at once
    jobs.answer(state, event.reply, 200, **asdict(next(view for view in views(state, now) if view.name == event.pool)))


def views(state: State, now: float) -> tuple[PoolView, ...]:
    """The pools for people: what holds, and what the settings say."""
    found = []
    settings = {pool.name: pool for pool in (state.given or state.policy).pools}
    for pool in (pool for pool in state.policy.pools if pool.flavors):
        given = settings[pool.name]
        rest = state.health.get((pool.name, ""))
        resting = rest is not None and now < rest.resume_at
        found.append(
            PoolView(
                pool.name,
                pool.provider,
                tuple(flavor.name for flavor in pool.flavors),
                pool.minimum,
                pool.maximum,
                pool.paused,
                given.minimum,
                given.maximum,
                health.sentence(pool, rest, now, "") if resting and rest is not None else "",
                dict(pool.limits),
            )
        )
    return tuple(found)


def notes(state: State) -> list[str]:
    """A sentence about each pool that a person has paused."""
    return [f"Pool {pool.name} is paused by an admin: no VM of it comes." for pool in state.policy.pools if pool.paused]


def _said(context: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(context.get(FACT, "{}"))
    except ValueError:
        return {}
    return {name: one for name, one in found.items() if isinstance(one, dict)} if isinstance(found, dict) else {}


def _changed(pool: Pool, said: Mapping[str, Any]) -> Pool:
    numbers = {name: said.get(name, getattr(pool, name)) for name in ("minimum", "maximum")}
    if not all(type(value) is int for value in numbers.values()) or not 0 <= numbers["minimum"] <= numbers["maximum"]:
        return pool
    return replace(pool, **numbers, paused=said.get("paused") is True)
