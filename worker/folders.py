"""The worker's own folder: one folder per attempt, one lasting folder per job for its init attempts.

    attempts/<number>/work/      where an attempt's command runs, its inputs and outputs
    attempts/<number>/temp/      its TMPDIR
    attempts/<number>/stdout, stderr
    inits/<job uid>/             where a job's init attempts run, kept for its other attempts
    cache/                       inputs by content (see stage.py)
    spool                        unacknowledged results (see spool.py)

Rules:
- What an earlier life left in ``attempts/`` is removed at the start: nothing of it runs, and its results are in the spool.
- An attempt's folder lives until its result is acknowledged, so that its output can be followed.
- A folder that a task left as it found it (empty, mode unchanged) serves another attempt. Making and removing one costs 1 ms of
  CPU and, on ext4 with ``discard``, 4 ms of waiting for each ``rmdir``; giving each its attempt's name would cost a rename, 16 us.
- A folder whose inode has not changed since it was last looked at (``st_ctime``, which no task can set) is not read again.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import os
import shutil
import stat
import time
from itertools import count
from typing import Dict, List, NamedTuple, Optional, Set
from urllib.parse import quote

from worker.protocol import Assignment
from worker.users import TaskUser

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

    def __init__(self, root: str, user: Optional[TaskUser] = None) -> None:
        """``user`` runs the tasks, where that is not this process's own user."""
        self._user = user
        self.root = os.path.realpath(root)
        self.cache = os.path.join(self.root, "cache")
        self.spool = os.path.join(self.root, "spool")
        self._attempts = os.path.join(self.root, "attempts")
        self._inits = os.path.join(self.root, "inits")
        for path in (self.root, self.cache, self._attempts, self._inits):
            os.makedirs(path, mode=0o700, exist_ok=True)
        for path in (self.root, self._attempts, self._inits) if user is not None else ():
            os.chmod(path, 0o711)  # noqa: S103 (he goes through, and sees nothing)
        self._prepared: Set[str] = set(os.listdir(self._inits))
        self._numbers = count(1)
        self._made: Dict[str, _Folder] = {}  # by attempt
        self._spare: List[_Folder] = []

    def sweep(self) -> None:
        """Remove what an earlier life left in ``attempts/``."""
        for name in os.listdir(self._attempts):
            _remove_tree(os.path.join(self._attempts, name))

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
                if self._user is not None:
                    os.chmod(folder.path, 0o711)  # noqa: S103
            else:
                self._made[assignment.attempt] = folder
        return folder.path

    def path(self, attempt: str) -> str:
        """An attempt's folder; a path where nothing is for an attempt that has none."""
        folder = self._made.get(attempt)
        return folder.path if folder is not None else self._attempts + "/none"

    def work(self, assignment: Assignment) -> str:
        """Where an attempt's command runs."""
        if assignment.init:
            return self._inits + "/" + _name(_uid(assignment.attempt))
        return self.path(assignment.attempt) + "/work"

    def init(self, attempt: str) -> str:
        """The lasting folder of the attempt's job, if an init attempt of it ever ran here; else empty."""
        name = _name(_uid(attempt))
        return self._inits + "/" + name if name in self._prepared else ""

    def hand_over(self, assignment: Assignment) -> None:
        """The attempt is about to start: what it may write becomes its user's. Raises OSError."""
        user, folder = self._user, self.path(assignment.attempt)
        if user is None:
            return
        for path in (self.work(assignment), folder + "/work", folder + "/temp"):
            user.hand_over(path)
        for stream in ("stdout", "stderr"):
            user.hand_output(folder + "/" + stream)

    def reuse(self, attempt: str) -> bool:
        """Keep an attempt's folder for another one, if it is as good as new; else it is to be removed."""
        folder = self._made.get(attempt)
        if folder is None or len(self._spare) >= MAX_SPARE or self._user is not None:  # it is that user's by now
            return False
        try:
            work, temp = _untouched(folder.path + "/work", folder.work), _untouched(folder.path + "/temp", folder.temp)
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
            _remove_tree(folder.path)

    def free(self) -> int:
        """Bytes that may still be written below the folder."""
        state = os.statvfs(self.root)
        return state.f_bavail * state.f_frsize


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


def _remove_tree(folder: str) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError:
        _open_up(folder)
        shutil.rmtree(folder)


def _open_up(folder: str) -> None:
    """Give back to ourselves the folders that a task has closed (``chmod 000``)."""
    os.chmod(folder, 0o700)
    for path, names, _ in os.walk(folder):
        for name in names:
            inner = os.path.join(path, name)
            if not os.path.islink(inner):
                os.chmod(inner, 0o700)
