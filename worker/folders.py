"""The worker's own folder: one folder per attempt, one lasting folder per job for its init attempts.

    attempts/<attempt>/work/     where the command runs, its inputs and outputs
    attempts/<attempt>/temp/     its TMPDIR
    attempts/<attempt>/stdout, stderr
    inits/<job uid>/             where a job's init attempts run, kept for its other attempts
    cache/                       inputs by content (see stage.py)
    spool                        unacknowledged results (see spool.py)

Rules:
- What an earlier life left in ``attempts/`` is removed at the start: nothing of it runs, and its results are in the spool.
- An attempt's folder lives until its result is acknowledged, so that its output can be followed.
- A folder that a task left as it found it (empty, mode unchanged) serves another attempt under a new name. Making and removing
  one costs 1 ms of CPU and, on ext4 with ``discard``, 4 ms of waiting for each ``rmdir``; a rename costs 16 us.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import os
import shutil
import stat
from typing import List, Set
from urllib.parse import quote

from worker.protocol import Assignment

#: How many empty folders are kept for other attempts.
MAX_SPARE = 256


class Folders:
    """Paths below one worker's folder, made and removed. Raises OSError as files do, ValueError for an impossible attempt id."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self.cache = os.path.join(self.root, "cache")
        self.spool = os.path.join(self.root, "spool")
        self._attempts = os.path.join(self.root, "attempts")
        self._inits = os.path.join(self.root, "inits")
        for path in (self.root, self.cache, self._attempts, self._inits):
            os.makedirs(path, mode=0o700, exist_ok=True)
        self._prepared: Set[str] = set(os.listdir(self._inits))
        self._spare: List[str] = []

    def sweep(self) -> None:
        """Remove what an earlier life left in ``attempts/``."""
        for name in os.listdir(self._attempts):
            _remove_tree(os.path.join(self._attempts, name))

    def make(self, assignment: Assignment) -> str:
        """Make an attempt's folder, if it is not there yet; its path."""
        folder = self.path(assignment.attempt)
        if assignment.init:
            os.makedirs(self.work(assignment), mode=0o700, exist_ok=True)
            self._prepared.add(_name(_uid(assignment.attempt)))
        if assignment.inputs and os.path.exists(folder):
            return folder  # made when they were fetched
        try:
            spare = self._spare.pop()  # stage threads make folders too: asking first would be too late
        except IndexError:
            for path in (folder, folder + "/work", folder + "/temp"):
                os.mkdir(path, 0o700)
        else:
            os.rename(spare, folder)
        return folder

    def path(self, attempt: str) -> str:
        """An attempt's folder, whether it is there or not."""
        return self._attempts + "/" + _name(attempt)

    def work(self, assignment: Assignment) -> str:
        """Where an attempt's command runs."""
        if assignment.init:
            return self._inits + "/" + _name(_uid(assignment.attempt))
        return self.path(assignment.attempt) + "/work"

    def init(self, attempt: str) -> str:
        """The lasting folder of the attempt's job, if an init attempt of it ever ran here; else empty."""
        name = _name(_uid(attempt))
        return self._inits + "/" + name if name in self._prepared else ""

    def reuse(self, attempt: str) -> bool:
        """Keep an attempt's folder for another one, if it is as good as new; else it is to be removed."""
        folder = self.path(attempt)
        try:
            good = len(self._spare) < MAX_SPARE and _untouched(folder + "/work") and _untouched(folder + "/temp")
            if good and _emptied(folder + "/stdout") and _emptied(folder + "/stderr"):
                self._spare.append(folder)
                return True
        except OSError:
            return False  # something of it is gone
        return False

    def remove(self, attempt: str) -> None:
        """Remove an attempt's folder with all that is in it; may take long. Raises OSError for what cannot be removed."""
        _remove_tree(self.path(attempt))

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


def _untouched(folder: str) -> bool:
    state = os.lstat(folder)
    return state.st_mode == stat.S_IFDIR | 0o700 and not os.listdir(folder)


def _emptied(path: str) -> bool:
    """Make an output file empty, if it is still the plain file that it was."""
    state = os.lstat(path)
    if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
        return False
    if state.st_size:
        os.truncate(path, 0)
    return True


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
