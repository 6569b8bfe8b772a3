"""The CSV files that the ``foreach`` of a task file names: read here, beside the task file, and sent with the push.

Rules:
- A path is relative to the task file, absolute, or begins with ``~``. These files need not be among ``files``: no task reads them.
- What cannot be read is told to the boss, which says so together with all other problems, with task and field.
"""

import difflib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from client.inventory import open_at_once

#: What files with tables are called: nothing else is meant when one is not found.
_ENDINGS = (".csv", ".tsv", ".tab", ".txt", ".dat")


@dataclass(slots=True)
class SheetsRead:
    """The files that were read, by the name that the task file has for them, and of the others why they were not."""

    files: dict[str, bytes] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


class _Unfit(Exception):
    """Why a file cannot be sent."""


def sheets_named(document: object) -> list[str]:
    """The CSV files that a task file names, each once, in its order."""
    tasks = document.get("tasks") if isinstance(document, dict) else None
    named = (
        (name for task in tasks if isinstance(task, dict) for name in _named(task.get("foreach")))
        if isinstance(tasks, list)
        else ()
    )
    return list(dict.fromkeys(named))


def _named(foreach: object) -> Iterator[str]:
    for block in foreach if isinstance(foreach, list) else [foreach]:
        name = block.get("csv") if isinstance(block, dict) else None
        if isinstance(name, str) and name.strip():
            yield name


def read_sheets(folder: Path, names: list[str], room: int) -> SheetsRead:
    """Read files; ``folder`` is the task file's, ``room`` the bytes that they may have together."""
    read = SheetsRead()
    for name in names:
        try:
            data = _read(folder, name, room)
        except _Unfit as reason:
            read.unread[name] = str(reason)
        except OSError as error:
            read.unread[name] = f"cannot be read: {error.strerror or error}"
        else:
            read.files[name] = data
            room -= len(data)
    return read


def _missing(folder: Path, name: str, path: str) -> str:
    """That there is no such file, and the one that was perhaps meant."""
    absolute = os.path.isabs(os.path.expanduser(name))
    where = f"there is no {path}" if absolute else f"there is none beside the task file, in {folder}"
    try:
        tables = [other for other in os.listdir(os.path.dirname(path)) if other.lower().endswith(_ENDINGS)]
        near = difflib.get_close_matches(os.path.basename(path), tables, 1, 0.6)
    except OSError:
        near = []
    meant = f" (did you mean {os.path.join(os.path.dirname(name), near[0])!r}?)" if near else ""
    return f"was not found: {where}{meant}"


def _read(folder: Path, name: str, room: int) -> bytes:
    if "\0" in name:
        raise _Unfit("is no path of a file: it contains a NUL character")
    path = os.path.join(folder, os.path.expanduser(name))
    if not os.path.lexists(path):
        raise _Unfit(_missing(folder, name, path))
    if os.path.isdir(path):
        raise _Unfit("is a folder, no CSV file")
    with open(path, "rb", opener=open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _Unfit("is no regular file")
        data = file.read(max(0, room) + 1)
    if len(data) > room:
        size = max(status.st_size, len(data)) / 2**20
        raise _Unfit(
            f"is too large ({size:,.1f} MiB): a task file and its CSV files have together at most what the boss's setting "
            "max_task_file says; put the large columns into files that the tasks read"
        )
    return data
