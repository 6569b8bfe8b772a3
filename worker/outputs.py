"""Which files of an attempt's folder are its outputs, and where they go in the job's folder.

Rules:
- An output is a file, a folder ``x/`` or a glob; one that names nothing fails the attempt unless it is optional.
- A symlink counts as what it points to, as long as that lies inside the attempt's folder; one that leaves it fails the attempt. That is
  looked at again on the open file, because a process that the task left behind may have changed the link since.
- Only plain files are kept: a socket, a pipe or a device fails the attempt. Where tasks have users of their own, only files of
  theirs: the worker is root then, and a hard link would have it send what the task may not read.
- Folders are opened one inside the other, without following links: nothing that is put in the way leads out of the attempt's folder.

Python 3.9 syntax, standard library only; Linux (``/proc/self/fd``).
"""

import os
import stat
from typing import Container, Dict, FrozenSet, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from datastore import layout
from datastore.tree import FOLDER
from worker.protocol import Output

#: Folders may be nested so deep among outputs.
DEEPEST = 200
#: A pipe that is opened does not make us wait, a terminal does not become ours.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC


class OutputRefused(Exception):
    """The attempt's outputs cannot be kept as they are; the message names the one that is wrong."""


class Found(NamedTuple):
    """A file to keep: its absolute path here and its path in the job's folder."""

    local: str
    path: str


def expand(folder: str, outputs: Iterable[Output]) -> List[Found]:
    """All files that the outputs name, each once. Raises OutputRefused."""
    root = os.path.realpath(folder)
    kept: Dict[str, Found] = {}
    for output in outputs:
        matched = False
        for path, local in _named(root, output.path):
            matched = True
            place = layout.destination(output.path, output.to, path)
            other = kept.setdefault(place, Found(local, place))
            if other.local != local:
                raise OutputRefused("the outputs %s and %s would both become %s" % (_inside(root, other.local), path, place))
            try:
                layout.check_path(place)
            except layout.PathRefused as error:
                raise OutputRefused("the output %s %s" % (ascii(place), error)) from None
        if not matched and not output.optional:
            raise OutputRefused("the output %s was not made" % output.path)
    return [kept[place] for place in sorted(kept)]


def open_inside(folder: str, local: str, owners: Optional[Container[int]] = None) -> int:
    """A descriptor to read a plain file with, which the caller closes. Raises OutputRefused for what lies elsewhere by now.

    ``owners`` are the users whose files may be read; None: all.
    """
    root = os.path.realpath(folder)
    try:
        real = os.path.realpath(local)  # raises for a link that is gone between looking and reading it
        if not real.startswith(root + "/"):
            raise OutputRefused("the output %s is not a plain file of the attempt's folder" % _inside(root, local))
        descriptor = _open_below(root, real[len(root) + 1 :].split("/"))
    except OSError as error:
        raise OutputRefused("the output %s cannot be read: %s" % (_inside(root, local), error.strerror)) from None
    what = os.fstat(descriptor)
    if not stat.S_ISREG(what.st_mode):
        os.close(descriptor)
        raise OutputRefused("the output %s is not a plain file of the attempt's folder" % _inside(root, local))
    if owners is not None and what.st_uid not in owners:
        os.close(descriptor)
        raise OutputRefused("the output %s is not the task's own file" % _inside(root, local))
    return descriptor


def _open_below(root: str, names: List[str]) -> int:
    """Open a file by way of its folders, following no link. Raises OSError."""
    here = os.open(root, FOLDER)
    try:
        for name in names[:-1]:
            inner = os.open(name, FOLDER, dir_fd=here)
            os.close(here)
            here = inner
        return os.open(names[-1], _FILE, dir_fd=here)
    finally:
        os.close(here)


def _named(root: str, pattern: str) -> Iterator[Tuple[str, str]]:
    """``(path, absolute path)`` of the files that one path, folder or glob names."""
    if not layout.is_pattern(pattern) and not layout.is_folder(pattern):
        local = os.path.join(root, pattern)
        if not os.path.lexists(local):
            return
        if stat.S_ISDIR(_look(root, local).st_mode):
            raise OutputRefused("the output %s is a folder; write %s/ to keep all that is in it" % (pattern, pattern))
        yield pattern, local
        return
    fixed = layout.fixed_folder(pattern)
    start = os.path.join(root, fixed).rstrip("/")
    if not os.path.isdir(start):
        return
    _look(root, start)
    for path, local in _below(root, start, fixed, frozenset()):
        if layout.matches(pattern, path):
            _look(root, local)
            yield path, local


def _below(root: str, folder: str, prefix: str, above: FrozenSet[str]) -> Iterator[Tuple[str, str]]:
    """Everything below a folder that is not a folder; links are not looked at yet, but those to folders inside are entered."""
    real = os.path.realpath(folder)
    if real in above:
        return  # a link to a folder that it lies in
    if len(above) >= DEEPEST:
        raise OutputRefused("the output %s... has folders nested deeper than %d" % (prefix[:60], DEEPEST))
    for name in sorted(os.listdir(folder)):
        local = os.path.join(folder, name)
        if os.path.isdir(local) and _is_inside(root, os.path.realpath(local)):
            yield from _below(root, local, prefix + name + "/", above | {real})
        else:
            yield prefix + name, local


def _look(root: str, local: str) -> os.stat_result:
    """What a path is, symlinks followed. Raises OutputRefused when it is no file or folder inside."""
    if not _is_inside(root, os.path.realpath(local)):
        raise OutputRefused("the output %s is a link that leaves the attempt's folder" % _inside(root, local))
    try:
        what = os.stat(local)
    except OSError as error:
        raise OutputRefused("the output %s cannot be read: %s" % (_inside(root, local), error.strerror)) from None
    if not stat.S_ISREG(what.st_mode) and not stat.S_ISDIR(what.st_mode):
        raise OutputRefused("the output %s is not a plain file" % _inside(root, local))
    return what


def _is_inside(root: str, real: str) -> bool:
    return real == root or real.startswith(root + "/")


def _inside(root: str, local: str) -> str:
    """A path as the task knows it."""
    return local[len(root) + 1 :] if local.startswith(root + "/") else local
