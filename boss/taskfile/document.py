"""Bytes to a JSON document: the text itself must be sound before anything in it is looked at.

Rules:
- UTF-8 (a byte order mark is allowed), no NUL, at most the given size; one JSON value.
- A key that appears twice in one object is an error: which of the two is meant, nobody knows.
- NaN and infinities pass here, as numbers: whatever reads a number refuses them, and can name the field.
"""

import json
from collections.abc import Iterator
from typing import Any

from boss.taskfile.problems import Problem, Problems, Refused, quoted

_FOREIGN = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def load(data: bytes, max_bytes: int, problems: Problems) -> Any:
    """The document in a task file's bytes; repeated keys become problems. Raises Refused for what cannot be read at all."""
    repeated = _Repeated()
    try:
        document = json.loads(_decoded(data, max_bytes), object_pairs_hook=repeated.merge)
    except json.JSONDecodeError as error:
        raise _not_json(error) from None
    except RecursionError:
        raise _refused("", "is nested too deeply to be a task file") from None
    except ValueError:  # Python's own limit on the digits of an integer
        raise _refused("", "has a number with thousands of digits") from None
    if repeated.objects:
        _tell_repeated(document, repeated, problems)
    return document


def too_large(size: int, max_bytes: int, what: str = "") -> Refused:
    """The refusal of a file that is too large to be read; ``what`` is counted with it."""
    message = f"{what}has {_mebibytes(size)}, more than the {_mebibytes(max_bytes)} that this boss accepts; say many tasks with one foreach"
    return _refused("", message)


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.4g} MiB" if size >= 2**20 else f"{size:,} bytes"


def _refused(field: str, message: str) -> Refused:
    return Refused([Problem("", field, message)])


def _not_json(error: json.JSONDecodeError) -> Refused:
    """Where the text is no JSON, and what to change; the usual slips in words of their own."""
    text, place = error.doc, error.pos
    comma = place if text[place : place + 1] == "," else len(text[:place].rstrip()) - 1
    closing = text[comma + 1 :].lstrip()[:1]
    if comma > 0 and text[comma] == "," and closing in ("]", "}"):
        before = json.JSONDecodeError("", text, comma)
        where = f"line {before.lineno}, column {before.colno}"
        return _refused(where, f"is not JSON: a comma too many; remove it, because nothing follows before the {quoted(closing)}")
    remedy = "; texts stand between double quotes" if text[place : place + 1] == "'" else ""
    return _refused(f"line {error.lineno}, column {error.colno}", f"is not JSON: {_lowered(error.msg)}{remedy}")


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


def _decoded(data: bytes, max_bytes: int) -> str:
    if len(data) > max_bytes:
        raise too_large(len(data), max_bytes)
    if data[:2] in _FOREIGN:
        raise _refused("", f"is {_FOREIGN[data[:2]]}; save it as UTF-8")
    if not data.strip(b" \t\r\n\xef\xbb\xbf"):
        raise _refused("", "is empty")
    if (place := data.find(b"\0")) >= 0:
        raise _refused(_position(data, place), f"has a NUL byte (byte {place}); a task file is JSON in UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # With a byte order mark the decoder counts from behind it.
        place = error.start + (3 if data.startswith(b"\xef\xbb\xbf") and len(error.object) < len(data) else 0)
        raise _refused(_position(data, place), f"is not UTF-8: byte {place} is 0x{data[place]:02x}; save it as UTF-8") from None


def _position(data: bytes, place: int) -> str:
    return f"line {data.count(bytes([10]), 0, place) + 1}"


class _Repeated:
    """Makes objects of key-value pairs and remembers those in which a key came twice."""

    def __init__(self) -> None:
        self.objects: dict[int, tuple[dict[str, Any], str]] = {}

    def merge(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            seen: set[str] = set()
            key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            self.objects[id(made)] = made, key  # holding the object keeps its id its own
        return made


def _tell_repeated(document: Any, repeated: _Repeated, problems: Problems) -> None:
    """Name the place of each object with a repeated key; one inside a value that was itself replaced has no place any more."""
    for path, found in _objects(document):
        if id(found) in repeated.objects:
            task, field = _place(path, document)
            problems.add(task, field, f"has the field {quoted(repeated.objects[id(found)][1])} twice")
    if not problems.count:
        key = next(key for _, key in repeated.objects.values())
        problems.add("", "", f"has the field {quoted(key)} twice in one object")


def _objects(document: Any) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            yield path, value
            stack += [((*path, key), item) for key, item in reversed(value.items()) if isinstance(item, dict | list)]
        elif isinstance(value, list):
            inner = [((*path, place), item) for place, item in enumerate(value) if isinstance(item, dict | list)]
            stack += reversed(inner)


def _place(path: tuple[str | int, ...], document: Any) -> tuple[str, str]:
    """``("tasks[3] 'a'", "env")`` of the path ``("tasks", 3, "env")``."""
    depth = 2 if path[:1] == ("tasks",) and len(path) > 1 else 1 if path and isinstance(path[0], int) else 0
    task, field = _written(path[:depth]), _written(path[depth:])
    entry = document
    for step in path[:depth]:
        entry = entry[step]
    name = (entry.get("id") or entry.get("key")) if depth and isinstance(entry, dict) else None
    return f"{task} {quoted(name)}" if isinstance(name, str) else task, field


def _written(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
