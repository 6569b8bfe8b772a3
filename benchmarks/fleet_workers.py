"""Many workers in one process: the worker's own core and link, attempts simulated. ``python -m benchmarks.fleet_workers SOCKET``.

Rules:
- What speaks to broker and boss is ``worker.core`` and ``worker.link``, as on a VM. An attempt is a time: ``sleep N`` ends after N seconds,
  anything else at once. There is no folder, no process, no spool on disk.
- A turn of a worker costs something only when something has happened to it: a socket, an end, a deadline.
- Orders come over a socket (``start``, ``stop``, ``list``, ``go``, ``tell``), one JSON object a line, each is answered. No worker connects
  before ``go``.
"""

import gc
import heapq
import json
import logging
import os
import random
import selectors
import socket
import sys
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker import events as ev
from worker import link
from worker import protocol as wire
from worker.config import load
from worker.core import Core, Identity
from worker.link import Link
from worker.protocol import Assignment, Result

#: Connections that are made at the same time, in one process.
DIALS = 16
#: Seconds between two looks at the keep-alive of each connection, which is 10 s; a worker with a machine of its own looks each second.
UPKEEP = 4.0


class _Marked:
    """A selector that tells whose socket is ready."""

    def __init__(self, selector: selectors.BaseSelector, member: "Member") -> None:
        self._selector, self._member = selector, member

    def register(self, link: Any, events: int, data: Any) -> None:
        self._selector.register(link, events, (self._member, data))

    def modify(self, link: Any, events: int, data: Any) -> None:
        self._selector.modify(link, events, (self._member, data))

    def unregister(self, link: Any) -> None:
        self._selector.unregister(link)


class _PatientLink(Link):
    """The worker's link, of which only so many connect at once here: each of them would have a machine of its own."""

    room = threading.BoundedSemaphore(DIALS)

    def _dial(self) -> None:
        with self.room:
            super()._dial()


@dataclass(slots=True)
class Journal:
    """What has happened in this process so far. ``started`` counts the starts of each attempt, in seconds of work ``worked``."""

    started: Counter[str] = field(default_factory=Counter)
    ended: int = 0
    worked: float = 0.0
    connected: set[str] = field(default_factory=set)
    first: float = 0.0
    last: float = 0.0


class Member:
    """One worker."""

    def __init__(self, crowd: "Crowd", folder: str) -> None:
        config = load(os.path.join(folder, "worker.json"))
        now = time.monotonic()
        self.name = config.worker
        self.due = now
        self.over = False
        self._crowd = crowd
        self._core = Core(
            Identity(os.urandom(6).hex(), os.getpid(), "fleet"),
            config.resources,
            config.heartbeat,
            config.lease,
            now - random.uniform(0, config.heartbeat),
        )
        selector: Any = _Marked(crowd.selector, self)
        self._link = _PatientLink(config.broker, config.cluster, config.worker, selector, lambda: crowd.wake(self))
        self._running: list[tuple[float, str, float]] = []
        self._killed: dict[str, str] = {}

    def turn(self, now: float) -> None:
        """All that is due; when to come back is in ``due``."""
        while self._running and self._running[0][0] <= now:
            _, attempt, started = heapq.heappop(self._running)
            self._end(attempt, started, now)
        for event in self._link.service(now):
            if isinstance(event, ev.Connected):
                self._crowd.journal.connected.add(self.name)
            elif isinstance(event, ev.Disconnected):
                self._crowd.journal.connected.discard(self.name)
            self._tell(event, now)
        self._tell(ev.Turned(), now)
        self._link.flush()
        ends = self._running[0][0] if self._running else float("inf")
        self.due = min(self._core.deadline(), self._link.deadline(), ends)

    def leave(self) -> None:
        """Close the connection."""
        self.over = True
        self._crowd.journal.connected.discard(self.name)
        self._link.leave(0.0)

    def _tell(self, event: ev.Event, now: float) -> None:
        for effect in self._core.handle(event, now):
            if isinstance(effect, ev.Send):
                message = effect.message
                if isinstance(message, wire.Heartbeat):
                    message = message._replace(free_disk=10 << 30, load=0.5)
                self._link.send(message)
            elif isinstance(effect, ev.Start):
                self._start(effect.assignment, now)
            elif isinstance(effect, ev.Kill):
                self._killed[effect.attempt] = effect.reason
                self._running = [(now if each[1] == effect.attempt else each[0], *each[1:]) for each in self._running]
                heapq.heapify(self._running)
            elif isinstance(effect, ev.Fetch):
                self._tell(ev.Fetched(effect.assignment.attempt), now)
            elif isinstance(effect, ev.Exit):
                self.leave()

    def _start(self, assignment: Assignment, now: float) -> None:
        journal = self._crowd.journal
        journal.started[assignment.attempt] += 1
        journal.first = journal.first or time.time()
        words = assignment.commands[0].split()
        seconds = float(words[1]) if words[0] == "sleep" else 0.0
        heapq.heappush(self._running, (now + seconds, assignment.attempt, time.time()))
        self._tell(ev.Began(assignment.attempt, time.time()), now)

    def _end(self, attempt: str, started: float, now: float) -> None:
        journal, ended = self._crowd.journal, time.time()
        journal.ended += 1
        journal.worked += ended - started
        journal.last = ended
        reason = self._killed.pop(attempt, "")
        usage = {"cpu": 0.001, "memory": 1 << 20}
        result = (
            Result(attempt, "failed", "run", signal=15, reason=reason, started=started, finished=ended, usage=usage)
            if reason
            else Result(attempt, "succeeded", exit_code=0, started=started, finished=ended, usage=usage)
        )
        self._tell(ev.Ended(attempt, result), now)


