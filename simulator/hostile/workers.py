"""Workers of the hostile world: the real brain of each, its processes, its spool, and the machine under it.

Rules:
- What a worker wishes is performed in order; it may die between any two wishes. Its spool survives it, its memory does not.
- A frozen worker does nothing and misses nothing: all that has happened meanwhile is told when it goes on.
- A journal of what has really run is kept for the promises: it is the world's, not the core's.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker import core as brain
from worker import events as ev
from worker.protocol import Assignment, Result, ToWorker

if TYPE_CHECKING:
    from simulator.hostile.cloud import Machine
    from simulator.hostile.world import World

_TURNED = ev.Turned()


@dataclass(slots=True)
class Run:
    """One process of a task: what it takes, since when it runs."""

    assignment: Assignment
    needs: dict[str, float]
    began: float
    killed: bool = False


@dataclass(slots=True)
class Process:
    """One worker process on a machine. ``ran`` are all attempts that it ever started, ``acknowledged``, ``cancelled`` and
    ``returned`` what it was told and what it gave back."""

    world: "World"
    machine: "Machine"
    name: str
    session: str
    resources: dict[str, float]
    core: brain.Core
    alive: bool = True
    connected: bool = False
    frozen: bool = False
    running: dict[str, Run] = field(default_factory=dict)
    moving: dict[str, int] = field(default_factory=dict)  #: fetches and deliveries under way, each with its number
    moves: int = 0
    ran: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    returned: set[str] = field(default_factory=set)
    answered: float = 0.0  #: when its boss has answered it last
    epoch: int = 0
    waiting: list[ev.Event] = field(default_factory=list)
    wake: float = float("inf")

    # ---- what happens to it ----------------------------------------------------------------------------------------

    def hear(self, message: ToWorker) -> None:
        """A message of a boss arrives."""
        self.tell(ev.Heard(message))

    def tell(self, event: ev.Event) -> None:
        """Let one thing happen, then let it look around."""
        if not self.alive:
            return
        if self.frozen:
            self.waiting.append(event)
            return
        self._handle(event)
        if self.alive:
            self._handle(_TURNED)
            self._set_alarm()

    def freeze(self) -> None:
        """SIGSTOP."""
        self.frozen = True

    def thaw(self) -> None:
        """SIGCONT: everything at once."""
        self.frozen = False
        waiting, self.waiting = self.waiting, []
        for event in waiting:
            self.tell(event)
        self.tell(_TURNED)

    def die(self) -> None:
        """The process and all that it runs are gone; the machine may start another."""
        if self.alive:
            self._end()
            self.machine.worker_died()

    def _end(self) -> None:
        self.alive = False
        self.world.broker.leaves(self)
        self.running.clear()
        self.moving.clear()

    def _handle(self, event: ev.Event) -> None:
        older = False
        if isinstance(event, ev.Heard):
            older = event.message.epoch < self.epoch
            self.epoch = max(self.epoch, event.message.epoch)
            self.world.witness("heard", self, event.message)
        effects = self.core.handle(event, self.world.clock.now)
        if older and effects:
            self.world.witness("obeyed", self, effects)
        for effect in effects:
            if not self.alive:
                return
            if self.world.chance.fault("worker dies"):
                self.world.tell(f"worker {self.name} dies")
                self.die()
                return
            self._perform(effect)

    def _set_alarm(self) -> None:
        due = self.core.deadline()
        if due < self.wake and due != float("inf"):
            self.wake = due
            self.world.clock.after(max(0.0, due - self.world.clock.now), self._ring, due)

    def _ring(self, due: float) -> None:
        if due != self.wake:
            return
        self.wake = float("inf")
        if self.alive:
            self.tell(_TURNED)

    # ---- what it wishes --------------------------------------------------------------------------------------------

    def _perform(self, effect: ev.Effect) -> None:
        match effect:
            case ev.Send():
                self.world.witness("said", self, effect.message)
                self.world.broker.to_boss(self.name, effect.message)
            case ev.Start():
                self._start(effect.assignment)
            case ev.Kill():
                self._kill(effect.attempt)
            case ev.Fetch():
                self._move(effect.assignment.attempt, self._fetched, effect.assignment)
            case ev.Deliver():
                self._move(effect.assignment.attempt, self._delivered, effect.assignment, effect.result)
            case ev.Deposit():
                self.world.clock.after(self._way(effect.assignment.attempt), self._deposited, effect.assignment, effect.result)
            case ev.Halt():
                self.world.clock.after(0.05, self._halted, effect.attempt, self.moving.get(effect.attempt, 0))
            case ev.Keep():
                self.machine.spool.update({result.attempt: result for result in effect.results})
                self.kept.update(result.attempt for result in effect.results)
            case ev.Forget():
                self.world.witness("forgot", self, effect.attempts)
                for attempt in effect.attempts:
                    self.machine.spool.pop(attempt, None)
            case ev.Exit():
                self.world.witness("exited", self, effect.reason)
                self.world.tell(f"worker {self.name} leaves: {effect.reason}")
                self._end()
                self.machine.worker_left()
            case _:
                raise AssertionError(f"no worker of this world performs {effect}")

    def _start(self, assignment: Assignment) -> None:
        attempt, world = assignment.attempt, self.world
        run = Run(assignment, {"cpus": assignment.needs.get("cpus", 1.0)}, world.clock.now)
        world.witness("started", self, run)
        self.ran.add(attempt)
        if world.chance.fault("start fails"):
            self._handle(ev.Ended(attempt, Result(attempt, "failed", "infrastructure", reason="no process could be made")))
            return
        self.running[attempt] = run
        seconds, outcome = world.plan.outcome(world, assignment)
        world.clock.after(seconds, self._ended, attempt, run, outcome)
        self._handle(ev.Began(attempt, world.clock.wall()))

    def _ended(self, attempt: str, run: Run, outcome: Result) -> None:
        if not self.alive or self.running.get(attempt) is not run:
            return
        if self.frozen:
            self.world.clock.after(0.3, self._ended, attempt, run, outcome)
            return
        del self.running[attempt]
        wall = self.world.clock.wall()
        result = outcome._replace(started=wall - (self.world.clock.now - run.began), finished=wall)
        self.world.witness("ended", self, run, result)
        if run.assignment.init and result.outcome == "succeeded":
            self.machine.prepared.add(attempt.rpartition(".")[0])
        self.tell(ev.Ended(attempt, result))

    def _kill(self, attempt: str) -> None:
        run = self.running.get(attempt)
        if run is not None and not run.killed:
            run.killed = True
            outcome = Result(attempt, "failed", "run", None, 9, "killed")
            self.world.clock.after(0.1, self._ended, attempt, run, outcome)

    # ---- transfers -------------------------------------------------------------------------------------------------

    def _move(self, attempt: str, done: "object", *what: object) -> None:
        self.moves += 1
        self.moving[attempt] = self.moves
        self.world.clock.after(self._way(attempt), done, self.moves, *what)  # type: ignore[arg-type]

    def _way(self, attempt: str) -> float:
        """Seconds that a transfer takes."""
        return 0.05 + 0.4 * self.world.chance.of(f"move {attempt}")

    def _is_over(self, attempt: str, move: int, done: "object", *what: object) -> bool:
        """Whether this transfer goes on no more; a frozen one goes on later."""
        if not self.alive or self.moving.get(attempt) != move:
            return True
        if self.frozen:
            self.world.clock.after(0.3, done, move, *what)  # type: ignore[arg-type]
            return True
        return False

    def _halted(self, attempt: str, move: int) -> None:
        if self.alive and move and self.moving.get(attempt) == move:
            del self.moving[attempt]
            phase = "upload" if attempt in self.ran else "fetch"
            self.tell(ev.StageFailed(attempt, phase, "broken off", final=False))

    def _fetched(self, move: int, assignment: Assignment) -> None:
        attempt, world = assignment.attempt, self.world
        if self._is_over(attempt, move, self._fetched, assignment):
            return
        del self.moving[attempt]
        if not world.gate.up:
            self.tell(ev.StageFailed(attempt, "fetch", "no connection", final=False))
        elif world.chance.fault("fetch fails"):
            self.tell(ev.StageFailed(attempt, "fetch", "it was not to be had", final=world.chance.detail(0, 1) < 0.4))
        elif lacking := world.gate.lacks(assignment):
            world.witness("lacked", self, assignment, lacking)
            self.tell(ev.StageFailed(attempt, "fetch", f"there is no {lacking[0]}", final=True))
        else:
            self.tell(ev.Fetched(attempt))

    def _delivered(self, move: int, assignment: Assignment, result: Result) -> None:
        attempt = assignment.attempt
        if self._is_over(attempt, move, self._delivered, assignment, result):
            return
        del self.moving[attempt]
        delivered = self._upload(assignment, result)
        if delivered is not None:
            if self.world.plan.is_long(assignment):
                delivered = delivered._replace(files=None)
            self.tell(ev.Delivered(attempt, delivered))

    def _deposited(self, assignment: Assignment, result: Result) -> None:
        if not self.alive:
            return
        if self.frozen:
            self.world.clock.after(0.3, self._deposited, assignment, result)
        elif (delivered := self._upload(assignment, result)) is not None:
            self.tell(ev.Delivered(assignment.attempt, delivered))

    def _upload(self, assignment: Assignment, result: Result) -> Result | None:
        """Send it to the datastore; None when the worker was told that this has failed."""
        attempt, world = assignment.attempt, self.world
        if world.gate.full:
            self.tell(ev.StageFailed(attempt, "upload", "no space left on device", final=False, full=True))
        elif not world.gate.up or world.chance.fault("upload fails"):
            self.tell(ev.StageFailed(attempt, "upload", "connection lost", final=False))
        else:
            delivered = world.gate.receive(assignment, result)
            if world.chance.fault("upload unanswered"):
                self.tell(ev.StageFailed(attempt, "upload", "connection lost at the end", final=False))
            else:
                return delivered
        return None
