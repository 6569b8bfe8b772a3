"""Grids: parameters, each with one way to list its values, ``{"seed": {"range": [0, 4]}}``.

Rules:
- A further way is one more line in ``_WAYS``.
- Counts are checked before lists are made: ``{"range": [0, 1000000000000]}`` costs nothing.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import ceil
from typing import Any

from boss.taskfile import quantities
from boss.taskfile.fields import Form, described, unsound
from boss.taskfile.problems import nearest, quoted
from boss.taskfile.sheet import NAME
from worker.grid import Axis, Value
from worker.texts import ROW, shown


class _Wrong(ValueError):
    """What is wrong with the values of one parameter."""


def read_axes(form: Form, place: str, given: Mapping[str, Any], limit: int, repeats: bool = False) -> list[Axis] | None:
    """The parameters of an object at a place, as axes; None if one is wrong (which is told). ``limit`` bounds the values of each.

    ``repeats``: a value may come more than once.
    """
    axes: list[Axis] = []
    for name, ways in given.items():
        try:
            axes.append(_axis(name, ways, limit, repeats))
        except _Wrong as error:
            form.wrong(f"{place}.{name}", str(error))
    return axes if len(axes) == len(given) else None


def is_way(name: str) -> bool:
    """Whether this is the name of a way to list values."""
    return name in _WAYS


def _axis(name: str, given: object, limit: int, repeats: bool) -> Axis:
    if name == ROW:
        raise _Wrong(
            f"a parameter may not be called {ROW}: {{{ROW}}} is the number of the row, counted from 0; choose another name"
        )
    if not NAME.fullmatch(name):
        raise _Wrong("a parameter's name is made of letters, digits and _, and begins with no digit")
    if isinstance(given, str) and given.lower().endswith((".csv", ".tsv")):
        raise _Wrong(f'is not how a CSV file is named: write {{"csv": "{given}"}} as a block of foreach')
    if isinstance(given, list):
        raise _Wrong('must be an object: write {"values": [...]} for a list of values')
    if not isinstance(given, dict):
        raise _Wrong(f'must be an object such as {{"range": [0, 4]}}, not {described(given)}')
    if len(given) != 1:
        raise _Wrong(f"must have exactly one of {_ways()}, not {len(given)} fields")
    [(way, arguments)] = given.items()
    if way in ("csv", "zip"):
        raise _Wrong(f'"{way}" is a block of foreach, which names its parameters itself: [{{"{way}": ...}}, {{...}}]')
    if way not in _WAYS:
        raise _Wrong(f"{quoted(way)} is no way to list values{nearest(way, _WAYS)}; there are {_ways()}")
    if not isinstance(arguments, list):
        raise _Wrong(f"{way} must be a list, not {described(arguments)}")
    values = _WAYS[way](arguments, limit)
    if way == "values" and not repeats:
        _check_repeats(values)
    return Axis(name, values)


def _ways() -> str:
    return ", ".join(f'"{way}"' for way in _WAYS)


def _range(arguments: list[object], limit: int) -> tuple[Value, ...]:
    numbers = [item for item in arguments if isinstance(item, int) and quantities.number(item) is not None]
    if not 1 <= len(arguments) <= 3 or len(numbers) != len(arguments):
        raise _Wrong(f"range takes [stop], [start, stop] or [start, stop, step], whole numbers{_as_linspace(arguments)}")
    if len(numbers) == 3 and not numbers[2]:
        raise _Wrong("the step of a range must not be 0")
    values = range(*numbers)
    if not values:
        raise _Wrong(f"range {numbers} has no values (it ends before its stop, like Python's)")
    _check_count((values[-1] - values[0]) // values.step + 1, limit)
    return tuple(values)


def _as_linspace(arguments: list[object]) -> str:
    """How a range of fractions is written, which takes its first, last and number of values."""
    if not 1 <= len(arguments) <= 3 or any(quantities.number(item) is None for item in arguments):
        return ""
    numbers = [Fraction(repr(item)) for item in arguments]
    start, stop, step = (Fraction(0), numbers[0], Fraction(1)) if len(numbers) == 1 else (*numbers, Fraction(1))[:3]
    count = ceil((stop - start) / step) if step else 0
    if not 1 < count < 10**6:
        return '; for others there is {"linspace": [first, last, count]}'
    first, last = (_plain(number) for number in (start, start + (count - 1) * step))
    return f'; for others there is linspace, with first, last and count: {{"linspace": [{first}, {last}, {count}]}}'


def _plain(number: Fraction) -> str:
    return shown(int(number) if number.denominator == 1 else float(number))


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
    for place, item in enumerate(arguments):
        if not isinstance(item, str | int | float) or (not isinstance(item, str | bool) and quantities.number(item) is None):
            raise _Wrong(f"values[{place}] must be a text, a finite number or a boolean, not {described(item)}")
        if isinstance(item, str) and (reason := unsound(item)) is not None:
            raise _Wrong(f"values[{place}] {reason}")
        values.append(item)
    return tuple(values)


def _check_repeats(values: tuple[Value, ...]) -> None:
    seen: set[str] = set()
    for place, item in enumerate(values):
        if shown(item) in seen:
            raise _Wrong(f"values[{place}] repeats {quoted(shown(item))}")
        seen.add(shown(item))


def _check_count(count: int, limit: int) -> None:
    if count > limit:
        raise _Wrong(f"has {count:,} values, more than the {limit:,} tasks that one job may have")


_WAYS: dict[str, Callable[[list[object], int], tuple[Value, ...]]] = {"values": _values, "range": _range, "linspace": _linspace}
