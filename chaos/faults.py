"""What is done to a cluster: which fault comes when is drawn from a seed, each ends by itself, and how long it took to come back is seen.

- *kill*: SIGKILL of one process of a part. *stop*: SIGSTOP, and SIGCONT after a while, some of them longer than every lease.
- *refuse*: the broker or sshd is killed and cannot be started for a while: connections are refused.
- *hold*: the database takes no changes for a while.
- *cut*, *deaf*, *slow* (with a network): two hosts hear nothing of each other; one hears nothing of the other; packets are late and lost.

A fault has been survived when its part is there again and a result was accepted afterwards; until then it is open.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from boss.adapters.processes import Identity
from chaos import processes
from chaos.cluster import Cluster

#: Seconds between two faults.
PAUSE = (1.0, 5.0)
#: How long something is stopped, refused, held or cut off; and, one time in ten, much longer: leases of 10 and 30 s end.
SHORT, LONG = (0.5, 8.0), (12.0, 40.0)
_LONG_ONES = 0.1


@dataclass
class Fault:
    """One of them; times are of the monotonic clock."""

    kind: str
    part: str
    began: float
    until: float
    lift: Callable[[], None]
    busy: str  #: what must not be hit again meanwhile
    lifted: float = 0.0
    there: float = 0.0
    mark: int = 0

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.kind} {self.part}"


@dataclass
class Record:
    """How often each kind was done and survived, and the longest times until something was accepted again."""

    done: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    longest: dict[str, float] = field(default_factory=dict)


class Injector:
    """Faults for one cluster: ``turn`` begins and ends them, ``calm`` begins no more."""

    def __init__(self, cluster: Cluster, chance: random.Random, say: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._chance = chance
        self._say = say
        self._next = 0.0
        self._open: list[Fault] = []
        self.record = Record()

    def turn(self, now: float, calm: bool = False) -> None:
        """What is due now."""
        for fault in self._open:
            self._follow(fault, now)
        self._open = [fault for fault in self._open if not self._is_over(fault, now)]
        if not calm and now >= self._next:
            self._next = now + self._chance.uniform(*PAUSE)
            self._begin(now)

    def calm(self) -> None:
        """Lift everything at once."""
        for fault in self._open:
            if not fault.lifted:
                fault.lift()
                fault.lifted = time.monotonic()

    def _begin(self, now: float) -> None:
        kind, part = self._chance.choice(self._menu())
        length = self._chance.uniform(*(LONG if self._chance.random() < _LONG_ONES else SHORT))
        pick = self._chance.random()
        busy = part if kind != "stop" or part not in ("worker", "session") else f"{part} {pick}"
        if any(fault.busy == busy for fault in self._open if not fault.lifted):
            return
        lift = self._do(kind, part, pick, length)
        if lift is None:
            return
        if kind == "kill":
            length = 0.0
        self.record.done[f"{kind} {part}"] += 1
        self._open.append(Fault(kind, part, now, now + length, lift, busy))
        self._say(f"{kind} {part}" + (f" for {length:.1f} s" if length else ""))

    def _menu(self) -> list[tuple[str, str]]:
        parts = list(self._cluster.parts())
        menu = [("kill", part) for part in parts] * 3 + [("stop", part) for part in parts] * 2
        menu += [("refuse", "mosquitto"), ("refuse", "sshd"), ("hold", "database")]
        if self._cluster.network is not None:
            menu += [(kind, link) for kind in ("cut", "deaf", "slow") for link in self._cluster.network.links()]
        return menu

    def _do(self, kind: str, part: str, pick: float, length: float) -> Callable[[], None] | None:
        """Do it; how it is ended, or None when there was nobody to do it to."""
        cluster = self._cluster
        if kind in ("cut", "deaf", "slow"):
            assert cluster.network is not None
            return cluster.network.disturb(kind, part, pick)
        if kind == "hold":
            return self._release if cluster.database.hold(True) else None
        there = cluster.parts()[part]()
        if not there:
            return None
        victim = there[int(pick * len(there))]
        if kind == "refuse":
            cluster.refuse(part, True)
            processes.send(victim, signal.SIGKILL)
            return lambda: cluster.refuse(part, False)
        cluster.hitting(part)
        return self._signal(victim, kind)

    def _signal(self, victim: Identity, kind: str) -> Callable[[], None] | None:
        if not processes.send(victim, signal.SIGKILL if kind == "kill" else signal.SIGSTOP):
            return None
        return lambda: _continue(victim) if kind == "stop" else None

    def _release(self) -> None:
        """Let the database be written to again; a server that is away now forgets its read_only by itself."""
        self._cluster.database.hold(False)

    def _follow(self, fault: Fault, now: float) -> None:
        if not fault.lifted:
            if now >= fault.until:
                fault.lift()
                fault.lifted = now
        elif not fault.there and (fault.part not in self._cluster.parts() or self._cluster.is_back(fault.part)):
            fault.there, fault.mark = now, self._cluster.progress()

    def _is_over(self, fault: Fault, now: float) -> bool:
        if not fault.there or self._cluster.progress() == fault.mark:
            return False
        self.record.survived[fault.name] += 1
        took = now - fault.lifted
        self.record.longest[fault.name] = max(took, self.record.longest.get(fault.name, 0.0))
        return True

    def close(self, finished: bool) -> None:
        """At the job's end nothing more can be accepted: what was open then was survived if the job has finished."""
        for fault in self._open:
            if finished:
                self.record.survived[fault.name] += 1
        self._open = []


def _continue(victim: Identity) -> None:
    """Continue what was stopped; it may have been killed meanwhile."""
    processes.send(victim, signal.SIGCONT)
