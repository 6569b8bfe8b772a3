"""Which ready task goes to which worker: demands and offers in, placements out. Never sends, never changes a task.

Rules:
- Higher priority first; owners of equal priority take turns, the one with the least running first; then that owner's jobs likewise.
- A worker is filled before the next one is touched (least room first), so that idle ones can be given back.
- Short tasks may overcommit a worker (prefetch), on every resource alike, so that they do not wait for a round trip.
- Memory that was not asked for is the worker's memory x cpus/slots.
- The autoscaler asks this same function "what if" with offers that do not exist yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from boss.core.model import Resources
from boss.core.ready import Shape

#: Slack for sums of fractional counts.
EPSILON = 1e-9


@dataclass(slots=True)
class Demand:
    """``count`` interchangeable ready tasks that the ``refused`` workers may not have.

    ``depth`` says how far a worker may be overcommitted with them when prefetching, as a multiple of its resources.
    """

    key: object
    priority: int
    owner: str
    job: str
    shape: Shape
    count: int
    refused: frozenset[str] = frozenset()
    depth: float = 0.0


@dataclass(slots=True)
class Offer:
    """One worker's room: what it has in all, what is free of it (may be negative after prefetch)."""

    worker: str
    total: Resources
    free: dict[str, float]
    pool: str = ""
    got: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """``count`` tasks of a demand go to a worker."""

    key: object
    worker: str
    count: int


@dataclass(slots=True)
class Shares:
    """How much each owner and each job has running: who is served next among equals."""

    owners: dict[str, int] = field(default_factory=dict)
    jobs: dict[str, int] = field(default_factory=dict)

    def add(self, owner: str, job: str, count: int = 1) -> None:
        """Count tasks that start (or, negative, that end)."""
        self.owners[owner] = self.owners.get(owner, 0) + count
        self.jobs[job] = self.jobs.get(job, 0) + count

    def copy(self) -> "Shares":
        """A copy to plan with."""
        return Shares(dict(self.owners), dict(self.jobs))


def needs_on(shape: Shape, total: Resources) -> Mapping[str, float]:
    """What a task of this shape takes of a worker with these resources, memory filled in."""
    needs = dict(shape)
    if "memory" not in needs and total.get("memory") and total.get("cpus"):
        needs["memory"] = total["memory"] * needs.get("cpus", 0) / total["cpus"]
    return needs


def fits(needs: Mapping[str, float], free: Mapping[str, float], total: Resources, factor: float = 0.0) -> bool:
    """Whether these needs fit into what is free, with every resource overcommitted by ``factor`` of its total."""
    for name, count in needs.items():
        room = free.get(name, 0.0) + (factor * total.get(name, 0.0) if factor else 0.0)
        if count > room + EPSILON * max(1.0, count):
            return False
    return True


def can_ever(shape: Shape, total: Resources) -> bool:
    """Whether an empty worker with these resources could run a task of this shape."""
    return fits(needs_on(shape, total), total, total)


def place(demands: Sequence[Demand], offers: Sequence[Offer], shares: Shares, prefetch: bool = False) -> list[Placement]:
    """Deal ``demands`` out over ``offers`` until nothing fits any more; changes the counts, the offers and the shares given.

    With ``prefetch`` each demand may overcommit a worker by its ``depth``; else only what is really free is given away.
    Complexity: one heap step per task placed, and one look per worker and shape.
    """
    order = sorted(offers, key=lambda offer: (offer.free.get("cpus", 0.0), offer.worker))
    search = _Search(order, prefetch)
    queue = [(_rank(demand, shares), number, demand) for number, demand in enumerate(demands) if demand.count > 0]
    heapify(queue)
    placed: dict[tuple[int, str], int] = {}
    while queue:
        rank, number, demand = heappop(queue)
        now = _rank(demand, shares)
        if now != rank:  # its owner or job was served meanwhile
            heappush(queue, (now, number, demand))
            continue
        offer = search.take(demand)
        if offer is None:
            continue
        demand.count -= 1
        offer.got += 1
        shares.add(demand.owner, demand.job)
        placed[number, offer.worker] = placed.get((number, offer.worker), 0) + 1
        if demand.count:
            heappush(queue, (_rank(demand, shares), number, demand))
    return [Placement(demands[number].key, worker, count) for (number, worker), count in placed.items()]


def _rank(demand: Demand, shares: Shares) -> tuple[int, int, int]:
    return -demand.priority, shares.owners.get(demand.owner, 0), shares.jobs.get(demand.job, 0)


class _Search:
    """Finds room, remembering per kind of demand how far it came: what did not fit once in a round will not fit later in it."""

    def __init__(self, order: Sequence[Offer], prefetch: bool) -> None:
        self._order = order
        self._prefetch = prefetch
        self._cursors: dict[tuple[Shape, frozenset[str], float], int] = {}
        self._needs: dict[tuple[Shape, str], Mapping[str, float]] = {}

    def take(self, demand: Demand) -> Offer | None:
        """The first offer with room for one task of the demand, which is taken from it; None when there is none."""
        factor = demand.depth if self._prefetch else 0.0
        cursor = (demand.shape, demand.refused, factor)
        for position in range(self._cursors.get(cursor, 0), len(self._order)):
            offer = self._order[position]
            needs = self._needs.get((demand.shape, offer.worker))
            if needs is None:
                needs = self._needs[demand.shape, offer.worker] = needs_on(demand.shape, offer.total)
            if offer.worker not in demand.refused and fits(needs, offer.free, offer.total, factor):
                self._cursors[cursor] = position
                for name, count in needs.items():
                    offer.free[name] = offer.free.get(name, 0.0) - count
                return offer
        self._cursors[cursor] = len(self._order)
        return None
