"""Control groups: one per running attempt, with its bounds, its usage, and an end that nothing in it survives. Linux, v1 and v2.

    <our own group>/ecloud-<pid>-<start time>/<number>/      v1, in each hierarchy of a controller that we can use
    <the delegated group>/ecloud-<pid>-<start time>/<number>/    v2; what runs in the delegated group itself moves to ``<it>/ecloud-main``

Rules:
- Below our own group, never beside it: whoever limits this worker limits its tasks, too.
- v1: this process's main thread goes into the group, starts the attempt and comes back. A thread that moves itself (``0`` into ``tasks``)
  waits for nobody; moving another process costs milliseconds of waiting. Nothing of an attempt is ever outside of its group.
- v2: only a whole process can be moved, so the attempt's own process moves itself before it becomes the task (``entry``).
- A group of v1 serves one attempt after another (its figures can be set back), one of v2 does not (before Linux 6.12 they cannot).
- What a worker that died has left is removed by the next one on the machine: the name tells whether it lives.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import os
from typing import Dict, List, NamedTuple, Optional, Protocol, Tuple

from worker import cgroup_files as files
from worker import processes
from worker.cgroup_places import MAIN, Places, look
from worker.limits import Bounds

_PREFIX = "ecloud-"
_SHARE = 1024
_WEIGHT = 100
_PERIOD = 100_000
#: Files of v1 that are read at each attempt's end.
_LIMIT, _PEAK, _CPU = "memory.limit_in_bytes", "memory.max_usage_in_bytes", "cpuacct.usage"
_OFTEN = (("memory", _PEAK, os.O_RDWR), ("cpuacct", _CPU, os.O_RDONLY))
#: An attempt with less memory than this, in bytes, is not looked at more closely: its largest process is known anyway.
_SMALL = 32 << 20
#: So much of files in memory may be left in a group that is used again, in bytes.
_LEFT = 1 << 20
#: How often the processes of a group are looked for and killed, at most.
_ROUNDS = 50


class Used(NamedTuple):
    """What an attempt has used: peak bytes of memory without cached files (0: unknown), cpu seconds (negative: unknown).

    ``peak`` has the cached files, too; ``oom_kills`` are the processes that were killed because it used more than it may.
    """

    memory: int = 0
    peak: int = 0
    cpu: float = -1.0
    oom_kills: int = 0


class Group(Protocol):
    """One control group. ``entry`` is the file that a process has to write 0 into to be in it; empty where ``enter`` does it."""

    entry: str

    def enter(self) -> None:
        """What this thread starts from now on is in the group. Raises OSError."""

    def leave(self) -> None:
        """No more."""

    def bind(self, bounds: Bounds) -> None:
        """Set the bounds. Raises OSError."""

    def pids(self) -> List[int]:
        """The processes in it."""

    def kill(self) -> None:
        """SIGKILL all processes in it, also those that are being made at this moment."""

    def used(self) -> Used:
        """What was used since ``renew``."""

    def renew(self) -> None:
        """Empty again, it is to serve the next attempt. Raises OSError."""

    def remove(self) -> None:
        """Kill what is in it, and remove it as soon as that is gone."""


class Cgroups:
    """Where this worker makes its groups. ``controllers``: which of memory, pids and cpu there are; ``version`` is 1 or 2."""

    def __init__(self, places: Places) -> None:
        """Make our folder in each of these places. Raises OSError."""
        self.version = places.version
        self.controllers = places.controllers
        self._groups: List[Group] = []
        self._folders: Dict[str, str] = {}
        name = _own_name()
        for controller, home in places.homes.items():
            folder = os.path.join(home, name)
            if folder not in self._folders.values():
                files.make(folder)
                if self.version == 2:
                    files.write(folder + "/cgroup.subtree_control", " ".join("+" + each for each in sorted(self.controllers)))
            self._folders[controller] = folder
        self._returns = [os.open(path + "/tasks", os.O_WRONLY | os.O_CLOEXEC) for path in set(places.own.values())]

    def group(self) -> Group:
        """A new group. Raises OSError."""
        folders = {each: "%s/%d" % (folder, len(self._groups) + 1) for each, folder in self._folders.items()}
        group: Group = (
            _Second(next(iter(folders.values())), self.controllers) if self.version == 2 else _First(folders, self._returns)
        )
        self._groups.append(group)
        return group

    def close(self) -> None:
        """Kill what is in the groups and remove them."""
        for group in self._groups:
            group.remove()
        for folder in set(self._folders.values()):
            files.remove(folder)


class _First:
    """v1: a folder in each controller's hierarchy."""

    entry = ""

    def __init__(self, folders: Dict[str, str], returns: List[int]) -> None:
        self._folders = folders
        self._returns = returns
        self._any = next(iter(folders.values()))
        self._entries: List[int] = []
        self._files: Dict[str, int] = {}
        self._set: Dict[str, str] = {}
        self._make()

    def _make(self) -> None:
        for folder in set(self._folders.values()):
            files.make(folder)
        self._entries = [os.open(path + "/tasks", os.O_WRONLY | os.O_CLOEXEC) for path in set(self._folders.values())]
        self._files = {
            name: os.open("%s/%s" % (self._folders[controller], name), mode | os.O_CLOEXEC)
            for controller, name, mode in _OFTEN
            if controller in self._folders
        }
        self._set = {}
        self._ooms = self._cpu = self._last_cpu = 0

    def enter(self) -> None:
        for entry in self._entries:
            os.write(entry, b"0")

    def leave(self) -> None:
        for home in self._returns:
            os.write(home, b"0")

    def bind(self, bounds: Bounds) -> None:
        if "memory" in self._folders:
            self._bind_memory(str(bounds.memory or -1))
        self._put("pids", "pids.max", str(bounds.processes or "max"))
        self._put("cpu", "cpu.shares", str(max(2, int(_SHARE * (bounds.cpus or 1)))))
        self._put("cpu", "cpu.cfs_quota_us", str(int(bounds.cpus * _PERIOD)) if bounds.quota else "-1")

    def pids(self) -> List[int]:
        return files.pids(self._any)  # opened anew: of an open file the kernel shows what it was up to a second ago

    def kill(self) -> None:
        self._put("pids", "pids.max", "0")  # nothing new is made while the rest is being killed
        for _ in range(_ROUNDS):
            pids = self.pids()
            for pid in pids:
                files.kill(pid)
            if not pids:
                return

    def used(self) -> Used:
        peak = self._figure(_PEAK)
        cached = files.number(self._folders["memory"] + "/memory.usage_in_bytes") if peak > _SMALL else peak  # the rest has ended
        self._last_cpu = self._figure(_CPU)
        cpu = (self._last_cpu - self._cpu) / 1e9 if _CPU in self._files else -1.0
        kills = 0
        if self._set.get(_LIMIT, "-1") != "-1":
            before, self._ooms = self._ooms, files.field(self._folders["memory"] + "/memory.oom_control", b"oom_kill ")
            kills = self._ooms - before
        return Used(max(0, peak - cached), peak, cpu, kills)

    def renew(self) -> None:
        memory = self._folders.get("memory")
        if memory and self._figure(_PEAK) > _SMALL and files.field(memory + "/memory.stat", b"shmem ") > _LEFT:
            self.remove()  # files in memory that the attempt has left would count as the next one's
            self._make()
            return
        if memory:
            os.pwrite(self._files[_PEAK], b"0", 0)
        if self._set.get("pids.max") == "0":
            self._put("pids", "pids.max", "max")
        self._cpu = self._last_cpu

    def remove(self) -> None:
        if self._entries:
            self.kill()
            for file in (*self._entries, *self._files.values()):
                os.close(file)
        self._entries, self._files = [], {}
        for folder in set(self._folders.values()):
            files.remove(folder)

    def _bind_memory(self, limit: str) -> None:
        """Memory and memory with swap: the former may never be more than the latter, so the order depends on the direction."""
        if self._set.get(_LIMIT, "-1") == limit:
            return
        both = ("memory.memsw.limit_in_bytes", _LIMIT)
        folder = self._folders["memory"]
        if os.path.exists(folder + "/" + both[0]):
            files.write(folder + "/" + both[0], "-1")
        files.write(folder + "/" + both[1], limit)
        if os.path.exists(folder + "/" + both[0]):
            files.write(folder + "/" + both[0], limit)
        self._set[_LIMIT] = limit

    def _put(self, controller: str, name: str, value: str) -> None:
        """Write a value unless it is there already."""
        if controller in self._folders and self._set.get(name) != value:
            files.write(self._folders[controller] + "/" + name, value)
            self._set[name] = value

    def _figure(self, name: str) -> int:
        return int(os.pread(self._files[name], 32, 0)) if name in self._files else 0


