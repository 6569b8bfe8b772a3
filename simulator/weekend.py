"""A boss that is off for a weekend, on a virtual clock: the real cores of boss and workers, and machines in a cloud that end by themselves.

Rules of this world:
- A machine runs its worker, starts it again when it dies, and powers off when that ends for good; its watchdog powers it off when the
  pulse is over, whatever its worker does. A machine that is off stays in the cloud's list until somebody deletes it.
- The broker goes with the boss. The datastore stays, or goes too. Nothing else fails: what is wrong in the end is wrong with the cores.
  (What else can fail, all at once, is in ``hostile``, whose times are seconds.)
"""

import random
from dataclasses import dataclass, field, replace
from hashlib import sha256

from boss.core import deadlines, reactor
from boss.core.effects import AcceptResult, CreateVms, DeleteVm, Effect, ListServers, ReadRecord, RejectResult, Send
from boss.core.events import (
    BrokerConnected,
    Event,
    RecordRead,
    ResultAccepted,
    ResultRefused,
    Server,
    ServersListed,
    TimePassed,
    VmCreated,
    VmDeleted,
    WorkerSaid,
)
from boss.core.model import FINAL_STATES, Flavor, JobState, OutputSpec, Policy, Pool, TaskSpec, TaskState, Template, WorkerState
from boss.core.picture import state_of
from boss.core.requests import JobOpened, JobStaged, TasksStaged
from boss.core.state import State
from worker import core as brain
from worker import events as ev
from worker.protocol import Assign, Assignment, Message, Result

HOUR = 3600.0
#: Seconds: what a VM takes to boot, what its worker takes to be started again, what a machine lives beyond its worker's time.
BOOT, AGAIN, MARGIN = 60.0, 5.0, 60.0
#: Seconds between two moments of this world while the boss is there, and while it is not.
STEP, DARK_STEP = 1.0, 5.0
PROVIDER = "openstack:simulated"
#: One pool of one-cpu VMs; leases are what a boss has without settings.
POLICY = Policy(
    pools=(Pool("cloud", PROVIDER, (Flavor("one", {"cpus": 1.0, "memory": 4 * 2.0**30}),), maximum=20),),
    check=True,
)


class Broken(AssertionError):
    """A promise was broken in this world."""


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


@dataclass(slots=True)
class Process:
    """A worker process: its real brain, and until when it runs what."""

    machine: Machine
    core: brain.Core
    running: dict[str, float] = field(default_factory=dict)


