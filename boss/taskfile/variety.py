"""Rows must differ in their ids and in what they yield: said once for a whole grid, not once for each row.

Rules:
- Of each parameter that has several values, and of parameters that move together at least one, must be in the text; ``{row}`` does
  for all of them.
- Of parameters that move together (a zip, a CSV file), those in the text must tell the rows apart.
"""

from collections.abc import Iterator

from boss.core.templates import column_of, fields
from boss.taskfile.entry import Entry, Texts
from boss.taskfile.foreach import Foreach
from boss.taskfile.problems import quoted
from worker.grid import Axis, Dimension
from worker.texts import ROW, Field, Text

#: How many parameters are named as those that would help.
_NAMED = 4


def check_variety(entry: Entry, foreach: Foreach, texts: Texts) -> None:
    """Tell in which texts of an entry rows are the same."""
    _check("id", entry.template.name, "the same", foreach, texts)
    for place, spec in zip(entry.output_places, entry.template.outputs, strict=True):
        _check(place, spec.path, "yielded again", foreach, texts)


def _check(place: str, text: Text, what: str, foreach: Foreach, texts: Texts) -> None:
    used = fields(text)
    if ROW in used or place in texts.failed or not foreach.grid:
        return
    single = [axis.name for axis in foreach.grid if isinstance(axis, Axis) and len(axis) > 1 and axis.name not in used]
    if single:
        names = " and ".join(f"{{{name}}}" for name in single)
        texts.fail(place, f"is {what} for every value of {names}: put {names} into it")
    for dimension, title in zip(foreach.grid, foreach.titles, strict=True):
        if isinstance(dimension, Axis) or len(dimension) < 2:
            continue
        message = _sameness(text, dimension, title, foreach)
        if message is not None:
            texts.fail(place, f"is {what} for {message} into it")
            return


def _sameness(text: Text, dimension: Dimension, title: str, foreach: Foreach) -> str | None:
    """For which rows of parameters that move together a text is the same, and what would help; None if they all differ."""
    pieces = [piece for piece in text if isinstance(piece, Field) and piece.name in dimension.names]
    if not pieces:
        return f"every row of {title}: put {_choice(dimension.names)}"
    columns = [column_of(piece, dimension) for piece in pieces]
    first: dict[tuple[str, ...], int] = {}
    for row, key in enumerate(zip(*columns, strict=True)):
        other = first.setdefault(key, row)
        if other != row:
            again = len(columns[0]) - len(set(zip(*columns, strict=True)))
            more = f" (and {again - 1:,} more)" if again > 1 else ""
            written = ", ".join(f"{{{piece.name}}} is {quoted(shown)}" for piece, shown in zip(pieces, key, strict=True))
            helpful = tuple(_differing(dimension, other, row))
            return f"{_places(dimension, title, foreach, other, row)}{more}, where {written}: put {_choice(helpful)}"
    return None


def _differing(dimension: Dimension, one: int, other: int) -> Iterator[str]:
    """The parameters that have different values in two rows."""
    for (name, value), (_, second) in zip(dimension.at(one), dimension.at(other), strict=True):
        if value != second:
            yield name


def _places(dimension: Dimension, title: str, foreach: Foreach, one: int, other: int) -> str:
    sheet = foreach.sheets.get(dimension.names[0])
    if sheet is None:
        return f"the rows {one} and {other} of {title}"
    return f"the lines {sheet.lines[one]} and {sheet.lines[other]} of {title}"


def _choice(names: tuple[str, ...]) -> str:
    named = [f"{{{name}}}" for name in (*names[:_NAMED], ROW)]
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} or {named[-1]}"
