"""The worker's shell: one thread waits, tells the core what has happened, and performs what it wishes.

    wait for: the broker's socket, a child's end, a stage thread, a signal, the earliest deadline
    then:     each event -> core -> effects, at last ``Turned`` -> effects; everything said is written once

Rules:
- Nothing here decides; nothing here blocks (what may take long is a stage thread's).
- A wake is a byte in a pipe, written by the interpreter at a signal and by other threads when they have something.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import logging
import os
import selectors
import signal
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, NamedTuple, Optional, Type

from worker import events as ev
from worker import protocol as wire
from worker.core import Core
from worker.credentials import Credentials
from worker.execute import Executor
from worker.folders import Folders
from worker.follow import Follower
from worker.link import Link
from worker.pulse import Pulse
from worker.spool import Spool
from worker.staging import Staging

_LOG = logging.getLogger("worker")
#: How long the last words may take to reach the broker, in seconds.
LAST_WORDS = 2.0


class Waker:
    """Ends the wait of the main loop, from signal handlers and other threads."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        selector.register(self._reader, selectors.EVENT_READ, self._on_ready)
        self._asked: Deque[int] = deque()

    def watch_signals(self) -> None:
        """From now on SIGCHLD, SIGTERM and SIGINT end the wait. To be called by the main thread."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _frame: self._asked.append(number))

    def wake(self) -> None:
        """End the wait."""
        try:
            os.write(self._writer, b"\0")
        except BlockingIOError:
            return  # so many wakes are waiting already that one more says nothing new

    def next_signal(self) -> int:
        """A SIGTERM or SIGINT that has arrived and was not told yet; 0 when there is none."""
        return self._asked.popleft() if self._asked else 0

    def _on_ready(self, _mask: int) -> None:
        try:
            while len(os.read(self._reader, 4096)) == 4096:
                pass
        except BlockingIOError:
            return  # it held exactly so many


class Parts(NamedTuple):
    """All that the loop drives."""

    core: Core
    executor: Executor
    folders: Folders
    staging: Staging
    spool: Spool
    link: Link
    follower: Follower
    selector: selectors.BaseSelector
    waker: Waker
    credentials: Optional[Credentials] = None
    pulse: Optional[Pulse] = None


class Loop:
    """Runs a worker until it is to leave."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._exit: Optional[ev.Exit] = None
        self._signals = 0
        self._at_once = False

    def run(self) -> int:
        """Turn after turn; the process's exit code. No attempt's process is left, however this ends."""
        parts = self._parts
        try:
            while self._exit is None:
                self._wait()
                self._turn(time.monotonic())
            parts.link.leave(LAST_WORDS)
            _LOG.info("leaving: %s", self._exit.reason)
            return self._exit.code
        finally:
            parts.executor.kill_all()
            parts.staging.close()
            parts.spool.close()

    def _wait(self) -> None:
        parts = self._parts
        deadline = min(parts.core.deadline(), parts.executor.deadline(), parts.link.deadline(), parts.follower.deadline())
        timeout = 0.0 if self._at_once else max(0.0, deadline - time.monotonic())
        self._at_once = False
        for key, mask in parts.selector.select(timeout):
            key.data(mask)

    def _turn(self, now: float) -> None:
        parts = self._parts
        parts.executor.expire(now)
        number = parts.waker.next_signal()
        while number:
            self._tell(self._of_signal(number), now)
            number = parts.waker.next_signal()
        for ended in parts.executor.reap():
            self._tell(ended, now)
        for done in parts.staging.done():
            self._tell(done, now)
        for event in parts.link.service(now):
            self._tell(event, now)
        if parts.credentials is not None:
            for joined in parts.credentials.done():
                self._tell(joined, now)
        self._tell(ev.Turned(), now)
        if parts.pulse is not None and self._exit is None:
            parts.pulse.beat(parts.core.lease_end(), now, parts.core.heard)
        for chunk in parts.follower.look(now):
            self._say(chunk)
        parts.staging.tidy(now)
        parts.link.flush()

    def _of_signal(self, number: int) -> ev.Event:
        self._signals += 1
        name = signal.Signals(number).name
        _LOG.info("%s: %s", name, "giving back what waits, finishing what runs" if self._signals == 1 else "ending what runs")
        return (
            ev.DrainAsked("drained by %s" % name) if self._signals == 1 else ev.StopAsked("the worker was stopped by %s" % name)
        )

    def _tell(self, event: ev.Event, now: float) -> None:
        for effect in self._parts.core.handle(event, now):
            _PERFORM[type(effect)](self, effect, now)

    # ---- effects -----------------------------------------------------------------------------------------------------

    def _send(self, effect: ev.Send, now: float) -> None:
        message = effect.message
        if isinstance(message, wire.Heartbeat):
            message = message._replace(
                free_disk=self._parts.folders.free(), load=os.getloadavg()[0], cached=self._parts.staging.cached()
            )
        self._say(message)

    def _say(self, message: wire.ToBoss) -> None:
        try:
            self._parts.link.send(message)
        except wire.ProtocolError as error:
            _LOG.error("a message is not sent: %s", error)

    def _fetch(self, effect: ev.Fetch, now: float) -> None:
        self._parts.staging.fetch(effect.assignment)

    def _start(self, effect: ev.Start, now: float) -> None:
        event = self._parts.executor.start(effect.assignment, now)
        self._at_once = self._at_once or isinstance(event, ev.Ended)  # its room is free again for the next
        self._tell(event, now)

    def _kill(self, effect: ev.Kill, now: float) -> None:
        self._parts.executor.stop(effect.attempt, effect.reason, now, effect.grace)

    def _deliver(self, effect: ev.Deliver, now: float) -> None:
        self._parts.staging.deliver(effect.assignment, effect.result)

    def _deposit(self, effect: ev.Deposit, now: float) -> None:
        self._parts.staging.deposit(effect.assignment, effect.result)

    def _halt(self, effect: ev.Halt, now: float) -> None:
        self._parts.staging.halt(effect.attempt)

    def _keep(self, effect: ev.Keep, now: float) -> None:
        for result in effect.results:
            if result.outcome == "failed":
                _LOG.info("attempt %s failed: %s", result.attempt, result.reason, extra={"attempt": result.attempt})
        try:
            self._parts.spool.keep(effect.results)
        except OSError as error:
            _LOG.error("results are not on disk, only in memory: %s", error)

    def _forget(self, effect: ev.Forget, now: float) -> None:
        parts = self._parts
        try:
            parts.spool.forget(effect.attempts)
        except OSError as error:
            _LOG.error("the spool cannot be written: %s", error)
        for attempt in effect.attempts:
            for chunk in parts.follower.finish(attempt):
                self._say(chunk)
            if not parts.folders.reuse(attempt):
                parts.staging.remove(attempt)

    def _follow(self, effect: ev.Follow, now: float) -> None:
        self._parts.follower.follow(effect.attempt, effect.on, now)

    def _install(self, effect: ev.Install, now: float) -> None:
        if self._parts.credentials is not None:
            self._parts.credentials.install(effect.certified)

    def _rejoin(self, effect: ev.Rejoin, now: float) -> None:
        if self._parts.credentials is not None:
            self._parts.credentials.rejoin()

    def _leave(self, effect: ev.Exit, now: float) -> None:
        self._exit = effect


_PERFORM: Dict[Type[Any], Callable[[Loop, Any, float], None]] = {
    ev.Send: Loop._send,
    ev.Fetch: Loop._fetch,
    ev.Start: Loop._start,
    ev.Kill: Loop._kill,
    ev.Deliver: Loop._deliver,
    ev.Deposit: Loop._deposit,
    ev.Halt: Loop._halt,
    ev.Keep: Loop._keep,
    ev.Forget: Loop._forget,
    ev.Follow: Loop._follow,
    ev.Install: Loop._install,
    ev.Rejoin: Loop._rejoin,
    ev.Exit: Loop._leave,
}
