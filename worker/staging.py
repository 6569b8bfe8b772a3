"""The few threads of a worker: fetches, deliveries and removals of folders, which may take long.

Rules:
- The main loop submits and polls; it is woken through a file descriptor when something is done. Nothing else crosses.
- Each attempt's errand can be halted; it still ends, with Fetched, Delivered or StageFailed.
- The threads last as long as the process: a child (an SSH client) belongs to the thread that started it.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import logging
import random
import threading
from collections import deque
from queue import SimpleQueue
from typing import Callable, Deque, Dict, List, NamedTuple, Optional, Protocol

from worker import events as ev
from worker.folders import Folders
from worker.protocol import Assignment, Result
from worker.stage import StageError

_LOG = logging.getLogger("worker")
#: Threads for fetches and deliveries together; removals have one of their own. They mostly wait for a far datastore's answers: so many
#: small deliveries are under way at once.
THREADS = 16
#: How often idle connections are looked at, in seconds.
TIDY_INTERVAL = 10.0


class Stage(Protocol):
    """What brings files in and out (worker/stage.py). Calls block, may come from several threads, and raise StageError."""

    def fetch(self, assignment: Assignment, folder: str, stopped: threading.Event) -> None:
        """Bring the inputs into the folder."""

    def deliver(
        self, assignment: Assignment, folder: str, result: Result, stdout: str, stderr: str, stopped: threading.Event
    ) -> Result:
        """Send the outputs of a success, and logs longer than their tails; the result with its manifest."""

    def cached(self) -> Dict[str, float]:
        """The largest inputs that are kept, as a heartbeat tells them."""

    def deposit(self, assignment: Assignment, result: Result, stopped: threading.Event) -> None:
        """Have a result without files kept at the datastore."""

    def close_idle(self, now: float) -> None:
        """Close what has not been used for a while; ``now`` in monotonic seconds."""

    def close(self) -> None:
        """Close everything, whatever is under way."""


class _Errand(NamedTuple):
    """What a thread shall do for an attempt (or for nobody), and the phase that it fails in."""

    attempt: str
    phase: str
    run: Callable[[], Optional[ev.Event]]


class Staging:
    """A small pool of threads that run a stage's errands, and one that removes folders."""

    def __init__(self, stage: Stage, folders: Folders, wake: Callable[[], None]) -> None:
        """``wake`` is called from the threads when ``done`` has something new."""
        self._stage = stage
        self._folders = folders
        self._wake = wake
        self._done: Deque[ev.Event] = deque()
        self._stops: Dict[str, threading.Event] = {}
        self._errands: "SimpleQueue[_Errand]" = SimpleQueue()
        self._removals: "SimpleQueue[str]" = SimpleQueue()
        self._tidied = 0.0
        for number in range(THREADS):
            threading.Thread(target=self._work, name="stage-%d" % number, daemon=True).start()
        threading.Thread(target=self._remove, name="remove", daemon=True).start()

    def fetch(self, assignment: Assignment) -> None:
        """Bring an attempt's inputs into its folder."""
        stopped = self._stops[assignment.attempt] = threading.Event()
        self._errands.put(_Errand(assignment.attempt, "fetch", lambda: self._fetch(assignment, stopped)))

    def deliver(self, assignment: Assignment, result: Result) -> None:
        """Send an attempt's outputs and long logs."""
        stopped = self._stops[assignment.attempt] = threading.Event()
        self._errands.put(_Errand(assignment.attempt, "upload", lambda: self._deliver(assignment, result, stopped)))

    def deposit(self, assignment: Assignment, result: Result) -> None:
        """Put a result without files at the datastore."""
        stopped = self._stops[assignment.attempt] = threading.Event()
        self._errands.put(_Errand(assignment.attempt, "upload", lambda: self._deposit(assignment, result, stopped)))

    def halt(self, attempt: str) -> None:
        """Break off an attempt's errand, if one is under way."""
        stopped = self._stops.get(attempt)
        if stopped is not None:
            stopped.set()

    def remove(self, attempt: str) -> None:
        """Remove an attempt's folder some time."""
        self._removals.put(attempt)

    def done(self) -> List[ev.Event]:
        """What has ended since the last call."""
        ended = []
        while self._done:
            ended.append(self._done.popleft())
        return ended

    def cached(self) -> Dict[str, float]:
        """What a heartbeat tells of the inputs that are kept here."""
        return self._stage.cached()

    def tidy(self, now: float) -> None:
        """Close idle connections now and then."""
        if now >= self._tidied + TIDY_INTERVAL:
            self._tidied = now
            self._errands.put(_Errand("", "", lambda: self._stage.close_idle(now)))

    def close(self) -> None:
        """End all connections: this process is about to leave. Errands under way fail and are told to nobody."""
        self._stage.close()

    def _fetch(self, assignment: Assignment, stopped: threading.Event) -> ev.Event:
        _check(stopped, "fetch")
        self._folders.make(assignment)
        self._stage.fetch(assignment, self._folders.inbox(assignment), stopped)
        return ev.Fetched(assignment.attempt)

    def _deliver(self, assignment: Assignment, result: Result, stopped: threading.Event) -> ev.Event:
        _check(stopped, "upload")
        folder = self._folders.path(assignment.attempt)
        work = self._folders.work(assignment)
        delivered = self._stage.deliver(assignment, work, result, folder + "/stdout", folder + "/stderr", stopped)
        return ev.Delivered(assignment.attempt, delivered)

    def _deposit(self, assignment: Assignment, result: Result, stopped: threading.Event) -> ev.Event:
        self._stage.deposit(assignment, result, stopped)
        return ev.Delivered(assignment.attempt, result)

    def _work(self) -> None:
        """Run errands for ever. Runs in each of the pool's threads."""
        while True:
            attempt, phase, run = self._errands.get()
            event: Optional[ev.Event]
            try:
                event = run()
            except StageError as error:
                jitter = random.random()  # noqa: S311
                event = ev.StageFailed(attempt, error.phase, error.reason, error.final, jitter, error.full)
            except OSError as error:
                event = ev.StageFailed(
                    attempt, phase, "%s: %s" % (error.strerror or error, error.filename or "this worker's disk"), True
                )
            except Exception as error:  # a fault of ours must not end the thread: the attempt fails, the log says where
                _LOG.exception("the stage stumbled over attempt %s", attempt, extra={"attempt": attempt})
                event = ev.StageFailed(attempt, "infrastructure", "internal error: %r" % error, True)
            if event is not None:
                self._stops.pop(attempt, None)
                self._done.append(event)
                self._wake()

    def _remove(self) -> None:
        """Remove folders for ever. Runs in a thread of its own."""
        while True:
            attempt = self._removals.get()
            try:
                self._folders.remove(attempt)
            except OSError as error:
                _LOG.warning("the folder of attempt %s cannot be removed: %s", attempt, error, extra={"attempt": attempt})


def _check(stopped: threading.Event, phase: str) -> None:
    if stopped.is_set():
        raise StageError(phase, "stopped", True)
