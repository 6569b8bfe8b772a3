"""Lanes: a few threads that do jobs in the order in which they were given, or not before their time.

Rules:
- The threads are daemons, and ``stop`` waits for them for a moment only: a call that hangs in somebody's cloud delays no end.
- A job that raises is a fault of ours: it is logged, and the lane goes on.
"""

import heapq
import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)

Job = Callable[[], None]


class Lane:
    """``threads`` of them; nothing runs before ``start``."""

    def __init__(self, name: str, threads: int) -> None:
        self._name = name
        self._jobs: list[tuple[float, int, Job]] = []
        self._given = 0
        self._bell = threading.Condition()
        self._stopping = False
        self._threads = [threading.Thread(target=self._serve, name=f"{name} {n}", daemon=True) for n in range(threads)]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def do(self, job: Job, wait: float = 0.0) -> None:
        """Have a job done when a thread is free, but not before ``wait`` seconds from now."""
        with self._bell:
            self._given += 1
            heapq.heappush(self._jobs, (time.monotonic() + wait if wait else 0.0, self._given, job))
            self._bell.notify()

    def stop(self, patience: float = 1.0) -> None:
        """End; jobs that have not begun are dropped, those that do not end within ``patience`` seconds are left to themselves."""
        with self._bell:
            self._stopping = True
            self._jobs.clear()
            self._bell.notify_all()
        until = time.monotonic() + patience
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def _serve(self) -> None:
        while job := self._next():
            try:
                job()
            except (
                Exception
            ):  # a fault of ours in one job: said loudly, and the lane serves the others; deadlines repair what it left
                _log.exception("%s stumbled", self._name)

    def _next(self) -> Job | None:
        with self._bell:
            while not self._stopping:
                wait = self._jobs[0][0] - time.monotonic() if self._jobs else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._jobs)[2]
                self._bell.wait(wait)
        return None
