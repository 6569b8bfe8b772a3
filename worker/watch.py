"""Memory and processes of running attempts where no control group bounds them: looked at every second.

Rules:
- Only attempts that last: the first look is a second after the start.
- Memory is what the attempt's processes have in RAM; pages that they share are counted once each is shared out (``Pss``), but that is
  asked only when the cheap sum, which counts them more than once, is beyond the limit.
- What grows beyond its limit between two looks is not stopped by this.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import os
from typing import Dict, List, NamedTuple, Tuple

from worker import processes
from worker.limits import Bounds, over_memory, over_processes

#: Time between two looks, in seconds.
INTERVAL = 1.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class _Watched(NamedTuple):
    pid: int
    memory: int
    processes: int
    begins: float


class Watch:
    """The attempts that are looked at. Times are monotonic seconds."""

    def __init__(self, what: "frozenset[str]") -> None:
        """``what`` of ``memory`` and ``processes`` is to be looked at."""
        self._what = what
        self._attempts: Dict[str, _Watched] = {}
        self._next = float("inf")

    def add(self, attempt: str, pid: int, bounds: Bounds, now: float) -> None:
        """An attempt was started."""
        memory = bounds.memory if "memory" in self._what else 0
        count = bounds.processes if "processes" in self._what else 0
        if memory or count:
            self._attempts[attempt] = _Watched(pid, memory, count, now + INTERVAL)
            self._next = min(self._next, now + INTERVAL)

    def drop(self, attempt: str) -> None:
        """An attempt has ended."""
        self._attempts.pop(attempt, None)

    def deadline(self) -> float:
        """When to look; infinite when there is nothing to look at."""
        return self._next if self._attempts else float("inf")

    def look(self, now: float) -> List[Tuple[str, str]]:
        """The attempts that have too much, each with the reason why it is to be ended."""
        if now < self._next:
            return []
        self._next = now + INTERVAL if self._attempts else float("inf")
        found = []
        for attempt, watched in list(self._attempts.items()):
            reason = self._reason(watched) if watched.begins <= now else ""
            if reason:
                found.append((attempt, reason))
        return found

    def _reason(self, watched: _Watched) -> str:
        pids = [watched.pid, *processes.descendants(watched.pid)]
        count = processes.thread_count(pids) if watched.processes else 0
        if count > watched.processes:
            return over_processes(watched.processes, count)
        if watched.memory and sum(map(_resident, pids)) > watched.memory:
            exact = sum(map(_proportional, pids))
            if exact > watched.memory:
                return over_memory(watched.memory, exact)
        return ""


def _resident(pid: int) -> int:
    """Bytes that a process has in RAM, shared ones included; 0 when it is gone."""
    try:
        with open("/proc/%d/statm" % pid, "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0


def _proportional(pid: int) -> int:
    """Bytes that a process has in RAM, each shared page in equal parts; what it has at all where the kernel does not say."""
    try:
        with open("/proc/%d/smaps_rollup" % pid, "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _resident(pid)
