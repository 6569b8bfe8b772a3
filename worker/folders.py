"""The worker's own folder: one folder per attempt, one lasting folder per job for its init attempts.

    attempts/<number>/work/      where an attempt's command runs, its inputs and outputs
    attempts/<number>/temp/      its TMPDIR
    attempts/<number>/stdout, stderr
    attempts/<number>/inputs/    the inputs of an init attempt with a user of its own, until it starts
    inits/<job uid>/             where a job's init attempts run, kept for its other attempts
    cache/                       inputs by content (see stage.py)
    spool                        unacknowledged results (see spool.py)

Rules:
- What an earlier life left in ``attempts/`` is removed at the start: nothing of it runs, and its results are in the spool.
- An attempt's folder lives until its result is acknowledged, so that its output can be followed.
- A folder that a task left as it found it (empty, mode unchanged) serves another attempt. Making and removing one costs 1 ms of
  CPU and, on ext4 with ``discard``, 4 ms of waiting for each ``rmdir``; giving each its attempt's name would cost a rename, 16 us.
- Where tasks have users of their own, the way into ``attempts/<number>`` is open to its user alone, and only while the attempt runs: a
  task may open its own folder to all without opening it to anybody. A job's init attempts work in ``inits/<job uid>/work``, to which
  the way is open to that job's attempts; what is fetched for one is moved there without following what others have put there.
- A folder whose inode has not changed since it was last looked at (``st_ctime``, which no task can set) is not read again.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import os
import shutil
import stat
import subprocess
import time
from itertools import count
from typing import Dict, List, NamedTuple, Optional, Set
from urllib.parse import quote, unquote

from datastore.tree import FOLDER
from worker.protocol import Assignment
from worker.users import TaskUser, TaskUsers

#: How many empty folders are kept for other attempts.
MAX_SPARE = 256
#: Two changes of an inode closer than this may get the same time of older kernels, in nanoseconds.
_TICK = 20_000_000
#: Of a folder about whose last change nothing is known.
_UNKNOWN = 0


class _Folder(NamedTuple):
    """One folder for attempts: its path, and when its two folders last changed while they were known to be empty."""

    path: str
    work: int = _UNKNOWN
    temp: int = _UNKNOWN


class Folders:
    """Paths below one worker's folder, made and removed. Raises OSError as files do, ValueError for an impossible attempt id."""

    def __init__(self, root: str, users: Optional[TaskUsers] = None) -> None:
        """``users`` run the tasks, where that is not this process's own user."""
        self._users = users
        self.root = os.path.realpath(root)
        self.cache = os.path.join(self.root, "cache")
        self.spool = os.path.join(self.root, "spool")
        self._attempts = os.path.join(self.root, "attempts")
        self._inits = os.path.join(self.root, "inits")
        for path in (self.root, self.cache, self._attempts, self._inits):
            os.makedirs(path, mode=0o700, exist_ok=True)
        for path in (self.root, self._attempts, self._inits) if users is not None else ():
            os.chmod(path, 0o711)  # noqa: S103 (they go through, and see nothing)
        self._keep_inits()
        self._prepared: Set[str] = set(os.listdir(self._inits))
        self._numbers = count(1)
        self._made: Dict[str, _Folder] = {}  # by attempt
        self._spare: List[_Folder] = []

    def sweep(self) -> None:
        """Remove what an earlier life left in ``attempts/``."""
        for name in os.listdir(self._attempts):
            remove_tree(os.path.join(self._attempts, name))

    def make(self, assignment: Assignment) -> str:
        """Make an attempt's folder, if it is not there yet; its path."""
        if assignment.init:
            os.makedirs(self.work(assignment), mode=0o700, exist_ok=True)
            self._prepared.add(_name(_uid(assignment.attempt)))
        folder = self._made.get(assignment.attempt)
        if folder is None:
            try:
                folder = self._spare.pop()  # stage threads make folders too: asking first would be too late
            except IndexError:
                folder = self._made[assignment.attempt] = _Folder("%s/%d" % (self._attempts, next(self._numbers)))
                for path in (folder.path, folder.path + "/work", folder.path + "/temp"):
                    os.mkdir(path, 0o700)
            else:
                self._made[assignment.attempt] = folder
        if assignment.init and self._users is not None and assignment.inputs:
            os.makedirs(folder.path + "/inputs", mode=0o700, exist_ok=True)
        return folder.path

    def path(self, attempt: str) -> str:
        """An attempt's folder; a path where nothing is for an attempt that has none."""
        folder = self._made.get(attempt)
        return folder.path if folder is not None else self._attempts + "/none"

    def work(self, assignment: Assignment) -> str:
        """Where an attempt's command runs."""
        if assignment.init:
            return self._init(_name(_uid(assignment.attempt)))
        return self.path(assignment.attempt) + "/work"

    def init(self, attempt: str) -> str:
        """The lasting folder of the attempt's job, if an init attempt of it ever ran here; else empty."""
        name = _name(_uid(attempt))
        return self._init(name) if name in self._prepared else ""

    def inbox(self, assignment: Assignment) -> str:
        """Where an attempt's inputs are brought to."""
        if assignment.init and self._users is not None:
            return self.path(assignment.attempt) + "/inputs"
        return self.work(assignment)

    def hand_over(self, assignment: Assignment, user: TaskUser) -> None:
        """The attempt is about to start: what it may write becomes its user's. Raises OSError."""
        folder, work = self.path(assignment.attempt), self.work(assignment)
        if assignment.init:
            if assignment.inputs:
                user.hand_over(folder + "/inputs")
                _move_in(folder + "/inputs", work)
            os.chown(work, user.uid, user.uid, follow_symlinks=False)
            os.chmod(work, 0o750)  # noqa: S103 (the job's other attempts have him as a group)
            _open_for(os.path.dirname(work), user.uid)
        elif assignment.inputs:
            user.hand_over(work)
        for path in (folder + "/work", folder + "/temp"):
            os.chown(path, user.uid, user.uid, follow_symlinks=False)
        for stream in ("stdout", "stderr"):
            user.hand_file(folder + "/" + stream)
        _open_for(folder, user.uid)

    def take_back(self, assignment: Assignment) -> None:
        """The attempt has ended: nobody else gets to what it has left, not even who is its user later. Raises OSError."""
        os.chown(self.path(assignment.attempt), 0, 0)

    def reuse(self, attempt: str) -> bool:
        """Keep an attempt's folder for another one, if it is as good as new; else it is to be removed."""
        folder = self._made.get(attempt)
        if folder is None or len(self._spare) >= MAX_SPARE:
            return False
        try:
            work, temp = _untouched(folder.path + "/work", folder.work), _untouched(folder.path + "/temp", folder.temp)
            if self._users is not None:
                work = temp = _UNKNOWN  # their owners change, and with that the time by which they are known
                _check_unmarked(folder.path)
            _make_empty(folder.path + "/stdout")
            _make_empty(folder.path + "/stderr")
        except (OSError, _Touched):
            return False
        del self._made[attempt]
        self._spare.append(_Folder(folder.path, work, temp))
        return True

    def remove(self, attempt: str) -> None:
        """Remove an attempt's folder with all that is in it; may take long. Raises OSError for what cannot be removed."""
        folder = self._made.pop(attempt, None)
        if folder is not None:
            remove_tree(folder.path)

    def free(self) -> int:
        """Bytes that may still be written below the folder."""
        state = os.statvfs(self.root)
        return state.f_bavail * state.f_frsize

    def _init(self, name: str) -> str:
        return "%s/%s%s" % (self._inits, name, "/work" if self._users is not None else "")

    def _keep_inits(self) -> None:
        """Where tasks have users of their own: what an earlier life has prepared stays that of its job's user, else it goes."""
        for name in os.listdir(self._inits) if self._users is not None else ():
            path = os.path.join(self._inits, name)
            if self._users is not None and not self._users.keep(unquote(name), os.lstat(path).st_gid):
                remove_tree(path)


