"""``foreach``: one entry becomes many tasks, one for each row of a grid.

Rules:
- It is a block, or a list of blocks that are multiplied. A block is a grid of parameters (every combination is a row), a zip (they move
  together) or a CSV file (see ``sheet``). The last block, and in a grid the last parameter, runs fastest.
- ``{"csv": ...}`` with a text is a CSV file, ``{"zip": {...}}`` with parameters in it a zip; parameters of a grid may have these names.
- What a CSV file says is sent along by whoever pushes: the boss reads no disk but its own. A file that several tasks name is read once,
  and what is wrong with it is told once.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from boss.taskfile.context import Context
from boss.taskfile.fields import Form, described, unsound
from boss.taskfile.grid import is_way, read_axes
from boss.taskfile.problems import quoted
from boss.taskfile.sheet import NAME, Sheet, read_sheet
from worker.grid import Dimension, Together
from worker.texts import ROW

#: How many of the files that were sent are named.
_NAMED = 5
_BLOCKS = '{"seed": {"range": [0, 4]}}, {"csv": "params.csv"} or {"zip": {...}}'


@dataclass(slots=True)
class Foreach:
    """What was read. ``grid`` is None when something is wrong with it; ``declared`` are the names that texts may use, as far as known.

    ``titles``: by dimension of the grid, what its rows are rows of (empty for one parameter); ``sheets``: by parameter, its CSV file.
    """

    grid: tuple[Dimension, ...] | None = ()
    declared: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    sheets: dict[str, Sheet] = field(default_factory=dict)


class Sheets:
    """The CSV files that were sent with a push, each read when it is first named."""

    def __init__(self, context: Context) -> None:
        self.limit = context.max_tasks
        self._sent = context.tables
        self._unread = context.unread_tables
        self._read: dict[str, Sheet | None] = {}

    def sheet(self, name: str, form: Form, place: str) -> Sheet | None:
        """A CSV file; None if there is something wrong with it (which is told where it is first named)."""
        if name not in self._read:
            self._read[name] = None
            if name in self._sent:
                shown = quoted(name)

                def told(message: str) -> None:
                    form.wrong(place, f"{shown}: {message}")

                self._read[name] = read_sheet(shown[1:-1], self._sent[name], self.limit, told)
            else:
                form.wrong(place, self._missing(name))
        return self._read[name]

    def _missing(self, name: str) -> str:
        if name in self._unread:
            return f"{quoted(name)} {self._unread[name]}"
        few = sorted(self._sent)[:_NAMED]
        sent = f"; sent was {', '.join(map(quoted, few))}{', ...' * (len(self._sent) > _NAMED)}" if few else ""
        return f"{quoted(name)} was not sent along with the task file (as a part `csv` of that name: docs/api.md){sent}"


def read_foreach(form: Form, sheets: Sheets) -> Foreach:
    """The ``foreach`` of a task; what is wrong with it is told."""
    value = form.data["foreach"]
    places = [("foreach", value)]
    if isinstance(value, list):
        places = [(f"foreach[{number}]", block) for number, block in enumerate(value)]
        if not value:
            form.wrong("foreach", "is an empty list: leave it out, or name a parameter")
    grid: list[Dimension] = []
    found = Foreach(None)
    owners: dict[str, str] = {}
    complete = known = bool(places)
    count = 1
    for place, block in places:
        dimensions = _read_block(form, place, block, sheets, found)
        again = [name for name in _names(block, dimensions) if owners.setdefault(name, place) != place]
        if again:
            more = f" (like {len(again) - 1} more)" if len(again) > 1 else ""
            form.wrong(place, f"{quoted(again[0])}{more} is a parameter of {owners[again[0]]} already")
            complete = False
        known &= _is_known(block, dimensions)
        complete &= dimensions is not None
        grid += dimensions or ()
        count *= prod(map(len, dimensions or ()))
        if count > sheets.limit:
            told = f"the grid has {count:,} rows up to here, more than the {sheets.limit:,} tasks that one job may have"
            form.wrong(place, told)
            complete = known = False
            break
    found.declared = [*owners, ROW] if known else []
    found.grid = tuple(grid) if complete else None
    return found


def _read_block(form: Form, place: str, block: object, sheets: Sheets, found: Foreach) -> list[Dimension] | None:
    """The dimensions of one block; None if it is wrong."""
    if not isinstance(block, dict):
        form.wrong(place, f"must be an object such as {_BLOCKS}, not {described(block)}")
        return None
    if not block:
        form.wrong(place, "has no parameters: leave it out, or name one")
        return None
    for kind in ("csv", "zip"):
        if _is_block(kind, block) and len(block) > 1:
            other = next(name for name in block if name != kind)
            form.wrong(
                place, f'{kind} stands beside {quoted(other)}: blocks are multiplied as a list, [{{"{kind}": ...}}, {{...}}]'
            )
            return None
    if _is_block("csv", block):
        return _read_csv(form, f"{place}.csv", block["csv"], sheets, found)
    if _is_block("zip", block):
        return _read_zip(form, f"{place}.zip", block["zip"], sheets.limit, found)
    axes = read_axes(form, place, block, sheets.limit)
    if axes is None:
        return None
    found.titles += [""] * len(axes)
    rows = 1
    for axis in axes:
        rows *= len(axis)
        if rows > sheets.limit:
            told = f"the grid has {rows:,} rows up to here, more than the {sheets.limit:,} tasks that one job may have"
            form.wrong(f"{place}.{axis.name}", told)
            return None
    return list(axes)


def _is_block(kind: str, block: Mapping[str, Any]) -> bool:
    """Whether ``csv`` or ``zip`` in a block is the word, not a parameter of a grid that is called so."""
    if kind not in block:
        return False
    given = block[kind]
    if kind == "csv":
        return not isinstance(given, dict)
    if not isinstance(given, dict):
        return True
    return not (len(given) == 1 and all(is_way(name) and not isinstance(ways, dict) for name, ways in given.items()))


def _read_csv(form: Form, place: str, name: object, sheets: Sheets, found: Foreach) -> list[Dimension] | None:
    if isinstance(name, list) and len(name) > 1:
        named = [one for one in name if isinstance(one, str)]
        form.wrong(
            place,
            f'is one CSV file, not a list: for every pair of rows write [{{"csv": ...}}, {{"csv": ...}}]; else {_joined(named)}',
        )
        return None
    if not isinstance(name, str) or not name.strip() or unsound(name) is not None:
        form.wrong(place, f'must be the path of a CSV file such as "params.csv", not {described(name)}')
        return None
    sheet = sheets.sheet(name, form, place)
    if sheet is None:
        return None
    found.titles.append(sheet.name)
    found.sheets |= dict.fromkeys(sheet.table.names, sheet)
    return [sheet.table]


def _files_in_zip(given: object) -> list[str] | None:
    """The CSV files that somebody wants to move together in a zip, as far as they are named; None where none is meant."""
    blocks = given if isinstance(given, list) else [given]
    meant, named = False, list[str]()
    for block in blocks:
        for name, value in block.items() if isinstance(block, dict) else ():
            inner = value["csv"] if isinstance(value, dict) and "csv" in value else value
            if (name == "csv" and not isinstance(value, dict)) or inner is not value:
                meant = True
                named += [one for one in (inner if isinstance(inner, list) else [inner]) if isinstance(one, str)]
    return named if meant else None


def _joined(named: list[str]) -> str:
    """How columns of several CSV files come to stand side by side."""
    few = " ".join(shlex.quote(one) for one in named[:_NAMED]) if len(named) > 1 else "a.csv b.csv"
    return f'join their columns into one file first, `paste -d, {few} > joined.csv`, and write {{"csv": "joined.csv"}}'


def _read_zip(form: Form, place: str, given: object, limit: int, found: Foreach) -> list[Dimension] | None:
    if (named := _files_in_zip(given)) is not None:
        form.wrong(place, f"a CSV file cannot be in a zip; its columns move together already. Of several files {_joined(named)}")
        return None
    if not isinstance(given, dict) or not given:
        form.wrong(place, f'must be an object of parameters such as {{"T": {{"values": [1, 2]}}}}, not {described(given)}')
        return None
    axes = read_axes(form, place, given, limit, repeats=True)
    if axes is None:
        return None
    if len({len(axis) for axis in axes}) > 1:
        counts = ", ".join(f"{axis.name} has {len(axis):,}" for axis in axes[:6])
        more = f" and {len(axes) - 6} more" if len(axes) > 6 else ""
        form.wrong(place, f"parameters that move together have equally many values; {counts}{more}")
        return None
    found.titles.append(place)
    return [Together(tuple(axes))]


def _names(block: object, dimensions: list[Dimension] | None) -> Iterator[str]:
    """The parameters that a block declares, or seems to declare when something is wrong with it."""
    if dimensions is not None:
        for dimension in dimensions:
            yield from dimension.names
    elif isinstance(block, dict) and not _is_block("csv", block):
        inner = block["zip"] if _is_block("zip", block) else block
        yield from (name for name in inner if NAME.fullmatch(name) and name != ROW) if isinstance(inner, dict) else ()


def _is_known(block: object, dimensions: list[Dimension] | None) -> bool:
    """Whether ``_names`` are all that a block declares."""
    if dimensions is not None:
        return True
    if not isinstance(block, dict) or not block or _is_block("csv", block):
        return False
    return not _is_block("zip", block) or (isinstance(block["zip"], dict) and _files_in_zip(block["zip"]) is None)
