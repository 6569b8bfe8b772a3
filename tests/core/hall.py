"""A hall of workers in front of the real core: what is dealt runs for as long as its job's tasks run, on a clock of its own.

Each worker starts what it was given in order, as far as its slots allow, and a word takes ``TRIP`` seconds in either direction: enough
to see who waits for whom, and fast enough for fifty thousand tasks.
"""

from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from boss.core import reactor
from boss.core.effects import Effect, Send
from boss.core.events import BrokerConnected, Event, VmCreated, WorkerSaid
from boss.core.model import Flavor, Pool, TaskSpec, Template
from boss.core.requests import JobOpened, JobStaged, TasksStaged, WorkersWanted
from boss.core.state import State
from tests.core.scene import GIB, policy
from worker.protocol import Assign, Hello, Result, Results, Started

#: Seconds that a message is under way.
TRIP = 0.002


@dataclass(slots=True)
class Bench:
    """One worker: its slots, what waits there, what runs."""

    slots: float
    waiting: deque[tuple[str, float]] = field(default_factory=deque)
    running: dict[str, float] = field(default_factory=dict)


class Hall:
    """``workers`` workers of ``slots`` slots; ``started`` says when each task (``job:name``) began."""

    def __init__(self, workers: int, slots: int) -> None:
        flavor = Flavor("f", {"cpus": slots, "memory": slots * GIB})
        pool = Pool("local", "local", (flavor,), minimum=workers, maximum=workers, cooldown=1e9)
        self.state = State(policy(pools=(pool,), heartbeat=1e6, offline_after=2e6, lease=3e6, worker_lease=4e6, check=False))
        self.now = 1000.0
        self.seconds: dict[str, float] = {}
        self.started: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.benches: dict[str, Bench] = {}
        self._agenda: list[tuple[float, int, str, object]] = []
        self._numbers = count()
        self.turn(BrokerConnected())
        self.turn(WorkersWanted(0))
        for name in list(self.state.vms):
            self.benches[name] = Bench(slots)
            self.turn(VmCreated(name, f"server-{name}", "127.0.0.1"))
            self.turn(WorkerSaid(name, Hello("s1", 1, 0, dict(flavor.resources), {})))

    def push(self, owner: str, job: str, tasks: int, seconds: float, cpus: float = 1, priority: int = 0) -> None:
        """A job of equal tasks that run for ``seconds`` each."""
        self.seconds[job] = seconds
        template = Template(0, "t", ("true",), needs={"cpus": cpus}, priority=priority)
        self.turn(JobStaged(job, job, owner, job))
        self.turn(TasksStaged(job, (template,), tuple(TaskSpec(index, f"t{index}", 0) for index in range(tasks))))
        self.turn(JobOpened(job, {}))

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self.now = self._agenda[0][0]
            events = [*self._due()]
            if events:
                self.turn(*events)
        self.now = end

    def turn(self, *events: Event) -> None:
        """One turn of the boss; what it says is on its way."""
        effects: list[Effect] = []
        for event in events:
            effects += reactor.handle(self.state, event, self.now)
        effects += reactor.settle(self.state, self.now)
        self.state.take_changes()
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, Assign):
                self._later(TRIP, effect.worker, effect.message)

    def begun(self, job: str, since: float = 0.0) -> list[float]:
        """When tasks of a job began, in seconds after ``since``, in order."""
        return sorted(moment - since for name, moment in self.started.items() if name.startswith(job + "."))

    def done(self, job: str, since: float) -> int:
        """How many tasks of a job have ended after a moment."""
        return sum(moment > since for name, moment in self.ended.items() if name.startswith(job + "."))

    def _later(self, delay: float, worker: str, what: object) -> None:
        heappush(self._agenda, (self.now + delay, next(self._numbers), worker, what))

    def _due(self) -> list[Event]:
        """Everything of this moment; what reaches the boss comes back."""
        events: list[Event] = []
        while self._agenda and self._agenda[0][0] <= self.now:
            _, _, worker, what = heappop(self._agenda)
            if isinstance(what, Assign):
                waiting = ((one.attempt, one.needs["cpus"]) for one in what.attempts)
                self.benches[worker].waiting.extend(waiting)
                self._begin(worker)
            elif isinstance(what, str):  # an attempt has ended
                self.benches[worker].running.pop(what)
                self.ended[what] = self.now
                done = Result(what, "succeeded", exit_code=0, started=self.started[what], finished=self.now)
                self._later(TRIP, worker, WorkerSaid(worker, Results("s1", (done,))))
                self._begin(worker)
            else:
                events.append(what)  # type: ignore[arg-type]
        return events

    def _begin(self, worker: str) -> None:
        bench = self.benches[worker]
        while bench.waiting and sum(bench.running.values()) + bench.waiting[0][1] <= bench.slots:
            attempt, cpus = bench.waiting.popleft()
            bench.running[attempt] = cpus
            self.started[attempt] = self.now
            self._later(TRIP, worker, WorkerSaid(worker, Started("s1", {attempt: self.now})))
            self._later(self.seconds[attempt.split(".", 1)[0]], worker, attempt)
