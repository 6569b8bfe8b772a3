"""Pushes in one line: a document in, an expansion or the sentences of its refusal out."""

import json
from typing import Any

import pytest

from boss.taskfile.context import Context
from boss.taskfile.expansion import Expansion, expand
from boss.taskfile.problems import Refused


def push(document: object, **context: Any) -> Expansion:
    """The expansion of a document (bytes and texts are taken as they are)."""
    if isinstance(document, str):
        document = document.encode()
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    if "files" in context:
        context["files"] = frozenset(context["files"])
    if "results" in context:
        context["results"] = frozenset(context["results"])
    return expand(data, Context(**context))


def refusal(document: object, **context: Any) -> list[str]:
    """The problems of a document that must be refused, as sentences."""
    with pytest.raises(Refused) as caught:
        push(document, **context)
    assert caught.value.problems
    return [str(problem) for problem in caught.value.problems]


def tasks(*entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A native task file; tasks without a command get one."""
    return {"tasks": [{"command": "true", **entry} if "commands" not in entry else entry for entry in entries], **more}


def edges(expansion: Expansion) -> dict[str, set[str]]:
    """Whom each task waits for, by name."""
    specs = list(expansion.specs())
    names = {spec.index: spec.name for spec in specs}
    return {spec.name: {names.get(index, str(index)) for index in spec.dependencies} for spec in specs}
