"""Collecting the outputs of all tasks, and telling which of them cannot be.

Rules:
- A path must stay in the job's folder, and a file, folder or glob must not cover what another task yields or what was pushed.
- A task counts as done when it is asked for, every result that is not optional exists, and at least one does.
- Outputs of existing tasks that are not replaced stay theirs.
"""

import re
from collections.abc import Iterable, Iterator

from boss.core.model import OutputSpec
from boss.core.templates import rows
from boss.taskfile.context import Context, Existing
from boss.taskfile.entry import Entry
from boss.taskfile.files import output_remedy, path_problem
from boss.taskfile.paths import PathIndex
from boss.taskfile.problems import Problems, quoted
from boss.taskfile.roster import NOBODY, Roster
from boss.taskfile.yields import Yields
from datastore.layout import destination, is_folder, is_pattern
from worker.texts import Text

#: Ordinary paths of files, which need no closer look.
_ORDINARY = re.compile(
    r"(?!SHA256SUMS$)(?=.{1,250}$)(?:[A-Za-z0-9_+=@,-][A-Za-z0-9._+=@,-]*/)*[A-Za-z0-9_+=@,-][A-Za-z0-9._+=@,-]*"
)


def place_of(spec: OutputSpec) -> Text:
    """Where an output lies in the job's folder; the dialects, whose texts have no fields, can send it elsewhere."""
    if spec.to is None:
        return spec.path
    assert isinstance(spec.path, str) and isinstance(spec.to, str)
    return destination(spec.path, spec.to, spec.path)


def collect(entries: Iterable[Entry], roster: Roster, context: Context, problems: Problems) -> Yields:
    """The outputs of all tasks of the job, old and new, and problems with those of the new ones."""
    yields = Yields()
    if context.existing is not None:
        _add_existing(yields, context.existing, roster.replaced)
    for entry, start in zip(entries, roster.starts, strict=True):
        for place, spec in zip(entry.output_places, entry.template.outputs, strict=True):
            _add(yields, entry, start, place, place_of(spec), roster, problems)
    yields.seal()
    for task, output, other, covered in yields.clashes():
        if problems.full:  # each further one costs a search
            break
        task, output, other, covered = max((task, output, other, covered), (other, covered, task, output))
        what = f"{quoted(output)} and {quoted(covered)} of {roster.label(other)} may be one file"
        problems.add(roster.label(task), roster.output_field(task), f"{what}: give each task a file or folder of its own")
    for path in context.files:
        for task in yields.yielding(path):
            problems.add("", "files", f"{quoted(path)} is pushed, and {roster.label(task)} yields it too: rename one of them")
    return yields


def _add_existing(yields: Yields, existing: Existing, replaced: set[int]) -> None:
    columns: dict[int, list[list[str]]] = {}
    for task, (number, row) in enumerate(zip(existing.template, existing.rows, strict=True)):
        if task in replaced:
            continue
        if number not in columns:
            template = existing.templates[number]
            columns[number] = [list(rows(place_of(spec), template.grid)) for spec in template.outputs]
        for column in columns[number]:
            add = yields.add_open if is_pattern(column[row]) or is_folder(column[row]) else yields.add_file
            add(column[row], task)


def _add(yields: Yields, entry: Entry, start: int, place: str, text: Text, roster: Roster, problems: Problems) -> None:
    """One output of all tasks of an entry."""
    ordinary = _ORDINARY.fullmatch
    for offset, path in enumerate(rows(text, entry.template.grid)):
        task = roster.tasks[start + offset]
        if task == NOBODY:
            continue
        if ordinary(path):
            other = yields.add_file(path, task)
        elif (reason := path_problem(path)) is not None:
            problems.add(roster.label(task), place, f"{quoted(path)} {reason}{output_remedy(path)}")
            continue
        elif is_pattern(path) or is_folder(path):
            yields.add_open(path, task)
            continue
        else:
            other = yields.add_file(path, task)
        if other is not None:
            problems.add(roster.label(task), place, f"{quoted(path)} is yielded by {roster.label(other)} already")


class Finished:
    """Which tasks count as done because their results exist."""

    def __init__(self, results: frozenset[str]) -> None:
        self._results = results
        self._index: PathIndex | None = None

    def of(self, entry: Entry) -> Iterator[bool]:
        """Row by row: whether all results of the task that are not optional exist, and one at all."""
        outputs = entry.template.outputs
        columns = [rows(place_of(spec), entry.template.grid) for spec in outputs]
        for paths in zip(*columns, strict=True):
            there = [self._exists(path) for path in paths]
            yield any(there) and all(exists or spec.optional for exists, spec in zip(there, outputs, strict=True))

    def _exists(self, path: str) -> bool:
        if not is_pattern(path) and not is_folder(path):
            return path in self._results
        if self._index is None:
            self._index = PathIndex(self._results)
        return self._index.any(path)