class _Second:
    """v2: one folder."""

    def __init__(self, folder: str, controllers: "frozenset[str]") -> None:
        self._folder = folder
        self._controllers = controllers
        self.entry = folder + "/cgroup.procs"
        files.make(folder)

    def enter(self) -> None:
        """Only a whole process can be moved: it does so itself."""

    def leave(self) -> None:
        """Nothing to leave."""

    def bind(self, bounds: Bounds) -> None:
        if "memory" in self._controllers:
            files.write(self._folder + "/memory.max", str(bounds.memory or "max"))
            for name, value in (("memory.swap.max", "0" if bounds.memory else "max"), ("memory.oom.group", "1")):
                if os.path.exists(self._folder + "/" + name):
                    files.write(self._folder + "/" + name, value)
        if "pids" in self._controllers:
            files.write(self._folder + "/pids.max", str(bounds.processes or "max"))
        if "cpu" in self._controllers:
            files.write(self._folder + "/cpu.weight", str(min(10_000, max(1, int(_WEIGHT * (bounds.cpus or 1))))))
            files.write(self._folder + "/cpu.max", "%d %d" % (bounds.cpus * _PERIOD, _PERIOD) if bounds.quota else "max")

    def pids(self) -> List[int]:
        return files.pids(self._folder)

    def kill(self) -> None:
        if os.path.exists(self._folder + "/cgroup.kill"):
            files.write(self._folder + "/cgroup.kill", "1")
            return
        for _ in range(_ROUNDS):  # before Linux 5.14
            pids = self.pids()
            for pid in pids:
                files.kill(pid)
            if not pids:
                return

    def used(self) -> Used:
        peak = cached = kills = 0
        if "memory" in self._controllers:
            peak, cached = files.number(self._folder + "/memory.peak"), files.number(self._folder + "/memory.current")
            kills = files.field(self._folder + "/memory.events", b"oom_kill ")
        micros = files.field(self._folder + "/cpu.stat", b"usage_usec ", -1)
        return Used(max(0, peak - cached), peak, micros / 1e6 if micros >= 0 else -1.0, kills)

    def renew(self) -> None:
        os.rmdir(self._folder)
        os.mkdir(self._folder, 0o755)

    def remove(self) -> None:
        try:
            self.kill()
        except OSError:
            pass  # it is gone
        files.remove(self._folder)


