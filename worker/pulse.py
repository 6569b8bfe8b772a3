"""The pulse: a file that says until when this worker's machine may live, for a watchdog that does not depend on this process.

    <boot id> <seconds of uptime>

Beside it, in ``heard``, is when the boss has answered last (boot id, uptime, Unix seconds): whoever starts this worker again does not
begin a new lease by that.

Rules:
- Written when the deadline has moved, or could not be written, at most every ``PERIOD`` seconds, and never after the core has said that
  it is over.
- Uptime runs while the clock of the day is set; the boot's id makes what an earlier boot has written worthless.
- The machine ends ``margin`` seconds after the worker should have: time to say the last words.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import logging
import os
import time
from typing import Callable, Optional

from worker.join import HEARD

_LOG = logging.getLogger("worker")
#: Time between two writes, in seconds.
PERIOD = 5.0
_BOOT = "/proc/sys/kernel/random/boot_id"


def uptime() -> float:
    """Seconds since this machine's boot, as ``/proc/uptime`` counts them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Pulse:
    """Keeps the file at ``path``, and ``heard`` beside it, true. Times are monotonic seconds; ``wall`` is the clock of the day."""

    def __init__(
        self, path: str, margin: float, uptime: Callable[[], float] = uptime, wall: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._heard = os.path.join(os.path.dirname(path), HEARD)
        self._margin = margin
        self._uptime = uptime
        self._wall = wall
        self._written = float("-inf")
        self._deadline = float("-inf")
        with open(_BOOT, encoding="ascii") as file:
            self._boot = file.read().strip()

    def heard_before(self, now: float) -> Optional[float]:
        """When an earlier process of this worker has heard the boss last; None where that is not known.

        After a reboot the clock of the day tells how long ago that is, which never is less than the time since the boot.
        """
        try:
            with open(self._heard, encoding="ascii") as file:
                boot, up, wall = file.read().split()
            since_boot = self._uptime()
            ago = since_boot - float(up) if boot == self._boot else max(since_boot, self._wall() - float(wall))
        except (OSError, ValueError):
            return None
        return now - max(0.0, ago)

    def beat(self, deadline: float, now: float, heard: float) -> None:
        """The worker means to live until ``deadline`` and has heard its boss at ``heard``.

        A file that cannot be written is told and tried again: if that goes on the machine ends early.
        """
        if deadline == self._deadline or now < self._written + min(PERIOD, self._margin / 2):
            return
        up = self._uptime()
        end = int(up + max(0.0, deadline - now) + self._margin)
        try:
            _write(self._heard, "%s %.3f %.3f\n" % (self._boot, up - (now - heard), self._wall() - (now - heard)))
            _write(self._path, "%s %d\n" % (self._boot, end))
        except OSError as error:
            _LOG.error("the pulse is not written, so this machine may end early: %s", error)
        else:
            self._deadline = deadline
        self._written = now


def _write(path: str, text: str) -> None:
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(text)
    os.replace(path + ".new", path)
