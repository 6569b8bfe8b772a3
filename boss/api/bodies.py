"""What the API is told: the bodies of its requests, checked before anything happens."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Targeted(BaseModel):
    """The tasks or jobs that a command is for: ``JOB``, ``JOB:ID`` or ``JOB:GLOB``, or a task's bare id if only one job has it."""

    targets: list[str] = Field(min_length=1, max_length=10_000)


class Redone(Targeted):
    """Finished tasks that are to be run again; with ``descendants`` all that was made from them too.

    With ``stale`` those whose result is stale, after the stale ones that they are made from, and all that was made from these.
    """

    descendants: bool = False
    stale: bool = False


class WorkersAsked(BaseModel):
    """``count`` new VMs of a pool (empty: the first one), kept for ``keep`` seconds without being scaled down."""

    count: int = Field(1, ge=1, le=10_000)
    pool: str = ""
    keep: float = Field(0.0, ge=0.0)


class WorkersNamed(BaseModel):
    """Workers by id, or all of them."""

    workers: list[str] = []
    all: bool = False
    now: bool = False


class Address(BaseModel):
    """Where a datastore is: ``user@host[:port][:/folder]``."""

    address: str = Field(min_length=1, max_length=300)


class Key(BaseModel):
    """An OpenSSH public key, one line."""

    public_key: str = Field(min_length=1, max_length=10_000)


class FileIn(BaseModel):
    """A file that the sender has: sha256 in hex, size in bytes, permission bits (0o644 or 0o755)."""

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    mode: Literal[0o644, 0o755] = 0o644


class PushOptions(BaseModel):
    """Part ``options`` of a push. ``document_job`` is the file's own ``job``, which ``merge`` without ``job`` speaks about.

    ``submission`` is a key that the sender makes up once: a push repeated with it makes no second job. ``csv`` are the names of the
    parts ``csv``, in their order, as the task file has them (missing: their file names); ``csv_unread`` says why others were not sent.
    ``replay`` is the scale of durations and sizes at which a workflow's trace (WfFormat) is replayed.
    ``beside``: requirements of a list of the original ECLOUD that lie beside the task file, for the notes.
    """

    model_config = ConfigDict(extra="forbid")

    file_name: str = Field("tasks.json", max_length=1000)
    name: str | None = None
    job: str | None = None
    document_job: str | None = None
    merge: Literal["ignore", "keep-succeeded", "replace", "changed"] | None = None
    skip_existing: bool = False
    replay: float | None = Field(None, gt=0, le=1e9, allow_inf_nan=False, strict=True)
    dry_run: bool = False
    files: dict[str, FileIn] = {}
    submission: str = Field("", max_length=200)
    csv: list[str] | None = None
    csv_unread: dict[str, str] = {}
    beside: list[str] = []
