"""Far workers: the real cores of boss and worker with links between them that take their time, on a virtual clock.

A word takes ``one_way`` seconds in either direction; what is sent keeps its order. The boss's turns and a process's start take no time.
What a worker delivers takes ``upload`` seconds, each for itself.
"""

from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count

from boss.core import reactor
from boss.core.effects import AcceptResult, Effect, Send
from boss.core.events import BrokerConnected, Event, ResultAccepted, VmCreated, WorkerSaid
from boss.core.model import Flavor, OutputSpec, Pool, TaskSpec, Template
from boss.core.requests import JobOpened, JobStaged, TasksStaged, WorkersWanted
from boss.core.state import State
from tests.core.scene import GIB, policy
from worker import events as ev
from worker.core import Core, Identity
from worker.protocol import Result


class Far:
    """Workers, each ``one_way[number]`` seconds from the boss; ``started`` and ``ended`` say when each attempt ran."""

    def __init__(self, one_way: Sequence[float], slots: int, upload: float = 0.0, **changes: object) -> None:
        flavor = Flavor("f", {"cpus": slots, "memory": slots * GIB})
        pool = Pool("local", "local", (flavor,), minimum=len(one_way), maximum=len(one_way), cooldown=1e9)
        bounds = {"heartbeat": 1e6, "offline_after": 2e6, "lease": 3e6, "worker_lease": 4e6, "check": False}
        self.state = State(policy(pools=(pool,), **{**bounds, **changes}))
        self.now = 1000.0
        self.slots = slots * len(one_way)
        self.upload = upload
        self.seconds: dict[str, Sequence[float]] = {}
        self.started: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.on: dict[str, str] = {}
        self.cores: dict[str, Core] = {}
        self.trips: dict[str, float] = {}
        self._agenda: list[tuple[float, int, str, object]] = []
        self._numbers = count()
        self._turn_boss([BrokerConnected()])
        self._turn_boss([WorkersWanted(0)])
        for name, distance in zip(list(self.state.vms), one_way, strict=True):
            self.cores[name] = Core(Identity("s1"), dict(flavor.resources), 1e6, 3e6, self.now)
            self.trips[name] = distance
            self._turn_boss([VmCreated(name, f"server-{name}", "127.0.0.1")])
            self._turn_worker(name, ev.Connected())
        self.run(5.0)

    def push(self, job: str, seconds: Sequence[float], owner: str = "ada", outputs: bool = False) -> None:
        """A job whose tasks run for so many seconds each."""
        self.seconds[job] = seconds
        made = (OutputSpec("made"),) if outputs else ()
        template = Template(0, "t", ("true",), needs={"cpus": 1}, outputs=made)
        self._turn_boss([JobStaged(job, job, owner, job)])
        specs = tuple(TaskSpec(index, f"t{index}", 0) for index in range(len(seconds)))
        self._turn_boss([TasksStaged(job, (template,), specs)])
        self._turn_boss([JobOpened(job, {})])

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self.now = max(self.now, self._agenda[0][0])
            self._moment()
        self.now = end

    def efficiency(self, job: str) -> float:
        """The part of the slots' time, from the job's first start to its last end, in which its tasks ran. All of them must have ended."""
        mine = [name for name in self.started if name.startswith(job + ".")]
        assert len(mine) == len(self.seconds[job]) and all(name in self.ended for name in mine)
        span = max(self.ended[name] for name in mine) - min(self.started[name] for name in mine)
        return sum(self.seconds[job]) / (self.slots * span)

    # ---- moments -----------------------------------------------------------------------------------------------------

    def _moment(self) -> None:
        """Everything of this moment; the boss takes what reaches it in one turn."""
        for_boss: list[Event] = []
        for_workers: dict[str, list[ev.Event]] = {}
        while self._agenda and self._agenda[0][0] <= self.now:
            _, _, worker, what = heappop(self._agenda)
            if not worker or isinstance(what, WorkerSaid):
                for_boss.append(what)  # type: ignore[arg-type]
            else:
                mine = for_workers.setdefault(worker, [])
                if what is not None:
                    mine.append(what)  # type: ignore[arg-type]
        for worker, events in for_workers.items():
            self._turn_worker(worker, *events)
        if for_boss:
            self._turn_boss(for_boss)

    def _turn_boss(self, events: Sequence[Event]) -> None:
        effects: list[Effect] = []
        for event in events:
            effects += reactor.handle(self.state, event, self.now)
        effects += reactor.settle(self.state, self.now)
        self.state.take_changes()
        for effect in effects:
            if isinstance(effect, Send) and effect.worker in self.trips:
                self._later(self.trips[effect.worker], effect.worker, ev.Heard(effect.message))
            elif isinstance(effect, AcceptResult):
                self._later(0.0, "", ResultAccepted(effect.attempt))

    def _turn_worker(self, name: str, *events: ev.Event) -> None:
        core = self.cores[name]
        for event in (*events, ev.Turned()):
            effects = core.handle(event, self.now)
            while effects:
                effects = [more for effect in effects for more in self._perform(name, core, effect)]
        if core.deadline() < self.now + 1e5:
            self._later(max(1e-6, core.deadline() - self.now), name, None)

    def _perform(self, name: str, core: Core, effect: ev.Effect) -> list[ev.Effect]:
        if isinstance(effect, ev.Send):
            self._later(self.trips[name], name, WorkerSaid(name, effect.message))
        elif isinstance(effect, ev.Start):
            attempt = effect.assignment.attempt
            job, index, _number = attempt.split(".")
            self.started[attempt], self.on[attempt] = self.now, name
            self._later(self.seconds[job][int(index)], name, self._end(attempt, self.seconds[job][int(index)]))
            return core.handle(ev.Began(attempt, self.now), self.now)
        elif isinstance(effect, ev.Deliver):
            files = (("made", 1, "ab"),)
            self._later(self.upload, name, ev.Delivered(effect.assignment.attempt, effect.result._replace(files=files)))
        return []

    def _end(self, attempt: str, seconds: float) -> ev.Ended:
        self.ended[attempt] = self.now + seconds
        return ev.Ended(attempt, Result(attempt, "succeeded", exit_code=0, started=self.now, finished=self.now + seconds))

    def _later(self, delay: float, worker: str, what: object) -> None:
        heappush(self._agenda, (self.now + delay, next(self._numbers), worker, what))
