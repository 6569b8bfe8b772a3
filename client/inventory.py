"""What a push brings along: the entries of ``files``, found beside the task file, hashed, and placed in the job's folder.

Rules:
- A path is relative to the task file and keeps its place: a file, a folder (``x/``, everything below it) or a glob (``*`` does not
  cross ``/``, ``**`` does). It must stay inside the task file's folder, also where it is a symbolic link.
- ``{"from": any local path, "to": path}`` is for files from elsewhere: a file becomes ``to`` (or ``to/name`` when ``to`` ends in ``/``),
  what is below a folder or fits a glob keeps its path from there on, below ``to``.
- Entries that make no sense by themselves are left to the boss, which says so together with all other problems.
"""

import difflib
import glob
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from client.errors import Problem
from datastore.layout import PathRefused, check_path, is_pattern

BLOCK = 1 << 20


class Entry(NamedTuple):
    """One element of ``files`` that can be looked for; ``place`` is its place in the text, such as ``files[2]``."""

    place: str
    source: str
    to: str
    elsewhere: bool


class Found(NamedTuple):
    """A file to send: where it is here, its place in the job's folder, sha256 in hex, bytes, permission bits."""

    path: str
    to: str
    digest: str
    size: int
    mode: int


@dataclass(slots=True)
class Inventory:
    """What was found, by place in the job's folder, and what was wrong."""

    files: dict[str, Found] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def described(self) -> dict[str, dict[str, object]]:
        """What the boss is told of the files."""
        return {to: {"digest": found.digest, "size": found.size, "mode": found.mode} for to, found in self.files.items()}

    def paths(self) -> dict[str, str]:
        """Digest -> local path: what is to be uploaded, each content once."""
        return {found.digest: found.path for found in self.files.values()}


class _Unfit(Exception):
    """Why a file cannot be sent."""


def entries_of(document: object) -> list[Entry]:
    """The entries of a task file's ``files`` that can be looked for."""
    listed = document.get("files") if isinstance(document, dict) else None
    entries = given_entries(listed if isinstance(listed, list) else (), "files[{number}]")
    return [entry for entry in entries if entry.source and _unfit_place(entry.to) is None]


def given_entries(listed: Sequence[object], place: str) -> list[Entry]:
    """Entries from elsewhere than a text: the boss does not see them, so ``take_inventory`` tells what makes no sense too.

    ``place`` is how each is called, with ``{number}`` and ``{item}``.
    """
    entries = []
    for number, item in enumerate(listed):
        called = place.format(number=number, item=item)
        if isinstance(item, str):
            entries.append(Entry(called, item, item, elsewhere=False))
        elif isinstance(item, dict) and isinstance(item.get("from"), str) and isinstance(item.get("to"), str):
            entries.append(Entry(called, item["from"], item["to"], elsewhere=True))
    return entries


def _unfit_place(to: str) -> str | None:
    """Why nothing can lie there in the job's folder; None if it can."""
    try:
        check_path(to)
    except PathRefused as error:
        return str(error)
    return None


def take_inventory(folder: Path, entries: Sequence[Entry]) -> Inventory:
    """Find and hash everything that the entries name; ``folder`` is the task file's."""
    inventory = Inventory()
    known: dict[str, tuple[str, int, int]] = {}
    for entry in entries:
        count = 0
        try:
            if not entry.source or (reason := _unfit_place(entry.to)) is not None:
                raise _Unfit(f"{entry.to!r} {reason}" if entry.source else "is empty")
            for path, to in _expand(folder, entry):
                count += 1
                _take(inventory, entry, _inside(folder, path, entry), to, known)
            if not count:
                raise _Unfit(
                    f"{entry.source!r} matches no file" if is_pattern(entry.source) else f"{entry.source!r} is an empty folder"
                )
        except _Unfit as reason:
            inventory.problems.append(Problem("", entry.place, str(reason)))
        except OSError as error:
            inventory.problems.append(Problem("", entry.place, f"{error.filename or entry.source}: {error.strerror or error}"))
    return inventory


def _take(inventory: Inventory, entry: Entry, path: str, to: str, known: dict[str, tuple[str, int, int]]) -> None:
    check = known.get(path)
    if check is None:
        check = known[path] = _measured(path)
    found = Found(path, to, *check)
    other = inventory.files.setdefault(to, found)
    if other.digest != found.digest:
        inventory.problems.append(Problem("", entry.place, f"{path} and {other.path} would both become {to!r}"))


