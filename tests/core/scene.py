"""A small stage for conversations with the core: events in, effects out, on a clock that the test moves.

Every turn ends with ``state.check()``; ``said`` keeps what was wished for since the last look, so that a test can insist on silence.
"""

from boss.core import reactor
from boss.core.effects import Announce, Effect, ListServers, Reply, Send
from boss.core.events import BrokerConnected, Event, TimePassed, VmCreated, WorkerSaid
from boss.core.model import Flavor, Job, Policy, Pool, Task, TaskSpec, Template, Worker
from boss.core.requests import Answer, JobOpened, JobStaged, TasksStaged
from boss.core.state import State
from worker.protocol import Acknowledge, Assign, Assignment, Heartbeat, Hello, Renew, Result, Results, Started

GIB = 2.0**30


def local_pool(cpus: int = 2, cooldown: float = 10.0) -> Pool:
    """One pool of provider ``local`` with one-cpu and all-cpu flavors."""
    sizes = [size for size in (1, 2, 4, 8) if size < cpus] + [cpus]
    flavors = tuple(Flavor(f"local.{size}", {"cpus": size, "memory": size * 4 * GIB}) for size in sizes)
    return Pool("local", "local", flavors, maximum=cpus, limits={"cpus": cpus}, cooldown=cooldown)


def policy(**changes: object) -> Policy:
    """The policy of a laptop, with changes."""
    numbers: dict[str, object] = {"pools": (local_pool(),), "heartbeat": 2.0, "offline_after": 6.0, "lease": 15.0, "check": True}
    return Policy(**{**numbers, **changes})  # type: ignore[arg-type]


def chain(*names: str, **template: object) -> tuple[tuple[Template, ...], tuple[TaskSpec, ...]]:
    """Tasks that each depend on the one before."""
    specs = [TaskSpec(i, name, 0, 0, (i - 1,) if i else (), len(names) - 1 - i) for i, name in enumerate(names)]
    return (Template(0, "t", ("true",), **template),), tuple(specs)  # type: ignore[arg-type]


def bag(count: int, **template: object) -> tuple[tuple[Template, ...], tuple[TaskSpec, ...]]:
    """Tasks without dependencies, named t0, t1, ..."""
    return (Template(0, "t", ("true",), **template),), tuple(TaskSpec(i, f"t{i}", 0) for i in range(count))  # type: ignore[arg-type]


class Scene:
    """A boss's core with a clock; ``workers`` join with ``join``."""

    def __init__(self, **changes: object) -> None:
        self.state = State(policy(**changes))
        self.now = 1000.0
        self.said: list[Effect] = []
        self.uids = 0
        self.turn(BrokerConnected())
        self.said.clear()

    # ---- turning

    def turn(self, *events: Event) -> list[Effect]:
        """Handle these events and settle, as one turn of the loop; commits (takes) the changes."""
        effects: list[Effect] = []
        for event in events:
            effects += reactor.handle(self.state, event, self.now)
        effects += reactor.settle(self.state, self.now)
        self.state.take_changes()
        self.state.check()
        self.said += effects
        return effects

    def wait(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass in an empty inbox."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step)
            self.turn(TimePassed())

    def answer(self, event: Event) -> Answer:
        """The answer to a request (its ``reply`` must be 1)."""
        replies = [effect.answer for effect in self.turn(event) if isinstance(effect, Reply)]
        assert len(replies) == 1
        return replies[0]

    # ---- pushing

    def push(
        self,
        rows: tuple[tuple[Template, ...], tuple[TaskSpec, ...]],
        name: str = "job",
        owner: str = "ada",
        **opened: object,
    ) -> Job:
        """Stage and open a job."""
        self.uids += 1
        uid = f"u{self.uids}"
        self.turn(JobStaged(uid, name, owner, f"s{self.uids}"))
        self.turn(TasksStaged(uid, *rows))
        self.turn(JobOpened(uid, opened.get("files", {})))  # type: ignore[arg-type]
        return self.state.jobs[uid]

    def task(self, name: str, job: str = "job") -> Task:
        """A task by its name."""
        found = self.state.job_named(job)
        assert found is not None
        return next(task for task in found.tasks if task.name == name)

    def states(self, job: str = "job") -> dict[str, str]:
        """Task name -> state."""
        found = self.state.job_named(job)
        assert found is not None
        return {task.name: str(task.state) for task in found.tasks}

    # ---- workers

    def join(self, name: str, session: str = "s1", held: dict[str, str] | None = None, seq: int = 0, epoch: int = 1) -> Worker:
        """The VM of a claim comes up and its worker says hello."""
        vm = self.state.vms[name]
        if not vm.server:
            self.turn(VmCreated(name, f"server-{name}", "127.0.0.1"))
        worker = self.state.workers[name]
        flavor = next(f for p in self.state.policy.pools for f in p.flavors if f.name == vm.flavor)
        self.turn(WorkerSaid(name, Hello(session, epoch, seq, dict(flavor.resources), held or {})))
        return worker

    def beat(self, name: str, held: dict[str, str] | None = None, session: str = "s1", seq: int | None = None) -> list[Effect]:
        """A heartbeat of a worker that has handled everything, holding what the boss thinks it holds (unless said otherwise)."""
        worker = self.state.workers[name]
        holds = {key: attempt.state for key, attempt in worker.held.items()} if held is None else held
        holds = {key: "running" if what == "running" else "queued" for key, what in holds.items()} if held is None else holds
        return self.turn(WorkerSaid(name, Heartbeat(session, self.state.epoch, worker.sent if seq is None else seq, holds)))

    def start(self, name: str, *attempts: str) -> None:
        """A worker says that attempts run."""
        self.turn(WorkerSaid(name, Started("s1", dict.fromkeys(attempts, self.now))))

    def finish(self, name: str, attempt: str, outcome: str = "succeeded", **fields: object) -> list[Effect]:
        """A worker reports a result."""
        fields.setdefault("exit_code", 0 if outcome == "succeeded" else 1)
        result = Result(attempt, outcome, started=self.now - 1, finished=self.now, **fields)  # type: ignore[arg-type]
        return self.turn(WorkerSaid(name, Results("s1", (result,))))

    # ---- listening

    def heard(self, kind: type, worker: str = "") -> list[object]:
        """Messages of a kind sent since the last ``hush``."""
        return [
            effect.message
            for effect in self.said
            if isinstance(effect, Send) and isinstance(effect.message, kind) and worker in ("", effect.worker)
        ]

    def dealt(self, worker: str = "") -> list[Assignment]:
        """Assignments sent since the last ``hush``."""
        return [assignment for message in self.heard(Assign, worker) for assignment in message.attempts]  # type: ignore[attr-defined]

    def acknowledged(self) -> list[str]:
        """Attempts acknowledged since the last ``hush``."""
        return [name for message in self.heard(Acknowledge) for name in message.attempts]  # type: ignore[attr-defined]

    def hush(self) -> list[Effect]:
        """What was wished for since the last time, without announcements, lease renewals and server lists; and forget it."""
        said, self.said = self.said, []
        return [
            effect
            for effect in said
            if not isinstance(effect, Announce | ListServers | Reply)
            and not (isinstance(effect, Send) and isinstance(effect.message, Renew))
        ]
