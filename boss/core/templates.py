"""Rendering of a template's texts with a task's parameters."""

from collections.abc import Mapping

from boss.core.model import Template, Text

Value = str | int | float | bool


def render(text: Text, params: Mapping[str, Value]) -> str:
    """The text with its fields replaced."""
    if isinstance(text, str):
        return text
    return "".join(piece if isinstance(piece, str) else str(params[piece.name]) for piece in text)


def params_of(template: Template, row: int) -> dict[str, Value]:
    """The parameters of one row of the template's grid; the last axis runs fastest."""
    params: dict[str, Value] = {}
    for axis in reversed(template.grid):
        row, position = divmod(row, len(axis.values))
        params[axis.name] = axis.values[position]
    return params