def _expand(folder: Path, entry: Entry) -> Iterator[tuple[str, str]]:
    """The local path and the place in the job's folder of every file that an entry names."""
    if entry.elsewhere:
        source = os.path.join(folder, os.path.expanduser(entry.source))
    else:
        source = os.path.join(glob.escape(str(folder)) if is_pattern(entry.source) else str(folder), entry.source)
    if is_pattern(entry.source) and not os.path.lexists(source):
        yield from _expand_glob(source, entry, folder)
    elif os.path.isdir(source):
        for path in _below(source.rstrip("/")):
            below = os.path.relpath(path, source)
            yield path, os.path.join(entry.to, below)
    elif source.endswith("/"):
        raise _Unfit(
            f"there is no folder {entry.source!r}{_meant(source, entry)}: {_where(folder, entry)}"
            if not os.path.lexists(source[:-1])
            else f"{entry.source!r} is no folder"
        )
    elif not os.path.lexists(source):
        raise _Unfit(f"there is no file {entry.source!r}{_meant(source, entry)}: {_where(folder, entry)}")
    else:
        yield source, os.path.join(entry.to, os.path.basename(source)) if entry.to.endswith("/") else entry.to


def _where(folder: Path, entry: Entry) -> str:
    """Where was looked."""
    absolute = os.path.isabs(os.path.expanduser(entry.source))
    return "the path is looked for as it is" if absolute else f"paths are relative to the task file's folder, {folder}"


def _meant(source: str, entry: Entry) -> str:
    """The name that was perhaps meant, among those that are there."""
    there, name = os.path.split(source.rstrip("/"))
    try:
        near = difflib.get_close_matches(name, os.listdir(there), 1, 0.7)
    except OSError:
        return ""
    if not near:
        return ""
    folder = "/" if os.path.isdir(os.path.join(there, near[0])) else ""
    meant = os.path.join(os.path.dirname(entry.source.rstrip("/")), near[0]) + folder
    return f" (did you mean {meant!r}?)"


def _expand_glob(pattern: str, entry: Entry, folder: Path) -> Iterator[tuple[str, str]]:
    """A glob's files keep their path: whole beside the task file, below the glob's fixed folder when from elsewhere."""
    fixed = str(folder)
    if entry.elsewhere:
        parts = pattern.split("/")
        fixed = "/".join(parts[: next(number for number, part in enumerate(parts) if is_pattern(part))]) or "/"
    for path in sorted(glob.iglob(pattern, recursive=True, include_hidden=True)):
        if os.path.isdir(path):
            if pattern.endswith("/"):
                yield from ((inner, _place(inner, fixed, entry)) for inner in _below(path.rstrip("/")))
        else:
            yield path, _place(path, fixed, entry)


def _place(path: str, fixed: str, entry: Entry) -> str:
    below = os.path.relpath(path, fixed)
    return os.path.join(entry.to, below) if entry.elsewhere else below


def _below(folder: str) -> Iterator[str]:
    """Every file below a folder; links to folders are not followed but refused, because they may lead anywhere."""
    for root, folders, names in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in folders:
            if os.path.islink(os.path.join(root, name)):
                raise _Unfit(f"{os.path.join(root, name)} is a symbolic link to a folder; name that folder with from and to")
        yield from (os.path.join(root, name) for name in sorted(names))


def _raise(error: OSError) -> None:
    raise error


def _inside(folder: Path, path: str, entry: Entry) -> str:
    """The path of a file, links resolved; refused when it leaves the folder that it was found in."""
    real = os.path.realpath(path, strict=True)
    root = os.path.realpath(folder)
    if not entry.elsewhere and os.path.commonpath([real, root]) != root:
        raise _Unfit(f"{path} leads out of the task file's folder, to {real}; send it with from and to")
    return real


def _measured(path: str) -> tuple[str, int, int]:
    """sha256, size and permission bits of a file."""
    with open(path, "rb", buffering=0, opener=open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _Unfit(f"{path} is no regular file")
        digest, size = hashlib.sha256(), 0
        while data := file.read(BLOCK):
            digest.update(data)
            size += len(data)
    return digest.hexdigest(), size, 0o755 if status.st_mode & stat.S_IXUSR else 0o644


def open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
