"""What a task's metrics file holds, as cells of a table: one flat object of numbers and short texts. Pure.

Rules:
- Nested objects are written with dots (``time.fit``), lists of at most ``LIST`` plain values with their places (``size.0``).
- Booleans are 0 and 1; ``null`` is an empty cell; NaN and Infinity, which Python's ``json`` writes, are numbers.
- What makes no column (longer lists, lists of lists or objects, longer texts, more than ``COLUMNS`` values) is left out, and named.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

#: The largest metrics file that is read, in bytes.
LARGEST = 1 << 20
#: The longest list, text and column's name, and how many values one file gives.
LIST = 16
TEXT = 200
NAME = 200
COLUMNS = 1000

Cell = int | float | str


class Unreadable(ValueError):
    """Why a file gives no values, in words that hold for many files (``what``) and for this one."""

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(f"{what}: {detail}" if detail else what)
        self.what = what


@dataclass(slots=True)
class Metrics:
    """The values of one file by column, and the names of what was left out."""

    values: dict[str, Cell] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def read_metrics(data: bytes) -> Metrics:
    """The cells of a metrics file. Raises Unreadable."""
    try:
        document = json.loads(data)
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except ValueError as error:  # no JSON, no Unicode, or a number of thousands of digits
        raise Unreadable("not JSON", str(error)) from None
    if not isinstance(document, dict):
        raise Unreadable("not an object of names and numbers")
    found = Metrics()
    for name, value in _flat(document):
        cell = _cell(value)
        if cell is None or not name or len(name) > NAME or len(found.values) >= COLUMNS:
            if value is not None:
                found.left_out.append(name)
        else:
            found.values.setdefault(name, cell)
    return found


def _flat(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values in the order of the file; objects and short plain lists are opened."""
    stack: list[tuple[str, Any]] = list(reversed(document.items()))
    while stack:
        name, value = stack.pop()
        if isinstance(value, dict):
            stack += [(f"{name[: NAME + 1]}.{key}", inner) for key, inner in reversed(value.items())]
        elif isinstance(value, list) and len(value) <= LIST and not any(isinstance(item, dict | list) for item in value):
            stack += [(f"{name}.{place}", item) for place, item in reversed(list(enumerate(value)))]
        else:
            yield name, value


def _cell(value: Any) -> Cell | None:
    match value:
        case bool():
            return int(value)
        case int() | float():
            return value
        case str() if len(value) <= TEXT:
            return value
        case _:
            return None