class Crowd:
    """All workers of this process, and its loop."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.journal = Journal()
        self._members: dict[str, Member] = {}
        self._waiting: list[Member] = []
        self._going = False
        self._due: list[tuple[float, int, Member]] = []
        self._count = 0
        self._ready: deque[Member] = deque()
        self._bell, self._ring = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ring, False)
        self.selector.register(self._bell, selectors.EVENT_READ, None)

    def wake(self, member: Member) -> None:
        """Something has happened to a member; from any thread."""
        self._ready.append(member)
        try:
            os.write(self._ring, b"\0")
        except BlockingIOError:
            return  # it rings already

    def run(self, path: str) -> None:
        """Serve until the socket's file is gone and nobody is connected to it any more."""
        door = socket.socket(socket.AF_UNIX)
        door.bind(path)
        door.listen()
        self.selector.register(door, selectors.EVENT_READ, door)
        while os.path.exists(path):
            self._wait(min(1.0, self._due[0][0] - time.monotonic() if self._due else 1.0))
            now = time.monotonic()
            touched: dict[int, Member] = {}
            while self._ready:
                member = self._ready.popleft()
                touched[id(member)] = member
            while self._due and self._due[0][0] <= now:
                due, _, member = heapq.heappop(self._due)
                if due == member.due:
                    touched[id(member)] = member
            for member in touched.values():
                if not member.over:
                    member.turn(now)
                    self._plan(member)

    def _plan(self, member: Member) -> None:
        if member.over:
            self._members.pop(member.name, None)
        elif member.due < float("inf"):
            self._count += 1
            heapq.heappush(self._due, (member.due, self._count, member))

    def _wait(self, timeout: float) -> None:
        for key, mask in self.selector.select(max(0.0, timeout)):
            if key.data is None:
                while len(os.read(self._bell, 65536)) == 65536:
                    pass
            elif isinstance(key.data, tuple):
                member, on_ready = key.data
                on_ready(mask)
                self._ready.append(member)
            else:
                self._serve(key.data)

    def _serve(self, link: socket.socket) -> None:
        if link.family == socket.AF_UNIX and link.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            other, _ = link.accept()
            self.selector.register(other, selectors.EVENT_READ, other)
            return
        data = link.recv(1 << 16)
        while data and not data.endswith(b"\n"):
            data += link.recv(1 << 16)
        if not data:
            self.selector.unregister(link)
            link.close()
            return
        for line in data.splitlines():
            link.sendall(json.dumps(self._obey(json.loads(line))).encode() + b"\n")

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        what, name = order["do"], order.get("worker", "")
        if what == "start" and name not in self._members:
            member = self._members[name] = Member(self, order["folder"])
            if self._going:
                self._ready.append(member)
            else:
                self._waiting.append(member)
        elif what == "stop" and name in self._members:
            self._members.pop(name).leave()
        elif what == "list":
            return {"workers": list(self._members)}
        elif what == "go":
            gc.freeze()
            self._going = True
            self._ready.extend(self._waiting)
            self._waiting.clear()
        elif what == "tell":
            journal = self.journal
            return {
                "workers": len(self._members),
                "connected": len(journal.connected),
                "started": len(journal.started),
                "repeated": sum(count - 1 for count in journal.started.values()),
                "ended": journal.ended,
                "worked": journal.worked,
                "first": journal.first,
                "last": journal.last,
            }
        elif what == "forget":
            self.journal = Journal(connected=self.journal.connected)
        return {}


def main(path: str) -> None:
    """Serve on this socket."""
    logging.basicConfig(level=logging.ERROR, filename=str(Path(path).with_suffix(".log")))
    setattr(link, "_UPKEEP", UPKEEP)  # noqa: B010 (a module's own number)
    Crowd().run(path)


if __name__ == "__main__":
    main(sys.argv[1])
