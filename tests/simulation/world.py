"""The real core in a hostile world on a virtual clock: messages are dropped, doubled and reordered; boss, workers and VMs die.

Everything is drawn from one seed. After every turn ``state.check()`` runs, and the datastore checks its own promises:
an upload is accepted at most once, only the current attempt's, and never after it was rejected.
"""

import copy
import random
from dataclasses import dataclass, field

from boss.core import deadlines, reactor
from boss.core.effects import AcceptResult, CreateVm, DeleteVm, Effect, ListServers, ReadRecord, RejectResult, Send
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
from boss.core.model import FINAL_STATES, JobState, TaskState, WorkerState
from boss.core.picture import state_of
from boss.core.state import State
from tests.core.scene import policy
from worker.protocol import (
    Acknowledge,
    Assign,
    Assignment,
    Cancel,
    Drain,
    Goodbye,
    Heartbeat,
    Hello,
    Message,
    Recall,
    Recalled,
    Result,
    Results,
    Resync,
    Started,
)


@dataclass
class SimulatedWorker:
    """A worker process: what it was given, what it runs, what it has finished and not forgotten."""

    name: str
    session: str
    ever: set[str] = field(default_factory=set)
    queue: list[Assignment] = field(default_factory=list)
    running: dict[str, tuple[Assignment, float]] = field(default_factory=dict)
    spool: dict[str, Result] = field(default_factory=dict)
    epoch: int = 0
    seq: int = 0
    draining: bool = False
    next_beat: float = 0.0

    def held(self) -> dict[str, str]:
        """As in a hello or a heartbeat."""
        return {
            **{assignment.attempt: "queued" for assignment in self.queue},
            **dict.fromkeys(self.running, "running"),
            **dict.fromkeys(self.spool, "finished"),
        }


