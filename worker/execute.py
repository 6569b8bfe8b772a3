"""Runs attempts: each one a process group in a session and folder of its own, with its output in two files.

Rules:
- No thread and no pipe per attempt: ``posix_spawn`` (the child opens its own files), SIGCHLD, ``wait4``. A spawn changes the
  folder of the whole process for a moment, so nobody else in it may use relative paths.
- Nothing of an attempt outlives it: its process group, all that is in its cell (worker/cells.py: its control group, its user), and whatever
  it left behind in other sessions is killed before its end is told, and looked for again whenever an orphan has ended, because only then
  what was below it becomes our child. An orphan that has wiped its environment may be any attempt's that ran when it was first seen:
  it ends with the last of them.
- The order at an end matters: look (``WNOWAIT``), kill the group, then reap. While the leader is a zombie its pid, and so the
  group's number, cannot belong to anyone else.
- A timeout or a kill says SIGTERM to the group first, and after ``GRACE`` SIGKILL to the whole tree.
- Peak memory is that of all of an attempt's processes together where a control group counts it. Else it is that of the largest one, and
  the kernel's count begins at this process's own size: figures below that mean "no more than".

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import errno
import heapq
import logging
import os
import shlex
import signal
import time
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple, Union

from datastore.layout import fixed_folder, is_pattern
from worker import command, processes
from worker.cells import Cell, Cells
from worker.cgroups import Used
from worker.events import Began, Ended
from worker.folders import Folders
from worker.limits import Limits, over_memory
from worker.protocol import MAX_TAIL, Assignment, Result
from worker.watch import Watch

_LOG = logging.getLogger("worker")
#: How long a process has between SIGTERM and SIGKILL, in seconds.
GRACE = 5.0
#: Less room than this on the disk is named as the probable cause of a failure, in bytes.
_DISK_FULL = 1 << 20
#: One argument of a program has fewer bytes than this (Linux: 32 pages).
_MAX_ARGUMENT = 131_072
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_APPEND
#: A task ignores no signal, whatever Python, or who has started this worker (``nohup``), ignores.
_RESTORED = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


class _Run:
    """One running attempt. ``ending`` is why it is being ended, ``killed`` whether SIGKILL was already sent."""

    __slots__ = ("assignment", "cell", "ending", "folder", "killed", "pid", "started")

    def __init__(self, assignment: Assignment, cell: Cell, folder: str, pid: int, started: float) -> None:
        self.assignment = assignment
        self.cell = cell
        self.folder = folder
        self.pid = pid
        self.started = started
        self.ending = ""
        self.killed = False


class _End(NamedTuple):
    """An attempt whose process was reaped: its wait status, what it used (``struct_rusage``; its group's count), when (Unix seconds)."""

    run: _Run
    status: int
    used: Any
    counted: Used
    finished: float


class Executor:
    """All running attempts of a worker. To be used by the main thread only; times ``now`` are monotonic seconds."""

    def __init__(self, folders: Folders, surroundings: command.Surroundings, bash: str, cells: Optional[Cells] = None) -> None:
        """``cells`` are where attempts run; without them as this process's own user, and not bound."""
        self._cells = cells if cells is not None else Cells(Limits(enforce=()))
        self._watch = Watch(self._cells.watched)
        self._strays: Dict[int, FrozenSet[str]] = {}
        #: Children that this process had before, and since when they run: nobody's attempt has made them.
        self._earlier = {pid: processes.started(pid) for pid in processes.children()}
        self._folders = folders
        self._surroundings = surroundings
        self._bash = bash
        self._by_pid: Dict[int, _Run] = {}
        self._by_attempt: Dict[str, _Run] = {}
        self._timers: List[Tuple[float, str]] = []
        self._oom_kills = processes.oom_kills()

    def start(self, assignment: Assignment, now: float) -> Union[Began, Ended]:
        """Start an attempt; Ended, with the reason, when that was not possible."""
        started = time.time()
        cell = None
        try:
            folder = self._folders.make(assignment)
            cell = self._cells.take(assignment)
            if cell.user is not None:
                self._folders.hand_over(assignment, cell.user)
            pid = self._spawn(assignment, folder, cell)
        except (OSError, ValueError) as error:
            if cell is not None:
                self._cells.give(cell)
            reason = "the attempt could not be started: %s" % _described(error)
            result = Result(assignment.attempt, "failed", "infrastructure", reason=reason, started=started, finished=started)
            return Ended(assignment.attempt, result)
        run = _Run(assignment, cell, folder, pid, started)
        self._by_pid[pid] = self._by_attempt[assignment.attempt] = run
        if len(self._timers) > 100 + 4 * len(self._by_attempt):  # those of attempts that ended in time
            self._timers = [timer for timer in self._timers if timer[1] in self._by_attempt]
            heapq.heapify(self._timers)
        heapq.heappush(self._timers, (now + assignment.timeout, assignment.attempt))
        self._watch.add(assignment.attempt, pid, cell.bounds, now)
        return Began(assignment.attempt, started)

    def stop(self, attempt: str, reason: str, now: float, grace: bool = True) -> None:
        """End a running attempt: politely first, or at once. Its end is told by ``reap``."""
        run = self._by_attempt.get(attempt)
        if run is None:
            return
        run.ending = run.ending or reason
        if grace:
            processes.signal_group(run.pid, signal.SIGTERM)
            heapq.heappush(self._timers, (now + GRACE, attempt))
        else:
            run.killed = True
            self._cells.kill(run.cell)
            processes.kill_tree(run.pid)

    def kill_all(self) -> None:
        """End every running attempt at once, without a word: this process is about to leave."""
        for run in self._by_attempt.values():
            self._cells.kill(run.cell)
            processes.kill_tree(run.pid)
        self._by_attempt.clear()
        self._kill_leftovers()
        self._cells.close()

    def expire(self, now: float) -> None:
        """End what has run too long or grown too large, and kill what did not end when it was asked to."""
        while self._timers and self._timers[0][0] <= now:
            _, attempt = heapq.heappop(self._timers)
            run = self._by_attempt.get(attempt)
            if run is not None:
                timed_out = "timed out after %.12gs" % run.assignment.timeout
                self.stop(attempt, timed_out, now, grace=not run.ending)
        for attempt, reason in self._watch.look(now):
            self.stop(attempt, reason, now, grace=False)

    def deadline(self) -> float:
        """When to call ``expire``; infinite when nothing runs."""
        while self._timers and self._timers[0][1] not in self._by_attempt:
            heapq.heappop(self._timers)
        return min(self._timers[0][0] if self._timers else float("inf"), self._watch.deadline())

    def reap(self) -> List[Ended]:
        """What has ended since the last call (to be called after SIGCHLD)."""
        ends: List[_End] = []
        orphans = False
        pid = processes.ended_child()
        while pid:
            run = self._by_pid.pop(pid, None)
            if run is not None:
                ends.append(self._end(run))
            else:
                os.waitpid(pid, 0)
                self._strays.pop(pid, None)  # its number may soon be another one's
                orphans = True
            pid = processes.ended_child()
        if pid is not None and (ends or orphans):
            self._kill_leftovers()  # what was below an attempt or an orphan is our child by now
        return [Ended(end.run.assignment.attempt, self._result(end)) for end in ends]

    def output(self, attempt: str, stream: str) -> str:
        """The path of an attempt's ``stdout`` or ``stderr``."""
        return self._folders.path(attempt) + "/" + stream

    def _spawn(self, assignment: Assignment, folder: str, cell: Cell) -> int:
        """Start the process; its pid. Raises OSError, and ValueError for a NUL in a command or a variable."""
        work = self._folders.work(assignment)
        temp, init = folder + "/temp", self._folders.init(assignment.attempt)
        env = self._surroundings.environment(assignment, temp, init, cell.environ(temp))
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, folder + "/stdout", _CREATE, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, folder + "/stderr", _CREATE, 0o600),
        ]
        chosen = command.prepare(assignment.commands, env.get("PATH", os.defpath), work, self._bash)
        if not self._cells.may_execute(cell, chosen.program):  # what he may execute, only he can find out
            chosen = command.in_shell(assignment.commands, self._bash)
        os.chdir(work)
        try:
            try:
                return self._posix_spawn(chosen, env, actions, cell)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOEXEC, errno.EACCES, errno.E2BIG):
                    raise
                if chosen.program == self._bash and error.errno != errno.E2BIG:
                    raise
            # No program after all (a script without #!, an interpreter that is not there), or words that are too long for the
            # kernel: the shell knows what to do or say.
            script = _write_script(folder + "/script", assignment.commands)
            if script and cell.user is not None:
                cell.user.hand_file(script)
            return self._posix_spawn(command.in_shell(assignment.commands, self._bash, script), env, actions, cell)
        finally:
            os.chdir("/")

    def _posix_spawn(self, chosen: command.Command, env: Dict[str, str], actions: Any, cell: Cell) -> int:
        def spawn(wrapped: command.Command) -> int:
            return os.posix_spawn(
                wrapped.program,
                wrapped.argv,
                env,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_RESTORED,
            )

        return self._cells.start(cell, chosen, spawn)

    def _end(self, run: _Run) -> _End:
        """Kill what is left of an attempt whose process has ended, and reap it."""
        processes.signal_group(run.pid, signal.SIGKILL)
        _, status, used = os.wait4(run.pid, 0)
        attempt = run.assignment.attempt
        del self._by_attempt[attempt]
        self._watch.drop(attempt)
        self._cells.give(run.cell)
        if run.cell.user is not None:
            self._take_back(run.assignment)
        return _End(run, status, used, self._cells.used(run.cell), time.time())

    def _take_back(self, assignment: Assignment) -> None:
        try:
            self._folders.take_back(assignment)
        except OSError as error:
            _LOG.warning("the folder of attempt %s: %s", assignment.attempt, error, extra={"attempt": assignment.attempt})

    def _kill_leftovers(self) -> None:
        """Kill what ended attempts left behind in sessions of their own, and all below that."""
        for pid in processes.children():
            if pid in self._by_pid or (pid in self._earlier and self._earlier[pid] == processes.started(pid)):
                continue
            if not self._is_wanted(pid):
                processes.kill_tree(pid)

    def _is_wanted(self, pid: int) -> bool:
        """Whether an orphan, which has become our child, belongs to an attempt that still runs."""
        environment = processes.environment(pid)
        if environment.get("ECLOUD_WORKER_FOLDER") == self._folders.root:
            return environment.get("ECLOUD_ATTEMPT_ID") in self._by_attempt
        may_be = self._strays.setdefault(pid, frozenset(self._by_attempt))
        return not may_be.isdisjoint(self._by_attempt)

    def _result(self, end: _End) -> Result:
        run, status, used, counted, finished = end
        stdout, stdout_size = _tail(run.folder + "/stdout")
        stderr, stderr_size = _tail(run.folder + "/stderr")
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        exit_code = os.WEXITSTATUS(status) if number is None else None
        failed = bool(run.ending) or exit_code != 0
        return Result(
            attempt=run.assignment.attempt,
            outcome="failed" if failed else "succeeded",
            phase="run" if failed else "",
            exit_code=exit_code,
            signal=number,
            reason=self._reason(run, counted, exit_code, number) + self._hint(run, stderr) if failed else "",
            started=run.started,
            finished=finished,
            usage=_usage(used, counted),
            stdout=stdout,
            stderr=stderr,
            stdout_size=stdout_size,
            stderr_size=stderr_size,
        )

    def _reason(self, run: _Run, counted: Used, exit_code: Optional[int], number: Optional[int]) -> str:
        """Why an attempt failed, with what evidence there is."""
        if run.ending:
            return run.ending
        if counted.oom_kills and run.cell.bounds.memory:
            return over_memory(run.cell.bounds.memory, counted.peak)
        if number is not None:
            reason = "killed by %s" % _signal_name(number)
        else:
            reason = "exit code %d%s" % (exit_code or 0, _CODES.get(exit_code or 0, ""))
        if number == signal.SIGKILL or exit_code == 128 + signal.SIGKILL:
            before, self._oom_kills = self._oom_kills, processes.oom_kills()
            if self._oom_kills > before:
                reason += ": out of memory (the kernel ended a process for want of it)"
        if self._folders.free() < _DISK_FULL:
            reason += "; the worker's disk is full"
        return reason

    def _hint(self, run: _Run, stderr: str) -> str:
        """The folder of an output that nobody has made, if the command says that something is not there."""
        if os.strerror(errno.ENOENT) not in stderr or run.assignment.init:
            return ""
        work = self._folders.work(run.assignment)
        for output in run.assignment.outputs:
            folder = fixed_folder(output.path) if is_pattern(output.path) else os.path.dirname(output.path.rstrip("/"))
            if folder and not os.path.exists(os.path.join(work, folder)):
                return "; the folder of its output %s does not exist: begin with mkdir -p %s" % (output.path, shlex.quote(folder))
        return ""