def _uid(attempt: str) -> str:
    """The job's uid: the first part of an attempt's id."""
    return attempt.rsplit(".", 2)[0]


def _name(text: str) -> str:
    """A text as the name of one file. Raises ValueError for one that no file can have."""
    if text.replace(".", "").isalnum() and text.isascii():
        return text
    name = quote(text, safe="")
    if not name.strip("."):
        raise ValueError("%r cannot be the name of a folder" % text)
    return name


class _Touched(Exception):
    """A folder or a file is not as it was made."""


def _untouched(folder: str, changed: int) -> int:
    """When a folder last changed, _UNKNOWN if that was just now. Raises _Touched unless it is empty and its own.

    It is not read when that was at ``changed``, a time at which it was empty.
    """
    state = os.lstat(folder)
    if changed and state.st_ctime_ns == changed:
        return changed
    if state.st_mode != stat.S_IFDIR | 0o700 or os.listdir(folder):
        raise _Touched(folder)
    return state.st_ctime_ns if state.st_ctime_ns < time.time_ns() - _TICK else _UNKNOWN


def _make_empty(path: str) -> None:
    """Make an output file empty. Raises _Touched unless it is still the plain file that it was."""
    state = os.lstat(path)
    if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
        raise _Touched(path)
    if state.st_size:
        os.truncate(path, 0)


def _open_for(folder: str, uid: int) -> None:
    """Let one user (and who has him as a group) through a folder of root's, and nobody else."""
    os.chown(folder, 0, uid)
    os.chmod(folder, 0o710)  # noqa: S103


def _check_unmarked(folder: str) -> None:
    """Raises _Touched if there is more in an attempt's folder than should be, or a task has left marks (such as access lists) on it."""
    if len(os.listdir(folder)) != 4 or any(os.listxattr("%s/%s" % (folder, name)) for name in ("work", "temp")):
        raise _Touched(folder)


def _move_in(source: str, target: str) -> None:
    """Move all that is in one folder into another, in which somebody may put links in the way meanwhile. Raises OSError."""
    here, there = os.open(source, FOLDER), os.open(target, FOLDER)
    try:
        _merge(here, there)
    finally:
        os.close(here)
        os.close(there)


def _merge(here: int, there: int) -> None:
    for name in os.listdir(here):
        if not stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)
            continue
        try:
            inner = os.open(name, FOLDER, dir_fd=there)
        except FileNotFoundError:
            os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)
            continue
        try:
            own = os.open(name, FOLDER, dir_fd=here)
            try:
                _merge(own, inner)
            finally:
                os.close(own)
        finally:
            os.close(inner)


def remove_tree(folder: str) -> None:
    """Remove a folder, whatever a task has made in it, without following links. Raises OSError for what cannot be removed."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except (OSError, RecursionError) as error:
        if os.geteuid() != 0:
            _open_up(folder)
        # Without following links, however deep a task has nested its folders.
        subprocess.run(["rm", "-rf", "--", folder], check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if os.path.lexists(folder):
            raise OSError("%s: %s" % (folder, error)) from error


def _open_up(folder: str) -> None:
    """Give back to ourselves the folders that a task has closed (``chmod 000``), and no file: it may have other names elsewhere."""
    todo = [folder]
    while todo:
        path = todo.pop()
        try:
            os.chmod(path, 0o700)
            with os.scandir(path) as entries:
                todo += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue  # nested deeper than a path can say
