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
import time
from collections import deque
from queue import SimpleQueue
from typing import Callable, Deque, Dict, List, Optional, Protocol

from worker import events as ev
from worker.folders import Folders
from worker.protocol import Assignment, Result

_LOG = logging.getLogger("worker")
#: Threads for fetches and deliveries together; removals have one of their own.
THREADS = 4
#: How often idle connections are looked at, in seconds.
TIDY_INTERVAL = 10.0


class StageTrouble(Exception):
    """What a stage raises: ``phase`` (``fetch``, ``upload``), ``reason``, and whether it is ``final`` or may pass."""

    def __init__(self, phase: str, reason: str, final: bool) -> None:
        super().__init__(reason)
        self.phase = phase
        self.reason = reason
        self.final = final


class Stage(Protocol):
    """What brings files in and out (worker/stage.py). Calls block, may come from several threads, and raise StageTrouble."""

    def fetch(self, assignment: Assignment, folder: str, stopped: threading.Event) -> None:
        """Bring the inputs into the folder."""

    def deliver(
        self, assignment: Assignment, folder: str, result: Result, stdout: str, stderr: str, stopped: threading.Event
    ) -> Result:
        """Send the outputs of a success, and logs longer than their tails; the result with its manifest."""

    def close_idle(self, now: float) -> None:
        """Close what has not been used for a while; ``now`` in monotonic seconds."""


class NoStage:
    """Stands in where no datastore is configured: attempts that need none run, others fail with that reason."""

    def fetch(self, assignment: Assignment, folder: str, stopped: threading.Event) -> None:
        """Refuse."""
        raise StageTrouble("fetch", "this worker was given no datastore to fetch inputs from", True)

    def deliver(
        self, assignment: Assignment, folder: str, result: Result, stdout: str, stderr: str, stopped: threading.Event
    ) -> Result:
        """Refuse outputs; the tails of long logs are in the result already."""
        if assignment.outputs and result.outcome == "succeeded":
            raise StageTrouble("upload", "this worker was given no datastore to send outputs to", True)
        return result

    def close_idle(self, now: float) -> None:
        """There is nothing to close."""


class Staging:
    """A small pool of threads that run a stage's errands, and one that removes folders."""

    def __init__(self, stage: Stage, folders: Folders, wake: Callable[[], None]) -> None:
        """``wake`` is called from the threads when ``done`` has something new."""
        self._stage = stage
        self._folders = folders
        self._wake = wake
        self._done: Deque[ev.Event] = deque()
        self._stops: Dict[str, threading.Event] = {}
        self._errands: "SimpleQueue[Callable[[], Optional[ev.Event]]]" = SimpleQueue()
        self._removals: "SimpleQueue[str]" = SimpleQueue()
        self._tidied = 0.0
        for number in range(THREADS):
            threading.Thread(target=self._work, name="stage-%d" % number, daemon=True).start()
        threading.Thread(target=self._remove, name="remove", daemon=True).start()

    def fetch(self, assignment: Assignment) -> None:
        """Bring an attempt's inputs into its folder."""
        stopped = self._stops[assignment.attempt] = threading.Event()
        self._errands.put(lambda: self._fetch(assignment, stopped))

    def deliver(self, assignment: Assignment, result: Result) -> None:
        """Send an attempt's outputs and long logs."""
        stopped = self._stops[assignment.attempt] = threading.Event()
        self._errands.put(lambda: self._deliver(assignment, result, stopped))

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

    def tidy(self, now: float) -> None:
        """Close idle connections now and then."""
        if now >= self._tidied + TIDY_INTERVAL:
            self._tidied = now
            self._errands.put(lambda: self._stage.close_idle(now))

    def _fetch(self, assignment: Assignment, stopped: threading.Event) -> ev.Event:
        self._folders.make(assignment)
        self._stage.fetch(assignment, self._folders.work(assignment), stopped)
        return ev.Fetched(assignment.attempt)
