"""CSV files of parameters: bytes to a table whose header names the parameters and whose lines are the rows.

Rules:
- UTF-8, with or without a byte order mark; lines end as on any system. Cells are separated by what the header has: commas, semicolons
  or tabs (no name contains one of them). Excel's first line ``sep=;`` is passed over.
- A cell is what is written there: blanks around it are dropped, unless they are between quotation marks, and nothing else is changed.
  Between quotation marks a cell may have separators, line breaks and, doubled, quotation marks.
- Lines without any text in them are passed over; every other line has as many cells as the header has names.
- What is wrong is told with the number of the line, as an editor shows it.
"""

import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from boss.taskfile.problems import quoted
from worker.grid import Table, packed
from worker.texts import ROW
from worker.written import is_plain, number_in

#: A parameter's name.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What may stand between cells; the first of these that the header has is it.
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_FIRST_LINE = re.compile(r" *sep=([,;\t])[ ,;\t]*\n", re.IGNORECASE)
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_]+")
_FOREIGN = {
    b"PK\x03\x04": "is an Excel or OpenDocument workbook; save it as CSV (UTF-8)",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook; save it as CSV (UTF-8)",
    b"\xff\xfe": "is UTF-16; save it as CSV UTF-8",
    b"\xfe\xff": "is UTF-16; save it as CSV UTF-8",
    b"\x1f\x8b": "is compressed (gzip); send it as plain text",
}
#: How many rows are looked at together.
_SLICE = 10_000
#: How many further lines with another number of cells are named.
_NAMED = 3
_WHOLE = re.compile(r"[-+]?[0-9]+")

#: Tells one thing that is wrong with a file.
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A CSV file, read. ``lines`` has the number of the line on which each row begins."""

    name: str
    table: Table
    lines: "array[int]"

    def place(self, row: int) -> str:
        """Where a row stands: ``params.csv, line 7``."""
        return f"{self.name}, line {self.lines[row]}"


class _Broken(ValueError):
    """A file that cannot be read beyond this point."""


def read_sheet(name: str, data: bytes, limit: int, tell: Tell) -> Sheet | None:
    """The table in a file's bytes; None when something is wrong with it, which is told. ``limit`` bounds the number of rows."""
    try:
        text = _decoded(data)
        separator = _separator_of(text)
        records = _records(text, separator)
        first = next(records, None)
        if first is None:
            raise _Broken("is empty: its first line must name the parameters")
        names = _header(first, separator, tell)
        lines: array[int] = array("I")
        rows = list(_checked(records, len(first[1]), first[0], separator, lines, limit, tell))
        if not lines:
            raise _Broken("has no row below its header")
    except _Broken as error:
        tell(str(error))
        return None
    if names is None or len(rows) < len(lines):
        return None
    return Sheet(name, Table(tuple(names), tuple(_numeric(rows, len(names))), "\n".join(rows)), lines)


# ---- the text ----------------------------------------------------------------------------------------------------------


def _decoded(data: bytes) -> str:
    for start, what in _FOREIGN.items():
        if data.startswith(start):
            raise _Broken(what)
    if (place := data.find(b"\0")) >= 0:
        raise _Broken(f"line {_line_of(data, place)} has a NUL byte, so this is no CSV file")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = error.start
        raise _Broken(f"line {_line_of(data, place)} is not UTF-8 (byte 0x{data[place]:02x}); save it as CSV UTF-8") from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _line_of(data: bytes, place: int) -> int:
    before = data[:place].replace(b"\r\n", b"\n")
    return before.count(b"\n") + before.count(b"\r") + 1


def _separator_of(text: str) -> str:
    """What separates the cells: the first kind that the first line with any text has outside of quotation marks."""
    found = _FIRST_LINE.match(text)
    if found:
        return found[1]
    header = next((line for line in text.split("\n", 1000) if line.strip()), "")
    bare = re.sub(r'"[^"]*"?', "", header)
    return next((separator for separator in SEPARATORS if separator in bare), ",")


#: The number of the line on which it begins, and its cells.
_Record = tuple[int, list[str]]


def _records(text: str, separator: str) -> Iterator[_Record]:
    """The lines that have any text in them, as cells. Raises _Broken where that cannot be said."""
    blank = " " if separator == "\t" else " \t"
    quotes = '"' in text
    found = _FIRST_LINE.match(text)
    start, number = (found.end(), 2) if found else (0, 1)
    quoted_cell = re.compile(rf'[{blank}]*"([^"]*(?:""[^"]*)*)"[{blank}]*')
    bare_cell = re.compile(rf"[^\n{re.escape(separator)}]*")
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line, first = text[start:end], number
        if quotes and '"' in line:
            cells, end = _quoted_record(text, start, quoted_cell, bare_cell, separator, number)
            number += text.count("\n", start, end)
        else:
            cells = line.split(separator)
            if " " in line or "\t" in line:
                cells = [cell.strip(blank) for cell in cells]
        if any(cells):
            yield first, cells
        start, number = end + 1, number + 1