class World:
    """Boss, broker, datastore, cloud and workers. ``calm`` ends all faults; ``run`` turns the clock."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 1000.0
        self.calm = False
        self.state = State(policy(stray_grace=5.0))
        self.stored = copy.deepcopy(self.state)
        self.inbox: list[Event] = []
        self.wire: list[tuple[float, str, Message]] = []  # (arrival, worker or "" for the boss, message)
        self.senders: list[str] = []
        self.workers: dict[str, SimulatedWorker] = {}
        self.incoming: dict[str, Result] = {}
        self.accepted: dict[str, Result] = {}
        self.trash: set[str] = set()
        self.accepts: list[str] = []
        self.sessions = 0
        self.turn([BrokerConnected()])

    # ---- the boss --------------------------------------------------------------------------------------------------

    def turn(self, events: list[Event]) -> None:
        """One turn of the loop; it may die before the commit, or between any two effects."""
        effects: list[Effect] = []
        for event in events:
            effects += reactor.handle(self.state, event, self.now)
        effects += reactor.settle(self.state, self.now)
        self.state.check()
        if self.fault(0.004):
            self.restart_boss()
            return
        self.state.take_changes()
        self.stored = copy.deepcopy(self.state)
        for effect in effects:
            if self.fault(0.001):
                self.restart_boss()
                return
            self.perform(effect)

    def restart_boss(self) -> None:
        """Everything in memory is gone; the store is loaded and resumed."""
        old = self.stored
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
            worker.held, worker.used, worker.sent = {}, {}, 0
        self.state = state_of(old.policy, old.epoch + 1, old.context, jobs, workers, old.vms.values())
        self.inbox.clear()
        effects = reactor.resume(self.state, self.now)
        self.state.take_changes()
        self.stored = copy.deepcopy(self.state)
        for effect in effects:
            self.perform(effect)
        self.inbox.append(BrokerConnected())

    def perform(self, effect: Effect) -> None:
        match effect:
            case Send():
                self.post(effect.worker, effect.message)
            case AcceptResult():
                self.accept(effect)
            case RejectResult():
                if effect.attempt in self.incoming:
                    del self.incoming[effect.attempt]
                    self.trash.add(effect.attempt)
            case ReadRecord():
                record = self.incoming.get(effect.attempt) or self.accepted.get(effect.attempt)
                self.inbox.append(RecordRead(effect.attempt, record))
            case CreateVm():
                self.sessions += 1
                self.workers[effect.vm] = SimulatedWorker(effect.vm, f"s{self.sessions}")
                if not self.fault(0.05):
                    self.inbox.append(VmCreated(effect.vm, f"server-{effect.vm}"))
                self.hello(self.workers[effect.vm])
            case DeleteVm():
                self.workers.pop(effect.vm, None)
                self.inbox.append(VmDeleted(effect.vm))
            case ListServers():
                servers = tuple(Server(f"server-{name}", name, "local") for name in self.workers)
                self.inbox.append(ServersListed("local", self.now, servers))

    def accept(self, effect: AcceptResult) -> None:
        attempt = effect.attempt
        if attempt in self.accepted:
            self.inbox.append(ResultAccepted(attempt))
            return
        found = self.incoming.pop(attempt, None)
        if found is None or found.files != effect.files:
            self.inbox.append(ResultRefused(attempt, "no such upload"))
            return
        assert attempt not in self.trash, f"{attempt} was accepted after it had been rejected"
        current = self.state.current(attempt)
        assert current is not None, f"{attempt} was accepted although it is not current"
        self.accepted[attempt] = found
        self.accepts.append(attempt)
        self.inbox.append(ResultAccepted(attempt))

    # ---- the wire --------------------------------------------------------------------------------------------------

    def fault(self, probability: float) -> bool:
        """Whether something goes wrong now."""
        return not self.calm and self.chance.random() < probability

    def post(self, to: str, message: Message, sender: str = "") -> None:
        """Send: maybe lost, maybe twice, maybe late."""
        if self.fault(0.05):
            return
        for _ in range(2 if self.fault(0.05) else 1):
            late = self.chance.uniform(0.0, 3.0) if self.fault(0.1) else 0.01
            self.wire.append((self.now + late, to, message))
            self.senders.append(sender)

    def deliver(self) -> None:
        """Hand over what has arrived."""
        due = [position for position, (at, _, _) in enumerate(self.wire) if at <= self.now]
        arrived = [(self.wire[position], self.senders[position]) for position in due]
        gone = set(due)
        self.wire = [item for position, item in enumerate(self.wire) if position not in gone]
        self.senders = [item for position, item in enumerate(self.senders) if position not in gone]
        for (_, to, message), sender in arrived:
            if not to:
                self.inbox.append(WorkerSaid(sender, message))  # type: ignore[arg-type]
            elif to in self.workers:
                self.receive(self.workers[to], message)

    # ---- the workers -----------------------------------------------------------------------------------------------

    def hello(self, worker: SimulatedWorker) -> None:
        vm = self.state.vms.get(worker.name)
        size = float(vm.flavor.rsplit(".")[-1]) if vm is not None else 1.0
        resources = {"cpus": size, "memory": size * 4 * 2.0**30}
        self.post("", Hello(worker.session, worker.epoch, worker.seq, resources, worker.held()), worker.name)
        if worker.spool:
            self.post("", Results(worker.session, tuple(worker.spool.values())), worker.name)

    def receive(self, worker: SimulatedWorker, message: Message) -> None:
        epoch, seq = getattr(message, "epoch", 0), getattr(message, "seq", 0)
        if epoch < worker.epoch:
            return
        if epoch > worker.epoch:
            worker.epoch, worker.seq = epoch, 0
        worker.seq = max(worker.seq, seq)
        match message:
            case Assign():
                for assignment in message.attempts:
                    if assignment.attempt not in worker.ever:
                        worker.ever.add(assignment.attempt)
                        worker.queue.append(assignment)
            case Cancel():
                for name in message.attempts:
                    known = [one for one in worker.queue if one.attempt == name]
                    worker.queue = [one for one in worker.queue if one.attempt != name]
                    if known or worker.running.pop(name, None):
                        worker.spool[name] = Result(name, "cancelled")
                        self.post("", Results(worker.session, (worker.spool[name],)), worker.name)
            case Recall():
                back = tuple(one.attempt for one in worker.queue if one.attempt in message.attempts)
                worker.queue = [one for one in worker.queue if one.attempt not in message.attempts]
                self.post("", Recalled(worker.session, back), worker.name)
            case Acknowledge():
                for name in message.attempts:
                    worker.spool.pop(name, None)
            case Drain():
                worker.draining = True
            case Resync():
                self.hello(worker)
            case _:
                pass

    def work(self, worker: SimulatedWorker) -> None:
        """One moment in a worker's life."""
        if worker.queue and not worker.running:
            assignment = worker.queue.pop(0)
            worker.running[assignment.attempt] = (assignment, self.now + self.chance.expovariate(0.5))
            self.post("", Started(worker.session, {assignment.attempt: self.now}), worker.name)
        for name, (assignment, end) in list(worker.running.items()):
            if end <= self.now:
                del worker.running[name]
                worker.spool[name] = self.end(assignment)
                self.post("", Results(worker.session, (worker.spool[name],)), worker.name)
        if self.now >= worker.next_beat:
            worker.next_beat = self.now + 2.0
            self.post("", Heartbeat(worker.session, worker.epoch, worker.seq, worker.held()), worker.name)
            if worker.spool:
                self.post("", Results(worker.session, tuple(worker.spool.values())), worker.name)
        if worker.draining and not worker.held():
            self.post("", Goodbye(worker.session), worker.name)
            del self.workers[worker.name]
        elif self.fault(0.002):
            self.crash(worker)

    def crash(self, worker: SimulatedWorker) -> None:
        """The process dies; it comes back with its spool, or its VM is gone for good."""
        if self.chance.random() < 0.5:
            del self.workers[worker.name]
            return
        self.sessions += 1
        fresh = SimulatedWorker(worker.name, f"s{self.sessions}", set(worker.spool), spool=worker.spool, draining=worker.draining)
        self.workers[worker.name] = fresh
        self.hello(fresh)

    def end(self, assignment: Assignment) -> Result:
        """How an attempt ends; outputs are uploaded before the result is told."""
        if self.chance.random() < 0.1:
            return Result(assignment.attempt, "failed", "run", 1, reason="exit code 1")
        files = tuple((out.to, 1, assignment.attempt.rjust(64, "0")) for out in assignment.outputs)
        result = Result(assignment.attempt, "succeeded", exit_code=0, started=self.now, finished=self.now, files=files)
        if files and assignment.attempt not in self.accepted and assignment.attempt not in self.trash:
            self.incoming[assignment.attempt] = result
        return result

    # ---- the clock -------------------------------------------------------------------------------------------------

    def run(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.now += step
            self.deliver()
            for worker in list(self.workers.values()):
                self.work(worker)
            events, self.inbox = self.inbox, []
            if deadlines.next_look(self.state, self.now) is not None:
                events.append(TimePassed())
            if events:
                self.turn(events)

    def done(self) -> bool:
        """Whether every task of every job has reached its end."""
        return all(task.state in FINAL_STATES for job in self.state.jobs.values() for task in job.tasks)
