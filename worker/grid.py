"""The dimensions of a grid, which are multiplied: one parameter, parameters that move together, a table of parameters. Pure.

Rules:
- A dimension has ``len`` rows; in each of them each of its parameters has one value.
- A table of a million rows is one text and a place for each row: cells become texts of their own only when somebody asks for them.

Python 3.9 syntax: a worker expands signed jobs with the same code as the boss.
"""

import re
import sys
from array import array
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Dict, Iterable, Iterator, List, Sequence, Tuple, Union

from worker.written import as_number

#: A value that a parameter can take.
Value = Union[str, int, float, bool]

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n"})
_ESCAPED = re.compile(r"\\(.)")
_MEANT = {"t": "\t", "n": "\n"}


@dataclass(frozen=True)
class Axis:
    """One parameter: its name and its values (str, int, float, bool)."""

    name: str
    values: Tuple[Value, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def names(self) -> Tuple[str, ...]:
        """The one parameter."""
        return (self.name,)

    def column(self, name: str) -> Sequence[Value]:
        """The values, row by row."""
        return self.values

    def at(self, row: int) -> Iterator[Tuple[str, Value]]:
        """Parameter and value in one row."""
        yield self.name, self.values[row]

    read_at = at


@dataclass(frozen=True)
class Together:
    """Parameters that move together: axes of one length."""

    axes: Tuple[Axis, ...]

    def __len__(self) -> int:
        return len(self.axes[0])

    @property
    def names(self) -> Tuple[str, ...]:
        """The parameters."""
        return tuple(axis.name for axis in self.axes)

    def column(self, name: str) -> Sequence[Value]:
        """The values of one of the parameters, row by row."""
        return next(axis.values for axis in self.axes if axis.name == name)

    def at(self, row: int) -> Iterator[Tuple[str, Value]]:
        """Parameter and value in one row."""
        return ((axis.name, axis.values[row]) for axis in self.axes)

    read_at = at


@dataclass(frozen=True)
class Table:
    """Parameters whose values are the cells of a table. ``text`` has a line for each row, its cells between tabs (see ``packed``).

    ``numbers`` says of each parameter whether its cells are numbers (or empty); they print as they are written all the same.
    """

    names: Tuple[str, ...]
    numbers: Tuple[bool, ...]
    text: str
    _starts: "array[int]" = field(init=False, repr=False, compare=False)
    _columns: Dict[str, List[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Several templates of a job, and several jobs, may have the same table.
        object.__setattr__(self, "text", sys.intern(self.text))
        lengths = (len(line) + 1 for line in self.text.split("\n"))
        object.__setattr__(self, "_starts", array("Q", accumulate(lengths, initial=0)))

    def __len__(self) -> int:
        return len(self._starts) - 1

    def column(self, name: str) -> Sequence[str]:
        """The cells of one parameter, row by row, as they are written."""
        if name not in self._columns:
            place = self.names.index(name)
            cells = [line.split("\t", place + 1)[place] for line in self.text.split("\n")]
            self._columns[name] = list(map(_unpacked, cells)) if "\\" in self.text else cells
        return self._columns[name]

    def at(self, row: int) -> Iterator[Tuple[str, Value]]:
        """Parameter and cell in one row, as it is written."""
        line = self.text[self._starts[row] : self._starts[row + 1] - 1]
        return zip(self.names, map(_unpacked, line.split("\t")))

    def read_at(self, row: int) -> Iterator[Tuple[str, Value]]:
        """Parameter and value in one row; cells of columns of numbers are numbers that print as they are written."""
        for (name, cell), number in zip(self.at(row), self.numbers):
            yield name, as_number(str(cell)) if number else cell


#: What a grid is made of.
Dimension = Union[Axis, Together, Table]


def packed(cells: Iterable[str]) -> str:
    """One line of a table's text."""
    return "\t".join(cell.translate(_ESCAPES) for cell in cells)


def _unpacked(cell: str) -> str:
    return _ESCAPED.sub(lambda found: _MEANT.get(found[1], found[1]), cell) if "\\" in cell else cell


# ---- as plain data ---------------------------------------------------------------------------------------------------


def dimension_to_data(dimension: Dimension) -> object:
    """A dimension as plain JSON data: ``[name, values]`` for one parameter."""
    if isinstance(dimension, Axis):
        return [dimension.name, list(dimension.values)]
    if isinstance(dimension, Together):
        return {"together": [[axis.name, list(axis.values)] for axis in dimension.axes]}
    return {"names": list(dimension.names), "numbers": list(dimension.numbers), "text": dimension.text}


def dimension_from_data(data: object) -> Dimension:
    """The dimension that ``dimension_to_data`` made this of. Raises KeyError, TypeError or ValueError for anything else."""
    if isinstance(data, dict):
        if "together" in data:
            return Together(tuple(Axis(name, tuple(values)) for name, values in data["together"]))
        return Table(tuple(data["names"]), tuple(data["numbers"]), data["text"])
    if not isinstance(data, (list, tuple)):
        raise TypeError("a dimension is a list or an object, not %r" % (data,))
    name, values = data
    return Axis(name, tuple(values))
