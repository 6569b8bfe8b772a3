"""The boss of the hostile world: the real loop (``boss.loop``) with ports that fail, and a life that may end between any two effects.

Rules:
- The loop's waiting is where the world goes on: ``drain`` lets virtual time pass. Everything else that the loop does takes no time.
- Death is an exception that nothing in the boss catches; what was in memory is gone, what was committed is not.
- What the loop logs with a traceback is a fault of ours and ends the run, but for what the world itself has raised.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from boss.core.changes import Changes
from boss.core.events import DatastoreSeen, Event, RecordRead, ResultAccepted, ResultRefused
from boss.core.requests import Answer, ContextSet, Request, StopWanted
from boss.inbox import Inbox, LoopClock
from boss.loop import Loop, Outside
from boss.ports import Picture, StoreError
from simulator.hostile.faults import Broken
from simulator.hostile.store import MemoryStore
from worker.protocol import Assign, ToWorker

if TYPE_CHECKING:
    from simulator.hostile.cloud import Sky
    from simulator.hostile.world import World

#: Seconds between two pictures, at least, where nobody is answered.
PICTURE = 5.0


class BossDied(BaseException):
    """SIGKILL: no handler of the boss may catch it."""


class BossReplaced(BaseException):
    """The boss was stopped for good while it waited, and another one lives."""


class Injected(Exception):
    """Raised by the world where the boss must live with an exception."""


class Poison(dict[str, str | None]):
    """Facts that cannot be read to their end: an event that the core has begun to handle when it raises."""

    def items(self) -> Any:
        """One fact, then an exception."""
        yield "poison", "half"
        raise Injected("the core cannot digest this")


class Watchman(logging.Handler):
    """Hears what the loop reports: an exception there is a broken promise, unless the world has raised it."""

    def emit(self, record: logging.LogRecord) -> None:
        """A report of the loop."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, Injected):
            raise Broken("the core never raises", f"{type(error).__name__}: {error}") from error


class Ears(Inbox):
    """The loop's inbox; waiting for it is how time passes."""

    def __init__(self, boss: "Boss") -> None:
        super().__init__()
        self._boss = boss

    def drain(self, wait: float) -> list[Event]:
        """All that has arrived within ``wait`` seconds of virtual time."""
        boss = self._boss
        boss.world.wait(boss, wait)
        events = super().drain(0.0)
        if events and boss.world.chance.fault("handler raises"):
            boss.world.tell("an event comes that the core cannot digest")
            events.insert(int(boss.world.chance.detail(0, len(events) + 0.99)), ContextSet(Poison()))
        return events


class PlainLoop(Loop):
    """The real loop, but for its pictures: nobody looks at most of them, so most are not drawn."""

    fresh = False  #: whether the picture is of the last commit

    def _publish(self, now: float) -> None:
        if now - self._published >= PICTURE:
            super()._publish(now)

    def _commit(self) -> None:
        super()._commit()
        self.fresh = False

    def _show(self, now: float) -> None:
        super()._show(now)
        self.fresh = True


