# ruff: noqa: E501 (lines of the cores, as they stand there)
"""The cores with one guard taken away: what the hostile world must notice.

A mutant is a line of a module and what it is replaced by. Only the code of the functions that differ is exchanged, for as long as the
mutant lives, so that everybody who has imported them runs the changed ones. A line that is not there (any more) is an error.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType, ModuleType


@dataclass(frozen=True, slots=True)
class Mutant:
    """``name`` says what the guard was; ``old`` stands once in the module's text."""

    name: str
    module: str
    old: str
    new: str


@contextmanager
def alive(mutant: Mutant) -> Iterator[None]:
    """The mutant lives."""
    module = import_module(mutant.module)
    assert module.__file__ is not None
    text = Path(module.__file__).read_text()
    assert text.count(mutant.old) == 1, f"{mutant.name}: {mutant.old!r} stands {text.count(mutant.old)} times in {mutant.module}"
    before, after = _functions(text, module.__file__), _functions(text.replace(mutant.old, mutant.new), module.__file__)
    assert before.keys() == after.keys(), f"{mutant.name} adds or removes functions"
    changed = [name for name in before if before[name] != after[name]]
    assert changed, f"{mutant.name} changes nothing"
    try:
        for name in changed:
            _found(module, name).__code__ = after[name]
        yield
    finally:
        for name in changed:
            _found(module, name).__code__ = before[name]


def _functions(text: str, file: str) -> dict[str, CodeType]:
    """The code of all functions and methods, by qualified name; what is inside of a function is its own."""
    found: dict[str, CodeType] = {}

    def look(code: CodeType) -> None:
        for inner in code.co_consts:
            if isinstance(inner, CodeType) and "<" not in inner.co_qualname:
                if inner.co_flags & 0x2:  # it has locals of its own: a function, no class body
                    found[inner.co_qualname] = inner
                else:
                    look(inner)

    look(compile(text, file, "exec", dont_inherit=True))
    return found


def _found(module: ModuleType, name: str) -> FunctionType:
    thing: object = module
    for part in name.split("."):
        thing = vars(thing)[part]
    if isinstance(thing, property):
        thing = thing.fget
    if isinstance(thing, staticmethod):
        thing = thing.__func__
    assert isinstance(thing, FunctionType), name
    return thing


