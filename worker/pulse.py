"""The pulse: a file that says until when this worker's machine may live, for a watchdog that does not depend on this process.

    <boot id> <seconds of uptime>

Rules:
- Written when the deadline has moved, at most every ``PERIOD`` seconds, and never after the core has said that it is over.
- Uptime runs while the clock of the day is set; the boot's id makes what an earlier boot has written worthless.
- The machine ends ``margin`` seconds after the worker should have: time to say the last words.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import logging
import os
import time
from typing import Callable

_LOG = logging.getLogger("worker")
#: Time between two writes, in seconds.
PERIOD = 5.0
_BOOT = "/proc/sys/kernel/random/boot_id"


def uptime() -> float:
    """Seconds since this machine's boot, as ``/proc/uptime`` counts them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Pulse:
    """Keeps the file at ``path`` true. Times are monotonic seconds."""

    def __init__(self, path: str, margin: float, uptime: Callable[[], float] = uptime) -> None:
        self._path = path
        self._margin = margin
        self._uptime = uptime
        self._written = float("-inf")
        self._deadline = float("-inf")
        with open(_BOOT, encoding="ascii") as file:
            self._boot = file.read().strip()

    def beat(self, deadline: float, now: float) -> None:
        """The worker means to live until ``deadline``; a file that cannot be written is only told: then the machine ends early."""
        if deadline == self._deadline or now < self._written + min(PERIOD, self._margin / 2):
            return
        end = int(self._uptime() + max(0.0, deadline - now) + self._margin)
        try:
            with open(self._path + ".new", "w", encoding="ascii") as file:
                file.write("%s %d\n" % (self._boot, end))
            os.replace(self._path + ".new", self._path)
        except OSError as error:
            _LOG.error("the pulse is not written, so this machine may end early: %s", error)
        self._written, self._deadline = now, deadline
