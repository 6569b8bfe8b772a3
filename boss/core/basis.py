"""What a plan is made from: the pools with their limits, and what the boss has learned, as plain data there and back. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from math import inf, isinf
from typing import Any

from boss.core.events import Limit
from boss.core.learned import Learned
from boss.core.model import Flavor, Policy, Pool
from boss.core.state import State

#: Fields of the policy that matter to a plan beside its pools; the others are about faults, which a plan has none of.
_POLICY = ("budget", "job_budget", "prefetch_seconds", "prefetch_limit", "zone")


def basis_of(state: State, now: float) -> dict[str, Any]:
    """All that another process needs to plan as this boss would; ``now`` is the time of day."""
    return {
        "now": state.wall(now),
        "pools": [asdict(pool) for pool in state.policy.pools if pool.flavors],
        "policy": {name: getattr(state.policy, name) for name in _POLICY},
        "limits": {
            provider: {name: [None if isinf(limit.total) else limit.total, limit.used] for name, limit in limits.items()}
            for provider, limits in state.limits.items()
        },
        "sizes": [[pool, flavor, dict(resources)] for (pool, flavor), resources in state.sizes.items()],
        "offered": [[pool, flavor, dict(resources)] for (pool, flavor), resources in state.offered.items()],
        "learned": state.learned.facts_in_full(),
    }


def state_of_basis(data: Mapping[str, Any]) -> State:
    """A state without jobs and VMs that plans as the boss does that this was asked of. Raises KeyError, TypeError or ValueError."""
    pools = tuple(_pool(pool) for pool in data["pools"])
    said = {name: value for name, value in data["policy"].items() if name in _POLICY}
    said["zone"] = tuple((float(begin), float(seconds)) for begin, seconds in said.get("zone", ()))
    state = State(Policy(pools=pools, **said))
    state.limits = {
        provider: {name: Limit(inf if total is None else total, used) for name, (total, used) in limits.items()}
        for provider, limits in data["limits"].items()
    }
    state.sizes = {(pool, flavor): resources for pool, flavor, resources in data["sizes"]}
    state.offered = {(pool, flavor): resources for pool, flavor, resources in data["offered"]}
    state.learned = Learned.of(data["learned"])
    return state


def with_pools(policy: Policy, **changes: object) -> Policy:
    """The same policy with these fields changed in each pool."""
    return replace(policy, pools=tuple(replace(pool, **changes) for pool in policy.pools))  # type: ignore[arg-type]


def _pool(data: Mapping[str, Any]) -> Pool:
    known = {one.name for one in fields(Pool)}
    values = {name: value for name, value in data.items() if name in known}
    values["flavors"] = tuple(Flavor(one["name"], one["resources"], one["price"]) for one in data["flavors"])
    values["signers"] = ()  # a plan is of work that will be signed where it must be
    values["quiet"] = tuple((float(begin), float(end)) for begin, end in data.get("quiet", ()))
    return Pool(**values)