def _quoted_record(
    text: str, place: int, quoted_cell: "re.Pattern[str]", bare_cell: "re.Pattern[str]", separator: str, number: int
) -> tuple[list[str], int]:
    """The cells of a line with quotation marks in it, which may go on over several; and where it ends."""
    cells = []
    while True:
        found = quoted_cell.match(text, place)
        if found:
            cells.append(found[1].replace('""', '"'))
        else:
            found = bare_cell.match(text, place)
            assert found is not None  # it matches nothing at all, too
            cell = found[0].strip(" " if separator == "\t" else " \t")
            if cell.startswith('"'):
                raise _Broken(f"line {number}: cell {len(cells) + 1} begins with a quotation mark that is never closed")
            cells.append(cell)
        place = found.end()
        if place == len(text) or text[place] == "\n":
            return cells, place
        if text[place] != separator:
            raise _Broken(
                f"line {number}: cell {len(cells)} goes on behind its closing quotation mark "
                '(within a cell a quotation mark is written twice: "")'
            )
        place += 1


# ---- the header ------------------------------------------------------------------------------------------------------------


def _header(record: _Record, separator: str, tell: Tell) -> list[str] | None:
    """The parameters' names; None when one of them is wrong, which is told of each."""
    line, names = record
    if names[0].startswith("#"):
        tell(f"line {line} begins with '#': a CSV file has no comments, and its first line names the parameters")
        return None
    if all(number_in(name) is not None for name in names):
        tell(f"line {line} has numbers where the names of the parameters belong: put a line with the names before it")
        return None
    wrong: list[str] = []
    places: dict[str, int] = {}
    for column, name in enumerate(names, 1):
        if not name:
            index = " (pandas writes such a column unless it is told index=False)" if column == 1 else ""
            wrong.append(f"column {column} has no name{index}: name it, or delete the column")
        elif name == ROW:
            wrong.append(f"column {column}: a parameter may not be called {ROW}, which is the number of the row: write {ROW}_")
        elif not NAME.fullmatch(name):
            rule = "a parameter's name is made of letters, digits and _, and begins with no digit"
            wrong.append(f"column {column}: {quoted(name)} names no parameter ({rule}): write {_spelling(name)}")
        elif places.setdefault(name, column) != column:
            wrong.append(f"columns {places[name]} and {column} are both called {name}")
    for message in wrong:
        tell(f"line {line}, {message}")
    if wrong and len(names) == 1 and NAME.fullmatch(names[0]) is None:
        tell(f"line {line}: no separator was found there: cells are separated by {', '.join(SEPARATORS.values())}")
    return None if wrong else names


def _spelling(name: str) -> str:
    """A parameter's name that is like a text that is none."""
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    spelled = _NOT_IN_NAME.sub("_", plain).strip("_") or "parameter"
    return ("_" if spelled[0].isdigit() else "") + spelled + ("_" if spelled == ROW else "")


# ---- the rows --------------------------------------------------------------------------------------------------------------


def _checked(
    records: Iterable[_Record], width: int, header: int, separator: str, lines: "array[int]", limit: int, tell: Tell
) -> Iterator[str]:
    """Each row that has as many cells as it must, packed; ``lines`` gets the line of every row. What is wrong is told once."""
    ragged: list[tuple[int, list[str]]] = []
    others = 0
    for line, cells in records:
        lines.append(line)
        if len(lines) > limit:
            raise _Broken(f"has more than the {limit:,} rows that one job may have as tasks")
        if len(cells) == width:
            text = "\t".join(cells)
            yield packed(cells) if "\\" in text or "\n" in text or text.count("\t") >= width else text
        elif len(ragged) <= _NAMED:
            ragged.append((line, cells))
        else:
            others += 1
    if ragged:
        [(line, cells), *rest] = ragged
        more = f" ({_neither([number for number, _ in rest], others)})" if rest else ""
        names = "1 name" if width == 1 else f"{width:,} names"
        told = f"line {line} has {len(cells):,} cell{'s' * (len(cells) != 1)}, but the header in line {header} has {names}{more}"
        extra = next((cells for _, cells in ragged if len(cells) > width), None) if separator == "," else None
        tell(told + (_about_commas(extra) if extra else ""))


def _neither(lines: list[int], others: int) -> str:
    """Which further lines have another number of cells."""
    if len(lines) == 1 and not others:
        return f"line {lines[0]} does not fit either"
    named = [*map(str, lines), *([f"{others:,} more"] if others else ())]
    return f"lines {', '.join(named[:-1])} and {named[-1]} do not fit either"


def _about_commas(cells: list[str]) -> str:
    """What may have made too many cells of a line whose cells are separated by commas."""
    for whole, part in pairwise(cells):
        if _WHOLE.fullmatch(whole) and part.isdecimal():
            return f"; if {whole},{part} is meant as a number: with a decimal point it is {whole}.{part}"
    return '; a cell with a comma in it is written between quotation marks: "a, b"'


def _numeric(rows: list[str], width: int) -> list[bool]:
    """Of each column, whether its cells are numbers or empty, and one of them a number."""
    numbers, seen = [True] * width, [False] * width
    for start in range(0, len(rows), _SLICE):
        split = [row.split("\t") for row in rows[start : start + _SLICE]]
        for place, column in enumerate(zip(*split, strict=True)):
            if numbers[place]:
                cells = set(column) - {""}
                numbers[place] = all(map(is_plain, cells))
                seen[place] |= bool(cells)
    return [plain and some for plain, some in zip(numbers, seen, strict=True)]
