"""What the user of an attempt leaves behind where all users may write; removed before he is the user of another attempt.

Rules:
- Files in the public places, and shared memory, semaphores and message queues of System V.
- Only a place is read that has changed since it was last looked at, or where something of theirs lay then.
- By descriptors and without following links: others may write in these places, too.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import ctypes
import os
import stat
import time
from typing import AbstractSet, Dict, FrozenSet, Sequence, Set, Tuple

from worker.folders import remove_tree

#: Where every user may leave files; those in ``/tmp`` are systemd's.
PUBLIC: Tuple[str, ...] = ("/tmp", "/var/tmp", "/var/crash", "/dev/shm", "/dev/mqueue", "/run/lock")  # noqa: S108
PUBLIC += tuple("/tmp/.%s-unix" % name for name in ("X11", "ICE", "XIM", "font"))  # noqa: S108
#: Two changes of a folder closer than this may get the same time, in nanoseconds.
_TICK = 20_000_000
#: By kind of object: which column of the kernel's list is its owner (the second one is its number).
_OBJECTS = {"shm": 7, "msg": 7, "sem": 4}
_IPC_RMID = 0


class Leftovers:
    """Looks through the public places."""

    def __init__(self, places: Sequence[str] = PUBLIC) -> None:
        self._places = places
        self._seen: Dict[str, Tuple[int, FrozenSet[int]]] = {}  # when it had changed, and whose files were left there
        self._libc = ctypes.CDLL(None)

    def sweep(self, uids: AbstractSet[int]) -> None:
        """Remove what is of these users; no process may be theirs any more."""
        for place in self._places:
            try:
                found = os.lstat(place)
                if found.st_uid != 0:
                    continue  # a task's own: its name may stand for any folder, and it goes with what that task has left
                changed = (os.stat(place) if stat.S_ISLNK(found.st_mode) else found).st_mtime_ns
                seen, owners = self._seen.get(place, (0, frozenset()))
                if seen != changed or not uids.isdisjoint(owners):
                    left = self._sweep_place(place, uids)
                    self._seen[place] = (changed if changed < time.time_ns() - _TICK else 0), left
            except OSError:
                continue  # there is no such place here
        for kind, column in _OBJECTS.items():
            self._sweep_objects(kind, column, uids)

    def _sweep_place(self, place: str, uids: AbstractSet[int]) -> FrozenSet[int]:
        """Remove what is theirs in one place; whose the rest is."""
        left: Set[int] = set()
        for name in os.listdir(place):
            path = os.path.join(place, name)
            try:
                found = os.lstat(path)
            except OSError:
                continue  # it went away by itself
            if found.st_uid not in uids:
                left.add(found.st_uid)
                continue
            try:
                if stat.S_ISDIR(found.st_mode):
                    remove_tree(path)
                else:
                    os.unlink(path)
            except OSError:
                left.add(found.st_uid)
        return frozenset(left)

    def _sweep_objects(self, kind: str, column: int, uids: AbstractSet[int]) -> None:
        try:
            with open("/proc/sysvipc/" + kind, "rb") as file:
                rows = [line.split() for line in file.read().splitlines()[1:]]
        except OSError:
            return  # a kernel without them
        for row in rows:
            if int(row[column]) in uids:
                self._remove_object(kind, int(row[1]))

    def _remove_object(self, kind: str, number: int) -> None:
        if kind == "shm":
            self._libc.shmctl(number, _IPC_RMID, None)
        elif kind == "msg":
            self._libc.msgctl(number, _IPC_RMID, None)
        else:
            self._libc.semctl(number, 0, _IPC_RMID)
