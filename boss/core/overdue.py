"""What clouds owe us: answers, servers that boot, servers that go. Sentences for people, from the state alone.

Rules:
- Whatever takes longer than ``PATIENT`` seconds is said, with how long it takes and what happens next; nothing here decides anything.
- ``unanswered``, ``statuses`` and ``doubts`` of the state are what was asked and heard last. They are not stored: a new boss asks anew.
"""

from collections.abc import Callable, Iterable

from boss.core.events import Server
from boss.core.model import Vm, VmState
from boss.core.state import State

#: Seconds after which silence is told.
PATIENT = 4.0
#: A boot that takes so many times as long as usual is called slow.
SLOW_BOOT = 1.5
#: Providers that are no clouds: what they do is done on this machine, or by ssh.
HERE = frozenset({"local", "hosts"})
#: VMs that are told one by one.
FEW = 3


def asked(state: State, provider: str, now: float) -> None:
    """A cloud was asked for its servers."""
    state.unanswered.setdefault(provider, now)


def answered(state: State, provider: str) -> None:
    """It has said something."""
    state.unanswered.pop(provider, None)


def seen(state: State, servers: Iterable[Server]) -> None:
    """Remember the cloud's words for how our servers stand."""
    for told in (state.statuses, state.doubts):
        for name in [name for name in told if name not in state.vms]:
            del told[name]
    state.statuses.update({server.vm: server.status for server in servers if server.vm in state.vms})


def notes(state: State, now: float) -> list[str]:
    """Sentences for ``status``."""
    said = []
    for provider, since in state.unanswered.items():
        if now - since > PATIENT and provider not in HERE and provider not in state.cloud_trouble:
            said.append(f"Cloud {provider} has not answered for {now - since:.0f} s; running work does not need it.")
    silent = [vm for vm in state.vms.values() if _is_silent(state, vm, now)]
    said += _several(silent, lambda vm: _silent(state, vm, now))
    slow = [vm for vm in state.vms.values() if vm.state is VmState.BOOTING and _is_slow(state, vm, now)]
    said += _several(slow, lambda vm: boot(state, vm, now))
    staying = [vm for vm in state.vms.values() if vm.state is VmState.DELETING and vm.id in state.doubts]
    said += _several(staying, lambda vm: staying_still(state, vm))
    return said


def _several(vms: list[Vm], sentence: Callable[[Vm], str]) -> list[str]:
    more = len(vms) - FEW
    return [sentence(vm) for vm in vms[:FEW]] + ([f"The same goes for {more} more VM(s)."] if more > 0 else [])


def coming(state: State, vm: Vm, now: float) -> str:
    """How it stands with a VM that is to come, if that is worth telling."""
    if _is_silent(state, vm, now):
        return _silent(state, vm, now)
    if vm.state is VmState.BOOTING and _is_slow(state, vm, now):
        return boot(state, vm, now)
    return ""


def staying_still(state: State, vm: Vm) -> str:
    """What stands in the way of a deletion."""
    return f"{vm.id} could not be deleted yet: {state.doubts[vm.id]}; it is tried again until the cloud has done it."


def _silent(state: State, vm: Vm, now: float) -> str:
    given_up = f"; it is given up in {max(0.0, vm.deadline - now):.0f} s" if vm.deadline is not None else ""
    trouble = f" ({state.doubts[vm.id]})" if vm.id in state.doubts else ""
    return (
        f"{vm.id} was asked for {now - vm.since:.0f} s ago, and the cloud has not said whether there is one{trouble}{given_up}."
    )


def boot(state: State, vm: Vm, now: float) -> str:
    """``cloud-1 has been booting for 40 s (usually 20 s); the cloud says BUILD; it is given up in 560 s``."""
    usual = usual_boot(state, vm)
    says = f"; the cloud says {state.statuses[vm.id]}" if vm.id in state.statuses else ""
    given_up = f"; it is given up in {max(0.0, vm.deadline - now):.0f} s (`boot_timeout`)" if vm.deadline is not None else ""
    return f"{vm.id} has been booting for {state.wall(now) - vm.created:.0f} s (usually {usual:.0f} s){says}{given_up}."


def never_answered(state: State, vm: Vm, now: float) -> str:
    """Why a create call without an answer is given up."""
    trouble = f": {state.doubts[vm.id]}" if vm.id in state.doubts else ""
    return f"the cloud did not answer within {state.wall(now) - vm.created:.0f} s (`create_timeout`){trouble}"


def never_heard(state: State, vm: Vm, now: float) -> str:
    """Why a boot is given up."""
    waited, status = state.wall(now) - vm.created, state.statuses.get(vm.id, "")
    if status == "BUILD":
        return f"the cloud has been building its server for {waited:.0f} s and says BUILD still (`boot_timeout`)"
    console = f"; `admin.py console {vm.id}` shows the end of what its server wrote, if it wrote anything"
    return (
        f"its worker was not heard within {waited:.0f} s (`boot_timeout`)"
        + (f", the cloud says {status}" if status else "")
        + console
    )


def usual_boot(state: State, vm: Vm) -> float:
    """How long such a VM takes to come up."""
    pool = state.pool(vm.pool)
    return state.learned.boot(vm.pool, vm.flavor, pool.provider if pool else "")


def _is_silent(state: State, vm: Vm, now: float) -> bool:
    if vm.state is not VmState.CREATING or now - vm.since <= PATIENT:
        return False
    pool = state.pool(vm.pool)
    return pool is not None and pool.provider not in HERE


def _is_slow(state: State, vm: Vm, now: float) -> bool:
    return state.wall(now) - vm.created > max(PATIENT, SLOW_BOOT * usual_boot(state, vm))
