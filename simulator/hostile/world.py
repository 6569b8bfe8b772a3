"""The hostile world of one run: boss, broker, datastore, clouds, workers and people on one virtual clock.

Rules:
- The boss's own waiting drives the clock (``wait``); while no boss lives, the world goes on without one.
- Whatever happens is told to the promises (``witness``) at the moment when it happens.
- ``play`` is the whole story of a plan: faults until ``plan.calm``, then none; everything must come to its end within ``PATIENCE``.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from boss.core.model import FINAL_STATES
from boss.core.requests import StopWanted
from boss.ports import StoreError
from simulator.hostile import promised_fleet, promised_results, promised_work  # noqa: F401 (they enter their promises)
from simulator.hostile.boss import Boss, BossDied, BossReplaced, Watchman
from simulator.hostile.chance import Chance
from simulator.hostile.clock import BEGIN, Clock
from simulator.hostile.cloud import Machine, Sky
from simulator.hostile.datastore import Gate
from simulator.hostile.faults import Broken
from simulator.hostile.incidents import Incidents
from simulator.hostile.plan import Plan
from simulator.hostile.promises import Promises
from simulator.hostile.store import Disk
from simulator.hostile.users import People
from simulator.hostile.wire import Broker
from simulator.hostile.workers import Process

#: Seconds within which every job must have come to its end once all is calm, and then every server.
PATIENCE, CLEARED = 900.0, 240.0
#: Seconds that a turn takes at least.
TURN = 1e-4
_FINAL = frozenset(state.value for state in FINAL_STATES)


class World:
    """Everything there is. ``history`` is filled where ``telling``: one line for each thing that people would tell."""

    def __init__(self, plan: Plan, telling: bool = False) -> None:
        self.plan = plan
        self.policy = plan.policy
        self.chance = Chance(plan.seed, plan.rates, plan.only)
        self.clock = Clock()
        self.telling = telling
        self.history: list[str] = []
        self.promises = Promises(self)
        self.disk = Disk()
        self.gate = Gate(self)
        self.broker = Broker(self)
        self.skies = {provider: Sky(self, provider) for provider in {pool.provider for pool in self.policy.pools}}
        self.skies = dict(sorted(self.skies.items()))
        self.sizes = {flavor.name: flavor.resources for pool in self.policy.pools for flavor in pool.flavors}
        self.people = People(self)
        self.incidents = Incidents(self)
        self.boss: Boss | None = None
        self.boss_wanted = True  #: whether somebody starts a boss that has ended
        self.lives = 0
        self.sessions = 0
        self.exiting: set[str] = set()  #: workers that have left by themselves
        self._horizon = 0.0
        self._order = 0
        self.clock.after(0.0, self.start_boss, 0)

    # ---- telling ---------------------------------------------------------------------------------------------------

    def tell(self, line: str) -> None:
        """A line for the history."""
        if self.telling:
            self.history.append(f"{self.clock.now - BEGIN:8.2f}  {line}")

    def witness(self, moment: str, *facts: object) -> None:
        """Something has happened (or is about to): every promise about it must hold."""
        self.promises.at(moment, facts)

    # ---- the boss --------------------------------------------------------------------------------------------------

    def start_boss(self, order: int) -> None:
        """A new life of the boss, if none lives and nobody has thought otherwise since (``order``: whose wish this is)."""
        if self.boss is not None or not self.boss_wanted or order != self._order:
            return
        try:
            self.boss = Boss(self)
        except StoreError:
            self.clock.after(1.0, self.start_boss, order)
            return
        self.lives += 1
        self.incidents.boss_lives()
        self.tell(f"the boss starts, in epoch {self.boss.epoch}")

    def bury_boss(self, seconds: float) -> None:
        """It is dead; another one starts after a while."""
        if self.boss is not None:
            self.boss.alive = False
            self.boss = None
        self.order_boss(seconds)

    def order_boss(self, seconds: float) -> None:
        """Another boss is to start after a while; earlier orders are void."""
        self._order += 1
        self.clock.after(seconds, self.start_boss, self._order)

    def wait(self, boss: Boss, seconds: float, awake: bool = False) -> None:
        """The boss waits: time passes until something arrives for it, and while it is stopped."""
        if boss is not self.boss:
            return  # one that was replaced: time is not its own any more
        clock, inbox = self.clock, boss.inbox
        clock.now += TURN  # no two turns are at one time
        end = min(clock.now + seconds, max(clock.now, self._horizon))
        if awake:
            clock.pass_until(clock.now + seconds, _never)
        else:
            clock.pass_until(end, lambda: not inbox.empty())
            if not inbox.empty():
                clock.pass_until(clock.now + self.plan.gather, _never)
        while boss.stopped_until > clock.now and boss is self.boss:
            clock.pass_until(boss.stopped_until, lambda: self.boss is not boss)
        if boss is not self.boss:
            raise BossReplaced  # it stands still until it goes on beside the other

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self._horizon = self.clock.now + seconds
        while self.clock.now < self._horizon:
            boss = self.boss
            if boss is None:
                self.clock.pass_until(self._horizon, lambda: self.boss is not None)
                continue
            self._turn(boss)

    def _turn(self, boss: Boss) -> None:
        try:
            boss.turn()
        except BossReplaced:
            return
        except BossDied:
            self.bury_boss(0.5 + 6.0 * self.chance.of(f"restart {self.lives}"))
            return
        if boss.loop.ended and self.boss is boss:
            self.tell("the boss has ended")
            self.bury_boss(2.0)
        if self.boss is boss:
            self.witness("turned", boss)

    def turn_replaced(self, boss: Boss) -> None:
        """A boss that was stopped and replaced goes on, beside the one that lives now."""
        boss.stopped_until = 0.0
        for _ in range(5):
            if boss.loop.ended:
                break
            try:
                boss.turn()
            except BossDied:
                break
        self.tell("the boss that was replaced has gone on" + (" and ended" if boss.loop.ended else ""))
        boss.put(StopWanted())
        boss.alive = False

    # ---- looking ---------------------------------------------------------------------------------------------------

    def machines(self) -> Iterator[Machine]:
        """All servers of all clouds."""
        for sky in self.skies.values():
            yield from list(sky.machines.values())

    def processes(self) -> list[Process]:
        """All workers that live."""
        return [one.process for one in self.machines() if one.process is not None and one.process.alive]

    def unfinished(self) -> list[str]:
        """What has not come to its end, as the database says."""
        left = []
        for job in self.disk.tables.jobs.values():
            if job.state == "staging":
                left.append(f"{job.name} is staging")
            left += [
                f"{job.name}:{index} is {standing[0]}" for index, (_, standing) in job.tasks.items() if standing[0] not in _FINAL
            ]
        missing = [job.name for job in self.plan.jobs if job.name not in self.people.pushed]
        return left + [f"{name} was never pushed" for name in missing]

    # ---- the story -------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """The whole story. Raises Broken."""
        plan, clock = self.plan, self.clock
        for job in plan.jobs:
            clock.after(job.at, self.people.push, job)
        for act in plan.acts:
            clock.after(act.at, self.people.do, act)
        for incident in plan.incidents:
            clock.after(incident.at, self.incidents.begin, incident)
        with listening():
            self.run(plan.calm)
            self.chance.calm = True
            self.tell("all is calm")
            self.people.calm_down()
            self._wait_for_end()

    def _wait_for_end(self) -> None:
        deadline = self.clock.now + PATIENCE
        while self.incidents.open or self.boss is None or self.unfinished():
            if self.clock.now >= deadline and not self.incidents.open:
                raise Broken("every job ends", f"{PATIENCE:.0f} s after all is calm: {'; '.join(self.unfinished()[:5])}")
            if self.incidents.open:
                deadline = self.clock.now + PATIENCE
            self.run(5.0)
        self.tell("every job has come to its end")
        deadline = self.clock.now + CLEARED
        while self._left() and self.clock.now < deadline:
            self.run(5.0)
        if self._left():
            raise Broken("none is left at the end", f"{CLEARED:.0f} s after the last task: {', '.join(self._left())}")
        self.witness("over")

    def _left(self) -> list[str]:
        """Servers beyond the pools' minimum, and claims that are not gone."""
        minimum = sum(pool.minimum for pool in self.policy.pools)
        servers = [one.id for one in self.machines()]
        live = [name for name, row in self.disk.tables.vms.items() if row[4] not in ("gone", "failed")]
        if len(servers) <= minimum and len(live) <= minimum:
            return []
        return [*servers, *live]


def _never() -> bool:
    return False


@contextmanager
def listening() -> Iterator[None]:
    """What the loop reports is heard by the watchman, and printed nowhere."""
    log = logging.getLogger("boss.loop")
    watchman = Watchman(logging.WARNING)
    before = log.propagate
    log.addHandler(watchman)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(watchman)
        log.propagate = before
