"""Where an attempt runs: its user, its control group, its bounds; and that nothing of it is left when another one gets them.

Rules:
- What there is, is used: users of their own where the worker is root and was told so, control groups where they can be made. Without
  groups, memory and processes are looked at now and then (worker/watch.py), and cpus are not bound.
- A cell serves the next attempt only when it is empty. One that does not get empty (a process that hangs in the kernel) waits aside.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import os
import resource
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

from worker import processes, users
from worker.cgroups import Cgroups, Group, Used
from worker.command import Command
from worker.leftovers import Leftovers
from worker.limits import Bounds, Limits
from worker.protocol import Assignment
from worker.users import TaskUser, TaskUsers

#: Starts a command and returns its process.
Spawn = Callable[[Command], int]
#: What a process of v2 does first: it moves itself into its group.
_ENTER = 'echo 0 >"$0" && exec "$@"'
_SHELL = "/bin/sh"


class Cell(NamedTuple):
    """One attempt's place. ``groups`` are the supplementary groups of its user."""

    user: Optional[TaskUser] = None
    group: Optional[Group] = None
    groups: "tuple[int, ...]" = ()
    bounds: Bounds = Bounds()

    def environ(self, home: str) -> Dict[str, str]:
        """What the environment says of its user."""
        return {"HOME": home, "USER": self.user.name, "LOGNAME": self.user.name} if self.user is not None else {}


