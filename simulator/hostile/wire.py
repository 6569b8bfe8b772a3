"""The broker between boss and workers: what is said is lost, doubled, late, and gone when the broker is.

Rules:
- A message reaches whoever is connected when it arrives; for everybody else it is lost, as for clients without a session.
- A link that is cut is noticed on both sides after a moment; one that is cut in one direction only is not noticed at all.
- Now and then messages take the way through real bytes (``worker.protocol``), so that what cannot be written down is noticed.
"""

from typing import TYPE_CHECKING

from boss.core.events import BrokerConnected, BrokerDisconnected, WorkerSaid, WorkerStatusSeen
from worker import events as ev
from worker import protocol
from worker.protocol import Message, ToBoss, ToWorker

if TYPE_CHECKING:
    from simulator.hostile.boss import Boss
    from simulator.hostile.workers import Process
    from simulator.hostile.world import World

#: Seconds that a message takes.
HOP = 0.01


class Broker:
    """Mosquitto, as far as anybody can tell. ``mute`` and ``deaf`` name workers that are not heard, or hear nothing, for now."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.up = True
        self.life = 0
        self.linked: dict[str, Process] = {}
        self.mute: set[str] = set()
        self.deaf: set[str] = set()

    # ---- links -----------------------------------------------------------------------------------------------------

    def boss_comes(self, boss: "Boss") -> None:
        """A boss has connected."""
        if self.up and boss.alive:
            boss.link = self.life
            boss.put(BrokerConnected())
            for name in self.linked:
                boss.put(WorkerStatusSeen(name, True))

    def joins(self, process: "Process") -> None:
        """A worker connects, and keeps trying while the broker is down."""
        if not process.alive:
            return
        if not self.up or process.name in self.deaf or process.name in self.mute:
            self.world.clock.after(1.0, self.joins, process)
            return
        self.linked[process.name] = process
        process.connected = True
        process.tell(ev.Connected())
        self._status(process.name, True)

    def leaves(self, process: "Process", will: bool = True) -> None:
        """A worker's link is gone; its last will is published."""
        if self.linked.get(process.name) is process:
            del self.linked[process.name]
            process.connected = False
            if will:
                self._status(process.name, False)

    def drop(self, process: "Process") -> None:
        """Cut a link; the worker notices and connects again."""
        self.leaves(process)
        process.tell(ev.Disconnected())
        self.world.clock.after(0.5, self.joins, process)

    def crash(self) -> None:
        """Everything under way is gone, and everybody notices after a moment."""
        self.up, self.life = False, self.life + 1
        processes, self.linked = list(self.linked.values()), {}
        for process in processes:
            process.connected = False
            self.world.clock.after(0.2, self._noticed, process)
        boss = self.world.boss
        if boss is not None:
            boss.link = -1
            boss.put(BrokerDisconnected("the broker is down"))

    def back(self) -> None:
        """It takes connections again."""
        self.up = True
        if self.world.boss is not None:
            self.world.clock.after(0.1, self.boss_comes, self.world.boss)

    def _noticed(self, process: "Process") -> None:
        process.tell(ev.Disconnected())
        self.world.clock.after(0.5, self.joins, process)

    def _status(self, name: str, online: bool) -> None:
        late = self.world.chance.detail(0.0, 5.0) if self.world.chance.fault("late") else HOP
        self.world.clock.after(late, self._seen, name, online)

    def _seen(self, name: str, online: bool) -> None:
        boss = self.world.boss
        if boss is not None and boss.link == self.life and self.up:
            boss.put(WorkerStatusSeen(name, online))

    # ---- messages --------------------------------------------------------------------------------------------------

    def to_worker(self, boss: "Boss", worker: str, message: ToWorker) -> None:
        """The boss says something."""
        if self.up and boss.link == self.life:
            self._send(self._reach_worker, worker, message)

    def to_boss(self, worker: str, message: ToBoss) -> None:
        """A worker says something."""
        if self.up and worker in self.linked:
            self._send(self._reach_boss, worker, message)

    def _send(self, reach: "object", worker: str, message: Message) -> None:
        world = self.world
        chance, clock = world.chance, world.clock
        if world.plan.bytes:
            for payload in protocol.encode(message):
                self._spread(reach, worker, protocol.decode(payload))
            return
        if chance.calm:
            clock.after(HOP, reach, self.life, worker, message)  # type: ignore[arg-type]
            return
        self._spread(reach, worker, message)

    def _spread(self, reach: "object", worker: str, message: Message) -> None:
        chance, clock = self.world.chance, self.world.clock
        if chance.fault("lost"):
            return
        late = HOP + chance.detail(0.1, 6.0) if chance.fault("late") else HOP
        clock.after(late, reach, self.life, worker, message)  # type: ignore[arg-type]
        if chance.fault("doubled"):
            clock.after(late + chance.detail(0.0, 3.0), reach, self.life, worker, message)  # type: ignore[arg-type]
        if chance.fault("ancient"):
            clock.after(chance.detail(10.0, 60.0), reach, -1, worker, message)  # type: ignore[arg-type]

    def _reach_worker(self, life: int, worker: str, message: ToWorker) -> None:
        if life not in (self.life, -1) or worker in self.deaf:
            return
        process = self.linked.get(worker)
        if process is not None:
            process.hear(message)

    def _reach_boss(self, life: int, worker: str, message: ToBoss) -> None:
        boss = self.world.boss
        if life not in (self.life, -1) or worker in self.mute or boss is None or boss.link != self.life:
            return
        if boss.is_stopped:  # its link takes nothing either: what comes meanwhile waits at the broker
            self.world.clock.after(boss.stopped_until - self.world.clock.now + 0.05, self._reach_boss, life, worker, message)
            return
        boss.heard[worker] = boss.awake()
        boss.put(WorkerSaid(worker, message))
