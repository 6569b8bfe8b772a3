"""The real cores of boss and worker in a hostile world, on a virtual clock.

Messages are dropped, doubled and reordered; the boss dies between any two effects, workers and VMs die at any moment. Everything is drawn
from one seed. After every turn ``state.check()`` runs, and the datastore checks its own promises: an upload is accepted at most once,
only the current attempt's, and never after it was rejected.
"""

import copy
import random
from dataclasses import dataclass, field
from hashlib import sha256
from zlib import crc32

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
    VmCreateFailed,
    VmDeleted,
    VmDeleteFailed,
    WorkerSaid,
)
from boss.core.model import FINAL_STATES, Flavor, JobState, Policy, Pool, TaskState, WorkerState
from boss.core.picture import state_of
from boss.core.state import State
from worker import core as brain
from worker import events as ev
from worker.protocol import Assignment, Message, Result

GIB = 2.0**30


class Broken(AssertionError):
    """A promise was broken in the simulated world."""


def laptop() -> Policy:
    """Two cpus, one-cpu and two-cpu workers, short leases: trouble comes quickly."""
    flavors = tuple(Flavor(f"local.{size}", {"cpus": size, "memory": size * 4 * GIB}) for size in (1, 2))
    pool = Pool("local", "local", flavors, maximum=2, limits={"cpus": 2}, cooldown=10.0)
    return Policy(pools=(pool,), heartbeat=2.0, offline_after=6.0, lease=15.0, worker_lease=60.0, stray_grace=5.0, check=True)


@dataclass(slots=True)
class Process:
    """A worker process: its real brain, what it runs, and its spool (which survives the process)."""

    name: str
    core: brain.Core
    running: dict[str, float] = field(default_factory=dict)
    spool: dict[str, Result] = field(default_factory=dict)


