"""Texts with parameters: parsed once at the push, rendered when a task is dealt out; templates as plain data for the store. Pure.

Rules:
- Only ``{name}``, ``{name:format}`` and ``{name!q}`` of a declared parameter are replaced; ``!q`` quotes the value for the shell.
- ``${HOME}``, ``{}`` and ``{print $1}`` stay as they are; ``{name}`` of anything else is an error, because it is mostly a typing error.
- ``{{name}}`` is the text ``{name}``; ``{{{name}}}`` is the value between one brace on each side.
- Without a format a float prints as ``%.12g``, a boolean as ``true`` or ``false``, a cell of a table as it is written there.
- A format is Python's, bounded in width and precision, so that no value becomes a gigabyte. One for numbers reads a text as a number.
- ``{row}`` counts the rows of the grid from 0, whatever they are made of.
"""

import difflib
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, repeat
from math import prod
from typing import Any

from boss.core.cells import WrittenFloat, WrittenInt, number_in
from boss.core.grid import Dimension, Table, Value, dimension_from_data, dimension_to_data
from boss.core.model import Field, InputSpec, OutputSpec, Template, Text

#: How many fields of one text are told to be wrong.
_TOLD = 100
#: The number of the row, as a text names it; no parameter is called so.
ROW = "row"

_FIELD = re.compile(
    r"(?P<dollar>\$?)(?P<open>\{{1,3})(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:!(?P<conversion>[^{}:!]*))?(?::(?P<format>[^{}]*))?(?P<close>\}{1,3})"
)
_FORMAT = re.compile(
    r"(?P<align>[^{}]?[<>=^])?(?P<sign>[-+ ]?#?0?)[0-9]{0,3}(?P<group>[,_]?)(?:\.[0-9]{1,3})?(?P<type>[bdeEfFgGosxX%]?)"
)


class TemplateError(ValueError):
    """A text with a field that cannot be replaced. ``name`` is the field's name; the message says why, and how to write it.

    ``others`` are the errors of the text's other fields, ``rest`` is the text as far as it could be parsed.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.others: tuple[TemplateError, ...] = ()
        self.rest: Text = ""


class ValueRefused(TemplateError):
    """A value that a field's format does not take. ``row`` is its row in its dimension, as soon as that is known."""

    def __init__(self, field: Field, value: Value, wanted: str = "") -> None:
        self.field, self.value, self.wanted = field, value, wanted
        self.row: int | None = None
        super().__init__(field.name, f"{{{field.name}:{field.format}}}: the value {value!r} does not take this format")


def parse(text: str, declared: Collection[str]) -> Text:
    """The pieces of a text; the text itself when nothing in it is to be replaced. Raises TemplateError, which tells of each bad field."""
    if "{" not in text:
        return text
    pieces: list[str | Field] = []
    errors: dict[str, TemplateError] = {}
    position = 0
    for found in _FIELD.finditer(text):
        if found["dollar"]:
            continue
        start, end = found.span()
        opened, closed = len(found["open"]), len(found["close"])
        doubled = opened > 1 and closed > 1
        if doubled and (opened, closed) != (3, 3):  # {{name}}: the inner braces stay, as text
            pieces.append(text[position : start + opened - 2] + text[start + opened - 1 : end - closed + 1])
            position = end - closed + 2
            continue
        try:
            field = _field(found, declared)
        except TemplateError as error:  # reading goes on, so that one push shows all that is wrong
            errors.setdefault(str(error), error)
            if len(errors) == _TOLD:
                break
            continue
        if field is not None:
            pieces += [text[position : start + opened - (2 if doubled else 1)], field]
            position = end - closed + (2 if doubled else 1)
    pieces.append(text[position:])
    if errors:
        first, *others = errors.values()
        first.others, first.rest = tuple(others), _joined(pieces)
        raise first
    return _joined(pieces)


