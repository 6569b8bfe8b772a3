"""What an attempt may use, and in which words it is told that it used more. Pure.

Rules:
- A task that says how much memory it needs is held to that (and a pool's slack); one that does not say is not bound.
- Cpus are shares: what nobody else wants may be had, unless the pool wants a quota.
- A bound is never lower than what any program takes to start.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

from typing import Mapping, NamedTuple, Tuple

#: What can be enforced; ``privileges``: nothing that a task starts gets more rights than it has (setuid programs).
ENFORCEABLE = ("memory", "processes", "cpus", "cpu_quota", "privileges")
#: What is enforced where nobody says.
ENFORCED = ("memory", "processes", "cpus", "privileges")
#: Processes and threads that one attempt may have at a time.
PROCESSES = 2048
#: No program starts with less memory than this, in bytes.
_LEAST_MEMORY = 16 << 20


class Bounds(NamedTuple):
    """What one attempt may use: bytes of memory and processes (0: any), cpus (0: any), whether never more cpus than these."""

    memory: int = 0
    processes: int = 0
    cpus: float = 0.0
    quota: bool = False


class Limits(NamedTuple):
    """What a worker enforces. ``memory_slack`` is the share that a task may use beyond its own figure."""

    enforce: Tuple[str, ...] = ENFORCED
    processes: int = PROCESSES
    memory_slack: float = 0.0

    def bounds(self, needs: Mapping[str, float]) -> Bounds:
        """The bounds of an attempt that needs this."""
        memory = needs.get("memory", 0.0) if "memory" in self.enforce else 0.0
        cpus = max(float(needs.get("cpus", 1.0)), 0.01)
        quota = "cpu_quota" in self.enforce
        return Bounds(
            memory=max(_LEAST_MEMORY, int(memory * (1 + self.memory_slack))) if memory > 0 else 0,
            processes=self.processes if "processes" in self.enforce else 0,
            cpus=cpus if quota or "cpus" in self.enforce else 0.0,
            quota=quota,
        )


def over_memory(limit: int, peak: int) -> str:
    """The reason of an attempt that was ended because it used more memory than it may."""
    return "killed for memory: limit %s, peak %s; the task's `memory` has to be larger" % (amount(limit), amount(peak))


def over_processes(limit: int, count: int) -> str:
    """The reason of an attempt that was ended because it had more processes than it may."""
    return "killed for its processes: limit %d, had %d" % (limit, count)


def amount(size: float) -> str:
    """Bytes as people read them: ``2 GiB``, ``1.5 MiB``."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return "%.4g %s" % (size / unit, name)
    return "%d B" % size
