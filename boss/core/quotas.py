"""Which flavors can be had at all: those that an empty project, with nothing else in it, has room for. Reads the state only.

Rules:
- A flavor is beyond reach when it alone takes more than the project's whole quota leaves after the pool's ``head_room``, or than the
  pool's own ``limits`` allow. Waiting does not help then: only a larger quota, another setting, or another flavor does.
- What the cloud has not said (yet) bounds nothing. What it says later counts at once, both ways.
"""

from math import inf

from boss.core.model import Flavor, Pool
from boss.core.sizes import flavors
from boss.core.sizes import takes as takes_of
from boss.core.state import State

_GIB = 2.0**30
#: What is counted in bytes, and told in GiB, with the word for it.
_SPACE = {"memory": "memory", "disk": "disk", "volume_space": "volumes"}


def obtainable(state: State, pool: Pool) -> list[Flavor]:
    """The pool's flavors of which it is known what they offer, and that can be had some time."""
    return [flavor for flavor in flavors(state, pool) if not beyond(state, pool, flavor)]


def first(state: State, pool: Pool) -> Flavor | None:
    """The flavor of VMs that are wanted whatever waits: the first of the settings that is not known to be beyond reach."""
    known = {flavor.name: flavor for flavor in flavors(state, pool)}
    return next((flavor for flavor in pool.flavors if not beyond(state, pool, known.get(flavor.name, flavor))), None)


def beyond(state: State, pool: Pool, flavor: Flavor) -> str:
    """``lab.16 asks for 16 cpus, and the project's quota is 6``: why this flavor can never be had as things are; else empty."""
    limits = state.limits.get(pool.provider, {})
    for name, takes in takes_of(pool, flavor.resources).items():
        own = pool.limits.get(name, inf)
        if takes > own + 1e-9:
            return f"{_asks(flavor, name, takes)}, and `limits` of pool {pool.name} allows {told(name, own)}"
        limit = limits.get(name)
        kept = pool.head_room.get(name, 0.0)
        if limit is None or takes <= limit.total - kept + 1e-9:
            continue
        what = "the addresses of its subnet are" if name == "addresses" else "the project's quota is"
        head = f", of which {told(name, kept)} are left to people (`head_room`)" if kept else ""
        return f"{_asks(flavor, name, takes)}, and {what} {told(name, limit.total)}{head}"
    return ""


def notes(state: State) -> list[str]:
    """Sentences for ``status``: pools of which no VM can ever be had."""
    said = []
    for pool in state.policy.pools:
        known = flavors(state, pool)
        reasons = [reason for flavor in known if (reason := beyond(state, pool, flavor))]
        if reasons and len(reasons) == len(pool.flavors):
            said.append(f"Pool {pool.name} can have no VM at all: {'; '.join(reasons)}.")
    return said


def told(name: str, count: float) -> str:
    """A number for people: what is counted in bytes in GiB."""
    return f"{count / _GIB:.4g} GiB" if name in _SPACE else f"{count:g}"


def _asks(flavor: Flavor, name: str, takes: float) -> str:
    thing = name.replace("floating_ip", "floating IP")
    what = (
        f"{told(name, takes)} of {_SPACE[name]}" if name in _SPACE else f"{takes:g} {thing if takes != 1 else thing.rstrip('s')}"
    )
    return f"{flavor.name} asks for {what}"
