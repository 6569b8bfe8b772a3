"""What a push brings beside its text, and what is known of the job that it extends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from boss.core.model import Template


class Merge(StrEnum):
    """What happens to tasks that the job has already."""

    IGNORE = "ignore"  #: they are left alone
    KEEP_SUCCEEDED = "keep-succeeded"  #: those that succeeded are left alone, the others are replaced
    REPLACE = "replace"  #: all are replaced


@dataclass(frozen=True, slots=True)
class Existing:
    """A job that a push extends; sequences by task index. ``files`` are the paths of its pushed files."""

    name: str
    names: Sequence[str] = ()
    succeeded: Sequence[bool] = ()
    template: Sequence[int] = ()
    rows: Sequence[int] = ()
    dependencies: Sequence[Sequence[int]] = ()
    templates: Sequence[Template] = ()
    files: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Context:
    """A push. ``files``: where in the job's folder the files go that are sent along; ``results``: what lies there already.

    ``name`` asks for a new job of this name, ``job`` (or ``merge``, with ``job`` in the text) for an existing one. ``tables`` are the CSV
    files that came along, by the name that the text has for them; ``unread_tables`` says of others why the sender could not read them.
    ``replay`` is the scale at which a workflow's trace is replayed; None for everything else.
    """

    file_name: str = "tasks.json"
    name: str | None = None
    job: str | None = None
    merge: Merge | None = None
    skip_existing: bool = False
    replay: float | None = None
    files: frozenset[str] = frozenset()
    existing: Existing | None = None
    results: frozenset[str] = frozenset()
    max_tasks: int = 5_000_000
    max_bytes: int = 64 * 2**20
    tables: Mapping[str, bytes] = field(default_factory=dict)
    unread_tables: Mapping[str, str] = field(default_factory=dict)
