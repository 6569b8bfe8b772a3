"""Clouds of the hostile world: servers that are refused, late, mute, broken, lost, and there although the answer said no.

Rules:
- ``local`` starts a worker at once and by its claim; ``sky`` boots servers that join through the boss's door, each with a key of its own.
- What a boss asks for takes a moment: when it dies in that moment, nothing was asked.
- The list is complete and true as of the moment when it is made; it may arrive late.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from boss.core.events import (
    CloudFailed,
    ConsoleRead,
    Limit,
    LimitsSeen,
    Server,
    ServersListed,
    VmCreated,
    VmCreateFailed,
    VmDeleted,
    VmDeleteFailed,
)
from boss.core.model import Refusal
from boss.core.requests import Answer, JoinAsked
from simulator.hostile.workers import Process
from worker import core as brain
from worker.events import Turned
from worker.protocol import Result

if TYPE_CHECKING:
    from simulator.hostile.boss import Boss
    from simulator.hostile.world import World

REFUSALS = (Refusal.QUOTA, Refusal.NO_HOST, Refusal.UNAVAILABLE, Refusal.BUSY, Refusal.UNKNOWN)


@dataclass(slots=True)
class Machine:
    """A server: whose claim it is (empty where only the group is known), its disk with a spool, and the worker on it."""

    cloud: "Sky"
    id: str
    claim: str
    group: str
    name: str
    pool: str
    flavor: str
    epoch: int
    born: float
    status: str = "BUILD"
    worker: str = ""
    there: bool = True
    mute: bool = False
    spool: dict[str, Result] = field(default_factory=dict)
    prepared: set[str] = field(default_factory=set)  #: ``job.index`` of init tasks that have succeeded on it
    process: Process | None = None
    tries: int = 0
    orphaned: float | None = None  #: since when no claim of the database has it, as the promises see it
    orphaned_in: int = 0  #: and in which life of the boss

    # ---- its life --------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """The operating system is up."""
        if not self.there or self.status != "BUILD":
            return
        self.status = "ACTIVE"
        if self.cloud.world.chance.fault("server mute"):
            self.cloud.world.tell(f"the worker of {self.id} never joins")
            self.mute = True
        elif self.cloud.joins:
            self._join()
        else:
            self._start(self.claim)

    def worker_died(self) -> None:
        """Its worker was killed: a VM starts it again, a laptop does not."""
        self.process = None
        if not self.there:
            return
        if self.cloud.restarts:
            self.cloud.world.clock.after(1.5, self._start_again)
        else:
            self.gone()

    def worker_left(self) -> None:
        """Its worker has ended by itself: a VM powers off, a laptop's process is no more."""
        self.process = None
        if not self.there:
            return
        if self.cloud.joins:
            self.status = "SHUTOFF"
        else:
            self.gone()

    def shut_off(self) -> None:
        """The machine powers off under its worker."""
        self.status = "SHUTOFF"
        self._kill()

    def gone(self) -> None:
        """The cloud has no such server any more."""
        self.there = False
        self.cloud.machines.pop(self.id, None)
        self._kill()

    def _kill(self) -> None:
        process, self.process = self.process, None
        if process is not None and process.alive:
            process._end()

    def _start_again(self) -> None:
        if self.there and self.process is None and self.status == "ACTIVE" and self.worker:
            self._start(self.worker)

    def _start(self, worker: str) -> None:
        world = self.cloud.world
        self.worker = worker
        world.sessions += 1
        session = f"s{world.sessions}"
        resources = dict(world.sizes[self.flavor])
        core = brain.Core(
            brain.Identity(session),
            resources,
            world.policy.heartbeat,
            world.policy.worker_lease,
            world.clock.now,
            tuple(self.spool.values()),
            world.plan.longest_lease,
        )
        process = self.process = Process(world, self, worker, session, resources, core)
        process.kept.update(self.spool)
        process.answered = world.clock.now
        world.tell(f"worker {worker} starts on {self.id} as session {session}")
        world.broker.joins(process)
        process.tell(Turned())

    def _join(self) -> None:
        """Ask at the boss's door for an identity."""
        world = self.cloud.world
        if not self.there or self.process is not None or self.status != "ACTIVE":
            return
        self.tries += 1
        if self.tries > 12:
            self.mute = True
            return
        boss = world.boss
        world.clock.after(2.5, self._join)  # asks again unless it was let in by then
        if boss is not None:
            boss.ask(lambda reply: JoinAsked(self.group, f"key of {self.id}", self.id, self.name, reply=reply), self._joined)

    def _joined(self, answer: Answer) -> None:
        world = self.cloud.world
        if not self.there or self.process is not None or self.status != "ACTIVE" or answer.code != 200:
            return
        if world.chance.fault("join unanswered"):
            return
        worker = str(answer.detail["worker"])
        world.witness("joined", self, worker)
        self._start(worker)


