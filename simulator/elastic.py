"""The real core of the boss on a virtual clock, with a cloud whose VMs take their time to come up, and workers that take it to run tasks.

Rules:
- Nothing goes wrong here (``world`` is for that): what is measured is how many VMs the core asks for, when, and what comes of it.
- A VM costs from the create call until the core has it deleted. A worker joins when its VM has booted, runs what it is given on its
  slots for as long as the workload says, and leaves when it is drained and empty.
- The clock jumps to whatever comes next: an end, a boot, or a look that the core has announced.
- Another rule than the core's own can be put in its place, to compare with: it gets the state and returns a plan, which is carried out the
  same way.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

from boss.core import deadlines, fleet, reactor
from boss.core.effects import AcceptResult, CreateVms, DeleteVm, Effect, ListServers, Reply, Send
from boss.core.events import (
    BrokerConnected,
    Event,
    Limit,
    LimitsSeen,
    ResultAccepted,
    Server,
    ServersListed,
    TimePassed,
    VmCreated,
    VmDeleted,
    WorkerSaid,
)
from boss.core.learned import Mean
from boss.core.model import FINAL_STATES, Flavor, Policy, Pool, Resources, TaskState
from boss.core.placement import fits, needs_on
from boss.core.requests import JobOpened, JobStaged, TasksStaged
from boss.core.scaling import ScalingPlan
from boss.core.sizes import flavors
from boss.core.state import State
from simulator.workload import Workload
from worker.protocol import Assign, Assignment, Goodbye, Heartbeat, Hello, Result, Results, Started
from worker.protocol import Drain as DrainMessage

#: Seconds of the virtual clock between two looks of the core at its deadlines when nothing else happens.
SWEEP = 5.0
#: A run in which so many virtual seconds pass without an end is stuck.
STUCK = 40 * 86400.0

#: A pool and a flavor of it.
Key = tuple[str, str]
#: Another rule in the place of the core's: it sees the state and says what to create and drain.
Rule = Callable[[State, float], ScalingPlan]


class Stuck(Exception):
    """The workload does not end: what waits, and why, is in the message."""


def simple_pool(maximum: int = 50, haste: float = 0.5, cooldown: float = 1.0, **changes: object) -> Pool:
    """A pool of one-cpu VMs that take time to come up."""
    return Pool("vm", "simulated", (Flavor("one", {"cpus": 1}),), maximum=maximum, haste=haste, cooldown=cooldown, **changes)  # type: ignore[arg-type]


@dataclass(slots=True)
class Guest:
    """A worker on a VM: what it offers, what it runs and what waits on it."""

    resources: Resources
    free: dict[str, float]
    running: dict[str, Assignment] = field(default_factory=dict)
    queued: list[Assignment] = field(default_factory=list)
    draining: bool = False


@dataclass(slots=True)
class Run:
    """What came of it. ``vm_time`` by pool and flavor in seconds; ``bought`` and ``deleted`` with their times."""

    makespan: float = 0.0
    vm_time: dict[Key, float] = field(default_factory=dict)
    bought: list[tuple[float, Key]] = field(default_factory=list)
    deleted: list[tuple[float, Key]] = field(default_factory=list)
    peak: int = 0
    peak_cpus: float = 0.0
    turns: int = 0

    @property
    def vm_seconds(self) -> float:
        """All VMs together."""
        return sum(self.vm_time.values())

    def oscillations(self, boot: float) -> int:
        """VMs that were deleted when an equal one was created less than a boot time later (each counts for one)."""
        found = 0
        created = sorted(self.bought)
        for gone, flavor in sorted(self.deleted):
            match = next((entry for entry in created if entry[1] == flavor and gone < entry[0] < gone + boot), None)
            if match is not None:
                created.remove(match)
                found += 1
        return found


class ElasticWorld:
    """One run. ``boots`` gives the boot time by pool and flavor, which the boss knows; ``spread`` varies it evenly by that part.

    ``state`` is what the boss knows besides, without jobs and VMs; ``began`` the time of day.
    """

    def __init__(
        self,
        policy: Policy,
        boots: Mapping[tuple[str, str], float],
        spread: float = 0.0,
        seed: int = 0,
        rule: Rule | None = None,
        state: State | None = None,
        began: float = 1000.0,
    ) -> None:
        self.chance = random.Random(seed)  # noqa: S311 (a simulation)
        self.now = began
        self.began = self.now
        self.boots, self.spread, self.rule = boots, spread, rule
        self.state = state or State(policy)
        self.state.policy = policy
        self.sizes = {(pool.name, one.name): one.resources for pool in policy.pools for one in flavors(self.state, pool)}
        for (pool_name, flavor), seconds in boots.items():  # the boss has seen such VMs come up before
            self.state.learned.boots.setdefault((pool_name, flavor), Mean()).learn(seconds)
        self.others = {provider: dict(limits) for provider, limits in self.state.limits.items()}  # what others use, for all time
        self.runtimes: dict[str, list[float]] = {}
        self.guests: dict[str, Guest] = {}
        self.born: dict[str, tuple[float, Key]] = {}
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.inbox: list[Event] = []
        self.number = 0
        self.swept = self.now
        self.run = Run()
        self.turn([BrokerConnected()])

    # ---- the boss

    def turn(self, events: Sequence[Event]) -> None:
        """One turn of the loop, then what it wishes for."""
        self.run.turns += 1
        effects: list[Effect] = []
        for event in events:
            effects += reactor.handle(self.state, event, self.now)
        effects += reactor.settle(self.state, self.now)
        if self.rule is not None:
            plan = self.rule(self.state, self.now)
            for (pool, flavor), reasons in plan.groups().items():
                fleet.claim(self.state, pool, flavor, len(reasons), 0.0, reasons[0], self.now)
            for name, reason in plan.drain:
                fleet.drain(self.state, self.state.workers[name], reason, self.now)
            effects += self.state.out
            self.state.out = []
        self.state.take_changes()
        for effect in effects:
            self.perform(effect)

    def perform(self, effect: Effect) -> None:
        """What cloud, broker and datastore do."""
        match effect:
            case CreateVms():
                for vm in effect.vms:
                    self.create(vm, (effect.pool, effect.flavor))
            case DeleteVm():
                self.delete(effect.vm)
            case Send(worker=worker, message=Assign() as message):
                self.assign(worker, message.attempts)
            case Send(worker=worker, message=DrainMessage()):
                if worker in self.guests:
                    self.guests[worker].draining = True
                    self.leave(worker)
            case AcceptResult():
                self.inbox.append(ResultAccepted(effect.attempt))
            case ListServers():
                servers = tuple(Server(f"server-{name}", name, name.rpartition("-")[0]) for name in self.born)
                self.inbox.append(ServersListed(effect.provider, self.now, servers))
                if effect.provider in self.others:
                    self.inbox.append(LimitsSeen(effect.provider, self.limits(effect.provider)))
            case Reply() if effect.answer.code >= 400:
                raise ValueError(str(effect.answer.detail))
            case _:
                pass

    # ---- the cloud

    def limits(self, provider: str) -> dict[str, Limit]:
        """What the project may have, and what it uses with our servers."""
        pools = {pool.name for pool in self.state.policy.pools if pool.provider == provider}
        ours = [key for _, key in self.born.values() if key[0] in pools]
        found = {}
        for name, limit in self.others[provider].items():
            alone = name in ("instances", "addresses")
            used = sum(1.0 if alone else self.sizes[key].get(name, 0.0) for key in ours)
            found[name] = Limit(limit.total, limit.used + used)
        return found

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        """Let this happen so many seconds from now."""
        self.number += 1
        heappush(self.events, (self.now + seconds, self.number, what))

    def create(self, vm: str, flavor: Key) -> None:
        """A server is there at once, and its worker when it has booted."""
        self.born[vm] = (self.now, flavor)
        self.run.bought.append((self.now, flavor))
        self.run.peak = max(self.run.peak, len(self.born))
        self.run.peak_cpus = max(self.run.peak_cpus, sum(self.sizes[name].get("cpus", 0.0) for _, name in self.born.values()))
        self.inbox.append(VmCreated(vm, f"server-{vm}"))
        boot = self.boots[flavor] * (1.0 + self.chance.uniform(-self.spread, self.spread))
        self.at(boot, lambda: self.join(vm, flavor))

    def join(self, vm: str, flavor: Key) -> None:
        """The worker says hello."""
        if vm in self.born and vm not in self.guests:
            resources = dict(self.sizes[flavor])
            self.guests[vm] = Guest(resources, dict(resources))
            self.inbox.append(WorkerSaid(vm, Hello("s", self.state.epoch, 0, resources, {})))
            self.at(self.state.policy.heartbeat, lambda: self.beat(vm))

    def delete(self, vm: str) -> None:
        """The server is gone."""
        guest = self.guests.pop(vm, None)
        if guest is not None and guest.running:
            raise AssertionError(f"{vm} was deleted while it ran {sorted(guest.running)}")
        if vm in self.born:
            since, flavor = self.born.pop(vm)
            self.run.vm_time[flavor] = self.run.vm_time.get(flavor, 0.0) + self.now - since
            self.run.deleted.append((self.now, flavor))
        self.inbox.append(VmDeleted(vm))

    # ---- the workers

    def beat(self, vm: str) -> None:
        """A sign of life."""
        guest = self.guests.get(vm)
        if guest is None:
            return
        held = dict.fromkeys(guest.running, "running") | {item.attempt: "queued" for item in guest.queued}
        sent = self.state.workers[vm].sent
        self.inbox.append(WorkerSaid(vm, Heartbeat("s", self.state.epoch, sent, held)))
        self.at(self.state.policy.heartbeat, lambda: self.beat(vm))

    def assign(self, vm: str, attempts: Sequence[Assignment]) -> None:
        """Work arrives."""
        if vm in self.guests:
            self.guests[vm].queued += attempts
            self.start(vm)

    def start(self, vm: str) -> None:
        """Start what has room."""
        guest = self.guests[vm]
        began: dict[str, float] = {}
        while guest.queued:
            item = guest.queued[0]
            needs = needs_on(_shape(item), guest.resources)
            if not fits(needs, guest.free, guest.resources):
                break
            guest.queued.pop(0)
            for name, count in needs.items():
                guest.free[name] = guest.free.get(name, 0.0) - count
            guest.running[item.attempt] = item
            began[item.attempt] = self.now
            self.at(self.seconds(item.attempt), lambda item=item, since=self.now: self.end(vm, item, since))  # type: ignore[misc]
        if began:
            self.inbox.append(WorkerSaid(vm, Started("s", began)))

    def seconds(self, attempt: str) -> float:
        """How long an attempt runs."""
        uid, index, _ = attempt.split(".")
        return self.runtimes[uid][int(index)]

    def end(self, vm: str, item: Assignment, since: float) -> None:
        """A task has ended."""
        guest = self.guests[vm]
        del guest.running[item.attempt]
        for name, count in needs_on(_shape(item), guest.resources).items():
            guest.free[name] += count
        result = Result(item.attempt, "succeeded", exit_code=0, started=since, finished=self.now)
        self.inbox.append(WorkerSaid(vm, Results("s", (result,))))
        self.start(vm)
        self.leave(vm)

    def leave(self, vm: str) -> None:
        """A drained worker that is empty goes."""
        guest = self.guests[vm]
        if guest.draining and not guest.running and not guest.queued:
            self.inbox.append(WorkerSaid(vm, Goodbye("s", "drained")))

    # ---- the clock

    def push(self, load: Workload, uid: str = "u1", owner: str = "ada") -> None:
        """A job arrives."""
        self.runtimes[uid] = load.runtimes
        self.inbox += [JobStaged(uid, load.name, owner, uid), TasksStaged(uid, load.templates, load.tasks), JobOpened(uid, {})]

    def step(self) -> None:
        """Go to whatever comes next, and let the boss have its turn."""
        if not self.inbox:
            upcoming = self.events[0][0] if self.events else inf
            due = self.state.outlook.due
            sweep = max(self.swept + SWEEP, deadlines.next_look(self.state, self.now) or inf)
            look = min(due, sweep) if due > self.now else sweep
            self.now = min(upcoming, look)
        while self.events and self.events[0][0] <= self.now + 1e-9:
            heappop(self.events)[2]()
        events, self.inbox = self.inbox, []
        if not events:
            self.swept = self.now
            events = [TimePassed()]
        self.turn(events)

    def done(self) -> bool:
        """Whether every task has ended."""
        counted = ((state, count) for job in self.state.jobs.values() for state, count in job.counts.items())
        return bool(self.state.jobs) and all(state in FINAL_STATES for state, count in counted if count)

    def finish(self) -> Run:
        """Run until every task has ended and every VM that is let go is gone."""
        while not self.done():
            self.step()
            if self.now > self.began + STUCK:
                waiting = [task.name for job in self.state.jobs.values() for task in job.tasks if task.state is TaskState.READY][
                    :3
                ]
                raise Stuck(f"nothing goes on; ready, but never dealt out: {', '.join(waiting) or 'nothing'}")
        self.run.makespan = self.now - self.began
        return self.run

    def settle(self, seconds: float) -> Run:
        """Let so much more time pass for VMs to be let go; those that are left then count until now."""
        end = self.now + seconds
        while self.born and self.now < end:
            self.step()
        while self.inbox and self.now < end:
            self.step()
        for vm in list(self.born):
            since, flavor = self.born.pop(vm)
            self.run.vm_time[flavor] = self.run.vm_time.get(flavor, 0.0) + self.now - since
        return self.run


def _shape(item: Assignment) -> tuple[tuple[str, float], ...]:
    return tuple(sorted((name, count) for name, count in item.needs.items() if count))
