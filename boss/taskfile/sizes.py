"""How long a task's assignment can become: what does not fit into one message to a worker is refused at the push.

Rules:
- The bound is that of the largest row: each text with the longest value of each of its parameters, as JSON in UTF-8.
- A folder or glob counts as all the pushed files that it names, because each of them is named in the message.
"""

from collections.abc import Mapping
from json.encoder import encode_basestring

from boss.core.templates import column_of, rows, size_of
from boss.taskfile.entry import Entry
from boss.taskfile.paths import PathIndex, unreadable
from boss.taskfile.problems import Problems, quoted
from datastore.layout import is_folder, is_pattern
from worker.grid import Dimension
from worker.protocol import MAX_MESSAGE
from worker.texts import ROW, Field, Text, render

#: Bytes of a message that are left to names, needs, the datastore's grant and the message's own frame.
RESERVE = 8 * 1024
LIMIT = MAX_MESSAGE - RESERVE
#: Bytes that one variable of a process may have, its name included (Linux: 32 pages, one byte ends it).
VARIABLE_LIMIT = 131_071
#: Bytes that an input, the digest and mode of one that was pushed, and an output take beside their texts.
_INPUT, _DIGEST, _OUTPUT = 30, 90, 45
_TEXT = "put long text into a file, push that (`files` and `inputs`) and read it in the command"
_MANY = "let the task read fewer files, or push them as one archive"


def check_sizes(entries: list[Entry], files: PathIndex, problems: Problems) -> None:
    """Tell which entries have a task whose assignment may be too long. ``files`` are all pushed files of the job."""
    for entry in entries:
        parts = _parts(entry, files)
        total = sum(parts.values())
        _check_variables(entry, problems)
        if total > LIMIT:
            field = max(parts, key=lambda name: parts[name])
            remedy = _MANY if field == entry.input_field else _TEXT
            message = (
                f"takes {parts[field] / 1024:,.0f} KiB of the task's {total / 1024:,.0f} KiB, more than the {LIMIT / 1024:.0f} KiB "
                f"that can be sent to a worker: {remedy}"
            )
            problems.add(_place(entry), field, message)


def _check_variables(entry: Entry, problems: Problems) -> None:
    """No process can be given a longer variable: its start would fail on every worker."""
    for name, text in entry.template.env:
        size = len(name) + _length(text, entry.template.grid)
        if size > VARIABLE_LIMIT:
            message = f"takes {size:,} bytes, more than the {VARIABLE_LIMIT:,} that one variable can hold: {_TEXT}"
            problems.add(_place(entry), f"env.{name}", message)


def _place(entry: Entry) -> str:
    name = entry.template.name
    return f"{entry.label} {quoted(name)}" if isinstance(name, str) else entry.label


def _parts(entry: Entry, files: PathIndex) -> dict[str, int]:
    """Bytes by field, by the names that the entry's format has for them."""
    template, grid = entry.template, entry.template.grid
    inputs = outputs = 0
    for spec in template.inputs:
        pushed = not isinstance(spec.source, str) or spec.source in files
        inputs += _INPUT + _DIGEST * pushed + _length(spec.source, grid) + (0 if spec.to is None else _length(spec.to, grid))
        inputs += _named(spec.source, grid, files)
    for out in template.outputs:
        outputs += _OUTPUT + _length(out.path, grid) + _length(out.path if out.to is None else out.to, grid)
    return {
        entry.command_field: sum(_length(text, grid) for text in template.commands),
        entry.input_field: inputs,
        entry.output_field: outputs,
        "env": sum(len(name) + _length(text, grid) for name, text in template.env),
    }


def _length(text: Text, grid: tuple[Dimension, ...]) -> int:
    """The most bytes that a text takes in any row."""
    if isinstance(text, str):
        return _bytes(text)
    dimensions = {name: dimension for dimension in grid for name in dimension.names}
    return sum(_bytes(piece) if isinstance(piece, str) else _longest(piece, dimensions, size_of(grid)) for piece in text)


def _longest(field: Field, dimensions: Mapping[str, Dimension], size: int) -> int:
    """The most bytes that a field takes in any row."""
    if field.name == ROW:
        return _bytes(render((field,), {ROW: size - 1}))
    return max(map(_bytes, column_of(field, dimensions[field.name])))


def _named(source: Text, grid: tuple[Dimension, ...], files: PathIndex) -> int:
    """The most bytes that the pushed files take which a folder or glob names in any row."""
    if not files.paths:
        return 0
    sources = {source} if isinstance(source, str) else set(rows(source, grid))
    return max((_listed(path, files) for path in sources if is_folder(path) or is_pattern(path)), default=0)


def _listed(source: str, files: PathIndex) -> int:
    if unreadable(source) is not None:  # which is told already
        return 0
    return sum(_INPUT + _DIGEST + 2 * _bytes(path) for path in files.matching(source))


def _bytes(text: str) -> int:
    """The length of a text as JSON, with its comma."""
    return len(encode_basestring(text).encode("utf-8", "replace")) + 1