#: Guards of promise 1, of acknowledgement, of epochs, of the fleet. Each is noticed by the promises, or it would be none.
MUTANTS = (
    Mutant(
        "a result is taken from whichever attempt it is of",
        "boss.core.outcomes",
        "if task is None or attempt is None or attempt.id != name or attempt.worker != worker.id:",
        "if task is None or attempt is None:",
    ),
    Mutant(
        "a result with outputs is acknowledged before it is accepted",
        "boss.core.outcomes",
        "            state.out.append(AcceptResult(name, task.job.name, result.files, is_restored(state, task.job)))\n            return\n",
        "            state.out.append(AcceptResult(name, task.job.name, result.files, is_restored(state, task.job)))\n"
        "            acknowledge(state, worker, name)\n            return\n",
    ),
    Mutant(
        "the loop speaks before it commits",
        "boss.loop",
        "        self._commit()\n        if effects:\n            self._outside.store.assure()\n",
        "        self._perform(effects, now)\n        self._commit()\n        if effects:\n            self._outside.store.assure()\n",
    ),
    Mutant(
        "a task that is being accepted is accepted again as soon as its result is repeated",
        "boss.core.outcomes",
        "    if task.state is S.PROMOTING:\n        return  # acknowledged when its outputs are accepted\n",
        "    if task.state is S.PROMOTING:\n        complete(state, task, now)\n        return\n",
    ),
    Mutant(
        "the acceptance of any attempt completes the task",
        "boss.core.outcomes",
        "    task = state.current(name)\n    if task is None or task.state is not S.PROMOTING or task.attempt is None:\n        return\n    task.attempt.state",
        "    task = (state.find(name) or (None,))[0]\n    if task is None or task.attempt is None:\n        return\n    task.attempt.state",
    ),
    Mutant(
        "what was dealt in an earlier life is not sent again",
        "boss.core.fleet",
        "        if what is None and attempt.seq == 0:  # dealt in an earlier life of the boss\n            unsent.append(attempt)",
        "        if what is None and attempt.seq == 0:  # dealt in an earlier life of the boss\n            pass",
    ),
    Mutant(
        "acceptance is not asked for again after a load",
        "boss.core.reactor",
        "    if task.state is TaskState.PROMOTING:\n        state.out.append(AcceptResult(",
        "    if task.state is TaskState.PROMOTING and state.connected:\n        state.out.append(AcceptResult(",
    ),
    Mutant(
        "scale-down takes busy workers",
        "boss.core.roster",
        "(worker.pool, worker.idle_since) if joined and not held else None",
        "(worker.pool, worker.idle_since) if joined else None",
    ),
    Mutant(
        "a draining worker is deleted although it holds attempts",
        "boss.core.deadlines",
        "            and not worker.held\n",
        "            and True\n",
    ),
    Mutant(
        "servers that no claim knows are never deleted",
        "boss.core.fleet",
        "        if now - since >= state.policy.stray_grace:",
        "        if now - since >= state.policy.stray_grace * 1e6:",
    ),
    Mutant(
        "a create call whose answer was lost is made again",
        "boss.core.fleet",
        "    if not event.final:\n",
        "    if not event.final:\n        state.out.append(CreateVms((vm.id,), vm.pool, vm.flavor))\n",
    ),
    Mutant(
        "a task that has used up its retries is tried again",
        "boss.core.retry",
        "Verdict(task.failures <= task.template.retries,",
        "Verdict(task.failures <= task.template.retries + 1,",
    ),
    Mutant(
        "a worker listens to a boss that was replaced",
        "worker.core",
        "        if message.epoch < self._epoch:\n            return\n",
        "        if message.epoch < self._epoch and not message.seq:\n            return\n",
    ),
    Mutant(
        "a repeated assignment is started again",
        "worker.attempts",
        "        if entry is not None:\n            self._tell(entry, now)\n        elif left is Left.RECALLED",
        "        if entry is not None and entry.step is Step.RUNNING:\n            self._wish(ev.Start(assignment))\n        elif left is Left.RECALLED",
    ),
    Mutant(
        "a worker forgets what has left it",
        "worker.ledger",
        "        self._left[attempt] = how\n",
        "        self._left.pop(attempt, None)\n",
    ),
    Mutant(
        "the loop's clock runs while the process is stopped",
        "boss.inbox",
        "        self.now += max(0.0, min(steady - self._last, asked + 1.0))",
        "        self.now += max(0.0, steady - self._last)",
    ),
    Mutant(
        "a task whose dependency is run again is dealt all the same",
        "boss.core.dag",
        "        if dependent.state in (TaskState.READY, TaskState.DELAYED):\n            yield dependent",
        "        if dependent.state in (TaskState.DELAYED,):\n            yield dependent",
    ),
    Mutant(
        "numbers of attempts are given again after a restore",
        "boss.core.restored",
        "    return max(task.number, floor) + 1",
        "    return max(task.number, 0 * floor) + 1",
    ),
    Mutant(
        "the loop speaks although the commit has failed",
        "boss.loop",
        "        self._commit()\n        if effects:\n            self._outside.store.assure()\n",
        "        try:\n            self._commit()\n        except StoreError:\n            self._perform(effects, now)\n            raise\n",
    ),
    Mutant(
        "what is being accepted can be cancelled",
        "boss.core.jobs",
        "    cancellable = FINAL_STATES | {S.PROMOTING}",
        "    cancellable = FINAL_STATES",
    ),
    Mutant(
        "a worker that is to go is given more",
        "boss.core.roster",
        "        if state is WorkerState.ONLINE and not worker.draining:",
        "        if state is WorkerState.ONLINE:",
    ),
    Mutant(
        "a job is dealt out although it is paused",
        "boss.core.deals",
        "        if job.state is not JobState.OPEN or job.wanted is not Wanted.RUN:",
        "        if job.state is not JobState.OPEN:",
    ),
    Mutant(
        "tasks start on workers that are not prepared",
        "boss.core.deals",
        "    return done is not None and done.issuperset(job.inits)",
        "    return True",
    ),
    Mutant(
        "what waits for a failed task waits for ever",
        "boss.core.outcomes",
        "        state.move(dependent, C.DEPENDENCY_ENDED)\n        announce(state, dependent)",
        "        pass",
    ),
    Mutant(
        "a deletion that was under way is not asked for again after a load",
        "boss.core.reactor",
        "        if vm.state is VmState.DELETING:\n            state.out.append(DeleteVm(vm.id, vm.pool, vm.server))",
        "        if vm.state is VmState.DELETING:\n            vm.deadline = None",
    ),
    Mutant(
        "two servers are told that they are the same worker",
        "boss.core.clouds",
        "    if event.server:\n        free = [row for row in free if not row.server]\n",
        "    free = rows\n",
    ),
    Mutant(
        "a worker says a result that is not in its spool",
        "worker.outbox",
        "        if self._fresh and due:\n            effects.append(ev.Keep(tuple(self._fresh.values())))",
        "        if self._fresh and due:\n            pass",
    ),
    Mutant(
        "a worker runs more than it has room for",
        "worker.slots",
        "            if all(amount <= room.get(name, 0)",
        "            if all(True or amount <= room.get(name, 0)",
    ),
)