class Boss:
    """One life of the boss."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.alive = True
        self.link = -1  #: the life of the broker that it is connected to
        self.outdated = False
        self.started = False
        self.heard: dict[str, float] = {}  #: when it could last hear each worker, in its own waking time
        self.slept = 0.0
        self.born = world.clock.now
        self.stopped_until = 0.0
        self.store = FailingStore(self)
        self.epoch = self.store.open()
        self.inbox = Ears(self)
        self.gate = GateLink(self)
        clouds = {name: CloudLink(self, sky) for name, sky in world.skies.items()}
        self.loop = PlainLoop(
            Outside(self.store, BrokerLink(self), self.gate, clouds),
            world.policy,
            self.epoch,
            LoopClock(world.clock.wall, world.clock.steady, lambda seconds: world.wait(self, seconds, awake=True)),
            inbox=self.inbox,
        )

    def awake(self) -> float:
        """Seconds that this life has been running, without those in which it was stopped."""
        now = self.world.clock.now
        return now - self.born - self.slept + max(0.0, self.stopped_until - now)

    @property
    def is_stopped(self) -> bool:
        """Whether it is stopped now."""
        return self.world.clock.now < self.stopped_until

    def stop(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        if self.world.clock.now >= self.stopped_until:
            self.stopped_until = self.world.clock.now + seconds
            self.slept += seconds

    def turn(self) -> None:
        """One turn of the loop; the first one loads."""
        if not self.started:
            self.started = True
            self.world.clock.after(0.05, self.world.broker.boss_comes, self)
            self.gate.start()
            self.loop.begin()
        else:
            self.loop.turn()

    def put(self, event: Event) -> None:
        """Something has happened; a dead boss does not hear it."""
        if self.alive:
            self.inbox.put(event)

    def ask(self, request: Callable[[int], Request], done: Callable[[Answer], None]) -> None:
        """Ask at the API; ``done`` is called a moment after the answer, if there is one."""
        if not self.alive:
            return

        def answered(future: "Future[Answer]") -> None:
            self.world.clock.after(0.01, done, future.result())

        self.loop.ask(request).add_done_callback(answered)

    def die_perhaps(self, kind: str = "boss dies") -> None:
        """A moment at which the boss may die."""
        if self.alive and self.world.boss is self and self.world.chance.fault(kind):
            self.world.tell(f"the {kind}")
            raise BossDied


class FailingStore(MemoryStore):
    """The database as a boss sees it."""

    def __init__(self, boss: Boss) -> None:
        super().__init__(boss.world.disk)
        self._boss = boss

    def load(self) -> Picture:
        """Load, or not."""
        if self._boss.world.chance.fault("load fails"):
            raise StoreError("the database cannot be read")
        picture = super().load()
        self._boss.world.witness("loaded", self._boss, picture)
        return picture

    def commit(self, changes: Changes) -> None:
        """Commit, or not, or nobody knows."""
        boss, chance = self._boss, self._boss.world.chance
        boss.die_perhaps("boss dies before commit")
        self._guard()
        if chance.fault("commit fails"):
            boss.world.tell("a commit fails")
            raise StoreError("deadlock")
        boss.world.witness("commits", boss, changes)
        self.apply(changes)
        boss.world.witness("committed", boss, changes)
        if chance.fault("commit unknown"):
            boss.world.tell("the answer to a commit is lost")
            raise StoreError("lost connection during commit")
        boss.die_perhaps("boss dies after commit")


class BrokerLink:
    """``boss.ports.Broker``."""

    def __init__(self, boss: Boss) -> None:
        self._boss = boss

    def start(self, put: object) -> None:
        """The world connects it."""

    def stop(self) -> None:
        """Nothing is left open."""

    def send(self, worker: str, message: ToWorker) -> None:
        """Say something to a worker."""
        boss = self._boss
        boss.die_perhaps()
        if isinstance(message, Assign):
            boss.world.witness("assigned", boss, worker, message)
        boss.world.witness("sent", boss, worker, message)
        boss.world.broker.to_worker(boss, worker, message)
        if boss.world.chance.fault("port raises"):
            raise Injected("a port raises")

    def announce(self, kind: str, facts: Sequence[Mapping[str, object]]) -> None:
        """Tell those who listen."""
        self._boss.world.witness("announced", self._boss, kind, facts)


class CloudLink:
    """``boss.ports.Cloud``: each call leaves after a moment, if the boss lives as long."""

    def __init__(self, boss: Boss, sky: "Sky") -> None:
        self._boss, self._sky, self.provider = boss, sky, sky.provider

    def start(self, put: object) -> None:
        """Nothing to begin."""

    def stop(self) -> None:
        """Nothing is left open."""

    def inventory(self) -> Sequence[Any]:
        """For people."""
        return ()

    def remove(self, thing: object) -> None:
        """For people."""

    def create(self, vms: tuple[str, ...], pool: str, flavor: str) -> None:
        """One create call."""
        boss = self._boss
        boss.die_perhaps()
        boss.world.witness("asked for", boss, vms)
        boss.world.clock.after(0.1, self._sky.create, boss, vms, pool, flavor)

    def delete(self, vm: str, pool: str, server: str) -> None:
        """One deletion."""
        self._boss.die_perhaps()
        self._boss.world.witness("condemned", self._boss, vm, server, self._sky)
        self._boss.world.clock.after(0.1, self._sky.delete, self._boss, vm, pool, server)

    def read_console(self, vm: str, server: str) -> str:
        """For people."""
        return ""

    def console(self, vm: str, pool: str, server: str) -> None:
        """The end of a console."""
        self._boss.die_perhaps()
        self._boss.world.clock.after(0.1, self._sky.console, self._boss, vm)

    def list(self, asked: float) -> None:
        """One list."""
        self._boss.die_perhaps()
        self._boss.world.clock.after(0.1, self._sky.list, self._boss, asked)


class GateLink:
    """``boss.ports.Results``: wishes wait in one ordered table until the datastore has answered, as in ``boss.adapters.results``."""

    def __init__(self, boss: Boss) -> None:
        self._boss = boss
        self._wishes: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._ringing = False
        self._seen = True

    def shut_out(self, tokens: object) -> None:
        """People do not use this datastore."""

    def start(self, put: object = None) -> None:
        """Look at the datastore for the first time: it knows the lives before this one."""
        self._boss.world.clock.after(0.03, self._enter)

    def stop(self) -> None:
        """Nothing is left open."""

    def grant(self, worker: str, attempt: str, job: str, task: str, inputs: Sequence[Sequence[object]]) -> str:
        """A proof."""
        return "granted"

    def accept(self, attempt: str, job: str, files: Sequence[tuple[str, int, str]], keep: bool = False) -> None:
        """Accept an upload."""
        self._boss.die_perhaps()
        self._boss.world.witness("accept asked", self._boss, attempt)
        self._wish(("accept", attempt), (attempt, job, tuple(files), keep))

    def reject(self, attempt: str) -> None:
        """Reject one."""
        self._boss.die_perhaps()
        self._wish(("reject", attempt), (attempt,))

    def read_record(self, attempt: str) -> None:
        """Look for one."""
        self._boss.die_perhaps()
        self._wish(("record", attempt), (attempt,))

    def _enter(self) -> None:
        gate = self._boss.world.gate
        if not self._boss.alive:
            return
        if not gate.up:
            self._note(False)
            self._boss.world.clock.after(0.5, self._enter)
        elif not gate.enter(self._boss):
            self._end()

    def _end(self) -> None:
        """The datastore has seen a later life: nothing is done there any more."""
        if not self._boss.outdated:
            self._boss.outdated = True
            self._wishes.clear()
            self._boss.put(StopWanted())
            if self._boss is self._boss.world.boss:
                self._boss.world.incidents.outdated()

    def _wish(self, wish: tuple[str, str], how: tuple[Any, ...]) -> None:
        if self._boss.outdated:
            return
        self._wishes[wish] = how
        if not self._ringing:
            self._ringing = True
            chance = self._boss.world.chance
            late = chance.detail(0.5, 4.0) if chance.fault("gate slow") else 0.02
            self._boss.world.clock.after(late, self._work)

    def _work(self) -> None:
        boss, gate = self._boss, self._boss.world.gate
        self._ringing = False
        if not boss.alive:
            return
        if not gate.up:
            self._again()
            return
        if not gate.enter(boss):
            self._end()
            return
        self._note(True)
        for wish, how in list(self._wishes.items()):
            if not self._perform(wish, how):
                self._again()
                return
            del self._wishes[wish]

    def _perform(self, wish: tuple[str, str], how: tuple[Any, ...]) -> bool:
        boss, gate = self._boss, self._boss.world.gate
        kind, attempt = wish
        if kind == "reject":
            gate.reject(attempt)
        elif kind == "record":
            boss.put(RecordRead(attempt, gate.record(attempt)))
        else:
            said = gate.accept(*how)
            if said is None:
                return False
            boss.put(ResultRefused(attempt, said) if said else ResultAccepted(attempt))
        return True

    def _again(self) -> None:
        if not self._boss.world.gate.up:
            self._note(False)
        self._ringing = True
        self._boss.world.clock.after(0.5, self._work)

    def _note(self, up: bool) -> None:
        if up != self._seen:
            self._seen = up
            self._boss.put(DatastoreSeen(up, "" if up else "no connection"))