def _field(found: re.Match[str], declared: Collection[str]) -> Field | None:
    """The field that a match stands for, None if it is plain text. Raises TemplateError if it is neither."""
    name, conversion, form = found["name"], found["conversion"], found["format"]
    written = name + ("" if conversion is None else f"!{conversion}") + ("" if form is None else f":{form}")
    if name in declared:
        if conversion not in (None, "q"):
            raise TemplateError(name, f"{{{written}}}: the only conversion is !q, which quotes the value for the shell")
        if not _FORMAT.fullmatch(form or ""):
            quotes = f"; {{{name}!q}} quotes the value for the shell" if form == "q" else ""
            raise TemplateError(name, f"{{{written}}}: {form!r} is not a format such as .3f or 03d{quotes}")
        return Field(name, form or "", conversion or "")
    if conversion not in (None, "q") or form == "" or (form and (" " in form or not _FORMAT.fullmatch(form))):
        return None
    near = [known for known in declared if known.lower() == name.lower()] or difflib.get_close_matches(
        name, list(declared), 1, 0.5
    )
    hint = f" (did you mean {{{near[0]}}}?)" if near else ""
    where = "this task's foreach has no such parameter" if declared else "this task has no foreach"
    raise TemplateError(name, f"{{{written}}} has no value: {where}{hint}; write {{{{{written}}}}} for the text {{{written}}}")


def _joined(pieces: Iterable[str | Field]) -> Text:
    """Neighbouring texts as one, empty ones left out."""
    joined: list[str | Field] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        elif piece != "":
            joined.append(piece)
    if not any(isinstance(piece, Field) for piece in joined):
        return "".join(piece for piece in joined if isinstance(piece, str))
    return tuple(joined)


def fields(text: Text) -> set[str]:
    """The names of the parameters that a text uses."""
    return set() if isinstance(text, str) else {piece.name for piece in text if isinstance(piece, Field)}


def render(text: Text, params: Mapping[str, Value]) -> str:
    """The text with its fields replaced. Raises KeyError for a parameter without a value."""
    if isinstance(text, str):
        return text
    return "".join(piece if isinstance(piece, str) else _shown(piece, params[piece.name]) for piece in text)


def size_of(grid: Iterable[Dimension]) -> int:
    """How many rows a grid has; 1 for a plain task's empty grid."""
    return prod(map(len, grid))


def params_of(template: Template, row: int) -> dict[str, Value]:
    """The values of the declared parameters in one row, by name; empty for a plain task. The last dimension runs fastest.

    For people and tables: cells of a column of numbers are numbers (``0.10`` is 0.1).
    """
    params: dict[str, Value] = {}
    for dimension, digit in _digits(template.grid, row):
        params.update(dimension.read_at(digit))
    return params


def texts_of(template: Template, row: int) -> dict[str, Value]:
    """What ``render`` takes: the same and ``row`` itself, with cells as they are written, at less cost."""
    params: dict[str, Value] = {ROW: row} if template.grid else {}
    for dimension, digit in _digits(template.grid, row):
        params.update(dimension.at(digit))
    return params


def _digits(grid: tuple[Dimension, ...], row: int) -> list[tuple[Dimension, int]]:
    """The row of each dimension that one row of the grid stands for."""
    found = []
    for dimension in reversed(grid):
        row, digit = divmod(row, len(dimension))
        found.append((dimension, digit))
    return found[::-1]


def rows(text: Text, grid: tuple[Dimension, ...]) -> Iterator[str]:
    """The text of every row, in order of rows, at the cost of a join each: values are formatted once per dimension, not once per row.

    Raises TemplateError (before the first row) when a value does not take the format.
    """
    size = size_of(grid)
    if isinstance(text, str):
        return repeat(text, size)
    strides: dict[str, tuple[Dimension, int]] = {}
    stride = 1
    for dimension in reversed(grid):
        strides.update(dict.fromkeys(dimension.names, (dimension, stride)))
        stride *= len(dimension)
    columns: list[Iterator[str]] = []
    for piece in text:
        if isinstance(piece, str):
            columns.append(repeat(piece, size))
        elif piece.name == ROW and ROW not in strides:
            columns.append(_numbered(piece, size))
        else:
            columns.append(_column(piece, *strides[piece.name], size))
    return map("".join, zip(*columns, strict=True))


def _numbered(field: Field, size: int) -> Iterator[str]:
    """The number of every row as a text."""
    _shown(field, 0)  # a format takes every whole number, or none
    return (_shown(field, row) for row in range(size))


