"""The datastore's folder, entered part by part and never through a symlink.

Rules:
- The root is held by descriptor. Every path is relative to it and is walked with ``O_NOFOLLOW``: whatever a task or a person has
  planted in the tree, nothing outside of it is read or written.
- Files are created anew (``O_EXCL``) and moved by rename; nothing is ever written in place.
- What must survive a power cut is fsynced: new files (together, see
  ``datastore.durable``; the journals of ext4, XFS and btrfs bring a new file's name along), and the folder into which
  something was renamed.

Python 3.9 syntax, standard library only; Linux (and other systems with the ``*at`` calls).
"""

import errno
import fcntl
import os
import stat
from contextlib import contextmanager
from typing import Iterable, Iterator, List, Optional, Set, Tuple

from datastore.frames import GateRefused
from datastore.pipes import BLOCK, Bytes

#: How a folder is opened: as itself, following no link.
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotPlain(GateRefused):
    """A path that passes through, or ends at, something that is not a plain folder or file."""


class Tree:
    """A folder and what lies in it. Paths are relative and use ``/``; missing things raise FileNotFoundError."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def open_folder(self, path: str, create: bool = False) -> int:
        """A descriptor of a folder, which the caller closes. Raises NotPlain where a part is a symlink or a file."""
        current = os.dup(self.descriptor)
        for part in path.split("/") if path else ():
            try:
                following = _enter(current, part, create, path)
            finally:
                os.close(current)
            current = following
        return current

    @contextmanager
    def parent(self, path: str, create: bool = False) -> Iterator[Tuple[int, str]]:
        """``(descriptor of the folder that holds path, its last part)``."""
        folder, _slash, name = path.rpartition("/")
        descriptor = self.open_folder(folder, create)
        try:
            yield descriptor, name
        finally:
            os.close(descriptor)

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, as far as they are missing."""
        os.close(self.open_folder(path, create=True))

    def create(self, path: str, mode: int = 0o666) -> int:
        """A descriptor to write a new file with; folders above it are made. Raises FileExistsError."""
        with self.parent(path, create=True) as (folder, name):
            return os.open(name, _CREATE, mode, dir_fd=folder)

    def open(self, path: str) -> Tuple[int, os.stat_result]:
        """A descriptor to read a plain file with, and what it is. Raises NotPlain for anything else."""
        with self.parent(path) as (folder, name):
            return _open_plain(folder, name, path)

    def look(self, path: str) -> Optional[os.stat_result]:
        """What lies at a path (a symlink itself, not what it points to), or None."""
        try:
            with self.parent(path) as (folder, name):
                return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def read(self, path: str) -> bytes:
        """A whole small file."""
        descriptor, _found = self.open(path)
        with open(descriptor, "rb") as file:
            return file.read()

    def write(self, path: str, data: bytes, mode: int = 0o666) -> None:
        """Put a small file at a path at once, durably, replacing what is there."""
        folder, _slash, name = path.rpartition("/")
        passing = "%s/.%s.%d.new" % (folder, name, os.getpid()) if folder else ".%s.%d.new" % (name, os.getpid())
        self.remove(passing)
        try:
            with open(self.create(passing, mode), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self.rename(passing, path)
        except OSError:
            self.remove(passing)  # on a full disk every block counts
            raise
        self.sync_folder(folder)

    def rename(self, old: str, new: str, create: bool = False) -> None:
        """Move a file or folder, replacing a file (or an empty folder) at its new path; with ``create`` makes folders above."""
        with self.parent(old) as (source, old_name):
            # A missing source must not leave new folders behind.
            os.stat(old_name, dir_fd=source, follow_symlinks=False)
            with self.parent(new, create) as (target, new_name):
                os.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it, if it is there."""
        try:
            with self.parent(path) as (folder, name):
                _remove(folder, name)
        except FileNotFoundError:
            return

    def sync_folder(self, path: str) -> None:
        """Make durable which names a folder holds."""
        descriptor = self.open_folder(path)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def names(self, path: str) -> List[str]:
        """The names in one folder, sorted; none if there is no such folder."""
        try:
            descriptor = self.open_folder(path)
        except FileNotFoundError:
            return []
        try:
            return sorted(os.listdir(descriptor))
        finally:
            os.close(descriptor)

    def files(self, path: str) -> Iterator[Tuple[str, os.stat_result]]:
        """Every plain file below a folder, sorted by name: ``(path relative to the folder, what it is)``; symlinks are left out."""
        try:
            descriptor = self.open_folder(path)
        except FileNotFoundError:
            return
        yield from _below(descriptor, "")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One session at a time, over all processes of the host; a killed one leaves no lock behind."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)


class Nest:
    """New and old files below one folder; leaves open the folder that the last one lies in, because the next is mostly beside it."""

    def __init__(self, tree: Tree, path: str) -> None:
        self._tree = tree
        self._path = path
        self._inner = ""
        self._descriptor = -1

    def __enter__(self) -> "Nest":
        return self

    def __exit__(self, *_error: object) -> None:
        self._leave()

    def create(self, path: str, mode: int = 0o666) -> int:
        """As ``Tree.create``."""
        name = self._enter(path, create=True)
        return os.open(name, _CREATE, mode, dir_fd=self._descriptor)

    def open(self, path: str) -> Tuple[int, os.stat_result]:
        """As ``Tree.open``."""
        name = self._enter(path, create=False)
        return _open_plain(self._descriptor, name, path)

    def _enter(self, path: str, create: bool) -> str:
        """Have the folder of a file open; the file's name in it."""
        inner, _slash, name = path.rpartition("/")
        if self._descriptor < 0 or inner != self._inner:
            self._leave()
            self._descriptor = self._tree.open_folder((self._path + "/" + inner).strip("/"), create)
            self._inner = inner
        return name

    def _leave(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _open_plain(folder: int, name: str, path: str) -> Tuple[int, os.stat_result]:
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotPlain("%s is not a plain file" % path) from None
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise NotPlain("%s is not a plain file" % path)
    return descriptor, found


def folders_above(paths: Iterable[str]) -> Set[str]:
    """All folders (relative, ``""`` for the root) that lie above these paths."""
    found = {""}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def amount(size: int) -> str:
    """Bytes for people."""
    return "%.1f GB" % (size / 1e9) if size >= 10**8 else "%.1f MB" % (size / 1e6)


def blocks(descriptor: int, limit: Optional[int] = None) -> Iterator[bytes]:
    """The bytes of an open file in big pieces, from where it stands, ``limit`` bytes at most."""
    left = limit
    while left is None or left > 0:
        data = os.read(descriptor, BLOCK if left is None else min(BLOCK, left))
        if not data:
            return
        if left is not None:
            left -= len(data)
        yield data


def write_all(descriptor: int, data: Bytes) -> None:
    """Write every byte."""
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])


def _enter(folder: int, part: str, create: bool, path: str) -> int:
    if part in ("", ".", ".."):
        raise NotPlain("%s has a part that is no name" % path)
    for _try in range(2):
        try:
            return os.open(part, FOLDER, dir_fd=folder)
        except FileNotFoundError:
            if not create:
                raise
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise NotPlain("%s: %s is not a plain folder" % (path, part)) from None
            raise
        try:
            os.mkdir(part, dir_fd=folder)
        except FileExistsError:
            continue
    return os.open(part, FOLDER, dir_fd=folder)


def _below(descriptor: int, prefix: str) -> Iterator[Tuple[str, os.stat_result]]:
    """Files below an open folder, which this closes."""
    try:
        for name in sorted(os.listdir(descriptor)):
            try:
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield prefix + name, found
                elif stat.S_ISDIR(found.st_mode):
                    yield from _below(os.open(name, FOLDER, dir_fd=descriptor), prefix + name + "/")
            except FileNotFoundError:
                continue  # gone since the folder was listed
    finally:
        os.close(descriptor)


def _remove(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
        return
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
    descriptor = os.open(name, FOLDER, dir_fd=folder)
    try:
        for inner in os.listdir(descriptor):
            _remove(descriptor, inner)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=folder)
