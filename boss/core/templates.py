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
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from math import prod
from typing import Any

from boss.core.model import InputSpec, OutputSpec, Signature, Template
from worker.grid import Dimension, Table, Value, dimension_from_data, dimension_to_data
from worker.texts import (
    FORMAT,
    ROW,
    Field,
    TemplateError,
    Text,
    ValueRefused,
    digits,
    optional_text,
    shown_as,
    text_from_data,
    text_to_data,
    values_at,
)

_SIGNED = ("document", "entry", "key", "signer", "expires")
#: How many fields of one text are told to be wrong.
_TOLD = 100
_FIELD = re.compile(
    r"(?P<dollar>\$?)(?P<open>\{{1,3})(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:!(?P<conversion>[^{}:!]*))?(?::(?P<format>[^{}]*))?(?P<close>\}{1,3})"
)


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
        if not FORMAT.fullmatch(form or ""):
            quotes = f"; {{{name}!q}} quotes the value for the shell" if form == "q" else ""
            raise TemplateError(name, f"{{{written}}}: {form!r} is not a format such as .3f or 03d{quotes}")
        return Field(name, form or "", conversion or "")
    if conversion not in (None, "q") or form == "" or (form and (" " in form or not FORMAT.fullmatch(form))):
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


def size_of(grid: Iterable[Dimension]) -> int:
    """How many rows a grid has; 1 for a plain task's empty grid."""
    return prod(map(len, grid))


def params_of(template: Template, row: int) -> dict[str, Value]:
    """The values of the declared parameters in one row, by name; empty for a plain task. The last dimension runs fastest.

    For people and tables: cells of a column of numbers are numbers (``0.10`` is 0.1).
    """
    params: dict[str, Value] = {}
    for dimension, digit in digits(template.grid, row):
        params.update(dimension.read_at(digit))
    return params


def texts_of(template: Template, row: int) -> dict[str, Value]:
    """What ``render`` takes: the same and ``row`` itself, with cells as they are written, at less cost."""
    return values_at(template.grid, row)


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
    shown_as(field, 0)  # a format takes every whole number, or none
    return (shown_as(field, row) for row in range(size))


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
            texts.append(shown_as(field, value))
    except ValueRefused as error:
        error.row = len(texts)
        raise
    return texts


# ---- templates as plain data -------------------------------------------------------------------------------------


def template_to_data(template: Template) -> dict[str, Any]:
    """A template as plain JSON data; what has its default value is left out."""
    data: dict[str, Any] = {
        "number": template.number,
        "name": text_to_data(template.name),
        "commands": [text_to_data(text) for text in template.commands],
        "needs": dict(template.needs),
        "timeout": template.timeout,
    }
    if template.inputs:
        data["inputs"] = [[text_to_data(spec.source), text_to_data(spec.to)] for spec in template.inputs]
    if template.outputs:
        data["outputs"] = [[text_to_data(spec.path), text_to_data(spec.to), spec.optional] for spec in template.outputs]
    if template.env:
        data["env"] = [[name, text_to_data(text)] for name, text in template.env]
    if template.grid:
        data["grid"] = [dimension_to_data(dimension) for dimension in template.grid]
    if template.metrics:
        data["metrics"] = text_to_data(template.metrics)
    if template.signed is not None:
        data["signed"] = [getattr(template.signed, name) for name in _SIGNED]
    data.update({name: value for name in ("retries", "priority", "init", "runtime") if (value := getattr(template, name))})
    return data


def template_from_data(data: Mapping[str, Any]) -> Template:
    """The template that ``template_to_data`` made this of. Raises KeyError, TypeError or ValueError for anything else."""
    return Template(
        number=data["number"],
        name=text_from_data(data["name"]),
        commands=tuple(text_from_data(text) for text in data["commands"]),
        inputs=tuple(InputSpec(text_from_data(source), optional_text(to)) for source, to in data.get("inputs", ())),
        outputs=tuple(
            OutputSpec(text_from_data(path), optional_text(to), optional) for path, to, optional in data.get("outputs", ())
        ),
        env=tuple((name, text_from_data(text)) for name, text in data.get("env", ())),
        needs=dict(data["needs"]),
        timeout=data["timeout"],
        retries=data.get("retries", 0),
        priority=data.get("priority", 0),
        init=data.get("init", False),
        runtime=data.get("runtime", 0.0),
        grid=tuple(map(dimension_from_data, data.get("grid", ()))),
        metrics=text_from_data(data.get("metrics", "")),
        signed=_signature(*data["signed"]) if data.get("signed") else None,
    )


def _signature(document: str, entry: int, key: str, signer: str, expires: float) -> Signature:
    """A signature whose texts are in memory once, however many templates have it."""
    return Signature(sys.intern(document), entry, sys.intern(key), sys.intern(signer), expires)
