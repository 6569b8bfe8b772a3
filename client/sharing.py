"""Shared data from a person's side: measure what lies here, put it, list what is there.

Rules:
- A file or a folder becomes one name; a folder brings everything below it. A link to a file counts as the file; one to a folder is
  refused, because it may lead anywhere.
- Everything is hashed before anything is sent. What is there already, or was sent before it broke, is not sent again.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from client.access import datastore
from client.connection import Connection
from client.errors import InvalidRequest, NotPermitted
from datastore.frames import GateRefused
from datastore.layout import PathRefused
from datastore.sharing import LocalFile, share
from datastore.sources import SHARED, check_shared

#: ``(bytes done, bytes in all)``.
Progress = Callable[[int, int], None]

_BLOCK = 1 << 20


def put(
    connection: Connection, local: Path, name: str, files: Sequence[LocalFile] | None = None, sent: Progress | None = None
) -> dict[str, Any]:
    """Put a file or folder as ``shared:NAME``; ``{"name", "files", "bytes", "new"}``, where ``new`` is False for what was there already.

    ``files`` are those that ``measured`` has found, if that was done before. Raises InvalidRequest (nothing changed: other content
    has the name, or what is here cannot be put), NotPermitted (a viewer's token), DatastoreTrouble (put it again: it goes on where it
    stopped).
    """
    called = name_for(local, name)
    if connection.get("/me")["role"] == "viewer":
        raise NotPermitted("a viewer only looks: putting shared data needs a token of a researcher's")
    files = measured(local) if files is None else files
    with datastore(connection) as endpoint:
        try:
            new = share(endpoint, called, files, sent)
        except GateRefused as error:
            raise InvalidRequest(str(error)) from None
    size = sum(file.size for file in files)
    return {"name": SHARED + called + ("/" if local.is_dir() else ""), "files": len(files), "bytes": size, "new": new}


def name_for(local: Path, name: str) -> str:
    """The name without ``shared:``; a file that is put into a folder ``x/`` keeps its own name there. Raises InvalidRequest."""
    if not name.startswith(SHARED):
        raise InvalidRequest(f"{name!r} is no name of shared data; write it like {SHARED}{name.strip('/') or local.name}")
    if not local.exists():
        raise InvalidRequest(f"there is no file or folder {str(local)!r}")
    called = name.removeprefix(SHARED)
    if called.endswith("/") and not local.is_dir():
        called += local.name
    try:
        check_shared(called.rstrip("/"))
    except PathRefused as error:
        raise InvalidRequest(f"{name!r} {error}") from None
    return called.rstrip("/")


def measured(local: Path, read: Progress | None = None) -> list[LocalFile]:
    """A file, or every file below a folder, with its sha256. Raises InvalidRequest for what cannot be put."""
    try:
        found = list(_below(local)) if local.is_dir() else [(str(local), "")]
        sizes = [os.stat(path) for path, _ in found]
        for (path, _), what in zip(found, sizes, strict=True):
            if not stat.S_ISREG(what.st_mode):
                raise InvalidRequest(f"{path} is no regular file")
        if not found:
            raise InvalidRequest(f"{str(local)!r} is an empty folder")
        total, done = sum(what.st_size for what in sizes), [0]

        def count(size: int) -> None:
            done[0] += size
            if read is not None:
                read(done[0], total)

        return [_measured(path, below, count) for path, below in found]
    except OSError as error:
        raise InvalidRequest(f"{error.filename or local}: {error.strerror or error}") from None


def _measured(path: str, below: str, count: Callable[[int], None]) -> LocalFile:
    digest, size = hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as file:
        executable = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
        while data := file.read(_BLOCK):
            digest.update(data)
            size += len(data)
            count(len(data))
    return LocalFile(path, below, size, digest.hexdigest(), executable)


def _below(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file below a folder: its path here, and below the folder."""
    for root, folders, names in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in folders:
            if os.path.islink(os.path.join(root, name)):
                raise InvalidRequest(
                    f"{os.path.join(root, name)} is a symbolic link to a folder; put that folder under a name of its own"
                )
        for name in sorted(names):
            path = os.path.join(root, name)
            yield path, os.path.relpath(path, folder)


def _raise(error: OSError) -> None:
    raise error
