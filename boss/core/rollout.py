"""What will be if so many VMs are there: the work in sight dealt out over machines, on a clock of its own. Pure arithmetic.

Rules:
- Tasks go out as dealing does it: higher priority first, then whoever has had the fewest, then the longest chain below; a machine is filled
  before the next one is touched.
- A machine holds of each kind of task as many as really fit; their needs of several resources count as the scarcest one.
- A machine costs while it works and while it waits for its next task; but if that wait is long enough to delete it and have
  another one in time, it costs no more than a boot. A new machine is asked for so late that it is up when it is first needed.
- After the first ``boot`` seconds all new machines are up, so the outcome says when each is first needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

#: Slack for sums of parts, and for moments that are the same.
EPSILON = 1e-9
#: So many boot times an idle machine is worth keeping: one to have it deleted without an equal one being asked for at once, one for that to
#: come up.
PATIENCE = 2.0


@dataclass(slots=True)
class Sight:
    """The work in sight as arrays over nodes; times in seconds from now.

    ``seconds`` has an array for each way in which the run times may turn out, each as likely as the others. ``kind`` numbers ``kinds``:
    (job number, priority, owner). ``held`` nodes run on machines already; ``roots`` are ready at a time. ``share`` of a node's kind on a
    machine of some type is what it takes of it (1: all), None where it does not fit.
    """

    seconds: list[list[float]] = field(default_factory=lambda: [[]])
    kind: list[int] = field(default_factory=list)
    rank: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    below: list[list[int]] = field(default_factory=list)
    roots: list[tuple[float, int]] = field(default_factory=list)
    kinds: list[tuple[int, int, str]] = field(default_factory=list)
    jobs: int = 0
    doubtful: set[int] = field(default_factory=set)  #: nodes of whose run time nothing is known

    def add(self, times: Sequence[float], kind: int, rank: int = 0, missing: int = 0) -> int:
        """A new node, with its run time in each way; its number."""
        for way, seconds in zip(self.seconds, times, strict=True):
            way.append(seconds)
        self.kind.append(kind)
        self.rank.append(rank)
        self.missing.append(missing)
        self.below.append([])
        return len(self.kind) - 1


@dataclass(slots=True)
class Machine:
    """One VM in a rollout. ``up`` seconds from now it can work; ``share`` by kind; ``price`` a second; ``held`` are ``(node, share)``.

    ``new``: it has not been asked for; ``paid``: it would be now, whether it is needed then or not. ``boot`` is how long such a VM takes to
    come up.
    """

    name: str
    share: list[float | None]
    price: float
    boot: float
    up: float = 0.0
    new: bool = False
    paid: bool = False
    held: tuple[tuple[int, float], ...] = ()


@dataclass(slots=True)
class Outcome:
    """When the last task of each job ends (infinite: never), what the machines cost from now on, when each is first needed again."""

    ends: list[float]
    cost: float
    first: list[float | None]
    peak: list[dict[int, int]]  #: of each new machine: tasks by kind that it holds when it holds most
    peaks: list[float]
    told: float | None = None  #: when the first doubtful node ends


#: Places where the floating nodes (that need no machine) end.
_NOWHERE = -1


def roll(sight: Sight, machines: list[Machine], way: int = 0) -> Outcome:
    """Deal everything in sight out over these machines, with the run times of this way."""
    seconds, kinds, below, rank, kind_of = sight.seconds[way], sight.kinds, sight.below, sight.rank, sight.kind
    missing, doubtful = sight.missing.copy(), sight.doubtful
    count = len(machines)
    room = [0.0] * count
    busy = [0] * count
    last = [0.0] * count
    first: list[float | None] = [None] * count
    holding: list[dict[int, int]] = [{} for _ in machines]
    outcome = Outcome([0.0] * sight.jobs, 0.0, first, [{} for _ in machines], [0.0] * count)
    events: list[tuple[float, int, int, float]] = []
    heaps: list[list[tuple[int, int]]] = [[] for _ in kinds]
    served = [0] * sight.jobs
    owners: dict[str, int] = {owner: 0 for _, _, owner in kinds}
    left = len(seconds)
    open_: list[tuple[float, int]] = []
    for number, machine in enumerate(machines):
        if machine.up > EPSILON:
            last[number] = machine.up
            if machine.paid or not machine.new:
                outcome.cost += machine.up * machine.price
            events.append((machine.up, number, -1, 0.0))
            continue
        room[number] = 1.0
        for node, share in machine.held:
            room[number] -= share
            busy[number] += 1
            first[number] = 0.0
            events.append((seconds[node], number, node, share))
        if room[number] > EPSILON:
            open_.append((room[number], number))
    for at, node in sight.roots:
        if at <= EPSILON:
            heappush(heaps[kind_of[node]], (-rank[node], node))
        else:
            events.append((at, _NOWHERE, node, 0.0))
    heapify(events)
    heapify(open_)
    now = 0.0
    blocked: set[int] = set()
    while True:
        while True:  # deal
            best = -1
            best_rank: tuple[int, int, int] | None = None
            for kind, heap in enumerate(heaps):
                if heap and kind not in blocked:
                    job, priority, owner = kinds[kind]
                    standing = (-priority, owners[owner], served[job])
                    if best_rank is None or standing < best_rank:
                        best, best_rank = kind, standing
            if best < 0:
                break
            aside = []
            chosen, share = -1, 0.0
            while open_:
                free, number = open_[0]
                if abs(free - room[number]) > EPSILON:
                    heappop(open_)  # an old entry
                    continue
                takes = machines[number].share[best]
                if takes is not None and takes <= free + EPSILON:
                    chosen, share = number, takes
                    heappop(open_)
                    break
                aside.append(heappop(open_))
            for entry in aside:
                heappush(open_, entry)
            if chosen < 0:
                blocked.add(best)
                continue
            _, node = heappop(heaps[best])
            job, _, owner = kinds[best]
            served[job] += 1
            owners[owner] += 1
            machine = machines[chosen]
            if not busy[chosen]:
                if first[chosen] is None:
                    first[chosen] = now
                    if machine.new and not machine.paid:
                        outcome.cost += machine.boot * machine.price
                        last[chosen] = now
                gap = now - last[chosen]
                outcome.cost += (gap if gap < PATIENCE * machine.boot else machine.boot) * machine.price
                last[chosen] = now
            busy[chosen] += 1
            room[chosen] -= share
            if room[chosen] > EPSILON:
                heappush(open_, (room[chosen], chosen))
            if machine.new:
                held = holding[chosen]
                held[best] = held.get(best, 0) + 1
                if 1.0 - room[chosen] > outcome.peaks[chosen] + EPSILON:
                    outcome.peaks[chosen] = 1.0 - room[chosen]
                    outcome.peak[chosen] = dict(held)
            heappush(events, (now + seconds[node], chosen, node, share))
        if not events:
            break
        now = events[0][0]
        while events and events[0][0] <= now + EPSILON:
            _, number, node, share = heappop(events)
            if node < 0:
                room[number] = 1.0
                heappush(open_, (1.0, number))
            elif number == _NOWHERE and kind_of[node] >= 0:
                heappush(heaps[kind_of[node]], (-rank[node], node))  # a root whose time has come
                continue
            else:
                if number >= 0:
                    kind = kind_of[node]
                    room[number] += share
                    heappush(open_, (room[number], number))
                    busy[number] -= 1
                    if not busy[number]:
                        room[number] = 1.0
                        heappush(open_, (1.0, number))
                        outcome.cost += (now - last[number]) * machines[number].price
                        last[number] = now
                    if machines[number].new:
                        holding[number][kind] -= 1
                left -= 1
                if outcome.told is None and node in doubtful:
                    outcome.told = now
                if kind_of[node] >= 0:
                    job = kinds[kind_of[node]][0]
                    outcome.ends[job] = max(outcome.ends[job], now)
                _free(below[node], missing, heaps, kind_of, rank, events, now)
        blocked.clear()
    if left:
        for node, heap in enumerate(heaps):
            if heap:
                outcome.ends[kinds[node][0]] = float("inf")
    return outcome


def _free(
    freed: list[int],
    missing: list[int],
    heaps: list[list[tuple[int, int]]],
    kind_of: list[int],
    rank: list[int],
    events: list[tuple[float, int, int, float]],
    now: float,
) -> None:
    """Count an end down at those who wait for it."""
    for node in freed:
        missing[node] -= 1
        if not missing[node]:
            if kind_of[node] >= 0:
                heappush(heaps[kind_of[node]], (-rank[node], node))
            else:  # a barrier: it takes no time and no machine
                heappush(events, (now, _NOWHERE, node, 0.0))
