"""``table``: the outcome of a job's tasks, as CSV for programs or drawn for people.

Rules:
- Through a pipe and with ``--out`` it is CSV: UTF-8, quoted as RFC 4180 says, each line ended by a newline; NaN and infinities are ``nan``,
  ``inf`` and ``-inf``. On a terminal as many rows and columns are drawn as can be read.
- A spreadsheet runs a text that begins like a formula (``=``, ``+``, ``-``, ``@``, tab, carriage return). Unless it is a number,
  such a text gets an apostrophe before it in CSV. JSON has the texts as they are.
- A file appears whole or not at all, and one that is there is left alone unless ``--force`` says otherwise.
"""

import csv
import json
import math
import shutil
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Annotated

import typer

from client import Client
from client.commands import completing
from client.commands.frame import Json, counted, name_job, say
from client.commands.tables import clean, lasted, show
from client.commands.tables import tally as counts_in_words
from client.commands.writing import check_place, written
from client.metrics import Cell
from client.table import Table

#: Up to so many rows are all drawn on a terminal; of more only the first few.
DRAWN, HEAD = 100, 20
#: The widest cell, in characters.
WIDEST = 40
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def table(
    target: Annotated[
        str, typer.Argument(metavar="JOB[:GLOB]", autocompletion=completing.targets, help="A job, and which of its tasks.")
    ],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write CSV (with --json: JSON) to this file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE if it is there.")] = False,
    as_json: Json = False,
) -> None:
    """A job's outcome as a table: a row a task with parameters, state, times and the numbers of its metrics file."""
    if out is not None:
        check_place(out, force)
    with Client() as client, Table(client, target) as found:
        if found.job:
            name_job(target, found.job)
        write = write_json if as_json else write_csv
        if out is not None:
            with written(out, force) as file:
                write(file, found)
            say(
                f"{counted(len(found), 'row')} and {counted(len(found.columns), 'column')} in {out} ({counts_in_words(found.states)})"
            )
        elif as_json or not sys.stdout.isatty():
            write(sys.stdout, found)
        else:
            _draw(found)
        for note in found.notes:
            say(clean(note))


# ---- writing ---------------------------------------------------------------------------------------------------------


def write_csv(file: IO[str], found: Table) -> None:
    """A header and a line a row."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_guarded(name) for name in found.columns])
    writer.writerows([_csv_cell(cell) for cell in row] for row in found.rows())


def write_json(file: IO[str], found: Table) -> None:
    """A list of objects, one a line; what is no number in JSON (NaN, infinities) is null."""
    between = "["
    for row in found.rows():
        cells = {name: _json_cell(cell) for name, cell in zip(found.columns, row, strict=True)}
        file.write(f"{between}\n{json.dumps(cells, ensure_ascii=False, allow_nan=False)}")
        between = ","
    file.write("[]\n" if between == "[" else "\n]\n")


def _csv_cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return _guarded(cell) if isinstance(cell, str) else repr(cell)


def _guarded(text: str) -> str:
    """The text, made harmless to spreadsheets."""
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text


def _json_cell(cell: Cell | None) -> Cell | None:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


# ---- drawing ---------------------------------------------------------------------------------------------------------


class _Column:
    """A column as it is drawn: its cells as texts, its width; ``numbers`` when all of them are."""

    def __init__(self, name: str, cells: Sequence[Cell | None]) -> None:
        took = name == "seconds"
        self.name = "took" if took else name
        self.numbers = all(cell is None or not isinstance(cell, str) for cell in cells)
        self.cells = [_drawn(cell, took) for cell in cells]
        self.width = max(len(text) for text in (self.name, *self.cells))


def _drawn(cell: Cell | None, took: bool) -> str:
    if took and isinstance(cell, int | float):
        return lasted(cell)
    if isinstance(cell, float):
        return f"{cell:.6g}"
    text = clean(cell)
    return text if len(text) <= WIDEST else text[: WIDEST - 3] + "..."


def _worth(name: str, cells: Sequence[Cell | None]) -> bool:
    """Whether a column says something to people: not the times of day, nor what is the same in every row that went well."""
    match name:
        case "started" | "finished":
            return False
        case "attempt":
            return any(isinstance(cell, int) and cell > 1 for cell in cells)
        case "exit_code":
            return any(cells)
        case "id" | "state":
            return True
        case _:
            return any(cell is not None for cell in cells)


def _draw(found: Table) -> None:
    """The first rows and the columns that fit on the terminal; what is left out is said."""
    rows = list(islice(found.rows(), len(found) if len(found) <= DRAWN else HEAD))
    places = [place for place, name in enumerate(found.columns) if _worth(name, [row[place] for row in rows])]
    columns = [_Column(found.columns[place], [row[place] for row in rows]) for place in places]
    width, fitting = shutil.get_terminal_size().columns, 0
    for column in columns:
        width -= column.width + 3
        fitting += width >= 0 or fitting < 2
    drawn = columns[:fitting]
    cells = [[column.cells[number] for column in drawn] for number in range(len(rows))]
    show([column.name for column in drawn], cells, "no tasks", right={column.name for column in drawn if column.numbers})
    missing = [counted(len(found) - len(rows), "more row")] if len(found) > len(rows) else []
    hidden = [column.name for column in columns[fitting:]]
    if hidden:
        missing.append(f"{counted(len(hidden), 'more column')} ({', '.join(hidden[:4])}{', ...' * (len(hidden) > 4)})")
    if missing:
        say(f"{' and '.join(missing)}: --out FILE.csv has all")
