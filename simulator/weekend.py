"""A boss that is off for a weekend, on a virtual clock: the real cores of boss and workers, and machines in a cloud that end by themselves.

Rules of this world:
- A machine runs its worker, starts it again when it dies, and powers off when that ends for good; its watchdog powers it off when the
  pulse is over, whatever its worker does. A machine that is off stays in the cloud's list until somebody deletes it.
- The broker goes with the boss. The datastore stays, or goes too. Nothing else fails: what is wrong in the end is wrong with the cores.
"""

import copy
from dataclasses import dataclass, field, replace

from boss.core import deadlines, reactor
from boss.core.effects import AcceptResult, CreateVms, DeleteVm, Effect, ListServers, RejectResult, Send
from boss.core.events import Event, Server, ServersListed, TimePassed, VmCreated, VmDeleted
from boss.core.model import Flavor, OutputSpec, Policy, Pool, TaskSpec, TaskState, Template
from boss.core.requests import JobOpened, JobStaged, TasksStaged
from simulator.world import GIB, Broken, Process, World
from worker import core as brain
from worker import events as ev
from worker.protocol import Assign, Result

HOUR = 3600.0
#: Seconds: what a VM takes to boot, what its worker takes to be started again, what a machine lives beyond its worker's time.
BOOT, AGAIN, MARGIN = 60.0, 5.0, 60.0
#: Seconds between two moments of this world while the boss is there, and while it is not.
STEP, DARK_STEP = 1.0, 5.0
PROVIDER = "openstack:simulated"


def cloud(maximum: int = 20) -> Policy:
    """One pool of one-cpu VMs; leases are what a boss has without settings."""
    pool = Pool("cloud", PROVIDER, (Flavor("one", {"cpus": 1.0, "memory": 4 * GIB}),), maximum=maximum)
    return Policy(pools=(pool,), check=True)


@dataclass(slots=True)
class Machine:
    """A server: whether it runs, until when by its pulse, and what survives its worker's process. Times on the world's clock."""

    name: str
    born: float
    on: bool = True
    ended: float = 0.0
    pulse: float = 0.0
    joined: bool = False
    again: float | None = None  #: when its worker is started (again)
    answered: float | None = None  #: when the boss was heard last
    worked: float = 0.0  #: when its worker held work or results last
    hung: bool = False  #: whether a worker of its did nothing any more
    spool: dict[str, Result] = field(default_factory=dict)