def _column(field: Field, dimension: Dimension, stride: int, size: int) -> Iterator[str]:
    """One field's text in every row."""
    shown = column_of(field, dimension)
    turns = size // (stride * len(shown))
    return chain.from_iterable(chain.from_iterable(map(repeat, shown, repeat(stride))) for _ in range(turns))


def column_of(field: Field, dimension: Dimension) -> Sequence[str]:
    """One field's text in every row of the dimension that has its parameter. Raises ValueRefused."""
    if isinstance(dimension, Table) and not field.format:
        cells = dimension.column(field.name)
        return list(map(shlex.quote, cells)) if field.conversion == "q" else cells
    texts: list[str] = []
    try:
        for value in dimension.column(field.name):
            texts.append(_shown(field, value))
    except ValueRefused as error:
        error.row = len(texts)
        raise
    return texts


def _shown(field: Field, value: Value) -> str:
    text = _formatted(field, value) if field.format else shown(value)
    return shlex.quote(text) if field.conversion == "q" else text


def _formatted(field: Field, value: Value) -> str:
    if isinstance(value, WrittenInt | WrittenFloat):
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
    found = _FORMAT.fullmatch(form)
    return found is not None and bool(
        found["sign"] or found["group"] or found["type"] not in ("", "s") or (found["align"] or "").endswith("=")
    )


def shown(value: Value) -> str:
    """A value as it prints without a format."""
    if isinstance(value, WrittenInt | WrittenFloat):
        return value.written
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


# ---- templates as plain data -------------------------------------------------------------------------------------


def template_to_data(template: Template) -> dict[str, Any]:
    """A template as plain JSON data; what has its default value is left out."""
    data: dict[str, Any] = {
        "number": template.number,
        "name": _text_to_data(template.name),
        "commands": [_text_to_data(text) for text in template.commands],
        "needs": dict(template.needs),
        "timeout": template.timeout,
    }
    if template.inputs:
        data["inputs"] = [[_text_to_data(spec.source), _text_to_data(spec.to)] for spec in template.inputs]
    if template.outputs:
        data["outputs"] = [[_text_to_data(spec.path), _text_to_data(spec.to), spec.optional] for spec in template.outputs]
    if template.env:
        data["env"] = [[name, _text_to_data(text)] for name, text in template.env]
    if template.grid:
        data["grid"] = [dimension_to_data(dimension) for dimension in template.grid]
    if template.metrics:
        data["metrics"] = _text_to_data(template.metrics)
    data.update({name: value for name in ("retries", "priority", "init", "runtime") if (value := getattr(template, name))})
    return data


def template_from_data(data: Mapping[str, Any]) -> Template:
    """The template that ``template_to_data`` made this of. Raises KeyError, TypeError or ValueError for anything else."""
    return Template(
        number=data["number"],
        name=_text_from_data(data["name"]),
        commands=tuple(_text_from_data(text) for text in data["commands"]),
        inputs=tuple(InputSpec(_text_from_data(source), _to_from_data(to)) for source, to in data.get("inputs", ())),
        outputs=tuple(
            OutputSpec(_text_from_data(path), _to_from_data(to), optional) for path, to, optional in data.get("outputs", ())
        ),
        env=tuple((name, _text_from_data(text)) for name, text in data.get("env", ())),
        needs=dict(data["needs"]),
        timeout=data["timeout"],
        retries=data.get("retries", 0),
        priority=data.get("priority", 0),
        init=data.get("init", False),
        runtime=data.get("runtime", 0.0),
        grid=tuple(map(dimension_from_data, data.get("grid", ()))),
        metrics=_text_from_data(data.get("metrics", "")),
    )


def _text_to_data(text: Text | None) -> Any:
    """A text is a string, or a list of strings and ``[name, format, conversion]``."""
    if text is None or isinstance(text, str):
        return text
    return [piece if isinstance(piece, str) else [piece.name, piece.format, piece.conversion] for piece in text]


def _text_from_data(data: Any) -> Text:
    return data if isinstance(data, str) else tuple(piece if isinstance(piece, str) else Field(*piece) for piece in data)


def _to_from_data(data: Any) -> Text | None:
    return None if data is None else _text_from_data(data)
