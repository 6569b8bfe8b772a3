"""Faults that were planned for a time: what each does to the world, and how it ends.

Rules:
- An incident is open until everything that it broke is whole again; all is calm only when none is open.
- A boss that may not start (its database is older than what has happened) is looked after by a person, who makes it safe.
"""

from typing import TYPE_CHECKING

from simulator.hostile.boss import Boss, BossDied
from simulator.hostile.plan import Incident
from worker import events as ev

if TYPE_CHECKING:
    from simulator.hostile.workers import Process
    from simulator.hostile.world import World

HOUR = 3600.0


class Incidents:
    """All that are under way. ``open`` counts them."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.open = 0
        self._deaths = 0
        self._repairing = False
        self._kinds = {
            "boss killed": self._boss_killed,
            "boss stopped": self._boss_stopped,
            "boss replaced": self._boss_replaced,
            "boss away": self._boss_away,
            "broker down": self._broker_down,
            "datastore down": self._datastore_down,
            "datastore full": self._datastore_full,
            "database down": self._database_down,
            "worker killed": self._worker_killed,
            "worker frozen": self._worker_frozen,
            "worker cut off": self._worker_cut_off,
            "worker told to go": self._worker_told_to_go,
            "server lost": self._server_lost,
            "server off": self._server_off,
            "cloud down": self._cloud_down,
            "clock jumps": self._clock_jumps,
            "restored": self._restored,
            "restored unsafely": self._restored_unsafely,
        }

    def begin(self, incident: Incident) -> None:
        """Its time has come."""
        self.world.tell(f"incident: {incident.kind} ({incident.seconds:.1f} s, {incident.number:.2f})")
        self._kinds[incident.kind](incident)

    def _for(self, seconds: float) -> None:
        """Open for so long."""
        self.open += 1
        self.world.clock.after(seconds, self._over)

    def _over(self) -> None:
        self.open -= 1

    # ---- the boss --------------------------------------------------------------------------------------------------

    def _kill(self, seconds: float) -> None:
        """Kill the boss (in the middle of whatever it waits for); another starts so many seconds later."""
        if self.world.boss is None:
            return
        self.open += 1
        self._deaths += 1
        self.world.tell("the boss is killed")
        self.world.bury_boss(seconds)
        raise BossDied

    def boss_lives(self) -> None:
        """Another boss has started."""
        self.open -= self._deaths
        self._deaths = 0

    def _boss_killed(self, incident: Incident) -> None:
        self._kill(incident.seconds / 5)

    def _boss_away(self, incident: Incident) -> None:
        self._kill(incident.number * 10 * HOUR)

    def _boss_stopped(self, incident: Incident) -> None:
        seconds = incident.number * HOUR if incident.seconds > 20 else incident.seconds
        self._for(seconds + 1.0)
        if self.world.boss is not None:
            self.world.boss.stop(seconds)

    def _boss_replaced(self, incident: Incident) -> None:
        """The first is stopped; a second one starts; the first goes on."""
        world, first = self.world, self.world.boss
        self._for(incident.seconds * 2 + 2.0)
        if first is None or first.is_stopped:
            return
        first.stop(10**9)
        world.boss = None
        world.order_boss(incident.seconds / 2)
        world.clock.after(incident.seconds, self._goes_on, first)

    def _goes_on(self, first: Boss) -> None:
        if self.world.boss is None:
            self.world.clock.after(1.0, self._goes_on, first)  # the second one is not there yet
        else:
            self.world.turn_replaced(first)

    def outdated(self) -> None:
        """A boss was told that it knows less than has happened: it notes that, and none starts there until somebody has looked."""
        self.world.boss_wanted = False
        self._look_after(20.0)

    # ---- what it stands on -----------------------------------------------------------------------------------------

    def _broker_down(self, incident: Incident) -> None:
        self._for(incident.seconds + 1.0)
        if self.world.broker.up:
            self.world.broker.crash()
            self.world.clock.after(incident.seconds, self.world.broker.back)

    def _datastore_down(self, incident: Incident) -> None:
        self._for(incident.seconds + 1.0)
        self.world.gate.crash(incident.seconds)

    def _datastore_full(self, incident: Incident) -> None:
        self._for(incident.seconds + 1.0)
        self.world.gate.full = True
        self.world.clock.after(incident.seconds, self._room)

    def _room(self) -> None:
        self.world.gate.full = False

    def _database_down(self, incident: Incident) -> None:
        self._for(incident.seconds + 1.0)
        self.world.disk.down = True
        self.world.clock.after(incident.seconds, self._database_up)

    def _database_up(self) -> None:
        self.world.disk.down = False

    def _clock_jumps(self, incident: Incident) -> None:
        self.world.clock.offset += (incident.number * 2 - 1) * HOUR

    def _restored(self, incident: Incident) -> None:
        """A back-up is made now; later the boss is stopped, the back-up is put back and made safe."""
        self._for(incident.seconds + 4.0)
        self.world.disk.save()
        self.world.clock.after(incident.seconds, self._put_back, True)

    def _restored_unsafely(self, incident: Incident) -> None:
        """The same by other means, without a word to ecloud; the state folder is as old as the database."""
        self._for(incident.seconds + 4.0)
        self.world.disk.save()
        self.world.clock.after(incident.seconds, self._put_back, False)

    def _put_back(self, safely: bool) -> None:
        world = self.world
        if not world.disk.restore():
            return
        # a database that is as many lives old as the newest one cannot be told from it: then somebody has to know
        safely = safely or int(world.disk.tables.context.get("epoch", "0")) >= world.gate.epoch
        world.tell("the database is put back as it was" + (" and made safe" if safely else ""))
        world.witness("restored", safely)
        if safely:
            world.disk.adopt(world.clock.wall())
        else:
            self._look_after(25.0)
        self._kill(1.0)

    def _look_after(self, seconds: float) -> None:
        """A person finds out that the boss must not go on as it is, and makes the database safe."""
        if not self._repairing:
            self._repairing = True
            self._for(seconds + 4.0)
            self.world.clock.after(seconds, self._adopt)

    def _adopt(self) -> None:
        world = self.world
        self._repairing = False
        world.tell("somebody makes the database safe")
        world.disk.adopt(world.clock.wall())
        world.witness("restored", True)
        world.boss_wanted = True
        if world.boss is None:
            world.order_boss(1.0)
        else:
            self._kill(1.0)

    # ---- workers and servers ---------------------------------------------------------------------------------------

    def _one(self, incident: Incident) -> "Process | None":
        processes = self.world.processes()
        return processes[int(incident.number * len(processes))] if processes else None

    def _worker_killed(self, incident: Incident) -> None:
        process = self._one(incident)
        if process is not None:
            self.world.tell(f"worker {process.name} is killed")
            process.die()

    def _worker_frozen(self, incident: Incident) -> None:
        process = self._one(incident)
        self._for(incident.seconds + 0.5)
        if process is not None and not process.frozen:
            self.world.tell(f"worker {process.name} is stopped")
            process.freeze()
            self.world.clock.after(incident.seconds, process.thaw)

    def _worker_cut_off(self, incident: Incident) -> None:
        process = self._one(incident)
        self._for(incident.seconds + 1.0)
        if process is None:
            return
        broker, ways = self.world.broker, int(incident.number * 300) % 3
        self.world.tell(f"worker {process.name} {('is cut off', 'hears nothing', 'is not heard')[ways]}")
        if ways in (0, 1):
            broker.deaf.add(process.name)
        if ways in (0, 2):
            broker.mute.add(process.name)
        if ways == 0:
            broker.drop(process)
        self.world.clock.after(incident.seconds, self._heal, process.name)

    def _heal(self, name: str) -> None:
        self.world.broker.deaf.discard(name)
        self.world.broker.mute.discard(name)

    def _worker_told_to_go(self, incident: Incident) -> None:
        process = self._one(incident)
        if process is not None:
            self.world.tell(f"worker {process.name} is told to go by its machine")
            process.tell(ev.DrainAsked("drained by SIGTERM"))

    def _server_lost(self, incident: Incident) -> None:
        machines = list(self.world.machines())
        if machines:
            machine = machines[int(incident.number * len(machines))]
            self.world.tell(f"server {machine.id} is lost")
            machine.gone()

    def _server_off(self, incident: Incident) -> None:
        machines = list(self.world.machines())
        if machines:
            machine = machines[int(incident.number * len(machines))]
            self.world.tell(f"server {machine.id} shuts down")
            machine.shut_off()

    def _cloud_down(self, incident: Incident) -> None:
        self._for(incident.seconds + 1.0)
        for sky in self.world.skies.values():
            sky.down = True
        self.world.clock.after(incident.seconds, self._clouds_up)

    def _clouds_up(self) -> None:
        for sky in self.world.skies.values():
            sky.down = False
