"""Texts with parameters, as a task's definition holds them: rendered for one row of its grid. Pure.

Rules:
- Without a format a float prints as ``%.12g``, a boolean as ``true`` or ``false``, a cell of a table as it is written there.
- A format is Python's. One for numbers reads a text as a number.
- ``{row}`` counts the rows of the grid from 0, whatever they are made of.

How a text is written and parsed is ``boss.core.templates``; this is what is needed to run what was parsed.
Python 3.9 syntax: a worker expands signed jobs with the same code as the boss.
"""

import re
import shlex
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from worker.grid import Dimension, Value
from worker.written import WrittenFloat, WrittenInt, number_in

#: The number of the row, as a text names it; no parameter is called so.
ROW = "row"
#: The formats that are taken.
FORMAT = re.compile(
    r"(?P<align>[^{}]?[<>=^])?(?P<sign>[-+ ]?#?0?)[0-9]{0,3}(?P<group>[,_]?)(?:\.[0-9]{1,3})?(?P<type>[bdeEfFgGosxX%]?)"
)


@dataclass(frozen=True)
class Field:
    """A ``{name}`` in a text: the parameter's name, its format (``.3f``) and conversion (``q`` quotes for the shell)."""

    name: str
    format: str = ""
    conversion: str = ""


#: A text without parameters, or its pieces in order.
Text = Union[str, Tuple[Union[str, Field], ...]]


class TemplateError(ValueError):
    """A text with a field that cannot be replaced. ``name`` is the field's name; the message says why, and how to write it.

    ``others`` are the errors of the text's other fields, ``rest`` is the text as far as it could be parsed.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.others: Tuple[TemplateError, ...] = ()
        self.rest: Text = ""


class ValueRefused(TemplateError):
    """A value that a field's format does not take. ``row`` is its row in its dimension, as soon as that is known."""

    def __init__(self, field: Field, value: Value, wanted: str = "") -> None:
        self.field, self.value, self.wanted = field, value, wanted
        self.row: Optional[int] = None
        super().__init__(field.name, "{%s:%s}: the value %r does not take this format" % (field.name, field.format, value))


def render(text: Text, params: Mapping[str, Value]) -> str:
    """The text with its fields replaced. Raises KeyError for a parameter without a value."""
    if isinstance(text, str):
        return text
    return "".join([piece if isinstance(piece, str) else shown_as(piece, params[piece.name]) for piece in text])


def values_at(grid: Sequence[Dimension], row: int) -> Dict[str, Value]:
    """What ``render`` takes: the values of one row of a grid, and ``row`` itself; empty for a plain task's empty grid."""
    params: Dict[str, Value] = {ROW: row} if grid else {}
    for dimension, digit in digits(grid, row):
        params.update(dimension.at(digit))
    return params


def digits(grid: Sequence[Dimension], row: int) -> List[Tuple[Dimension, int]]:
    """The row of each dimension that one row of the grid stands for. The last dimension runs fastest."""
    found = []
    for dimension in reversed(grid):
        row, digit = divmod(row, len(dimension))
        found.append((dimension, digit))
    return found[::-1]


def shown_as(field: Field, value: Value) -> str:
    """A value as a field prints it. Raises ValueRefused."""
    text = _formatted(field, value) if field.format else shown(value)
    return shlex.quote(text) if field.conversion == "q" else text


def _formatted(field: Field, value: Value) -> str:
    if isinstance(value, (WrittenInt, WrittenFloat)):
        value = value.written
    if isinstance(value, str) and _is_for_numbers(field.format):
        number = number_in(value)
        if number is None:
            raise ValueRefused(field, value, "number")
        return _taken(field, number, value, "whole number")
    return _taken(field, value, value)


def _taken(field: Field, given: Value, written: Value, wanted: str = "") -> str:
    try:
        return format(given, field.format)
    except (ValueError, OverflowError):
        raise ValueRefused(field, written, wanted) from None


@lru_cache(256)
def _is_for_numbers(form: str) -> bool:
    """Whether a format makes sense for numbers only: all do that say more than a width, a precision and on which side to fill."""
    found = FORMAT.fullmatch(form)
    return found is not None and bool(
        found["sign"] or found["group"] or found["type"] not in ("", "s") or (found["align"] or "").endswith("=")
    )


def shown(value: Value) -> str:
    """A value as it prints without a format."""
    if isinstance(value, (WrittenInt, WrittenFloat)):
        return value.written
    if isinstance(value, bool):
        return "true" if value else "false"
    return "%.12g" % value if isinstance(value, float) else str(value)


# ---- as plain data ---------------------------------------------------------------------------------------------------


def text_to_data(text: Optional[Text]) -> Any:
    """A text is a string, or a list of strings and ``[name, format, conversion]``; None stays None."""
    if text is None or isinstance(text, str):
        return text
    return [piece if isinstance(piece, str) else [piece.name, piece.format, piece.conversion] for piece in text]


def text_from_data(data: Any) -> Text:
    """The text that ``text_to_data`` made this of."""
    return data if isinstance(data, str) else tuple([piece if isinstance(piece, str) else Field(*piece) for piece in data])


def optional_text(data: Any) -> Optional[Text]:
    """The same, where there may be none."""
    return None if data is None else text_from_data(data)
