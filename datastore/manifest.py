"""SHA256SUMS of a job (and of shared data): which files there are and what they hash to. ``sha256sum -c`` reads it.

Rules:
- A new path is appended; a path whose digest changes means that the file is written anew and renamed into place. So there is one line
  a path, and a reader sees a whole manifest or the one before.
- The boss's lasting session keeps an index in memory, valid as long as inode and size are those that it left.
- Others look up the few paths they need in the mapped file: a worker's session costs no memory however long the job is.
- A last line without a newline was cut off by a power cut; it is dropped. What a full disk cuts off is taken back at once.

Python 3.9 syntax, standard library only.
"""

import mmap
import os
from typing import Dict, Iterable, Mapping, Optional, Tuple

from datastore import layout
from datastore.tree import Tree, write_all

#: Up to so many paths are searched for one by one; for more, the whole manifest is read.
FEW = 64


class Manifest:
    """The manifest of one job (or of another ``folder``), for the one session that writes it."""

    def __init__(self, tree: Tree, job: str, folder: str = "") -> None:
        self._tree = tree
        self._path = "%s/%s" % (folder or layout.job_folder(job), layout.MANIFEST)
        self._seen: Optional[Tuple[int, int]] = None
        self._digests: Dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._digests)

    def digests(self) -> Mapping[str, str]:
        """``{path: sha256}`` as the file says now."""
        found = self._tree.look(self._path)
        now = (found.st_ino, found.st_size) if found else None
        if now != self._seen:
            self._digests = read(self._tree, self._path)
            self._seen = now
        return self._digests

    def add(self, results: Mapping[str, str]) -> None:
        """Enter ``{path: sha256}``, durably. Doing it again changes nothing."""
        present = self.digests()
        changed = {path: digest for path, digest in results.items() if present.get(path) != digest}
        if not changed:
            return
        if self._torn() or any(path in present for path in changed):
            merged = dict(present)
            merged.update(changed)
            self._tree.write(self._path, _lines(merged))
        else:
            self._append(_lines(changed))
        self._digests.update(changed)
        found = self._tree.look(self._path)
        self._seen = (found.st_ino, found.st_size) if found else None

    def _append(self, lines: bytes) -> None:
        with self._tree.parent(self._path, create=True) as (folder, name):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o666, dir_fd=folder)
        try:
            before = os.fstat(descriptor).st_size
            try:
                write_all(descriptor, lines)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)

    def _torn(self) -> bool:
        """Whether the last line was cut off."""
        if self._seen is None or self._seen[1] == 0:
            return False
        descriptor, found = self._tree.open(self._path)
        try:
            return os.pread(descriptor, 1, found.st_size - 1) != b"\n"
        finally:
            os.close(descriptor)


def read(tree: Tree, path: str) -> Dict[str, str]:
    """All of a manifest file, ``{path: sha256}``; empty if it is missing. Lines that are none are left out."""
    try:
        data = tree.read(path)
    except FileNotFoundError:
        return {}
    digests = {}
    for line in data[: data.rfind(b"\n") + 1].decode("utf-8", "replace").split("\n"):
        try:
            name, digest = layout.parse_manifest_line(line)
        except ValueError:
            continue  # a person's comment, or the empty text behind the last newline
        digests[name] = digest
    return digests


def known(tree: Tree, job: str, paths: Iterable[str]) -> Dict[str, str]:
    """The digests of those paths that the job's manifest has."""
    return known_in(tree, layout.job_folder(job), paths)


def known_in(tree: Tree, folder: str, paths: Iterable[str]) -> Dict[str, str]:
    """The digests of those paths that the manifest of a folder has."""
    wanted = set(paths)
    manifest = "%s/%s" % (folder, layout.MANIFEST)
    if len(wanted) > FEW:
        return {path: digest for path, digest in read(tree, manifest).items() if path in wanted}
    try:
        descriptor, found = tree.open(manifest)
    except FileNotFoundError:
        return {}
    try:
        if not found.st_size:
            return {}
        with mmap.mmap(descriptor, found.st_size, access=mmap.ACCESS_READ) as data:
            digests = {path: _search(data, path) for path in wanted}
    finally:
        os.close(descriptor)
    return {path: digest for path, digest in digests.items() if digest}


def _search(data: mmap.mmap, path: str) -> str:
    """The digest on the line of one path; empty if there is none."""
    line = layout.manifest_line(path, "0" * 64).encode("utf-8")
    head, tail = line[: line.index(b"0")], line[line.index(b"0") + 64 :]
    place = data.find(tail)
    while place >= 0:
        begin = place - 64 - len(head)
        if begin >= 0 and (begin == 0 or data[begin - 1 : begin] == b"\n") and data[begin : begin + len(head)] == head:
            return data[place - 64 : place].decode("ascii")
        place = data.find(tail, place + 1)
    return ""


def _lines(results: Mapping[str, str]) -> bytes:
    return "".join(layout.manifest_line(path, digest) for path, digest in results.items()).encode("utf-8")
