"""Workers and claims by what each turn asks about them, kept from turn to turn so that no turn looks at a whole fleet. Reads them only.

Rules:
- ``changed`` notes who is to be looked at again, at the cost of a dictionary entry; the state's doors (``hold``, ``release``,
  ``touch_worker``, ``touch_vm`` ...) call it. Whoever asks something has those looked at first: when in a turn they are noted is all one.
- Everything here follows from workers, claims and trials as they are: ``State.check`` compares it with a roster that is made anew.
- Sums are counts of equal things, never running sums of fractions: they do not drift.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from boss.core.model import Vm, VmState, Worker, WorkerState

#: States of a claim whose worker has not been heard yet.
COMING: Final = frozenset({VmState.CLAIMED, VmState.CREATING, VmState.BOOTING})
#: States of a claim that counts against its pool's maximum: all but those that are gone.
_COUNTED: Final = COMING | {VmState.JOINED, VmState.DRAINING, VmState.DELETING}
_LEAVING: Final = frozenset({VmState.DRAINING, VmState.DELETING})
_SPEAKING: Final = frozenset({WorkerState.ONLINE, WorkerState.OFFLINE})
T = TypeVar("T")
_NOBODY: Final[Set[str]] = frozenset()


class _Entry(NamedTuple):
    """What one name is entered for.

    ``room``: free cpus and name of a worker that may get something, ``cpus`` all cpus of it, ``trip`` how far away it is, ``load`` what it
    holds; ``idle``: pool, and since when; ``kind``: pool of one that is not leaving, and what it offers.
    """

    speaking: bool = False
    room: tuple[float, str] | None = None
    cpus: float = 0.0
    trip: float = 0.0
    load: tuple[tuple[tuple[str, int, float], int], ...] = ()
    idle: tuple[str, float] | None = None
    stuck: bool = False
    barred: frozenset[str] = frozenset()
    preparing: frozenset[str] = frozenset()
    jobs: frozenset[str] = frozenset()
    held: int = 0
    done: int = 0
    kind: tuple[str, tuple[tuple[str, float], ...]] | None = None
    claim: tuple[str, str] | None = None
    leaving: bool = False
    counted: bool = False
    tried: bool = False
    going: bool = False
    coming: bool = False
    joined: bool = False


_NOTHING: Final = _Entry()


class Noted(dict[str, T]):
    """A dictionary of the state that has it noted who comes and who goes."""

    __slots__ = ("_note",)

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note

    def __setitem__(self, name: str, value: T) -> None:
        super().__setitem__(name, value)
        self._note(name)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._note(name)

    def pop(self, name: str, default: Any = None) -> Any:
        self._note(name)
        return super().pop(name, default)


class Roster:
    """Reads ``workers``, ``vms`` and ``trials``, which are the state's."""

    def __init__(self) -> None:
        self._dirty: dict[str, None] = {}
        self._unshown: dict[str, None] = {}
        self._entries: dict[str, _Entry] = {}
        self._places: dict[str, int] = {}  # in the order in which they came
        self._came = 0
        self._room: list[tuple[float, str]] = []
        self._cpus: Counter[float] = Counter()
        self._trips: list[float] = []
        self._load: Counter[tuple[str, int, float]] = Counter()
        self._idle: dict[str, list[tuple[float, str]]] = {}
        self._barred: dict[str, set[str]] = {}
        self._preparing: dict[str, set[str]] = {}
        self._members: dict[str, Counter[str]] = {}
        self._tried: Counter[str] = Counter()
        self._coming: dict[str, None] = {}
        self._stuck: dict[str, None] = {}
        self._going: dict[str, None] = {}
        self._jobs: Counter[str] = Counter()
        self._kinds: Counter[tuple[str, tuple[tuple[str, float], ...]]] = Counter()
        self._leaving: dict[str, set[str]] = {}
        self._sums: Counter[str] = Counter()
        self.workers: dict[str, Worker] = Noted(self.changed)
        self.vms: dict[str, Vm] = Noted(self.changed)
        self.trials: dict[str, Vm] = Noted(self.changed)

    def changed(self, name: str) -> None:
        """Something is different about this worker, or about its claim."""
        self._dirty[name] = None
        self._unshown[name] = None

    def said(self, name: str) -> None:
        """It was heard, or was spoken of: nothing that is kept here, but pictures show it."""
        self._unshown[name] = None

    def unshown(self) -> list[str]:
        """Who has changed, or was heard, since the last time that this was asked."""
        unshown, self._unshown = self._unshown, {}
        return list(unshown)

    # ---- asking ------------------------------------------------------------------------------------------------------

    def speaking(self) -> int:
        """How many workers are online, or were and may come back."""
        self._look()
        return self._sums["speaking"]

    def seen(self) -> tuple[int, int, int]:
        """How many claims have joined, how many attempts are held, how many were finished: it changes with them."""
        self._look()
        return self._sums["joined"], self._sums["held"], self._sums["done"]

    def room(self, cpus: float) -> Iterator[str]:
        """Workers that may get something and have so many cpus free, those with the least room first."""
        self._look()
        for position in range(bisect_left(self._room, (cpus, "")), len(self._room)):
            yield self._room[position][1]

    def anybody(self) -> bool:
        """Whether any worker may get something, be it full or not."""
        self._look()
        return bool(self._room)

    def cpus(self) -> float:
        """All cpus of those that may get something, free or not."""
        self._look()
        return sum(cpus * count for cpus, count in self._cpus.items())

    def largest(self) -> float:
        """The most cpus that any of those has that may get something."""
        self._look()
        return max(self._cpus, default=0.0)

    def far(self) -> tuple[float, float]:
        """How far away the farthest of those is, and how many cpus are free (below 0: dealt ahead); 0, 0: all are near."""
        self._look()
        trip = self._trips[-1] if self._trips else 0.0
        return trip, sum(free for free, _ in self._room) if trip else 0.0

    def load(self) -> Mapping[tuple[str, int, float], int]:
        """What those that may get something hold: job, template and cpus of one attempt -> how many attempts."""
        self._look()
        return self._load

    def holds(self, job: str) -> bool:
        """Whether any worker holds an attempt of this job (its uid)."""
        self._look()
        return job in self._jobs

    def idle(self, pool: str, now: float, cooldown: float) -> list[str]:
        """Workers of a pool, with a claim, that are online and have held nothing for so long, in the order in which they came."""
        self._look()
        found = []
        for since, name in self._idle.get(pool, ()):
            if now - since < cooldown:
                break
            found.append(name)
        return sorted(found, key=self._places.__getitem__)

    def stuck(self) -> list[str]:
        """Workers whose results wait because the datastore is full."""
        self._look()
        return list(self._stuck)

    def barred(self, job: str) -> Set[str]:
        """The workers that are barred from a job (its uid)."""
        self._look()
        return self._barred.get(job, _NOBODY)

    def preparing(self) -> Mapping[str, Set[str]]:
        """The workers on which an init task of a job is under way, by the job's uid."""
        self._look()
        return self._preparing

    def members(self, pool: str) -> Mapping[str, int]:
        """How many claims of each flavor count against a pool's maximum."""
        self._look()
        return MappingProxyType(self._members.get(pool, {}))

    def standing(self, pool: str) -> int:
        """How many claims count for a pool's minimum: those that are only tried do not."""
        self._look()
        return sum(self._members.get(pool, {}).values()) - self._tried[pool]

    def leaving(self, pool: str) -> Set[str]:
        """The claims of a pool that are drained or deleted."""
        self._look()
        return self._leaving.get(pool, _NOBODY)

    def kinds(self, pool: str) -> list[dict[str, float]]:
        """What workers of a pool that have joined, and are not to go, offer: each kind once."""
        self._look()
        return [dict(total) for name, total in self._kinds if name == pool]

    def coming(self) -> list[str]:
        """Claims whose workers have yet to say what they offer; those that are only tried are not among them."""
        self._look()
        return list(self._coming)

    def going(self) -> list[str]:
        """Claims that have joined and that something is to become of: drained, or with a worker that is lost or takes nothing new."""
        self._look()
        return sorted(self._going, key=self._places.__getitem__)

    # ---- looking -----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if not self._dirty:
            return
        dirty, self._dirty = self._dirty, {}
        for name in dirty:
            old = self._entries.get(name, _NOTHING)
            new = self._entry(name)
            if new == old:
                continue
            self._leave(name, old)
            if name in self.workers or name in self.vms:
                if name not in self._places:
                    self._came += 1
                    self._places[name] = self._came
                self._entries[name] = new
                self._enter(name, new)
            else:
                self._entries.pop(name, None)
                self._places.pop(name, None)

    def _entry(self, name: str) -> _Entry:
        worker, vm = self.workers.get(name), self.vms.get(name)
        claim, leaving, counted, tried, coming, joined = self._claim(name, vm, worker)
        if worker is None:
            return _Entry(claim=claim, leaving=leaving, counted=counted, tried=tried, coming=coming, joined=joined)
        state, held = worker.state, worker.held
        room: tuple[float, str] | None = None
        cpus, idle = 0.0, None
        load: tuple[tuple[tuple[str, int, float], int], ...] = ()
        if state is WorkerState.ONLINE and not worker.draining:
            cpus = worker.resources.get("cpus", 1.0)
            room = (worker.resources.get("cpus", 0.0) - worker.used.get("cpus", 0.0), name)
            load = tuple(((*kind, needs.get("cpus", 0.0)), count) for kind, (count, needs) in worker.load.items())
            idle = (worker.pool, worker.idle_since) if joined and not held else None
        return _Entry(
            state in _SPEAKING,
            room,
            cpus,
            worker.trip or 0.0 if room is not None else 0.0,
            load,
            idle,
            worker.datastore_full and state is not WorkerState.GONE and not worker.undelivered.isdisjoint(held),
            frozenset(worker.barred) if worker.barred else frozenset(),
            frozenset(attempt.job for attempt in held.values() if attempt.init),
            frozenset(kind[0] for kind in worker.load) if held else frozenset(),
            len(held),
            worker.done,
            (worker.pool, tuple(worker.resources.items())) if joined and not worker.draining else None,
            claim,
            leaving,
            counted,
            tried,
            vm is not None
            and (vm.state is VmState.DRAINING or (vm.state is VmState.JOINED and (worker.draining or state is WorkerState.LOST))),
            coming,
            joined,
        )

    def _claim(
        self, name: str, vm: Vm | None, worker: Worker | None
    ) -> tuple[tuple[str, str] | None, bool, bool, bool, bool, bool]:
        if vm is None:
            return None, False, False, False, False, False
        joined, tried = vm.state is VmState.JOINED, name in self.trials
        silent = worker is None or worker.state is WorkerState.EXPECTED or not worker.resources
        coming = not tried and (vm.state in COMING or (joined and silent))
        return (vm.pool, vm.flavor), vm.state in _LEAVING, vm.state in _COUNTED, tried, coming, joined

    def _leave(self, name: str, old: _Entry) -> None:
        if old.room is not None:
            del self._room[bisect_left(self._room, old.room)]
            del self._trips[bisect_left(self._trips, old.trip)]
            _less(self._cpus, old.cpus, 1)
            for kind, count in old.load:
                _less(self._load, kind, count)
        if old.idle is not None:
            pool, since = old.idle
            del self._idle[pool][bisect_left(self._idle[pool], (since, name))]
        for by_job, jobs in ((self._barred, old.barred), (self._preparing, old.preparing)):
            for job in jobs:
                by_job[job].discard(name)
                if not by_job[job]:
                    del by_job[job]
        if old.counted and old.claim is not None:
            pool, flavor = old.claim
            _less(self._members[pool], flavor, 1)
            self._tried[pool] -= old.tried
        if old.kind is not None:
            _less(self._kinds, old.kind, 1)
        if old.leaving and old.claim is not None:
            self._leaving[old.claim[0]].discard(name)
        for job in old.jobs:
            _less(self._jobs, job, 1)
        self._coming.pop(name, None)
        self._stuck.pop(name, None)
        self._going.pop(name, None)
        self._count(old, -1)

    def _enter(self, name: str, new: _Entry) -> None:
        if new.room is not None:
            insort(self._room, new.room)
            insort(self._trips, new.trip)
            self._cpus[new.cpus] += 1
            for kind, count in new.load:
                self._load[kind] += count
        if new.idle is not None:
            pool, since = new.idle
            insort(self._idle.setdefault(pool, []), (since, name))
        for by_job, jobs in ((self._barred, new.barred), (self._preparing, new.preparing)):
            for job in jobs:
                by_job.setdefault(job, set()).add(name)
        if new.counted and new.claim is not None:
            pool, flavor = new.claim
            self._members.setdefault(pool, Counter())[flavor] += 1
            self._tried[pool] += new.tried
        if new.kind is not None:
            self._kinds[new.kind] += 1
        if new.leaving and new.claim is not None:
            self._leaving.setdefault(new.claim[0], set()).add(name)
        self._jobs.update(new.jobs)
        if new.coming:
            self._coming[name] = None
        if new.stuck:
            self._stuck[name] = None
        if new.going:
            self._going[name] = None
        self._count(new, 1)

    def _count(self, entry: _Entry, sign: int) -> None:
        sums = self._sums
        sums["speaking"] += sign * entry.speaking
        sums["joined"] += sign * entry.joined
        sums["held"] += sign * entry.held
        sums["done"] += sign * entry.done

    # ---- the invariant -----------------------------------------------------------------------------------------------

    def wrong(self) -> list[str]:
        """What is not as a roster that is made anew has it, as sentences."""
        self._look()
        fresh = Roster()
        for name, worker in self.workers.items():
            fresh.workers[name] = worker
        for name, vm in self.vms.items():
            fresh.vms[name] = vm
        for name, vm in self.trials.items():
            fresh.trials[name] = vm
        fresh._look()
        said = []
        for name in self._entries.keys() | fresh._entries.keys():
            mine, there = self._entries.get(name, _NOTHING), fresh._entries.get(name, _NOTHING)
            if mine != there:
                said.append(f"the roster has {name} as {mine}, it is {there}")
        counted = (
            "_room",
            "_cpus",
            "_trips",
            "_load",
            "_barred",
            "_preparing",
            "_sums",
            "_coming",
            "_stuck",
            "_going",
            "_kinds",
            "_jobs",
        )
        for what in counted:
            if getattr(self, what) != getattr(fresh, what):
                said.append(f"the roster's {what[1:]} are {getattr(self, what)}, they should be {getattr(fresh, what)}")
        return said


def _less(counts: Counter[Any], key: Any, count: int) -> None:  # a key that counts nothing is no key
    counts[key] -= count
    if not counts[key]:
        del counts[key]
