"""Typed reading of one JSON object of a task file: each method reads one field and tells what is wrong with it.

Rules:
- A method returns None when the field is missing or wrong; wrong is told once, here.
- Booleans are not numbers, numbers are not texts, ``null`` is nothing but ``null``.
- A text holds no NUL (no command line can carry it) and no half of a surrogate pair (no file can hold it).
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from boss.taskfile import quantities
from boss.taskfile.problems import Problems, nearest, quoted

#: Words of the task language that have a meaning already and no machinery yet.
RESERVED = frozenset({"container", "min_success", "nodes", "replicas", "quorum"})


class Form:
    """One object. ``task`` and ``prefix`` say where it stands in the file, for the problems."""

    def __init__(self, data: Mapping[str, Any], task: str, prefix: str, problems: Problems) -> None:
        self.data = data
        self.task = task
        self.prefix = prefix
        self.problems = problems

    def wrong(self, field: str, message: str) -> None:
        """Tell what is wrong with a field (``""``: with the object)."""
        path = self.prefix + field if field else self.prefix.removesuffix(".")
        self.problems.add(self.task, path, message)

    def check_fields(
        self, known: Collection[str], foreign: Collection[str] = (), remark: str = "", named: Callable[[str], str] | None = None
    ) -> None:
        """Tell about fields that are not known; ``remark`` follows those that are known elsewhere (``foreign``).

        ``named`` says what the field of another tool is called here; empty if it is none.
        """
        for field in self.data:
            if field in known:
                continue
            if field in RESERVED:
                self.wrong(_shown(field), "is planned, not in this version")
            elif field in foreign:
                self.wrong(_shown(field), remark)
            elif named is not None and (name := named(field)) and (name in known or not name.isidentifier()):
                self.wrong(_shown(field), f"is not a known field: here it is {name}")
            else:
                self.wrong(_shown(field), f"is not a known field{nearest(field, known)}")

    def text(self, field: str) -> str | None:
        """A text that is not blank."""
        return self._text(field, self.data[field]) if field in self.data else None

    def texts(self, field: str, several: str = "texts") -> list[tuple[str, str]]:
        """A list of texts, each with its place (``inputs[0]``)."""
        found = ((label, self._text(label, item)) for label, item in self.items(field, several))
        return [(self.prefix + label, text) for label, text in found if text is not None]

    def items(self, field: str, several: str) -> Iterator[tuple[str, Any]]:
        """The elements of a list, each with its place; nothing if the field is missing or no list."""
        value = self.data.get(field, [])
        if isinstance(value, list):
            for place, item in enumerate(value):
                yield f"{field}[{place}]", item
        elif isinstance(value, str):
            self.wrong(field, f"must be a list of {several}: write {_listed(value)}")
        else:
            self.wrong(field, f"must be a list of {several}, not {described(value)}")

    def flag(self, field: str) -> bool | None:
        """``true`` or ``false``."""
        value = self.data.get(field)
        if field not in self.data or isinstance(value, bool):
            return value
        self.wrong(field, f"must be true or false, not {described(value)}")
        return None

    def whole(self, field: str, low: int, high: int) -> int | None:
        """A whole number between bounds (both included)."""
        if field not in self.data:
            return None
        value = self.data[field]
        amount = quantities.number(value)
        if amount is None or amount != int(amount):
            self.wrong(field, f"must be a whole number, not {described(value)}")
        elif not low <= amount <= high:
            self.wrong(field, f"must be between {low:,} and {high:,}, not {amount:,}")
        else:
            return int(amount)
        return None

    def amount(self, field: str, above: bool) -> float | int | None:
        """A number from 0 (``above``: greater than 0) to a million."""
        if field not in self.data:
            return None
        value = self.data[field]
        amount = quantities.number(value)
        if amount is None:
            self.wrong(field, f"must be a number, not {described(value)}")
        elif amount < 0 or amount > 1_000_000 or (above and not amount):
            self.wrong(field, f"must be {'greater than' if above else 'at least'} 0 and at most 1,000,000, not {amount:,}")
        else:
            return int(amount) if amount == int(amount) else amount
        return None

    def memory(self, field: str, above: bool) -> int | None:
        """Bytes, from a number or a text such as ``2G``."""
        if field not in self.data:
            return None
        value = self.data[field]
        amount = quantities.memory(value)
        if amount is None or (above and not amount):
            self.wrong(field, f'must be bytes or a text such as "500M" or "2G" (= 2 GiB), not {described(value)}')
            return None
        return amount

    def duration(self, field: str) -> float | None:
        """Seconds, from a number or a text such as ``6h``; greater than 0."""
        if field not in self.data:
            return None
        value = self.data[field]
        seconds = quantities.duration(value)
        if not seconds:
            self.wrong(
                field, f'must be seconds (greater than 0) or a text such as "90s", "5m", "6h" or "2d", not {described(value)}'
            )
            return None
        return seconds

    def _text(self, label: str, value: object) -> str | None:
        if not isinstance(value, str):
            self.wrong(label, f"must be a text in double quotes, not {described(value)}")
        elif (reason := unsound(value)) is not None:
            self.wrong(label, reason)
        elif not value.strip():
            self.wrong(label, "is empty")
        else:
            return value
        return None


def unsound(text: str) -> str | None:
    """Why no file or command line can hold this text; None if they can."""
    if "\0" in text:
        return "contains a NUL character"
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return "contains half of a surrogate pair, which is no character"
    return None


def described(value: object) -> str:
    """A JSON value in a sentence: what it is, and how it reads if it is short."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value}" if abs(value) < 10**18 else "so large a number"
        case float():
            return f"{value!r}"
        case str():
            return quoted(value)
        case list():
            return "a list"
        case _:
            return "an object"


def _listed(text: str) -> str:
    """A list of one text, as JSON has it."""
    cut = text if len(text) <= 120 else text[:100] + "..."
    return json.dumps([cut], ensure_ascii=not cut.isprintable())


def _shown(field: str) -> str:
    """A field's name as part of a place."""
    return field if field.isidentifier() else quoted(field)
