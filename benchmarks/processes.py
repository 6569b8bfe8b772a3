"""What processes have cost, by the kernel's accounting; the standard library alone, so that drivers of other systems can use it.

Cpu of a whole system is that of everything below this process: what has ended and was waited for, by whomever, and what runs. Nothing gets
lost as long as this process is a subreaper (``worker.processes.become_subreaper``), which makes orphans its own children.
"""

import os
import resource
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_below() -> float:
    """Cpu seconds, user and system, of all descendants of this process so far, those that have ended included; not its own."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + sum(_cpu_of_each_below(os.getpid()))


def _cpu_of_each_below(root: int) -> Iterator[float]:
    """Cpu seconds of each living descendant of a process, with those of its own children that it has waited for."""
    for _, fields in _below(root):
        yield sum(int(ticks) for ticks in fields[11:15]) / _TICKS  # utime, stime, and both of waited-for children


def cpu_of_tree(root: int) -> float:
    """Cpu seconds of a process and of all its descendants, those that have ended included."""
    fields = _fields(Path(f"/proc/{root}"))
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS + sum(_cpu_of_each_below(root))


def descendants(root: int) -> Iterator[tuple[int, str]]:
    """The number and the name of each living descendant of a process."""
    for pid, _ in _below(root):
        try:
            yield pid, Path(f"/proc/{pid}/comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended while we looked


def cpu_of(pid: int) -> float:
    """Cpu seconds of one process so far, without its children's."""
    fields = _fields(Path(f"/proc/{pid}"))
    return (int(fields[11]) + int(fields[12])) / _TICKS


def cpu_of_children() -> float:
    """Cpu seconds of the children that this process has waited for, to the microsecond."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_of(pid: int, what: str) -> int:
    """Bytes of one process by the kernel's name for them: ``VmRSS`` now, ``VmHWM`` at most so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith(f"{what}:")]
    return int(kilobytes) * 1024


def _below(root: int) -> Iterator[tuple[int, list[str]]]:
    stats = _stats()
    children = defaultdict(list)
    for pid, fields in stats.items():
        children[int(fields[1])].append(pid)
    todo = children[root]
    while todo:
        pid = todo.pop()
        yield pid, stats[pid]
        todo += children[pid]


def _stats() -> dict[int, list[str]]:
    """The fields of /proc/<pid>/stat after the command's name, for each process that can be read."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found[int(entry.name)] = _fields(entry)
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended while we looked
    return found


def _fields(entry: Path) -> list[str]:
    text = (entry / "stat").read_text(errors="replace")
    return text[text.rindex(")") + 2 :].split()
