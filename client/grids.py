"""``Client.map``: a command over a grid of values, as the task that a task file would have. Pure.

Rules:
- A grid is ``{name: values}`` (every value with every other), a list of rows ``[{name: value}, ...]``, or a data frame (its rows).
- Values are texts, numbers and booleans, as a ``foreach`` takes them; numpy's are taken as what they stand for. What is none of these is
  refused with the name of its parameter and its place.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from client.errors import InvalidRequest

#: Rows and values that one grid has at most; the boss has a bound of its own.
MOST = 10_000_000
Plain = dict[str, Any]


def task_of(command: str | list[str], grid: object, id: str, more: Mapping[str, Any]) -> Plain:  # noqa: A002 (as in a task file)
    """The entry of a task file. Raises InvalidRequest for what is no grid."""
    commands = {"command": command} if isinstance(command, str) else {"commands": list(command)}
    return {"id": id, "foreach": foreach_of(grid), **commands, **more}


def foreach_of(grid: object) -> Plain:
    """The ``foreach`` of a grid."""
    if hasattr(grid, "to_dict") and hasattr(grid, "columns"):
        return _rows(grid.to_dict("records"))
    if isinstance(grid, Mapping):
        if not grid:
            raise InvalidRequest("grid: it has no parameter; a grid is {'T': [1.5, 2.0], ...} or a list of rows")
        return {str(name): {"values": _values(str(name), values)} for name, values in grid.items()}
    if isinstance(grid, Iterable) and not isinstance(grid, str | bytes):
        return _rows(grid)
    raise InvalidRequest(
        f"grid: {type(grid).__name__} is no grid; a grid is {{'T': [1.5, 2.0], ...}}, a list of rows or a data frame"
    )


def _rows(rows: Iterable[object]) -> Plain:
    columns: dict[str, list[Any]] = {}
    count = 0
    for count, row in enumerate(islice(rows, MOST + 1), 1):
        if not isinstance(row, Mapping):
            raise InvalidRequest(f"grid: row {count} is {row!r}; a row is {{'T': 1.5, 'seed': 1}}")
        if count == 1:
            columns = {str(name): [] for name in row}
        if {str(name) for name in row} != columns.keys():
            raise InvalidRequest(
                f"grid: row {count} has {', '.join(map(str, row)) or 'nothing'}; the rows before have {', '.join(columns)}"
            )
        for name, value in row.items():
            columns[str(name)].append(_value(str(name), count, value))
    if not count or not columns:
        raise InvalidRequest("grid: it has no rows, so there is nothing to run")
    if len(columns) == 1:
        return {name: {"values": values} for name, values in columns.items()}
    return {"zip": {name: {"values": values} for name, values in columns.items()}}


def _values(name: str, values: object) -> list[Any]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidRequest(f"grid: {name} is {values!r}; its values are a list, a range or an array")
    found = [_value(name, place, value) for place, value in enumerate(islice(values, MOST), 1)]
    if not found:
        raise InvalidRequest(f"grid: {name} has no values, so there is nothing to run")
    return found


def _value(name: str, place: int, value: object) -> str | int | float | bool:
    plain = value.item() if hasattr(value, "item") and not isinstance(value, str | int | float | bool) else value
    if isinstance(plain, float) and not math.isfinite(plain):
        raise InvalidRequest(
            f"grid: value {place} of {name} is {plain}; a task takes finite numbers (write 'nan' if the text is meant)"
        )
    if isinstance(plain, bool | int | float | str):
        return plain
    raise InvalidRequest(
        f"grid: value {place} of {name} is {value!r} ({type(value).__name__}); values are texts, numbers and booleans"
    )
