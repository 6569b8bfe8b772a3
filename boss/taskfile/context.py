"""What a push brings beside its text, and what is known of the job that it extends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from boss.core.model import InputSet, TaskState, Template
from worker.signed import Document

#: What identifies a pushed file: sha256 in hex and permission bits, by its path in the job's folder.
Digests = Mapping[str, tuple[str, int]]


class Merge(StrEnum):
    """What happens to tasks that the job has already."""

    IGNORE = "ignore"  #: they are left alone
    KEEP_SUCCEEDED = "keep-succeeded"  #: those that succeeded are left alone, the others are replaced
    REPLACE = "replace"  #: all are replaced
    CHANGED = "changed"  #: those are replaced that would not come out as they are, and their descendants


@dataclass(frozen=True, slots=True)
class Existing:
    """A job that a push extends; sequences by task index. ``files`` are the paths of its pushed files, ``digests`` says what they are.

    ``input_set`` numbers what each task's last attempt was given, ``input_sets`` are those sets, the first of number 1. ``stale`` is
    the task (its index) whose newer result a stale task was not made from, -1 where a task is not stale.
    """

    name: str
    names: Sequence[str] = ()
    succeeded: Sequence[bool] = ()
    template: Sequence[int] = ()
    rows: Sequence[int] = ()
    dependencies: Sequence[Sequence[int]] = ()
    templates: Sequence[Template] = ()
    files: frozenset[str] = frozenset()
    states: Sequence[TaskState] = ()
    digests: Digests = field(default_factory=dict)
    input_set: Sequence[int] = ()
    input_sets: Sequence[InputSet] = ()
    stale: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class SignedPush:
    """A document whose signature holds: the sha256 of the signed file, the key's fingerprint and whose it is, pools that trust it."""

    document: Document
    digest: str
    key: str
    signer: str
    pools: tuple[str, ...] = ()

    def told(self) -> dict[str, Any]:
        """What whoever pushes is told."""
        return {"key": self.key, "signer": self.signer, "expires": self.document.expires, "pools": list(self.pools)}


@dataclass(frozen=True, slots=True)
class Context:
    """A push. ``files``: where in the job's folder the files go that are sent along (``digests``: what they are); ``results``: what
    lies there already.

    ``name`` asks for a new job of this name, ``job`` (or ``merge``, with ``job`` in the text) for an existing one. ``tables`` are the CSV
    files that came along, by the name that the text has for them; ``unread_tables`` says of others why the sender could not read them.
    ``replay`` is the scale at which a workflow's trace is replayed; None for everything else.
    ``legacy_root`` is the folder on the datastore's host below which the dialects' sources from outside the job lie; ``beside`` are those
    of their requirements that lie beside the task file and were not sent. ``signed`` is what was signed, if the push is.
    """

    file_name: str = "tasks.json"
    name: str | None = None
    job: str | None = None
    merge: Merge | None = None
    skip_existing: bool = False
    replay: float | None = None
    files: frozenset[str] = frozenset()
    digests: Digests = field(default_factory=dict)
    existing: Existing | None = None
    results: frozenset[str] = frozenset()
    legacy_root: str = ""
    max_tasks: int = 5_000_000
    max_bytes: int = 64 * 2**20
    tables: Mapping[str, bytes] = field(default_factory=dict)
    unread_tables: Mapping[str, str] = field(default_factory=dict)
    beside: frozenset[str] = frozenset()
    signed: SignedPush | None = None