def _usage(used: Any, counted: Used) -> Dict[str, float]:
    """What an attempt has used: what the kernel says of its process, or its group's count where that says more."""
    cpu = used.ru_utime + used.ru_stime if counted.cpu < 0 else counted.cpu
    usage: Dict[str, float] = {"cpu": round(cpu, 6), "memory": max(used.ru_maxrss * 1024, counted.memory)}
    if counted.oom_kills:
        usage["memory"] = counted.peak
        usage["oom_kills"] = counted.oom_kills
    return usage


def _write_script(path: str, commands: Sequence[str]) -> str:
    """The path of a file with commands that are too long to be an argument (the kernel's MAX_ARG_STRLEN); empty if they are not."""
    text = os.fsencode(command.script_of(commands))
    if len(text) < _MAX_ARGUMENT:
        return ""
    with open(path, "wb") as file:
        file.write(text)
    return path


#: What a shell means by an exit code.
_CODES = {126: ": the command cannot be executed", 127: ": the command was not found"}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def _described(error: Exception) -> str:
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return "the worker's disk is full"
        return "%s%s" % (error.strerror, ": %s" % error.filename if error.filename else "")
    return str(error)


def _tail(path: str) -> Tuple[str, int]:
    """The last ``MAX_TAIL`` bytes of a file as text, and its size; nothing if the task removed it."""
    try:
        size = os.stat(path).st_size
        if size == 0:
            return "", 0
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return "", 0
    try:
        data = os.pread(file, MAX_TAIL, max(0, size - MAX_TAIL))
    finally:
        os.close(file)
    return data.decode("utf-8", "replace"), size
