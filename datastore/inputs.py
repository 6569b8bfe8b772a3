"""What an attempt's inputs name on this host: files of its job, pushed files by digest, shared data, files below the legacy root.

Rules:
- A grant names the sources; whatever they name is read and never written through here.
- Symlinks are not followed. Below the legacy root, which others fill, a path may pass through them as long as it ends up below
  that root; in folders and globs they are left out there too.
- Nothing of the datastore's own folder is reached through the legacy root, whatever lies above what.

Python 3.9 syntax, standard library only.
"""

import os
import shlex
import stat
from contextlib import ExitStack
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from datastore import layout
from datastore.frames import GateMissing, GateRefused
from datastore.grants import Source
from datastore.manifest import known, known_in
from datastore.shared import nearest, shared_names
from datastore.sources import LEGACY, SHARED, SHARED_FOLDER, check_shared, split
from datastore.tree import NotPlain, Tree

#: The file that names the legacy root, written by the boss.
LEGACY_ROOT = "legacy_root"
#: Of so many missing names at most the nearest ones are looked for.
MAX_HINTS = 100


class Place(NamedTuple):
    """Where a file lies: in which tree, by which path."""

    tree: Tree
    path: str


class InputFile(NamedTuple):
    """A file that an input names: as the source writes it, what it is, its sha256 (empty where nobody knows it)."""

    name: str
    what: os.stat_result
    digest: str


class Inputs:
    """Looks sources up, for one job (``""``: none). Use it in a ``with``: it may hold the legacy root open."""

    def __init__(self, tree: Tree, job: str = "") -> None:
        self._tree = tree
        self._job = job
        self._open = ExitStack()
        self._legacy: Optional[Tree] = None

    def __enter__(self) -> "Inputs":
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    def files(self, sources: Sequence[Source]) -> List[List[InputFile]]:
        """The files of each source, in order. Raises GateMissing for a source that names none, GateRefused."""
        found = [list(self.named(source)) for source in sources]
        for source, files in zip(sources, found):
            if not files:
                raise self.missing(source)
        digests = self._digests(name for source, files in zip(sources, found) for name, _what in files if not source.digest)
        return [
            [InputFile(name, what, source.digest or digests.get(name, "")) for name, what in files]
            for source, files in zip(sources, found)
        ]

    def place(self, source: Source, name: str) -> Place:
        """Where a file lies that a source names as ``name``. Raises GateRefused for one that it does not name."""
        if not _covers(source, name):
            raise GateRefused("%s is not an input of this attempt" % name)
        if source.digest:
            return Place(self._tree, layout.file_path(source.digest))
        scheme, path = split(name)
        if scheme == LEGACY:
            return Place(self._legacy_tree(), self._resolved(path))
        base = SHARED_FOLDER if scheme == SHARED else layout.job_folder(self._job)
        return Place(self._tree, base + "/" + layout.check_path(path))

    def missing(self, source: Source) -> GateMissing:
        """Why a source names no file."""
        scheme, path = split(source.source)
        if scheme == LEGACY:
            place = os.path.join(self._legacy_tree().path, path)
            if not layout.is_folder(path) and os.path.isdir(place):
                return GateMissing("%s on the datastore is a folder; one that is meant as a whole ends in '/'" % place)
            return GateMissing("there is no %s on the datastore's host (below the setting datastore_legacy_root)" % place)
        if scheme == SHARED:
            there = _look(self._tree, SHARED_FOLDER + "/" + path.rstrip("/"))
            if there is not None and stat.S_ISDIR(there.st_mode) and not layout.is_folder(path):
                return GateMissing("%s is a folder; write %s/ for all that is in it" % (source.source, source.source))
            if there is not None and stat.S_ISREG(there.st_mode):
                return GateMissing("%s is a file; write %s" % (source.source, source.source.rstrip("/")))
            return GateMissing("there is no shared data %s" % source.source)
        if source.digest:
            return GateMissing("the pushed file %s (sha256 %s...) is not on the datastore" % (source.source, source.digest[:12]))
        if layout.is_pattern(source.source):
            return GateMissing("no file of job %s fits %s" % (self._job, source.source))
        what = self._tree.look(layout.job_folder(self._job) + "/" + source.source.rstrip("/"))
        if what is not None and stat.S_ISDIR(what.st_mode) and not layout.is_folder(source.source):
            return GateMissing("%s of job %s is a folder; an input that is a folder ends in '/'" % (source.source, self._job))
        remedy = "what no task yields is pushed with the job: push_tasks.py FILE --files %s" % shlex.quote(source.source)
        return GateMissing("%s of job %s is not on the datastore; %s" % (source.source, self._job, remedy))

    def named(self, source: Source) -> Iterator[Tuple[str, os.stat_result]]:
        """The files that one source names, each as the source would name it alone (a pushed file by the path it was pushed with)."""
        if source.digest:
            what = self._tree.look(layout.file_path(source.digest))
            if what is not None:
                yield source.source, what
            return
        scheme, path = split(source.source)
        if scheme == LEGACY:
            yield from self._legacy_files(path)
        elif scheme == SHARED:
            check_shared(path)
            if _look(self._tree, SHARED_FOLDER + "/" + path.rstrip("/")) is not None:
                yield from _below(self._tree, SHARED_FOLDER, path, SHARED)
        else:
            yield from _below(self._tree, layout.job_folder(self._job), layout.check_path(path), "")

    def _legacy_files(self, path: str) -> Iterator[Tuple[str, os.stat_result]]:
        layout.check_path(path)
        tree, own = self._legacy_tree(), _inner(self._legacy_tree().path, self._tree.path)
        if layout.is_pattern(path) or layout.is_folder(path):
            fixed = layout.fixed_folder(path)
            real = self._resolved(fixed.rstrip("/")) if fixed else ""
            for below, what in tree.files(real):
                place = real + "/" + below if real else below
                if not (own and place.startswith(own + "/")) and layout.matches(path, fixed + below):
                    yield LEGACY + fixed + below, what
            return
        found = tree.look(self._resolved(path))
        if found is not None and stat.S_ISREG(found.st_mode):
            yield LEGACY + path, found

    def _legacy_tree(self) -> Tree:
        if self._legacy is None:
            root = legacy_root(self._tree)
            if not root:
                raise GateRefused("this datastore has no legacy root: set datastore_legacy_root in the boss's settings")
            try:
                self._legacy = Tree(os.path.realpath(root))
            except OSError as error:
                raise GateMissing("datastore_legacy_root %s on the datastore's host: %s" % (root, error.strerror)) from None
            self._open.callback(os.close, self._legacy.descriptor)
        return self._legacy

    def _resolved(self, path: str) -> str:
        """A path below the legacy root with its symlinks followed, still relative. Raises GateRefused when it leads elsewhere."""
        root = self._legacy_tree().path
        real = os.path.realpath(os.path.join(root, path))
        inside = _inner(root, real)
        if not inside or _inner(self._tree.path, real) or os.path.realpath(self._tree.path) == real:
            raise GateRefused("%s leads out of datastore_legacy_root (%s) on the datastore's host" % (path, root))
        return inside

    def _digests(self, names: Iterator[str]) -> Dict[str, str]:
        """What the manifests of the job and of the shared data know of these files."""
        shared, own = [], []
        for name in names:
            scheme, path = split(name)
            if scheme == SHARED:
                shared.append(path)
            elif not scheme:
                own.append(path)
        digests = known(self._tree, self._job, own) if own else {}
        if shared:
            found = known_in(self._tree, SHARED_FOLDER, shared)
            digests.update((SHARED + path, digest) for path, digest in found.items())
        return digests


