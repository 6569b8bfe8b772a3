"""How many VMs the work in sight is worth: plays it through with more and with fewer, and takes the best. Reads the state.

Remembers in ``Outlook``.

Rules:
- More VMs end jobs sooner and cost more. What counts are ratios: a job that ends 10 % sooner is worth so many per cent of what all VMs
  cost, by the pool's ``haste``; so the rule is the same for minutes and weeks, one VM and hundreds.
- Only what would be up when it is needed, and needed when it is up, is asked for. For a layer that is known to come VMs are asked for one
  boot time before it opens; a VM that would come up after the work is gone is not asked for.
- Where nothing is known of the run times, so many are asked for now as are best on the mean over the ways in which they may turn out, if
  more may be asked for once the first have told. Cost weighs somewhat more then.
- Where a VM was let go, no equal one is asked for within one and a half boot times, unless a job has come since.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import inf

from boss.core import health, limits
from boss.core.forecast import Forecast
from boss.core.judging import PATIENT, Judge, Judged, best_of, middle, steps
from boss.core.leaving import Choice, Leaving
from boss.core.machines import NEAR, Machines, is_slow, told
from boss.core.model import Flavor, Pool
from boss.core.placement import Demand, Offer, Shares, place, share_of
from boss.core.quotas import obtainable
from boss.core.ready import Shape
from boss.core.rollout import EPSILON, Machine, Outcome
from boss.core.sizes import flavors
from boss.core.state import State

#: What a per cent of cost weighs against a per cent of time, at haste 0 and at haste 1.
THRIFTY, HASTY = 1.6, 0.1
#: So much more the cost weighs where nothing is known of the run times.
CAUTION = 1.5
#: Flavors that are tried for a kind of work; kinds of work.
FLAVORS, GROUPS = 3, 3
#: Boot times after one was let go in which no equal VM is asked for: some take longer than the mean.
REST = 1.5


class Chooser:
    """One look ahead."""

    def __init__(self, state: State, forecast: Forecast, planned: list[tuple[str, str]], now: float) -> None:
        self.state, self.forecast, self.planned, self.now = state, forecast, list(planned), now
        self.wanted: list[tuple[str, str]] = []  #: pools and flavors of the VMs that the search has settled on so far
        self._cuts: dict[tuple[str, str], str] = {}
        self.machines = Machines(state, forecast, self.planned, now)
        self.judge = Judge(forecast, state.wall(now), self.machines.spent, state.wall(state.started))
        self.leaving = Leaving(state, forecast, self.machines, now)

    # ---- the search

    def options(self) -> Iterator[list[tuple[Pool, Flavor, int]]]:
        """For each kind of work that waits, the most of it first.

        The flavors that would do, the cheapest first, with how many there may be beside those that are ``wanted`` by then.
        """
        sight = self.forecast.sight
        work: dict[int, float] = {}
        taken = {node for nodes in self.forecast.held.values() for node, _ in nodes}
        for node, kind in enumerate(sight.kind):
            seconds = sum(way[node] for way in sight.seconds)
            if kind >= 0 and node not in taken:
                work[kind] = work.get(kind, 0.0) + max(seconds, 0.01)
        groups: dict[tuple[str, str], tuple[float, list[tuple[float, float, int, Pool, Flavor]]]] = {}
        for kind, seconds in work.items():
            ranked = self._ranked(self.forecast.shapes[kind])
            if ranked:
                key = (ranked[0][3].name, ranked[0][4].name)
                before, most = groups.get(key, (0.0, ranked))
                groups[key] = (before + seconds, most if before > seconds else ranked)
        for _, ranked in sorted(groups.values(), key=lambda group: -group[0])[:GROUPS]:
            found = []
            for _, _, _, pool, flavor in ranked:
                room = limits.room(self.state, pool, flavor, [*self.planned, *self.wanted], self.now)
                self._cuts[pool.name, flavor.name] = room.cut
                if not room.count:
                    self.state.outlook.binding.append(room.cut)
                if room.count:
                    found.append((pool, flavor, room.count))
            yield found[:FLAVORS]

    def _ranked(self, shape: Shape) -> list[tuple[float, float, int, Pool, Flavor]]:
        """The flavors of slow pools that can hold a task of this shape.

        By what one slot costs, then by size, then by the settings' order.
        """
        found = []
        for number, pool in enumerate(self.state.policy.pools):
            for flavor in obtainable(self.state, pool):
                if not is_slow(self.state, pool, flavor.name) or health.resting(self.state, pool.name, flavor.name, self.now):
                    continue
                share = share_of(shape, flavor.resources)
                if share is not None:
                    found.append((self.machines.rate(flavor) * share, flavor.resources.get("cpus", 0.0), number, pool, flavor))
        return sorted(found, key=lambda entry: entry[:3])

    def choose(self) -> Choice:
        """The best way to go on from here."""
        choice = Choice()
        self.state.outlook.binding.clear()
        start = machines = self.machines.all
        weight = self._weight(self.state.policy.pools[0])
        best = plain = self.judge.of(machines, weight)
        for options in self.options():
            base = best
            for pool, flavor, most in options:
                weight = self._weight(pool)
                base = self.judge.of(start, weight) if base is best else base
                tried = self._more(pool, flavor, most, start, base, weight)
                if tried is not None and tried[0][:2] < (best[0], best[1] - EPSILON):
                    best, machines = tried
            start = machines
            self.wanted = [_kind_of(machine) for machine in start[len(self.machines.all) :]]
        if best is plain:
            best, machines = self._fewer(machines, best, weight)
        likely = middle(best[2])
        self._buy(choice, machines, likely, middle(plain[2]))
        self.leaving.release(choice, machines, likely)
        if not self.forecast.jobs:
            self.leaving.recall(choice)
        self.state.outlook.ends = max(likely.ends, default=0.0) + self.now
        return choice

    def _weight(self, pool: Pool) -> float:
        weight: float = THRIFTY * (HASTY / THRIFTY) ** min(1.0, max(0.0, pool.haste))
        return weight * (CAUTION if self.judge.ways > 1 else 1.0)

    def _more(
        self, pool: Pool, flavor: Flavor, most: int, machines: list[Machine], base: Judged, weight: float
    ) -> tuple[Judged, list[Machine]] | None:
        """With so many more VMs of a flavor as are best; None if none is."""
        most = min(most, len(self.forecast.sight.kind) + 1)
        another = self.machines.another(pool, flavor)
        judged = {0: base}
        if self.judge.ways == 1:
            best = best_of(lambda count: self.judge.of(machines + [another] * count, weight), most, judged)
        else:
            another, judged, best = self._more_in_doubt(another, most, machines, weight)
        if best == most:
            self.state.outlook.binding.append(self._cuts[pool.name, flavor.name])
        return (judged[best], machines + [another] * best) if best else None

    def _more_in_doubt(
        self, another: Machine, most: int, machines: list[Machine], weight: float
    ) -> tuple[Machine, dict[int, Judged], int]:
        """The same where it is not known how long tasks run: in each way as many as are best in it come, now or when it is known."""
        wanted = []
        for way in range(self.judge.ways):

            def alone(count: int, way: int = way) -> tuple[int, float, Outcome]:
                outcome = self.judge.roll(machines + [another] * count, way)
                return (*self.judge.one(outcome, weight), outcome)

            wanted.append(best_of(alone, most, {}))
        now = replace(another, paid=True)

        def with_more(count: int) -> Judged:
            return self.judge.of(machines + [now] * count, weight, [(another, number - count) for number in wanted])

        judged: dict[int, Judged] = {}
        return now, judged, best_of(with_more, max(wanted), judged)

    def _fewer(self, machines: list[Machine], best: Judged, weight: float) -> tuple[Judged, list[Machine]]:
        """Without some of the idle VMs, if that is better."""
        order = self.leaving.order
        base, kept, worse = best, machines, 0
        for count in steps(len(order)):
            gone = {worker.id for worker in order[:count]}
            tried = self.judge.of([machine for machine in machines if machine.name not in gone], weight)
            if tried[:2] < (base[0], base[1] - EPSILON):
                base, kept, worse = tried, [machine for machine in machines if machine.name not in gone], 0
                self.leaving.dropped = dict.fromkeys(gone, "what is in sight is cheaper without it, and hardly later")
            elif (worse := worse + 1) >= PATIENT:
                break
        return base, kept

    # ---- what to do now

    def _buy(self, choice: Choice, machines: list[Machine], outcome: Outcome, without: Outcome) -> None:
        new: dict[str, list[int]] = {}
        for number, machine in enumerate(machines):
            if machine.new and (machine.paid or outcome.first[number] is not None):
                new.setdefault(machine.name, []).append(number)
        for numbers in new.values():
            pool_name, flavor_name = _kind_of(machines[numbers[0]])
            pool = self.state.pool(pool_name)
            assert pool is not None
            boot = machines[numbers[0]].boot
            needed = [
                number for number in numbers if machines[number].paid or (outcome.first[number] or 0.0) <= max(boot, NEAR) + NEAR
            ]
            later = [outcome.first[number] or 0.0 for number in numbers if number not in needed]
            if later:
                choice.due = min(choice.due, self.now + min(later) - boot)
            dropped = self.state.outlook.dropped.get((pool_name, flavor_name), -inf)
            if needed and self.now < dropped + REST * boot and not self._news_since(dropped):
                choice.due = min(choice.due, dropped + REST * boot)
                continue
            reason = self._reason(len(needed), boot, outcome, without)
            for number in needed:
                choice.buy += [(pool_name, one, reason) for one in self._flavors_for(pool, flavor_name, outcome.peak[number])]

    def _news_since(self, moment: float) -> bool:
        """Whether a job has come, or was opened again, since then."""
        return any(job.since is not None and job.since > self.state.wall(moment) for job in self.forecast.jobs)

    def _flavors_for(self, pool: Pool, flavor: str, peak: dict[int, int]) -> list[str]:
        """The cheapest flavors of the pool on which the real placement finds room for all that this VM would hold at most."""
        chosen = next(one for one in flavors(self.state, pool) if one.name == flavor)
        best, cost = [flavor], self.machines.rate(chosen)
        for other in obtainable(self.state, pool):
            if other.name == flavor or not 0 < self.machines.rate(other) < cost:
                continue
            if health.resting(self.state, pool.name, other.name, self.now) or not is_slow(self.state, pool, other.name):
                continue
            most = min(
                limits.room(self.state, pool, other, self.planned, self.now).count,
                int((cost - EPSILON) / self.machines.rate(other)),
            )
            sides = self.forecast.sides
            demands = [
                Demand(kind, 0, "", "", self.forecast.shapes[kind], count * sides[kind]) for kind, count in peak.items() if count
            ]
            offers = [Offer(f"new-{number:04}", other.resources, dict(other.resources), pool.name) for number in range(most)]
            place(demands, offers, Shares())
            used = sum(1 for offer in offers if offer.got)
            if used and not any(demand.count for demand in demands):
                best, cost = [other.name] * used, used * self.machines.rate(other)
        return best

    def _reason(self, count: int, boot: float, outcome: Outcome, without: Outcome) -> str:
        after, before = max(outcome.ends, default=0.0), max(without.ends, default=0.0)
        gain = f"instead of {told(before)}" if before != inf else "which nothing that is there could do"
        return f"{count} more VM(s), up in about {told(boot)}: the work in sight ends in {told(after)} {gain}"


def _kind_of(machine: Machine) -> tuple[str, str]:
    """Pool and flavor of a VM that there is not yet."""
    pool, _, flavor = machine.name.partition("/")
    return pool, flavor