class World:
    """Boss, broker, datastore, cloud and workers. ``calm`` ends all faults; ``run`` turns the clock."""

    def __init__(self, seed: int, policy: Policy | None = None) -> None:
        self.chance = random.Random(seed)  # noqa: S311 (a simulation)
        self.now = 1000.0
        self.calm = False
        self.state = State(policy or laptop())
        self.stored = copy.deepcopy(self.state)
        self.inbox: list[Event] = []
        self.wire: list[tuple[float, str, str, Message]] = []  # (arrival, sender, receiver, message); "" is the boss
        self.processes: dict[str, Process] = {}
        self.incoming: dict[str, Result] = {}
        self.accepted: dict[str, Result] = {}
        self.trash: set[str] = set()
        self.accepts: list[str] = []
        self.sessions = 0
        self.faults = 0
        self.turn([BrokerConnected()])

    # ---- the boss --------------------------------------------------------------------------------------------------

    def turn(self, events: list[Event]) -> None:
        """One turn of the loop; the boss may die before the commit, or between any two effects."""
        effects: list[Effect] = []
        for event in events:
            effects += reactor.handle(self.state, event, self.now)
        effects += reactor.settle(self.state, self.now)
        self.state.check()
        if self.fault(0.004):
            self.restart_boss(dead=self.chance.random() < 0.5)
            return
        self.state.take_changes()
        self.stored = copy.deepcopy(self.state)
        for effect in effects:
            if self.fault(0.001):
                self.restart_boss()
                return
            self.perform(effect)

    def restart_boss(self, dead: bool = True) -> None:
        """Everything in memory is gone; what was stored is loaded, as the store would, and resumed.

        A boss that did not die, but whose commit failed, goes on in the same epoch and remembers how many messages it has sent.
        """
        old = self.stored
        sent = {} if dead else {worker.id: worker.sent for worker in self.state.workers.values()}
        jobs = [job for job in old.jobs.values() if job.state is JobState.OPEN]
        for job in jobs:
            for task in job.tasks:
                lost = task.state is TaskState.READY and task.attempt is not None and task.attempt.state == "lost"
                if task.state not in (TaskState.ASSIGNED, TaskState.RUNNING, TaskState.PROMOTING) and not lost:
                    task.attempt = None
                if task.attempt is not None:
                    task.attempt.seq = 0
        workers = [worker for worker in old.workers.values() if worker.state is not WorkerState.GONE]
        for worker in workers:
            worker.held, worker.used, worker.load, worker.sent = {}, {}, {}, sent.get(worker.id, 0)
        self.state = state_of(old.policy, old.epoch + dead, old.context, jobs, workers, old.vms.values())
        self.inbox.clear()
        effects = reactor.resume(self.state, self.now)
        self.state.take_changes()
        self.stored = copy.deepcopy(self.state)
        for effect in effects:
            self.perform(effect)
        self.inbox.append(BrokerConnected())

    def perform(self, effect: Effect) -> None:
        """What the adapters would do."""
        match effect:
            case Send():
                self.post("", effect.worker, effect.message)
            case AcceptResult():
                self.accept(effect)
            case RejectResult():
                if self.incoming.pop(effect.attempt, None) is not None:
                    self.trash.add(effect.attempt)
            case ReadRecord():
                record = self.incoming.get(effect.attempt) or self.accepted.get(effect.attempt)
                self.inbox.append(RecordRead(effect.attempt, record))
            case CreateVms():
                for vm in effect.vms:
                    self.create(vm, effect.flavor)
            case DeleteVm() if self.fault(0.05):
                self.inbox.append(VmDeleteFailed(effect.vm, "no answer"))
            case DeleteVm():
                self.processes.pop(effect.vm, None)
                self.inbox.append(VmDeleted(effect.vm))
            case ListServers():
                servers = tuple(Server(f"server-{name}", name, "local") for name in self.processes)
                self.inbox.append(ServersListed("local", self.now, servers))
            case _:
                pass

    def create(self, vm: str, flavor: str) -> None:
        """The cloud gives a server; or refuses; or gives one and does not say so, or says that it does not know."""
        if self.fault(0.05):
            self.inbox.append(VmCreateFailed(vm, "no quota"))
            return
        self.boot(vm, flavor)
        if self.fault(0.03):
            self.inbox.append(VmCreateFailed(vm, "no answer", final=False))
        elif not self.fault(0.05):
            self.inbox.append(VmCreated(vm, f"server-{vm}"))

    # ---- the datastore ---------------------------------------------------------------------------------------------

    def accept(self, effect: AcceptResult) -> None:
        """Acceptance by rename: once, repeatable, only what is there as promised."""
        attempt = effect.attempt
        if attempt in self.accepted:
            self.inbox.append(ResultAccepted(attempt))
            return
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
        """A worker's delivery; what was accepted or rejected already is not taken again. Half of a task's attempts yield the same."""
        name = assignment.attempt
        content = name if crc32(name.encode()) % 2 else assignment.task
        files = tuple((out.to, 1, sha256(content.encode()).hexdigest()) for out in assignment.outputs)
        delivered = result._replace(files=files)
        if name not in self.accepted and name not in self.trash:
            self.incoming[name] = delivered
        return delivered

    # ---- the wire --------------------------------------------------------------------------------------------------

    def fault(self, probability: float) -> bool:
        """Whether something goes wrong now."""
        wrong = not self.calm and self.chance.random() < probability
        self.faults += wrong
        return wrong

    def post(self, sender: str, receiver: str, message: Message) -> None:
        """Send: maybe lost, maybe twice, maybe late."""
        if self.fault(0.05):
            return
        for _ in range(2 if self.fault(0.05) else 1):
            late = self.chance.uniform(0.0, 3.0) if self.fault(0.1) else 0.01
            self.wire.append((self.now + late, sender, receiver, message))

    def deliver(self) -> None:
        """Hand over what has arrived."""
        arrived = [item for item in self.wire if item[0] <= self.now]
        self.wire = [item for item in self.wire if item[0] > self.now]
        for _, sender, receiver, message in arrived:
            if not receiver:
                self.inbox.append(WorkerSaid(sender, message))  # type: ignore[arg-type]
            elif receiver in self.processes:
                self.tell(self.processes[receiver], ev.Heard(message))  # type: ignore[arg-type]

    # ---- the workers -----------------------------------------------------------------------------------------------

    def boot(self, name: str, flavor: str, spool: dict[str, Result] | None = None) -> None:
        """A worker process comes up, with what an earlier one left in the spool, and connects."""
        self.sessions += 1
        size = float(flavor.rsplit(".", maxsplit=1)[-1])
        resources = {"cpus": size, "memory": size * 4 * GIB}
        kept = dict(spool or {})
        core = brain.Core(brain.Identity(f"s{self.sessions}"), resources, 2.0, 60.0, self.now, tuple(kept.values()))
        process = self.processes[name] = Process(name, core, spool=kept)
        self.tell(process, ev.Connected())

    def tell(self, process: Process, event: ev.Event) -> None:
        """Let one thing happen to a worker and perform what it wishes; it may die between any two effects."""
        for effect in process.core.handle(event, self.now):
            if self.processes.get(process.name) is not process:
                return
            if self.fault(0.0005):
                self.crash(process)
                return
            self.do(process, effect)

    def do(self, process: Process, effect: ev.Effect) -> None:
        """What the worker's shell would do."""
        if isinstance(effect, ev.Send):
            self.post(process.name, "", effect.message)
        elif isinstance(effect, ev.Start):
            process.running[effect.assignment.attempt] = self.now + self.chance.expovariate(0.5)
            self.tell(process, ev.Began(effect.assignment.attempt, self.now))
        elif isinstance(effect, ev.Kill):
            if process.running.pop(effect.attempt, None) is not None:
                self.tell(process, ev.Ended(effect.attempt, Result(effect.attempt, "failed", "run", None, 9)))
        elif isinstance(effect, ev.Fetch):
            self.tell(process, ev.Fetched(effect.assignment.attempt))
        elif isinstance(effect, ev.Deliver):
            name = effect.assignment.attempt
            if self.fault(0.1):
                self.tell(process, ev.StageFailed(name, "upload", "connection lost", final=False))
            else:
                self.tell(process, ev.Delivered(name, self.upload(effect.assignment, effect.result)))
        elif isinstance(effect, ev.Keep):
            process.spool.update({result.attempt: result for result in effect.results})
        elif isinstance(effect, ev.Forget):
            for attempt in effect.attempts:
                process.spool.pop(attempt, None)
        elif isinstance(effect, ev.Exit):
            self.processes.pop(process.name, None)

    def work(self, process: Process) -> None:
        """One moment in a worker's life."""
        for name, end in list(process.running.items()):
            if end <= self.now and process.running.pop(name, None) is not None:
                failed = self.chance.random() < 0.1
                outcome = Result(name, "failed", "run", 1) if failed else Result(name, "succeeded", exit_code=0)
                self.tell(process, ev.Ended(name, outcome._replace(started=self.now - 1, finished=self.now)))
        self.tell(process, ev.Turned())
        if self.processes.get(process.name) is process and self.fault(0.002):
            self.crash(process)

    def crash(self, process: Process) -> None:
        """The process dies; it comes back with its spool, or its VM is gone for good."""
        self.processes.pop(process.name, None)
        vm = self.state.vms.get(process.name)
        if vm is not None and self.chance.random() < 0.5:
            self.boot(process.name, vm.flavor, process.spool)

    # ---- the clock -------------------------------------------------------------------------------------------------

    def run(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.now += step
            self.deliver()
            for process in list(self.processes.values()):
                if self.processes.get(process.name) is process:
                    self.work(process)
            events, self.inbox = self.inbox, []
            look = deadlines.next_look(self.state, self.now)
            if not events and look is not None and look <= self.now:
                events = [TimePassed()]
            if events:
                self.turn(events)

    def done(self) -> bool:
        """Whether every task of every job has reached its end."""
        return all(task.state in FINAL_STATES for job in self.state.jobs.values() for task in job.tasks)