class Sky:
    """One provider. ``bought`` counts the create calls of each claim; ``joins``: servers join by token; ``restarts``: dead workers do."""

    def __init__(self, world: "World", provider: str) -> None:
        self.world = world
        self.provider = provider
        self.joins = provider != "local"
        self.restarts = provider != "local"
        self.down = False
        self.machines: dict[str, Machine] = {}
        self.bought: dict[str, int] = {}
        self.count = 0

    # ---- create ----------------------------------------------------------------------------------------------------

    def create(self, boss: "Boss", vms: tuple[str, ...], pool: str, flavor: str) -> None:
        """The one create call of these claims arrives."""
        if not boss.alive:
            return
        chance, clock = self.world.chance, self.world.clock
        for vm in vms:
            self.bought[vm] = self.bought.get(vm, 0) + 1
            self.world.witness("bought", self, vm)
        if self.down or chance.fault("create refused"):
            kind = Refusal.UNAVAILABLE if self.down else REFUSALS[int(chance.detail(0, len(REFUSALS) - 0.01))]
            for vm in vms:
                boss.put(VmCreateFailed(vm, f"the cloud said no: {kind}", kind=kind))
            return
        if chance.fault("create stalls"):
            if chance.detail(0, 1) < 0.7:
                clock.after(chance.detail(3.0, 25.0), self._make_late, boss, vms, pool, flavor)
            return
        made = self._make(boss, vms, pool, flavor)
        if chance.fault("create unanswered"):
            for vm in vms:
                boss.put(VmCreateFailed(vm, "502 bad gateway", final=False, kind=Refusal.UNAVAILABLE))
        elif len(vms) == 1:
            clock.after(0.3, boss.put, VmCreated(vms[0], made[0].id, "10.0.0.1"))

    def _make_late(self, boss: "Boss", vms: tuple[str, ...], pool: str, flavor: str) -> None:
        made = self._make(boss, vms, pool, flavor)
        if len(vms) == 1:
            boss.put(VmCreated(vms[0], made[0].id, "10.0.0.1"))

    def _make(self, boss: "Boss", vms: tuple[str, ...], pool: str, flavor: str) -> list[Machine]:
        chance, made = self.world.chance, []
        count = len(vms)
        if count > 1 and chance.fault("create partial"):
            count -= 1
        for number in range(count):
            self.count += 1
            alone = len(vms) == 1
            name = vms[0] if alone else f"{vms[0]}-{number + 1}"
            claim = vms[0] if alone else "" if self.joins else vms[number]
            machine = Machine(
                self, f"{self.provider}/{self.count}", claim, vms[0], name, pool, flavor, boss.epoch, self.world.clock.now
            )
            self.machines[machine.id] = machine
            made.append(machine)
            self.world.tell(f"server {machine.id} is made for {', '.join(vms)}")
            if chance.fault("server breaks"):
                machine.status = "ERROR"
                self.world.tell(f"server {machine.id} goes to ERROR")
            else:
                low = 2.0 if self.joins else 0.2
                self.world.clock.after(low + low * 2 * chance.of(f"boot {machine.id}"), machine.boot)
        return made

    # ---- delete ----------------------------------------------------------------------------------------------------

    def delete(self, boss: "Boss", vm: str, pool: str, server: str) -> None:
        """A deletion arrives, by the server's id or by the claim's tag."""
        if not boss.alive:
            return
        chance, clock = self.world.chance, self.world.clock
        if self.down or chance.fault("delete fails"):
            boss.put(VmDeleteFailed(vm, "503"))
            return
        stalls = chance.fault("delete stalls")
        if stalls and chance.detail(0, 1) < 0.5:
            return
        if server:
            found = self.machines.get(server)
        else:
            found = next((one for one in self.machines.values() if vm and one.claim == vm), None)
        if found is not None:
            self.world.witness("deleted", self, found, vm)
            self.world.tell(f"server {found.id} is deleted")
            found.gone()
        if not stalls:
            clock.after(0.2, boss.put, VmDeleted(vm))

    # ---- list ------------------------------------------------------------------------------------------------------

    def list(self, boss: "Boss", asked: float) -> None:
        """What is there now, told now or later."""
        if not boss.alive:
            return
        chance = self.world.chance
        if self.down or chance.fault("list fails"):
            boss.put(CloudFailed(self.provider, "503", Refusal.UNAVAILABLE))
            return
        for machine in list(self.machines.values()):
            if chance.fault("server vanishes"):
                self.world.tell(f"server {machine.id} vanishes")
                machine.gone()
        servers = tuple(
            Server(one.id, one.claim, one.pool, one.status, "10.0.0.1", one.group, "", one.epoch)
            for one in self.machines.values()
        )
        late = chance.detail(1.0, 12.0) if chance.fault("list late") else 0.1
        self.world.clock.after(late, boss.put, ServersListed(self.provider, asked, servers))
        if self.joins and self.world.plan.quota:
            used = float(len(self.machines))
            self.world.clock.after(late, boss.put, LimitsSeen(self.provider, {"instances": Limit(self.world.plan.quota, used)}))

    def console(self, boss: "Boss", vm: str) -> None:
        """The end of a console."""
        if boss.alive:
            boss.put(ConsoleRead(vm, "kernel panic"))
