"""Columns of a CSV file with decimal commas: texts to ecloud, and mostly meant as numbers, so a push notes where they are printed so.

Rules:
- Only what a text prints as it is written is noted: with a format for numbers such a cell is an error.
- Each column of a file is looked at once, and told once.
"""

import re
from collections.abc import Iterator

from boss.taskfile.entry import Entry
from boss.taskfile.foreach import Foreach
from boss.taskfile.problems import quoted
from boss.taskfile.sheet import Sheet
from worker.texts import Field, Text
from worker.written import number_in

_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]*,[0-9]+(?:[eE][-+]?[0-9]+)?")

#: Columns that were looked at: their files' and their own names.
Seen = set[tuple[str, str]]


def comma_notes(entry: Entry, foreach: Foreach, seen: Seen) -> Iterator[str]:
    """A sentence for each column with decimal commas that the entry's texts print as it is."""
    for name in dict.fromkeys(_printed(entry)):
        sheet = foreach.sheets.get(name)
        if sheet is None or (sheet.name, name) in seen:
            continue
        seen.add((sheet.name, name))
        cell = _decimal_comma(sheet, name)
        if cell:
            yield f"{sheet.name}: column {name} has decimal commas ({quoted(cell)}): texts, printed as they are"


def _printed(entry: Entry) -> Iterator[str]:
    """The parameters that the texts of an entry print without a format."""
    template = entry.template
    texts: list[Text | None] = [template.name, template.metrics, *template.commands]
    texts += [text for spec in template.inputs for text in (spec.source, spec.to)]
    texts += [spec.path for spec in template.outputs]
    texts += [text for _, text in (*entry.after, *template.env)]
    for text in texts:
        if text is not None and not isinstance(text, str):
            yield from (piece.name for piece in text if isinstance(piece, Field) and not piece.format)


def _decimal_comma(sheet: Sheet, name: str) -> str:
    """The first cell of a column with a decimal comma, if all of its cells are numbers so written, or as they should be, or empty."""
    found = ""
    for cell in sheet.table.column(name):
        if _DECIMAL_COMMA.fullmatch(cell):
            found = found or cell
        elif cell and number_in(cell) is None:
            return ""
    return found
