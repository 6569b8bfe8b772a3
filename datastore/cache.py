"""Files that were fetched before, kept by sha256 so that the next attempt on this host need not fetch them again.

Rules:
- A file is copied out, never linked: what a task does to its copy does not reach the cache. Where the file system can, the copy
  shares the cache's blocks (copy_file_range), so that a big file costs neither time nor room for each task.
- What was used longest ago goes when the limit would be passed; a file larger than half the limit is not kept at all.
- Each file has a name by which others know it, its digest's beginning if nobody gave it another; names are forgotten at a restart.
- A file enters by rename, whole and verified by whoever fetched it. The folder survives restarts; one process uses it at a time.

Python 3.9 syntax, standard library only. Any thread may call.
"""

import errno
import os
import threading
from collections import OrderedDict
from heapq import nlargest
from typing import Dict

from datastore.landing import remove

#: What a system says that cannot copy ranges between these files.
_NO_RANGES = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})

#: Hexadecimal digits of a file's name.
NAME = 16


class Cache:
    """A folder of files by digest, ``limit`` bytes at most."""

    def __init__(self, folder: str, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._sizes: "OrderedDict[str, int]" = OrderedDict()  # used longest ago first
        self._names: Dict[str, str] = {}
        self._total = 0
        os.makedirs(folder, exist_ok=True)
        self._load()

    @property
    def limit(self) -> int:
        """How much it keeps at most, in bytes."""
        return self._limit

    def keeps(self, size: int) -> bool:
        """Whether a file of this size, in bytes, is worth keeping."""
        return size <= self._limit // 2

    def path(self, digest: str) -> str:
        """Where a file of this digest lies, or is to be put before ``add``."""
        return os.path.join(self._folder, digest)

    def add(self, digest: str) -> None:
        """Count a file that was put at its path, and make room for it."""
        with self._lock:
            self._total -= self._sizes.pop(digest, 0)
            self._sizes[digest] = os.path.getsize(self.path(digest))
            self._total += self._sizes[digest]
            self._shrink()

    def call(self, digest: str, name: str) -> None:
        """Give a file that is here another name than the beginning of its digest."""
        with self._lock:
            if digest in self._sizes:
                self._names[digest] = name

    def largest(self, count: int) -> Dict[str, int]:
        """The sizes in bytes of so many of the largest files, by their names."""
        with self._lock:
            found = nlargest(count, self._sizes.items(), key=lambda entry: entry[1])
            return {self._names.get(digest, digest[:NAME]): size for digest, size in found if size}

    def copy(self, digest: str, target: str, mode: int) -> bool:
        """Copy a file to a new place with these permission bits; False if it is not here. Raises OSError (of the new place)."""
        with self._lock:
            if digest not in self._sizes:
                return False
            self._sizes.move_to_end(digest)
            source = open(self.path(digest), "rb")  # noqa: SIM115 (held open across the lock: what is removed meanwhile stays readable)
        with source:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            remove(target)
            with open(target, "xb") as file:
                os.fchmod(file.fileno(), mode)
                _copy(source.fileno(), file.fileno())
            # The order of use survives a restart.
            os.utime(source.fileno())
        return True

    def _load(self) -> None:
        """Take over what an earlier process left, in the order of its last use; half-written files go."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if len(entry.name) == 64 and entry.is_file(follow_symlinks=False):
                    what = entry.stat()
                    found.append((what.st_mtime_ns, entry.name, what.st_size))
                elif entry.is_file(follow_symlinks=False):
                    os.unlink(entry.path)
        for _used, digest, size in sorted(found):
            self._sizes[digest] = size
            self._total += size
        self._shrink()

    def _shrink(self) -> None:
        while self._total > self._limit:
            digest, size = self._sizes.popitem(last=False)
            remove(self.path(digest))
            self._names.pop(digest, None)
            self._total -= size


def _copy(source: int, target: int) -> None:
    """Copy a whole file within the kernel, by reference where the file system can do that."""
    try:
        while os.copy_file_range(source, target, 1 << 30):
            pass
    except OSError as error:
        if error.errno not in _NO_RANGES:
            raise
        # Both stand where the range ended, if one was copied at all.
        while os.sendfile(target, source, None, 1 << 30):
            pass
