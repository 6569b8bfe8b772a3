"""Why a VM is up, or is coming or going: sentences for people, from the state alone."""

from boss.core import backlog, overdue
from boss.core.leaving import END_OF_PERIOD, paid_for
from boss.core.machines import is_slow, told
from boss.core.model import Vm, VmState, Worker, WorkerState
from boss.core.state import State

#: Tasks that are named.
FEW = 3


def why(state: State, vm: Vm, now: float) -> list[str]:
    """Two or three sentences: how the VM stands, why it was asked for or let go, and what becomes of it."""
    said = [_standing(state, vm, now)]
    if vm.reason:
        going = vm.state in (VmState.DRAINING, VmState.DELETING)
        said.append(f"Why it {'goes' if going else 'was asked for'}: {vm.reason}.")
    said += _next(state, vm, now)
    return said


def _standing(state: State, vm: Vm, now: float) -> str:
    age = told(max(0.0, state.wall(now) - vm.created))
    what = f"{vm.id} ({vm.pool}, {vm.flavor})"
    worker = state.workers.get(vm.id)
    held = len(worker.held) if worker is not None else 0
    match vm.state:
        case VmState.CLAIMED | VmState.CREATING:
            return overdue.coming(state, vm, now) or f"{what} was asked for {age} ago; the cloud has not answered yet."
        case VmState.BOOTING:
            return overdue.boot(state, vm, now)
        case VmState.JOINED if worker is not None and worker.state is not WorkerState.ONLINE:
            return f"{what} is up since {age}, but its worker is {worker.state}."
        case VmState.JOINED if held:
            return f"{what} is up since {age} and holds {held} task(s): {_held(state, worker)}."
        case VmState.JOINED:
            return f"{what} is up since {age} and idle since {told(now - worker.idle_since if worker else 0.0)}."
        case VmState.DRAINING:
            holds = (
                f" that it holds have ended: {_held(state, worker)}"
                if worker is not None and held
                else " that it holds have ended"
            )
            return f"{what} takes nothing new and goes when the {held} task(s){holds}."
        case VmState.DELETING:
            return overdue.staying_still(state, vm) if vm.id in state.doubts else f"{what} is being deleted."
        case _:
            return f"{what} is {vm.state}."


def _held(state: State, worker: Worker | None) -> str:
    """Some of the tasks that a worker holds."""
    found = [state.find(name) for name in worker.held] if worker is not None else []
    names = [f"{one[0].job.name}:{one[0].name}" for one in found if one is not None]
    return (
        ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "") or "tasks that are gone meanwhile"
    )


def _next(state: State, vm: Vm, now: float) -> list[str]:
    """What keeps an idle one, or when it goes."""
    if vm.id in state.trials:
        return ["It is only tried (`admin.py doctor --boot`): it takes one task of its own and is deleted right after."]
    worker, pool = state.workers.get(vm.id), state.pool(vm.pool)
    if vm.state is not VmState.JOINED or worker is None or worker.held or pool is None:
        return []
    kept = max(vm.keep_until, worker.keep_until)
    if kept > now:
        return [f"It is kept for another {told(kept - now)}, as was asked by hand."]
    if backlog.waits_on(worker):
        return ["It is kept because results wait on it for the datastore."]
    if state.roster.standing(pool.name) <= pool.minimum:
        return [f"It is kept because the minimum of pool {pool.name} is {pool.minimum}."]
    needed = state.outlook.needed.get(vm.id)
    if is_slow(state, pool, vm.flavor) and needed is not None and needed > now:
        return [f"It is kept for tasks that come in about {told(needed - now)}: sooner than another one would be up."]
    paid = paid_for(pool, vm, state.wall(now)) - END_OF_PERIOD
    if paid > 0:
        return [f"It is paid for until then anyway, and goes in about {told(paid)} if nothing comes."]
    left = worker.idle_since + pool.cooldown - now
    return [f"It goes in {told(max(0.0, left))} if nothing comes (`cooldown` of pool {pool.name})."]