def locate(tree: Tree, sources: Sequence[str]) -> List[Tuple[str, str]]:
    """Those sources, all from outside a job, that name nothing, each with the reason and the nearest names."""
    wrong: List[Tuple[str, str]] = []
    names: List[str] = []
    with Inputs(tree) as inputs:
        for text in sources:
            source = Source(text, "", "", 0)
            try:
                if next(inputs.named(source), None) is None:
                    reason = str(inputs.missing(source))
                    if text.startswith(SHARED) and reason.startswith("there is no") and len(wrong) < MAX_HINTS:
                        names = names or shared_names(tree)
                        reason += nearest(names, text)
                    wrong.append((text, reason))
            except (GateRefused, GateMissing, layout.PathRefused) as error:
                wrong.append((text, str(error)))
    return wrong


def legacy_root(tree: Tree) -> str:
    """The folder that sources of the original's task files lie below; empty if there is none."""
    try:
        return tree.read(LEGACY_ROOT).decode("utf-8", "surrogateescape").strip("\n")
    except FileNotFoundError:
        return ""


def write_legacy_root(tree: Tree, root: str) -> None:
    """Remember the folder, or (empty) that there is none."""
    if root == legacy_root(tree):
        return
    if root:
        tree.write(LEGACY_ROOT, root.encode("utf-8", "surrogateescape") + b"\n", 0o600)
    else:
        tree.remove(LEGACY_ROOT)


def _below(tree: Tree, base: str, path: str, scheme: str) -> Iterator[Tuple[str, os.stat_result]]:
    """The files that a path, folder or glob names below a folder of the datastore, but for its manifest."""
    if not layout.is_pattern(path) and not layout.is_folder(path):
        what = tree.look(base + "/" + path)
        if what is not None and stat.S_ISREG(what.st_mode):
            yield scheme + path, what
        return
    fixed = layout.fixed_folder(path)
    start = (base + "/" + fixed).rstrip("/")
    if scheme:
        folder = tree.look(start)
        if folder is None or not stat.S_ISDIR(folder.st_mode):
            return
    for below, what in tree.files(start):
        if layout.matches(path, fixed + below) and fixed + below != layout.MANIFEST:
            yield scheme + fixed + below, what


def _look(tree: Tree, path: str) -> Optional[os.stat_result]:
    """What lies at a path, or None; None too where a part of the path is a file."""
    try:
        return tree.look(path)
    except NotPlain:
        return None


def _covers(source: Source, name: str) -> bool:
    if source.digest or not (layout.is_pattern(source.source) or layout.is_folder(source.source)):
        return source.source == name
    return layout.matches(source.source, name)


def _inner(root: str, path: str) -> str:
    """A path relative to a folder that it lies in; empty if it does not (or is that folder). Both are resolved."""
    root, path = os.path.realpath(root), os.path.realpath(path)
    return path[len(root.rstrip("/")) + 1 :] if path.startswith(root.rstrip("/") + "/") else ""
