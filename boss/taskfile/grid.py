"""``foreach``: the grid of parameter values over which one entry becomes many tasks.

Rules:
- Each parameter names one way to list its values, ``{"range": [0, 4]}``; a further way is one more line in ``_WAYS``.
- Every combination is a row; the last parameter runs fastest.
- Counts are checked before lists are made: ``{"range": [0, 1000000000000]}`` costs nothing.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from boss.core.model import Axis
from boss.core.templates import Value, shown
from boss.taskfile import quantities
from boss.taskfile.fields import Form, described, unsound
from boss.taskfile.problems import nearest, quoted

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Wrong(ValueError):
    """What is wrong with the values of one parameter."""


def read_grid(form: Form, limit: int) -> tuple[Axis, ...] | None:
    """The grid of the ``foreach`` of a task; None if it is wrong (which is told). ``limit`` bounds the number of rows."""
    value = form.data["foreach"]
    if not isinstance(value, dict):
        form.wrong("foreach", f'must be an object such as {{"seed": {{"range": [0, 4]}}}}, not {described(value)}')
        return None
    if not value:
        form.wrong("foreach", "has no parameters: leave it out, or name one")
        return None
    axes: list[Axis] = []
    rows = 1
    for name, given in value.items():
        field = f"foreach.{name}"
        try:
            axis = _axis(name, given, limit)
        except _Wrong as error:
            form.wrong(field, str(error))
            continue
        axes.append(axis)
        rows *= len(axis.values)
        if rows > limit:
            form.wrong(field, f"the grid has {rows:,} rows up to here, more than the {limit:,} tasks that one job may have")
            return None
    return tuple(axes) if len(axes) == len(value) else None


def declared_names(data: Any) -> list[str]:
    """The parameters that a ``foreach`` seems to declare, whether or not their values can be read."""
    return [name for name in data if _NAME.fullmatch(name)] if isinstance(data, dict) else []


def _axis(name: str, given: object, limit: int) -> Axis:
    if not _NAME.fullmatch(name):
        raise _Wrong("a parameter's name is made of letters, digits and _, and begins with no digit")
    if isinstance(given, list):
        raise _Wrong('must be an object: write {"values": [...]} for a list of values')
    if not isinstance(given, dict):
        raise _Wrong(f'must be an object such as {{"range": [0, 4]}}, not {described(given)}')
    if len(given) != 1:
        raise _Wrong(f"must have exactly one of {_ways()}, not {len(given)} fields")
    [(way, arguments)] = given.items()
    if way not in _WAYS:
        raise _Wrong(f"{quoted(way)} is no way to list values{nearest(way, _WAYS)}; there are {_ways()}")
    if not isinstance(arguments, list):
        raise _Wrong(f"{way} must be a list, not {described(arguments)}")
    return Axis(name, _WAYS[way](arguments, limit))


def _ways() -> str:
    return ", ".join(f'"{way}"' for way in _WAYS)


def _range(arguments: list[object], limit: int) -> tuple[Value, ...]:
    numbers = [item for item in arguments if isinstance(item, int) and quantities.number(item) is not None]
    if not 1 <= len(arguments) <= 3 or len(numbers) != len(arguments):
        raise _Wrong("range takes [stop], [start, stop] or [start, stop, step], whole numbers")
    if len(numbers) == 3 and not numbers[2]:
        raise _Wrong("the step of a range must not be 0")
    values = range(*numbers)
    if not values:
        raise _Wrong(f"range {numbers} has no values (it ends before its stop, like Python's)")
    _check_count((values[-1] - values[0]) // values.step + 1, limit)
    return tuple(values)


def _linspace(arguments: list[object], limit: int) -> tuple[Value, ...]:
    numbers = [quantities.number(item) for item in arguments]
    if len(numbers) != 3 or None in numbers:
        raise _Wrong("linspace takes [first, last, count], numbers")
    first, last, count = (Fraction(repr(item)) for item in numbers)
    if count.denominator != 1 or count < 1:
        raise _Wrong("the count of a linspace must be a whole number of at least 1")
    _check_count(int(count), limit)
    if count == 1:
        return (float(first),)
    # One rounding per value, from the decimals as they are written: 1.6 stays 1.6, and the middle of -0.3 .. 0.3 is 0.
    gaps = int(count) - 1
    common = first.denominator * last.denominator
    low, high = int(first * common), int(last * common)
    return tuple((low * (gaps - place) + high * place) / (common * gaps) for place in range(gaps + 1))


def _values(arguments: list[object], limit: int) -> tuple[Value, ...]:
    if not arguments:
        raise _Wrong("values is an empty list")
    _check_count(len(arguments), limit)
    values: list[Value] = []
    seen: set[str] = set()
    for place, item in enumerate(arguments):
        if not isinstance(item, str | int | float) or (not isinstance(item, str | bool) and quantities.number(item) is None):
            raise _Wrong(f"values[{place}] must be a text, a finite number or a boolean, not {described(item)}")
        if isinstance(item, str) and (reason := unsound(item)) is not None:
            raise _Wrong(f"values[{place}] {reason}")
        if shown(item) in seen:
            raise _Wrong(f"values[{place}] repeats {quoted(shown(item))}")
        seen.add(shown(item))
        values.append(item)
    return tuple(values)


def _check_count(count: int, limit: int) -> None:
    if count > limit:
        raise _Wrong(f"has {count:,} values, more than the {limit:,} tasks that one job may have")


_WAYS: dict[str, Callable[[list[object], int], tuple[Value, ...]]] = {"values": _values, "range": _range, "linspace": _linspace}
