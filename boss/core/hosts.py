"""Plain SSH hosts that somebody has added: each has one worker until it is removed. Part of the reactor.

Rules:
- A host is a fact in the context (``host:<login>``) and a claim of the pool ``hosts``, whose flavor is the login.
- A host without a living claim (its worker died, it was restarted) is claimed again, less and less often while that fails.
- The autoscaler neither adds nor drains hosts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from boss.core import fleet, health, jobs
from boss.core.model import Pool, Vm, VmState
from boss.core.requests import HostAdded, HostRemoved
from boss.core.scaling import CLOSED
from boss.core.state import LIVE_VMS, State

PROVIDER: Final = "hosts"
#: Context facts about hosts begin with this.
FACT: Final = "host:"
#: The pool of all hosts: no flavor can be bought, and none is ever spare.
POOL: Final = Pool(PROVIDER, PROVIDER, (), minimum=10**6, maximum=10**6, cooldown=1e9, boot_timeout=60.0)


@dataclass(frozen=True, slots=True)
class Host:
    """What is remembered of a host: its resources, its last claim, and whether it was removed and is on its way out."""

    resources: Mapping[str, float]
    vm: str = ""
    leaving: bool = False


def known(facts: Mapping[str, str]) -> dict[str, Host]:
    """All hosts by login, those on their way out too."""
    return {name.removeprefix(FACT): Host(**json.loads(value)) for name, value in facts.items() if name.startswith(FACT)}


def on_added(state: State, event: HostAdded, now: float) -> None:
    """Remember a host and start its worker."""
    there = known(state.context).get(event.login)
    if there is not None:
        what = "is on its way out: wait until its worker has gone" if there.leaving else "was added already"
        jobs.answer(state, event.reply, 409, error=f"{event.login} {what}")
        return
    health.worked(state, PROVIDER, event.login)
    vm = _claim(state, event.login, Host(event.resources), now)
    jobs.answer(state, event.reply, 200, worker=vm.id, login=event.login, resources=dict(event.resources))


def on_removed(state: State, event: HostRemoved, now: float) -> None:
    """Let a host's worker finish what it has (unless ``now``) and go, with every trace."""
    there = known(state.context).get(event.login)
    if there is None:
        logins = ", ".join(known(state.context)) or "none"
        jobs.answer(state, event.reply, 404, error=f"no host {event.login} was added; there are: {logins}")
        return
    _remember(state, event.login, replace(there, leaving=True))
    leaving = [vm for vm in _claims(state, event.login) if vm.state in LIVE_VMS]
    for vm in leaving:
        worker = state.workers.get(vm.id)
        if event.now or worker is None or vm.state is not VmState.JOINED:
            fleet.condemn(state, vm, "its host was removed", now)
        else:
            fleet.drain(state, worker, "its host was removed", now)
    jobs.answer(state, event.reply, 200, workers=[vm.id for vm in leaving])


def keep_up(state: State, now: float) -> None:
    """Claim each host that has no worker (any more); forget those that were removed and are empty."""
    for login, host in known(state.context).items():
        if _claims(state, login):
            continue
        if host.leaving:
            state.set_context(FACT + login, None)
        elif health.resting(state, PROVIDER, login, now) is None and _may_come(state):
            _claim(state, login, host, now)


def _may_come(state: State) -> bool:
    return state.connected and not state.stopping and not state.fenced and CLOSED not in state.context


def _claim(state: State, login: str, host: Host, now: float) -> Vm:
    [vm] = fleet.claim(state, PROVIDER, login, 1, 0.0, "its host was added by hand", now)
    _remember(state, login, replace(host, vm=vm.id))
    return vm


def _remember(state: State, login: str, host: Host) -> None:
    facts = {"resources": dict(host.resources), "vm": host.vm, "leaving": host.leaving}
    state.set_context(FACT + login, json.dumps(facts))


def _claims(state: State, login: str) -> list[Vm]:
    return [vm for vm in state.vms.values() if vm.pool == PROVIDER and vm.flavor == login]