class Weekend:
    """``seconds`` says how long each task runs, by its name; ``run`` turns the clock."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 (a simulation)
        self.now = 1000.0
        self.state = State(POLICY)
        self.inbox: list[Event] = []
        self.wire: list[tuple[str, str, Message]] = []  #: sender, receiver, message; "" is the boss
        self.machines: dict[str, Machine] = {}
        self.removed: list[Machine] = []
        self.processes: dict[str, Process] = {}
        self.hanging: set[str] = set()  #: workers that do nothing any more
        self.sessions = 0
        self.seconds: dict[str, float] = {}
        self.boss_is_on = self.datastore_up = True
        self.incoming: dict[str, Result] = {}
        self.accepted: dict[str, Result] = {}
        self.trash: set[str] = set()
        self.accepts: list[str] = []
        self.turn([BrokerConnected()])

    # ---- the boss

    def switch_off(self) -> None:
        """The boss and its broker are gone."""
        self.boss_is_on = False
        self.inbox.clear()
        self.wire.clear()
        for process in list(self.processes.values()):
            self.tell(process, ev.Disconnected())

    def switch_on(self) -> None:
        """Another life of the boss, from what was stored, as the store would load it."""
        self.boss_is_on = True
        old = self.state
        jobs = [job for job in old.jobs.values() if job.state is JobState.OPEN]
        for task in (task for job in jobs for task in job.tasks):
            lost = task.state is TaskState.READY and task.attempt is not None and task.attempt.state == "lost"
            if task.state not in (TaskState.ASSIGNED, TaskState.RUNNING, TaskState.PROMOTING) and not lost:
                task.attempt = None
            if task.attempt is not None:
                task.attempt.seq = 0
        workers = [worker for worker in old.workers.values() if worker.state is not WorkerState.GONE]
        for worker in workers:
            worker.held, worker.used, worker.load, worker.sent = {}, {}, {}, 0
        self.state = state_of(old.policy, old.epoch + 1, old.context, jobs, workers, old.vms.values())
        effects = reactor.resume(self.state, self.now)
        self.state.take_changes()
        for effect in effects:
            self.perform(effect)
        self.inbox.append(BrokerConnected())
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
        """What broker, datastore and cloud would do."""
        match effect:
            case Send(message=Assign() as message):
                granted = tuple(assignment._replace(grant="proof") for assignment in message.attempts)
                self.wire.append(("", effect.worker, message._replace(attempts=granted)))
            case Send():
                self.wire.append(("", effect.worker, effect.message))
            case AcceptResult():
                self.accept(effect)
            case RejectResult():
                found = self.incoming.pop(effect.attempt, None)
                if found is not None and found.files:
                    self.trash.add(effect.attempt)
            case ReadRecord():
                record = self.incoming.get(effect.attempt) or self.accepted.get(effect.attempt)
                self.inbox.append(RecordRead(effect.attempt, record))
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

    # ---- the datastore

    def accept(self, effect: AcceptResult) -> None:
        """Acceptance by rename: once, repeatable, only what is there as promised."""
        attempt = effect.attempt
        if attempt not in self.accepted:
            found = self.incoming.pop(attempt, None)
            if found is None or found.files != effect.files:
                self.inbox.append(ResultRefused(attempt, "no such upload"))
                return
            if attempt in self.trash:
                raise Broken(f"{attempt} was accepted after it had been rejected")
            if self.state.current(attempt) is None:
                raise Broken(f"{attempt} was accepted although it is not current")
            self.accepted[attempt] = found
            self.accepts.append(attempt)
        self.inbox.append(ResultAccepted(attempt))

    def upload(self, assignment: Assignment, result: Result) -> Result:
        """A worker's delivery; what was accepted or rejected already is not taken again."""
        name = assignment.attempt
        digest = sha256(name.encode()).hexdigest()
        delivered = result._replace(files=tuple((out.to, 1, digest) for out in assignment.outputs))
        if name not in self.accepted and name not in self.trash:
            self.incoming[name] = delivered
        return delivered

    # ---- the workers

    def tell(self, process: Process, event: ev.Event) -> None:
        """Let one thing happen to a worker and perform what it wishes, for as long as it lives."""
        for effect in process.core.handle(event, self.now):
            if self.processes.get(process.machine.name) is not process:
                return
            self.do(process, effect)

    def do(self, process: Process, effect: ev.Effect) -> None:
        """What the worker's shell does with this world's tasks, datastore and power."""
        machine = process.machine
        match effect:
            case ev.Send():
                if self.boss_is_on:
                    self.wire.append((machine.name, "", effect.message))
            case ev.Start(assignment=assignment):
                process.running[assignment.attempt] = self.now + self.seconds[assignment.task]
                self.tell(process, ev.Began(assignment.attempt, self.now))
            case ev.Kill(attempt=attempt):
                if process.running.pop(attempt, None) is not None:
                    self.tell(process, ev.Ended(attempt, Result(attempt, "failed", "run", None, 9)))
            case ev.Fetch(assignment=assignment):
                self.tell(process, ev.Fetched(assignment.attempt))
            case ev.Deliver() | ev.Deposit() if not self.datastore_up:
                attempt = effect.assignment.attempt
                self.tell(process, ev.StageFailed(attempt, "upload", "no route to the datastore", False))
            case ev.Deliver(assignment=assignment, result=result) | ev.Deposit(assignment=assignment, result=result):
                self.tell(process, ev.Delivered(assignment.attempt, self.upload(assignment, result)))
            case ev.Keep(results=results):
                machine.spool.update({result.attempt: result for result in results})
            case ev.Forget(attempts=attempts):
                for attempt in attempts:
                    machine.spool.pop(attempt, None)
            case ev.Exit():
                self.power_off(machine)

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
        core = brain.Core(
            brain.Identity(f"s{self.sessions}"),
            dict(self.state.policy.pools[0].flavors[0].resources),
            self.state.policy.heartbeat,
            self.state.policy.worker_lease,
            self.now,
            tuple(machine.spool.values()),
            heard=machine.answered,
        )
        process = self.processes[machine.name] = Process(machine, core)
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

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.now += STEP if self.boss_is_on else DARK_STEP
            self.deliver()
            for machine in list(self.machines.values()):
                if machine.on and self.machines.get(machine.name) is machine:
                    self.live(machine)
            events, self.inbox = self.inbox, []
            look = deadlines.next_look(self.state, self.now)
            if self.boss_is_on and (events or (look is not None and look <= self.now)):
                self.turn(events or [TimePassed()])

    def deliver(self) -> None:
        """Hand over what was said before this moment; who is not there does not hear it."""
        said, self.wire = self.wire, []
        for sender, receiver, message in said:
            if not receiver:
                self.inbox.append(WorkerSaid(sender, message))  # type: ignore[arg-type]
            elif receiver in self.processes:
                self.tell(self.processes[receiver], ev.Heard(message))  # type: ignore[arg-type]

    def push(self, tasks: dict[str, float], outputs: bool) -> None:
        """A job of independent tasks with these run times."""
        self.seconds |= tasks
        template = Template(0, "t", ("true",), outputs=(OutputSpec("out"),) if outputs else (), runtime=HOUR)
        specs = tuple(TaskSpec(index, task, 0) for index, task in enumerate(tasks))
        self.inbox += [JobStaged("u1", "job", "ada", "u1"), TasksStaged("u1", (template,), specs), JobOpened("u1", {})]

    def done(self) -> bool:
        """Whether every task of every job has reached its end."""
        return all(task.state in FINAL_STATES for job in self.state.jobs.values() for task in job.tasks)

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
