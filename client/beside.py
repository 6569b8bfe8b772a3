"""Requirements of the original's dialects that lie beside the task file: the boss, which cannot see them, is told.

Rules:
- Nothing is sent for them: the original looked for its files on the datastore, and one here may be another of the same name. The
  boss knows which of them no task yields, and says how they are pushed.
"""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from datastore.layout import PathRefused, check_path, is_pattern

#: What the two generations of the original called a task's inputs.
_FIELDS = ("requires", "requirements")


def lying_beside(folder: Path, document: object) -> list[str]:
    """The sources of a dialect's requirements that exist in the task file's folder, as the boss writes them, each once."""
    named = dict.fromkeys(_sources(document)) if isinstance(document, list) else {}
    return [source for source in named if _lies(folder, source)]


def _sources(document: list[object]) -> Iterator[str]:
    for task in document:
        fields = task if isinstance(task, dict) else {}
        for listed in map(fields.get, _FIELDS):
            for item in listed if isinstance(listed, list) else [listed]:
                source = item[0] if isinstance(item, list) and item else item
                if isinstance(source, str) and (plain := _plain(source)):
                    yield plain


def _plain(source: str) -> str:
    """A source within the job, without ``./`` and ``a/../``; empty for one that leads out of it."""
    path = os.path.normpath(source) + ("/" if source.endswith("/") else "")
    try:
        return check_path(path)
    except PathRefused:
        return ""


def _lies(folder: Path, source: str) -> bool:
    if is_pattern(source):
        return next(glob.iglob(source, root_dir=folder), None) is not None
    place = os.path.join(folder, source)
    return os.path.isdir(place) if source.endswith("/") else os.path.isfile(place)
