"""What VMs that ended by themselves, or were long alone, have left at the datastore. Part of the reactor.

Rules:
- The results of a VM that has ended are asked for before its tasks are dealt again: what was finished is not run twice.
- Asked once. What is not answered when the cloud's next list comes is given up, unless the datastore itself is away.
- A worker that is back tells results without files itself: what it has put at the datastore of them is removed.
"""

from collections.abc import Iterator, Mapping

from boss.core.effects import ReadRecord, RejectResult
from boss.core.model import Vm, Worker
from boss.core.state import Ended, State


def awaited(state: State, vm: Vm, reason: str) -> bool:
    """Whether a VM that has ended waits to be given up, for ``reason``, until its results were asked for."""
    ended = state.ended.get(vm.id)
    if ended is None:
        asked = look(state, vm)
        if asked:
            state.ended[vm.id] = Ended(reason, asked)
        return bool(asked)
    return not state.datastore_up


def look(state: State, vm: Vm) -> set[str]:
    """Ask for the results of what a VM's worker holds; the attempts asked for."""
    worker = state.workers.get(vm.id)
    held = worker.held.values() if worker is not None else ()
    asked = {attempt.id for attempt in held if not attempt.init and state.current(attempt.id) is not None}
    state.out += [ReadRecord(name) for name in sorted(asked)]
    return asked


def answered(state: State, attempt: str) -> Iterator[tuple[str, str]]:
    """The datastore was asked for an attempt: VMs of which now all is known, with the reasons why they are given up."""
    for name, ended in list(state.ended.items()):
        ended.attempts.discard(attempt)
        if not ended.attempts:
            del state.ended[name]
            yield name, ended.reason


def forget(state: State, worker: Worker, held: Mapping[str, str]) -> None:
    """A worker says what it holds: what it has finished of tasks without outputs, it may have put at the datastore."""
    for name, what in held.items():
        found = state.find(name) if what == "finished" else None
        if found is not None and not found[0].template.outputs and not state.is_anothers(worker, name):
            state.out.append(RejectResult(name))
