"""One task of a sweep with its parameters in place, so that a dry run shows what ``{T:.3f}`` has become before a million tasks run."""

from collections.abc import Iterable

from boss.core.model import Template
from boss.core.templates import texts_of
from worker.texts import render

#: How much of the commands is shown, in characters, and how many outputs.
COMMANDS = 400
OUTPUTS = 5


def example_of(name: str, row: int, template: Template) -> str:
    """``sim-0: python3 sim.py --T 1.500 -> out/0.csv``: a task's commands and what it yields."""
    params = texts_of(template, row)
    commands = "; ".join(render(command, params) for command in template.commands)
    shown = commands[:COMMANDS] + "..." * (len(commands) > COMMANDS)
    paths = [render(output.path, params) for output in template.outputs]
    more = f" and {len(paths) - OUTPUTS} more" if len(paths) > OUTPUTS else ""
    return f"{name}: {shown}" + (f" -> {', '.join(paths[:OUTPUTS])}{more}" if paths else "")


def first_of_a_sweep(rows: Iterable[tuple[str, int, int]], templates: dict[int, Template]) -> str:
    """The example of the first task (name, number of its template, row) that was made by a ``foreach``; empty if there is none."""
    for name, number, row in rows:
        if templates[number].grid:
            return example_of(name, row, templates[number])
    return ""
