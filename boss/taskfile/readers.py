"""Which pushed files no task reads: neither one that runs now, nor one that the job has and a merge leaves alone.

Rules:
- A task that is kept reads its files as much as one that runs: what its definition in the file names, and what the job's names.
- Only what is left after the tasks that run is looked for, so that a push without spare files costs nothing.
"""

from collections.abc import Iterable, Iterator, Sequence

from boss.core.model import Template
from boss.core.templates import rows
from boss.taskfile.context import Existing
from boss.taskfile.entry import Entry
from boss.taskfile.paths import PathIndex, unreadable
from datastore.layout import is_folder, is_pattern


def unread(
    files: frozenset[str], read: set[str], entries: Iterable[Entry], existing: Existing | None, replaced: set[int]
) -> list[str]:
    """Pushed files that no task has among its inputs, sorted; ``read`` by the tasks that run, ``replaced`` are tasks of the job."""
    left = set(files - read)
    if left and existing is not None:
        index = PathIndex(left)
        for path in set(_named(entries, existing, replaced)):
            if is_pattern(path) or is_folder(path):
                left.difference_update(index.matching(path) if unreadable(path) is None else ())
            else:
                left.discard(path)
    return sorted(left)


def _named(entries: Iterable[Entry], existing: Existing, replaced: set[int]) -> Iterator[str]:
    """The inputs of the file's tasks, and of the job's that stay as they are."""
    for entry in entries:
        yield from _inputs(entry.template)
    kept: dict[int, list[int]] = {}
    for task, (number, row) in enumerate(zip(existing.template, existing.rows, strict=True)):
        if task not in replaced:
            kept.setdefault(number, []).append(row)
    for number, places in kept.items():
        yield from _inputs(existing.templates[number], places)


def _inputs(template: Template, places: Sequence[int] | None = None) -> Iterator[str]:
    """What the template's tasks read, of all rows or of some."""
    for spec in template.inputs:
        if isinstance(spec.source, str):
            yield spec.source
            continue
        column = list(rows(spec.source, template.grid))
        yield from column if places is None else (column[row] for row in places)
