"""Files that arrive on the caller's side: written beside their place, compared with their sha256, renamed.

A name holds a whole file or none. What people fetch may be cut off and go on later; what a worker fetches may be stopped.

Python 3.9 syntax, standard library only.
"""

import hashlib
import io
import os
import threading
from typing import Callable, Iterable, NamedTuple

from datastore.pipes import Bytes
from datastore.tree import blocks, write_all

#: What a file is called while it arrives.
PART = ".ecloud.part"
#: How often ``resume`` tells how far it is, in bytes.
TELL = 1024 * 1024


class Stopped(Exception):
    """The transfer was told to stop."""


class Damaged(Exception):
    """A file came whole but has another sha256 than it should have."""


class Listed(NamedTuple):
    """A file on the datastore: ``sha256`` is empty where the manifest does not know it; ``input`` is the index of a granted input."""

    path: str
    size: int
    sha256: str
    executable: bool
    input: int = 0


class Wanted(NamedTuple):
    """A file to fetch, and the path on this host to put it at."""

    listed: Listed
    target: str


def land(pieces: Iterable[Bytes], wanted: Wanted, stopped: threading.Event) -> None:
    """Write a file that comes whole. Raises Stopped, Damaged or OSError, and leaves nothing behind then."""
    passing = "%s.%d%s" % (wanted.target, threading.get_ident(), PART)
    digest = hashlib.sha256()
    try:
        with _opened(passing, "wb") as file:
            for data in pieces:
                if stopped.is_set():
                    raise Stopped
                digest.update(data)
                write_all(file.fileno(), data)
        _place(passing, wanted, digest.hexdigest())
    except BaseException:
        remove(passing)
        raise


def resume(pieces: Iterable[Bytes], wanted: Wanted, offset: int, count: Callable[[int], None]) -> str:
    """Append what comes to the ``offset`` bytes that are here; ``count`` is told how much has come. Returns the file's sha256.

    What is cut off stays for the next time. Raises Damaged after removing it, OSError.
    """
    passing = wanted.target + PART
    digest = hashlib.sha256()
    told = 0
    with _opened(passing, "r+b" if offset else "wb") as file:
        if offset:
            for here in blocks(file.fileno()):
                digest.update(here)
        for data in pieces:
            digest.update(data)
            write_all(file.fileno(), data)
            told += len(data)
            if told >= TELL:
                count(told)
                told = 0
        count(told)
    try:
        _place(passing, wanted, digest.hexdigest())
    except Damaged:
        remove(passing)
        raise
    return digest.hexdigest()


def landed(wanted: Wanted) -> int:
    """How much of a file is here from an interrupted fetch, in bytes."""
    try:
        size = os.path.getsize(wanted.target + PART)
    except OSError:
        return 0
    return size if size <= wanted.listed.size else 0


def identical(wanted: Wanted) -> bool:
    """Whether the file is here already, by size and sha256 (the size alone where the manifest does not know the sha256)."""
    place, listed = wanted.target, wanted.listed
    if not os.path.isfile(place) or os.path.getsize(place) != listed.size:
        return False
    return not listed.sha256 or sha256_of(place) == listed.sha256


def sha256_of(path: str) -> str:
    """The sha256 of a file, in hex. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        for data in blocks(file.fileno()):
            digest.update(data)
    return digest.hexdigest()


def remove(path: str) -> None:
    """Remove a file if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _opened(path: str, mode: str) -> io.FileIO:
    """A new or old file; the folder above is made when it is missing."""
    try:
        return io.FileIO(path, mode)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        return io.FileIO(path, mode)


def _place(passing: str, wanted: Wanted, digest: str) -> None:
    expected = wanted.listed.sha256
    if expected and digest != expected:
        raise Damaged("%s has the sha256 %s... instead of %s..." % (wanted.listed.path, digest[:12], expected[:12]))
    if wanted.listed.executable:
        mode = os.stat(passing).st_mode
        os.chmod(passing, mode | (mode & 0o444) >> 2)
    os.replace(passing, wanted.target)
