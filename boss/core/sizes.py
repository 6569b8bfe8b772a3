"""What VMs of a flavor offer: as the settings say, else as the cloud says, and never more than the last worker on one had.

Rules:
- A flavor of which nobody has said what it offers holds no task, so that nothing is bought blindly.
- A worker that offers less than its flavor promised (a guest sees less memory than Nova's number) teaches what the next one will offer:
  else a task that needs the difference would buy VMs for ever.
"""

from collections.abc import Mapping
from typing import Final

from boss.core.model import Flavor, Pool, Resources, Vm
from boss.core.state import State
from boss.core.trust import offered

#: What the worker of a VM that is only tried offers, and the task of a trial needs: once.
TRIAL: Final = "trial"
#: What else it offers: too little for any other task.
_SLIVER: Final = {"cpus": 0.001, "memory": 256 * 2.0**20}
#: A worker that offers less than this part of what its flavor promises says nothing of the flavor: that one is odd, or lies.
LEAST = 0.5


def flavors(state: State, pool: Pool) -> list[Flavor]:
    """The pool's flavors of which it is known what they offer, in the order of the settings."""
    return [known for flavor in pool.flavors if (known := _known(state, pool, flavor)) is not None]


def flavor_of(state: State, vm: Vm) -> Flavor | None:
    """The flavor of a claim, if its pool still has it and it is known what it offers."""
    found = _of_vm(state, vm)
    return _known(state, *found) if found is not None else None


def unknown(state: State, pool: Pool) -> list[str]:
    """Names of the pool's flavors of which nobody has said yet what they offer, or that there is no such flavor."""
    known = {flavor.name for flavor in flavors(state, pool)}
    return [one.name for one in pool.flavors if one.name not in known and (pool.name, one.name) not in state.absent]


def absent(state: State, pool: Pool, name: str = "") -> list[str]:
    """Sentences on the pool's flavors (or the one of this name) that its cloud does not have."""
    return [
        f"Pool {pool.name}: {state.absent[pool.name, flavor.name]}. Mend `flavors` of [pools.{pool.name}] in the settings."
        for flavor in pool.flavors
        if name in ("", flavor.name) and (pool.name, flavor.name) in state.absent
    ]


def learn(state: State, vm: Vm, resources: Mapping[str, float]) -> None:
    """A worker on a VM of this flavor says what it offers."""
    said = promised(state, vm)
    if resources and all(resources.get(name, 0.0) >= LEAST * count for name, count in said.items()):
        state.offered[vm.pool, vm.flavor] = dict(resources)


def for_trial(resources: Mapping[str, float]) -> dict[str, float]:
    """What the worker of a trial is taken to offer: room for the trial's task and no other."""
    return {TRIAL: 1.0} | {name: min(most, resources[name]) for name, most in _SLIVER.items() if name in resources}


def takes(pool: Pool, offers: Resources) -> dict[str, float]:
    """What one VM that offers this takes of its project, by the names of the limits."""
    return dict(offers) | dict(pool.takes) | {"instances": 1.0, "addresses": 1.0}


def promised(state: State, vm: Vm) -> Resources:
    """What the machine of a claim should offer, by the settings or its cloud; empty where nobody has said."""
    found = _of_vm(state, vm)
    return _promised(state, *found) if found is not None else {}


def _of_vm(state: State, vm: Vm) -> tuple[Pool, Flavor] | None:
    """The pool and flavor of a claim, if the settings have them still."""
    pool = state.pool(vm.pool)
    flavor = next((flavor for flavor in pool.flavors if flavor.name == vm.flavor), None) if pool is not None else None
    return (pool, flavor) if pool is not None and flavor is not None else None


def _promised(state: State, pool: Pool, flavor: Flavor) -> Resources:
    return flavor.resources or state.sizes.get((pool.name, flavor.name), {})


def _known(state: State, pool: Pool, flavor: Flavor) -> Flavor | None:
    """The flavor with what it offers, as far as was said and seen; None where nobody has said."""
    resources = _promised(state, pool, flavor)
    seen = state.offered.get((pool.name, flavor.name))
    if seen is not None:
        resources = {name: min(count, seen.get(name, 0.0)) for name, count in resources.items()}
    resources = offered(pool, resources)
    return Flavor(flavor.name, resources, flavor.price) if resources else None
