"""A job that exists, made of a task file that was pushed before: what a merge compares with."""

import hashlib
from typing import Any

from boss.core.model import NO_FILES, UNKNOWN_FILES, InputSet, TaskState
from boss.taskfile.context import Digests, Existing
from boss.taskfile.differences import files_of
from tests.taskfile.push import push


def digests(**texts: str) -> dict[str, tuple[str, int]]:
    """Files by path (``__`` stands for a dot), with what is in them."""
    return {path.replace("__", "."): (hashlib.sha256(text.encode()).hexdigest(), 0o644) for path, text in texts.items()}


def finished(document: dict[str, Any], files: Digests | None = None, **states: str) -> Existing:
    """The job that a document made, all of whose tasks have succeeded, except those of other ``states`` (``-`` written as ``_``)."""
    given = dict(files or {})
    expansion = push(document, files=given, digests=given)
    rows = list(expansion.rows())
    sets: dict[InputSet, int] = {}
    named = {name.replace("_", "-"): TaskState(state) for name, state in states.items()}
    known = [named.get(row[1], TaskState.SUCCEEDED) for row in rows]
    read = [files for template in expansion.templates for files in files_of(template, given)]
    numbers = [sets.setdefault(files, len(sets) + 1) if files else NO_FILES for files in read]
    never = (TaskState.WAITING, TaskState.READY, TaskState.SKIPPED)
    return Existing(
        name="old",
        names=[row[1] for row in rows],
        succeeded=[state is TaskState.SUCCEEDED for state in known],
        template=[row[2] for row in rows],
        rows=[row[3] for row in rows],
        dependencies=[row[4] for row in rows],
        templates=expansion.templates,
        files=frozenset(given),
        states=known,
        digests=given,
        input_set=[UNKNOWN_FILES if state in never else number for state, number in zip(known, numbers, strict=True)],
        input_sets=list(sets),
        stale=[-1] * len(rows),
    )