def find() -> Tuple[Optional[Cgroups], str]:
    """Where groups can be made, else why they cannot (also where only some can: which are missing)."""
    places = look()
    if not places.homes:
        return None, places.lacking
    try:
        if places.version == 2:
            _divide(places)
        for home in set(places.homes.values()):
            _remove_dead(home)
        return Cgroups(places), places.lacking
    except OSError as error:
        return None, "control groups cannot be made: %s" % error


def _divide(places: Places) -> None:
    """v2: a group with processes cannot bound its children (the root can), so they go into one of these."""
    base = next(iter(places.homes.values()))
    if os.path.exists(base + "/cgroup.type") and files.pids(base):
        files.make(os.path.join(base, MAIN))
        for _ in range(_ROUNDS):
            for pid in files.pids(base):
                files.write("%s/%s/cgroup.procs" % (base, MAIN), str(pid))
            if not files.pids(base):
                break
    files.write(base + "/cgroup.subtree_control", " ".join("+" + each for each in sorted(places.controllers)))


def _own_name() -> str:
    return "%s%d-%s" % (_PREFIX, os.getpid(), processes.started(os.getpid()))


def _remove_dead(home: str) -> None:
    """End and remove what workers have left that are no more."""
    for name in os.listdir(home):
        pid, _, start = name[len(_PREFIX) :].partition("-")
        if name.startswith(_PREFIX) and pid.isdigit() and processes.started(int(pid)) != start:
            folder = os.path.join(home, name)
            for inner in os.listdir(folder):
                if os.path.isdir(os.path.join(folder, inner)):
                    for left in files.pids(os.path.join(folder, inner)):
                        files.kill(left)
                    files.remove(os.path.join(folder, inner))
            files.remove(folder)
