"""Cells of a table of parameters: texts that may be numbers. Pure.

Rules:
- A cell prints as it is written: ``0.10`` and ``1e-3`` stay what they are. Where a number is wanted it is read as one.
- Read as a number it remembers how it was written, so that no path or command changes because somebody looked at the number.

Python 3.9 syntax: a worker expands signed jobs with the same code as the boss.
"""

import re
from math import isfinite
from typing import Union

#: A group that matches something makes it a number that is not written as a whole one.
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(\.[0-9]*)?|(\.[0-9]+))([eE][-+]?[0-9]+)?")
#: A number without zeros in front, which would make it a label (``007``), and not longer than 64 bits hold.
_PLAIN = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]{0,17})(?:\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
#: Digits that no number of a parameter has; Python refuses to read many more.
_TOO_LONG = 1000


class WrittenInt(int):
    """A whole number that prints as it was written."""

    written: str


class WrittenFloat(float):
    """A number that prints as it was written."""

    written: str


def number_in(text: str) -> Union[int, float, None]:
    """The number that a text is, blanks around it aside; None if it is none, or one without bounds."""
    text = text.strip()
    found = _NUMBER.fullmatch(text)
    if found is None or len(text) > _TOO_LONG:
        return None
    if found.lastindex is None:
        return int(text)
    number = float(text)
    return number if isfinite(number) else None


def is_plain(text: str) -> bool:
    """Whether a cell is a number and nothing but a number: ``7``, ``-0.10``, ``1e-3``; ``007`` is a label, ``1e999`` is none."""
    found = _PLAIN.fullmatch(text)
    return found is not None and len(text) <= _TOO_LONG and (found.lastindex is None or isfinite(float(text)))


def as_number(text: str) -> Union[str, int, float]:
    """A cell of a column of numbers as a number that prints as it was written; an empty cell stays a text."""
    number = number_in(text)
    if number is None:
        return text
    found: Union[WrittenInt, WrittenFloat] = WrittenInt(number) if isinstance(number, int) else WrittenFloat(number)
    found.written = text
    return found
