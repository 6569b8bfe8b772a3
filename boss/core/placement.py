"""Which ready task goes to which worker: demands and offers in, placements out. Never sends, never changes a task.

Rules:
- Higher priority first; owners of equal priority take turns: the one who occupies the fewest slots is next, among equals the one whose
  last turn was the longest ago; then that owner's jobs likewise.
- A worker is filled before the next one is touched (least room first), so that idle ones can be given back.
- Who is served next waits for no row of another's short tasks: where such a row keeps its task out, nobody who ranks behind gets anything
  more until the row is through. Long tasks are waited for by nobody: beside them everything that fits goes on.
- Short tasks may overcommit a worker (prefetch), on every resource alike, so that they do not wait for a round trip.
- Memory that was not asked for is the worker's memory x cpus/slots.
- A worker that runs signed work only is out of reach of everything that nobody whom it trusts has signed (``boss.core.trust``).
- The autoscaler asks this same function "what if" with offers that do not exist yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import floor, inf

from boss.core import distance
from boss.core.model import Resources
from boss.core.ready import Shape
from boss.core.trust import OUT_OF_REACH, keeps_out
from worker.trust import VERIFIES

#: Slack for sums of fractional counts.
EPSILON = 1e-9


@dataclass(slots=True)
class Demand:
    """``count`` interchangeable ready tasks that the ``refused`` workers may not have.

    ``depth`` says how far a worker may be overcommitted with them when prefetching, as a multiple of its resources; ``weight`` is the part
    of a slot that one counts for when it is dealt ahead (``fairness.weight``). A worker that is far away may be
    overcommitted further with tasks that run ``seconds``, up to ``even``, an even share of what is there (0: not further).
    """

    key: object
    priority: int
    owner: str
    job: str
    shape: Shape
    count: int
    refused: frozenset[str] = frozenset()
    depth: float = 0.0
    weight: float = 1.0
    seconds: float = 0.0
    even: float = 0.0

    def depth_on(self, offer: "Offer") -> float:
        """How far this worker may be overcommitted with these tasks."""
        if not self.even or not offer.trip:
            return self.depth
        return max(self.depth, min(self.even, distance.ahead(offer.trip, self.seconds)))


@dataclass(slots=True)
class Offer:
    """One worker's room: what it has in all, what is free of it (may be negative after prefetch).

    ``drained`` is what would soon be free if nothing more were dealt to it, None where nobody may wait for that;
    ``trip`` how far away it is, in seconds (``boss.core.distance``).
    """

    worker: str
    total: Resources
    free: dict[str, float]
    pool: str = ""
    got: int = 0
    drained: dict[str, float] | None = None
    trip: float = 0.0


@dataclass(frozen=True, slots=True)
class Placement:
    """``count`` tasks of a demand go to a worker."""

    key: object
    worker: str
    count: int


#: Priority; slots and last turn of the owner; slots and last turn of the job.
Rank = tuple[int, float, int, float, int]
#: Priority; slots of the owner; slots of the job.
Standing = tuple[int, float, float]


@dataclass(slots=True)
class Turns:
    """The number of the last turn of each owner and job, counted over all turns; without it, equals would go by who came first."""

    owners: dict[str, int] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)
    last: int = 0


@dataclass(slots=True)
class Shares:
    """How many slots each owner and each job occupies, and when each had its last turn: who is served next among equals."""

    owners: dict[str, float] = field(default_factory=dict)
    jobs: dict[str, float] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)

    def add(self, owner: str, job: str, slots: float) -> None:
        """Count what a job occupies."""
        self.owners[owner] = self.owners.get(owner, 0.0) + slots
        self.jobs[job] = self.jobs.get(job, 0.0) + slots

    def rank(self, demand: Demand) -> Rank:
        """The lowest is served next."""
        owner, job, turns = demand.owner, demand.job, self.turns
        return (
            -demand.priority,
            self.owners.get(owner, 0.0),
            turns.owners.get(owner, 0),
            self.jobs.get(job, 0.0),
            turns.jobs.get(job, 0),
        )

    def serve(self, demand: Demand, slots: float) -> None:
        """One task of the demand is given so many slots: its owner and its job have had their turn."""
        self.add(demand.owner, demand.job, slots)
        self.turns.last += 1
        self.turns.owners[demand.owner] = self.turns.jobs[demand.job] = self.turns.last


def needs_on(shape: Shape, total: Resources) -> Mapping[str, float]:
    """What a task of this shape takes of a worker with these resources, memory filled in."""
    needs = dict(shape)
    if "memory" not in needs and total.get("memory") and total.get("cpus"):
        needs["memory"] = total["memory"] * needs.get("cpus", 0) / total["cpus"]
    if VERIFIES in total and keeps_out(shape, total):
        needs[VERIFIES] = OUT_OF_REACH
    return needs


def fits(needs: Mapping[str, float], free: Mapping[str, float], total: Resources, factor: float = 0.0) -> bool:
    """Whether these needs fit into what is free, with every resource overcommitted by ``factor`` of ``total``."""
    for name, count in needs.items():
        room = free.get(name, 0.0) + (factor * total.get(name, 0.0) if factor else 0.0)
        if count > room + EPSILON * max(1.0, count):
            return False
    return True


def can_ever(shape: Shape, total: Resources) -> bool:
    """Whether an empty worker with these resources could run a task of this shape."""
    return fits(needs_on(shape, total), total, total)


def share_of(shape: Shape, resources: Resources) -> float | None:
    """The part of an empty machine that a task takes, by the scarcest resource; None if it does not fit."""
    if not resources or not can_ever(shape, resources):
        return None
    slots = inf
    for name, count in needs_on(shape, resources).items():
        if count > 0:
            slots = min(slots, floor(resources.get(name, 0.0) / count + 1e-9))
    return 1.0 / max(1.0, slots) if slots != inf else 1e-3


def place(demands: Sequence[Demand], offers: Sequence[Offer], shares: Shares, prefetch: bool = False) -> list[Placement]:
    """Deal ``demands`` out over ``offers`` until nothing fits any more; changes the counts, the offers and the shares given.

    With ``prefetch`` each demand may overcommit a worker by its ``depth``; else only what is really free is given away.
    Complexity: one heap step per task placed, and one look per worker and shape.
    """
    order = sorted(offers, key=lambda offer: (offer.free.get("cpus", 0.0), offer.worker))
    search = _Search(order, prefetch)
    last = max((_standing(shares.rank(demand)) for demand in demands), default=None)
    queue = [(shares.rank(demand), number, demand) for number, demand in enumerate(demands) if demand.count > 0]
    standing = {number: _standing(rank) for rank, number, _ in queue}
    heapify(queue)
    placed: dict[tuple[int, str], int] = {}
    while queue:
        rank, number, demand = heappop(queue)
        now = shares.rank(demand)
        if now != rank:  # its owner or job was served meanwhile
            heappush(queue, (now, number, demand))
            continue
        offer = search.take(demand, standing[number])
        if offer is None:
            if standing[number] != last:  # nobody ranks behind the last
                search.reserve(demand, standing[number])
            continue
        demand.count -= 1
        offer.got += 1
        shares.serve(demand, dict(demand.shape).get("cpus", 0.0) * (demand.weight if prefetch else 1.0))
        placed[number, offer.worker] = placed.get((number, offer.worker), 0) + 1
        if demand.count:
            heappush(queue, (shares.rank(demand), number, demand))
    return [Placement(demands[number].key, worker, count) for (number, worker), count in placed.items()]


def _give(room: dict[str, float], needs: Mapping[str, float]) -> None:
    for name, count in needs.items():
        room[name] = room.get(name, 0.0) - count


def _standing(rank: Rank) -> Standing:
    """A rank without the turns: whose turn it is among equals is no reason to let anybody wait. Rounded: sums of parts differ a little."""
    priority, owner, _, job, _ = rank
    return priority, round(owner, 6), round(job, 6)


class _Search:
    """Finds room, remembering per kind of demand how far it came: what did not fit once in a round will not fit later in it."""

    def __init__(self, order: Sequence[Offer], prefetch: bool) -> None:
        self._order = order
        self._prefetch = prefetch
        self._cursors: dict[tuple[Shape, frozenset[str], tuple[float, float, float], Standing | None], int] = {}
        self._reserved: dict[str, Standing] = {}
        self._soon: dict[str, dict[str, float]] = {}  # what those who wait have left of the offers' ``drained``
        self._needs: dict[tuple[Shape, str], Mapping[str, float]] = {}

    def reserve(self, demand: Demand, standing: Standing) -> None:
        """Keep those who rank behind off as many offers as this demand, which found no room, would fill once short tasks are through."""
        left = demand.count
        if len(self._reserved) == len(self._order):
            return
        for offer in reversed(self._order):  # what is the nearest to being free becomes so, turn after turn
            if offer.drained is None or offer.worker in demand.refused:
                continue
            needs = self._needs_on(demand.shape, offer)
            soon = self._soon.setdefault(offer.worker, dict(offer.drained))
            before = left
            while left and fits(needs, soon, offer.total):
                left -= 1
                _give(soon, needs)
            if left < before:
                self._reserved.setdefault(offer.worker, standing)  # demands come by rank: the first has the best
            if not left:
                return

    def take(self, demand: Demand, standing: Standing) -> Offer | None:
        """The first offer with room for one task of the demand, which is taken from it; None when there is none."""
        depth = (demand.depth, demand.seconds, demand.even) if self._prefetch else (0.0, 0.0, 0.0)
        cursor = (demand.shape, demand.refused, depth, standing if self._reserved else None)
        for position in range(self._cursors.get(cursor, 0), len(self._order)):
            offer = self._order[position]
            if self._reserved.get(offer.worker, standing) < standing:
                continue
            needs = self._needs_on(demand.shape, offer)
            if self._prefetch and not fits(needs, offer.total, offer.total):
                continue  # dealt ahead or not, it will never have room there
            factor = demand.depth_on(offer) if self._prefetch else 0.0
            if offer.worker not in demand.refused and fits(needs, offer.free, offer.drained or offer.total, factor):
                self._cursors[cursor] = position
                _give(offer.free, needs)
                if offer.drained is not None and demand.weight >= 1.0:
                    _give(offer.drained, needs)
                return offer
        self._cursors[cursor] = len(self._order)
        return None

    def _needs_on(self, shape: Shape, offer: Offer) -> Mapping[str, float]:
        needs = self._needs.get((shape, offer.worker))
        if needs is None:
            needs = self._needs[shape, offer.worker] = needs_on(shape, offer.total)
        return needs