class Cells:
    """All cells of a worker. To be used by the main thread only."""

    def __init__(
        self,
        limits: Optional[Limits] = None,
        task_users: Optional[TaskUsers] = None,
        cgroups: Optional[Cgroups] = None,
        attempts: int = 1,
    ) -> None:
        """``attempts`` is how many run at once, more or less."""
        self.limits = limits if limits is not None else Limits()
        self.users = task_users
        self.cgroups = cgroups
        self.watched = self._watched()
        self._groups: List[Group] = []
        self._ended: List[Cell] = []
        self._unclean: List[Cell] = []
        self._leftovers = Leftovers()
        self._processes = self._process_limit(attempts)
        self._own_processes = resource.getrlimit(resource.RLIMIT_NPROC)

    def take(self, assignment: Assignment) -> Cell:
        """A place for an attempt. Raises OSError."""
        self._clean()
        bounds = self.limits.bounds(assignment.needs)
        group = None
        if self.cgroups is not None:
            group = self._groups.pop() if self._groups else self.cgroups.group()
        if self.users is None:
            return Cell(None, group, (), bounds)
        job = assignment.attempt.rsplit(".", 2)[0]
        try:
            user = self.users.of_job(job) if assignment.init else self.users.take()
        except OSError:
            if group is not None:
                self._groups.append(group)
            raise
        return Cell(user, group, tuple(self.users.groups_for(job)), bounds)

    def give(self, cell: Cell) -> None:
        """An attempt has ended: what is left in its place is killed, which may take a moment."""
        if cell.group is not None or cell.user is not None:
            if self.is_empty(cell):
                self._ended.append(cell)
            else:
                self.kill(cell)
                self._unclean.append(cell)

    def start(self, cell: Cell, command: Command, spawn: Spawn) -> int:
        """Start a command in its place; its process. Raises OSError."""
        if cell.user is not None and self.users is not None:
            command = self.users.wrap(cell.user, cell.groups, command)
        if cell.group is not None and cell.group.entry:
            command = Command(_SHELL, ["sh", "-c", _ENTER, cell.group.entry, command.program, *command.argv[1:]])
        with self._inside(cell):
            pid = spawn(command)
        processes.prefer_to_kill(pid)
        try:
            self._bind(cell, pid)
        except OSError:  # without its bounds it shall not run; who reaps finds an orphan
            processes.kill_tree(pid)
            raise
        return pid

    def may_execute(self, cell: Cell, program: str) -> bool:
        """Whether the user of a cell surely can execute what this process can."""
        return cell.user is None or users.is_open(program)

    def kill(self, cell: Cell) -> None:
        """SIGKILL all that is in a cell, as far as that can be told from what is not."""
        if cell.group is not None:
            cell.group.kill()
        elif cell.user is not None and self.users is not None and not cell.user.lasting:
            self.users.kill(cell.user)

    def is_empty(self, cell: Cell) -> bool:
        """Whether no process of its attempt is alive, when that has ended: what is left of one is below us."""
        if cell.group is not None:
            return not cell.group.pids()
        return cell.user is None or not any(processes.owner(pid) == cell.user.uid for pid in processes.children())

    def used(self, cell: Cell) -> Used:
        """What its attempt has used, as far as its group counts that."""
        return cell.group.used() if cell.group is not None else Used()

    def close(self) -> None:
        """Kill what runs in any cell, and remove the groups."""
        if self.cgroups is not None:
            self.cgroups.close()

    def _clean(self) -> None:
        """Get ready again what has become empty."""
        if not self._unclean and not self._ended:
            return
        empty, self._ended, waiting, self._unclean = self._ended, [], self._unclean, []
        for cell in waiting:
            (empty if self.is_empty(cell) else self._unclean).append(cell)
        uids = {cell.user.uid for cell in empty if cell.user is not None and not cell.user.lasting}
        if uids:
            self._leftovers.sweep(uids)
        for cell in empty:
            if cell.user is not None and self.users is not None:
                self.users.give(cell.user)
            if cell.group is not None:
                try:
                    cell.group.renew()
                except OSError:  # a task has made something in it: it stays as it is until the worker's end
                    continue
                self._groups.append(cell.group)

    @contextmanager
    def _inside(self, cell: Cell) -> Iterator[None]:
        """Where what is started in here begins with its bounds: a fork bomb would be faster than any that were set afterwards."""
        grouped = cell.group is not None and not cell.group.entry
        try:
            if grouped and cell.group is not None:
                cell.group.enter()
            if self._processes:
                resource.setrlimit(resource.RLIMIT_NPROC, (self._processes, self._own_processes[1]))
            yield
        finally:
            if self._processes:
                resource.setrlimit(resource.RLIMIT_NPROC, self._own_processes)
            if grouped and cell.group is not None:
                cell.group.leave()

    def _bind(self, cell: Cell, pid: int) -> None:
        """Set the bounds, now that this process itself is not in the group (any more)."""
        if cell.group is not None:
            cell.group.bind(cell.bounds)
        if self._processes:  # the hard one, too: so far it could raise its own
            try:
                resource.prlimit(pid, resource.RLIMIT_NPROC, (self._processes, self._processes))
            except (ProcessLookupError, PermissionError):
                pass  # it has ended already, or may be more than we may

    def _watched(self) -> "frozenset[str]":
        """What of memory and processes no control group bounds."""
        there = self.cgroups.controllers if self.cgroups is not None else frozenset()
        by_group = {"memory": "memory", "processes": "pids"}
        return frozenset(name for name, controller in by_group.items() if name in self.limits.enforce and controller not in there)

    def _process_limit(self, attempts: int) -> int:
        """How many processes and threads the user of a task may have: where all tasks are his he may have others, too."""
        if "processes" not in self.watched:
            return 0
        wanted = self.limits.processes
        if self.users is None:
            wanted = processes.thread_count(processes.all_of(range(os.getuid(), os.getuid() + 1))) + attempts * wanted
        hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        return wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)


def confinement(cells: Cells, reason: str) -> Dict[str, str]:
    """What tasks are held to, and how, in words; ``reason`` is why there are no control groups (for all)."""
    there: Any = cells.cgroups.controllers if cells.cgroups is not None else frozenset()
    said: Dict[str, str] = {}
    for name, controller in (("memory", "memory"), ("processes", "pids"), ("cpus", "cpu")):
        if name not in cells.limits.enforce:
            said[name] = "off"
        elif controller in there and cells.cgroups is not None:
            said[name] = "control group v%d" % cells.cgroups.version
        else:
            said[name] = "%s: %s" % ("not bound" if name == "cpus" else "looked at every second", reason or "no controller")
    said["user"] = "one for each task" if cells.users is not None else "the worker's own"
    return said