class Weekend(World):
    """``seconds`` says how long each task runs, by its name."""

    def __init__(self, seed: int, policy: Policy | None = None) -> None:
        self.machines: dict[str, Machine] = {}
        self.seconds: dict[str, float] = {}
        self.datastore_up = True
        self.hanging: set[str] = set()  #: workers that do nothing any more
        self.boss_is_on = True
        self.removed: list[Machine] = []
        super().__init__(seed, policy or cloud())
        self.calm = True

    # ---- the boss

    def switch_off(self) -> None:
        """The boss and its broker are gone, in the middle of whatever they do."""
        self.boss_is_on = False
        self.stored = copy.deepcopy(self.state)
        self.inbox.clear()
        self.wire.clear()
        for process in list(self.processes.values()):
            self.tell(process, ev.Disconnected())

    def switch_on(self) -> None:
        """Another life of the boss, from what was stored."""
        self.boss_is_on = True
        self.restart_boss()
        for process in list(self.processes.values()):
            self.tell(process, ev.Connected())

    def turn(self, events: list[Event]) -> None:
        """One turn of the loop, whose changes are all stored."""
        effects: list[Effect] = []
        for event in events:
            effects += reactor.handle(self.state, event, self.now)
        effects += reactor.settle(self.state, self.now)
        self.state.check()
        self.state.take_changes()
        for effect in effects:
            self.perform(effect)

    def perform(self, effect: Effect) -> None:
        """The cloud, and the datastore's door."""
        match effect:
            case CreateVms():
                for vm in effect.vms:
                    self.machines[vm] = Machine(vm, self.now, again=self.now + BOOT, pulse=self.now + self.patience() + MARGIN)
                    self.inbox.append(VmCreated(vm, f"server-{vm}"))
            case DeleteVm():
                self.processes.pop(effect.vm, None)
                if effect.vm in self.machines:
                    machine = self.machines.pop(effect.vm)
                    self.removed.append(machine if machine.ended else replace(machine, on=False, ended=self.now))
                self.inbox.append(VmDeleted(effect.vm))
            case ListServers():
                servers = (
                    Server(f"server-{name}", name, "cloud", "ACTIVE" if machine.on else "SHUTOFF", epoch=1)
                    for name, machine in self.machines.items()
                )
                self.inbox.append(ServersListed(PROVIDER, self.now, tuple(servers)))
            case RejectResult(attempt=attempt) if self.incoming.get(attempt, Result(attempt, "")).files == ():
                self.incoming.pop(attempt, None)
            case AcceptResult(attempt=attempt) if attempt in self.accepted and attempt in self.accepts:
                super().perform(effect)
            case Send(message=Assign() as message):
                granted = tuple(assignment._replace(grant="proof") for assignment in message.attempts)
                super().perform(Send(effect.worker, message._replace(attempts=granted)))
            case _:
                super().perform(effect)

    # ---- the machines

    def patience(self) -> float:
        """How long a machine waits for its boss when it comes up."""
        return max(self.state.policy.pools[0].boot_timeout, self.state.policy.worker_lease)

    def bring_up(self, machine: Machine) -> None:
        """The worker's process comes up: it joins, or goes on with what it was given before."""
        if self.boss_is_on:
            machine.joined, machine.answered = True, None
        if not machine.joined:
            machine.again = self.now + AGAIN
            return
        machine.again = None
        self.sessions += 1
        resources = dict(self.state.policy.pools[0].flavors[0].resources)
        identity, lease = brain.Identity(f"s{self.sessions}"), self.state.policy.worker_lease
        core = brain.Core(
            identity,
            resources,
            self.state.policy.heartbeat,
            lease,
            self.now,
            tuple(machine.spool.values()),
            heard=machine.answered,
        )
        process = self.processes[machine.name] = Process(machine.name, core, spool=machine.spool)
        if self.boss_is_on:
            self.tell(process, ev.Connected())

    def power_off(self, machine: Machine) -> None:
        """The machine ends; its disk stays until it is deleted."""
        self.processes.pop(machine.name, None)
        machine.on, machine.ended = False, self.now

    def kill(self, name: str) -> None:
        """kill -9: the worker's process is gone, and what it ran with it."""
        if self.processes.pop(name, None) is not None:
            self.machines[name].again = self.now + AGAIN

    def do(self, process: Process, effect: ev.Effect) -> None:
        """What the worker's shell does with this world's tasks, datastore and power."""
        machine = self.machines.get(process.name)
        if isinstance(effect, ev.Start):
            assignment = effect.assignment
            process.running[assignment.attempt] = self.now + self.seconds[assignment.task]
            self.tell(process, ev.Began(assignment.attempt, self.now))
        elif isinstance(effect, ev.Deliver | ev.Deposit) and not self.datastore_up:
            self.tell(process, ev.StageFailed(effect.assignment.attempt, "upload", "no route to the datastore", False))
        elif isinstance(effect, ev.Deposit):
            attempt = effect.assignment.attempt
            if attempt not in self.accepted and attempt not in self.trash:
                self.incoming.setdefault(attempt, effect.result)
            self.tell(process, ev.Delivered(attempt, effect.result))
        elif isinstance(effect, ev.Send) and not self.boss_is_on:
            return
        elif isinstance(effect, ev.Exit) and machine is not None:
            self.power_off(machine)
        else:
            super().do(process, effect)

    def live(self, machine: Machine) -> None:
        """One moment of a machine: its watchdog looks, its worker works."""
        if self.now >= machine.pulse:
            self.power_off(machine)
            return
        if machine.again is not None and self.now >= machine.again:
            if self.now > machine.born + BOOT + self.patience() and not machine.joined:
                self.power_off(machine)
                return
            self.bring_up(machine)
        process = self.processes.get(machine.name)
        machine.hung = machine.hung or machine.name in self.hanging
        if process is None or machine.name in self.hanging:
            return
        for name, end in list(process.running.items()):
            if end <= self.now and process.running.pop(name, None) is not None:
                self.tell(process, ev.Ended(name, Result(name, "succeeded", exit_code=0, started=end - 1, finished=end)))
        self.tell(process, ev.Turned())
        if self.processes.get(machine.name) is process:
            machine.answered = process.core.heard
            machine.pulse = process.core.lease_end() + MARGIN
            if process.core.lease_end() >= process.core.heard + brain.PATIENCE:
                machine.worked = self.now

    # ---- the clock

    def run(self, seconds: float, step: float = 0.0) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.now += step or (STEP if self.boss_is_on else DARK_STEP)
            if self.boss_is_on:
                self.deliver()
            for machine in list(self.machines.values()):
                if machine.on and self.machines.get(machine.name) is machine:
                    self.live(machine)
            events, self.inbox = self.inbox, []
            look = deadlines.next_look(self.state, self.now)
            if self.boss_is_on and (events or (look is not None and look <= self.now)):
                self.turn(events or [TimePassed()])

    def push(self, tasks: dict[str, float], outputs: bool, after: str = "", name: str = "job") -> None:
        """A job of independent tasks with these run times (or that all wait for one of them)."""
        self.seconds |= tasks
        template = Template(0, "t", ("true",), outputs=(OutputSpec("out"),) if outputs else (), runtime=HOUR)
        names = list(tasks)
        first = names.index(after) if after else -1
        specs = tuple(
            TaskSpec(index, task, 0, 0, (first,) if after and index != first else ()) for index, task in enumerate(names)
        )
        uid = f"u-{name}"
        self.inbox += [JobStaged(uid, name, "ada", uid), TasksStaged(uid, (template,), specs), JobOpened(uid, {})]

    def states(self) -> dict[str, TaskState]:
        """Task -> state."""
        return {task.name: task.state for job in self.state.jobs.values() for task in job.tasks}

    def numbers(self) -> dict[str, int]:
        """Task -> the number of its last attempt."""
        return {task.name: task.number for job in self.state.jobs.values() for task in job.tasks}


def limits_held(world: Weekend, since: float) -> None:
    """No machine ran beyond its limits after the boss had gone, at ``since``. Raises Broken."""
    late = MARGIN + DARK_STEP + AGAIN + STEP
    lease = world.state.policy.worker_lease
    for machine in [*world.machines.values(), *world.removed]:
        end = world.now if machine.on else machine.ended
        bound = since + max(brain.PATIENCE, lease) + late
        if not machine.hung:
            bound = min(bound, max(since, machine.worked, machine.born + BOOT) + lease + late)
        if end > bound:
            raise Broken(f"{machine.name} ran {(end - since) / HOUR:.2f} h without a boss, {(end - bound) / HOUR:.2f} h too long")
