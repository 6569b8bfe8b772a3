"""What the API answers to a push. The rules are those of ``boss.api.shapes``."""

from pydantic import BaseModel


class ReasonOut(BaseModel):
    """Why a task runs again, in one sentence. ``more`` tasks that are not named do so for a reason of the same kind."""

    task: str
    reason: str
    more: int


class SignedOut(BaseModel):
    """Whose signature a push has: the key's fingerprint, its owner, until when it is good (Unix seconds), the pools that trust it."""

    key: str
    signer: str
    expires: float
    pools: list[str] = []


class PushSummary(BaseModel):
    """A push that was found good. ``job`` is the name it would get now; ``opened`` when an earlier try has made the job already.

    ``files`` and ``bytes`` are what the push wants on the datastore; ``unread_files`` are sent along but no task reads them. ``makes``
    are the files (with their bytes) that a replay reads and no task yields: the sender makes them, and sends them along.
    ``reasons`` say why the tasks of a merge ``changed`` or ``keep-succeeded`` run (at most 1,000 are told; ``more_reasons`` counts
    tasks beside them). ``example`` is a task of the first ``foreach`` with its parameters in place, or empty.
    ``signed`` is null for a push without a signature.
    """

    push: str
    job: str
    opened: bool
    extends: bool
    tasks: int
    new_tasks: int
    replaced: int
    kept: int
    files: int
    bytes: int
    unread_files: list[str]
    warnings: list[str]
    makes: dict[str, int] = {}
    reasons: list[ReasonOut] = []
    more_reasons: int = 0
    example: str = ""
    signed: SignedOut | None = None


class Opened(BaseModel):
    """The job that a push has made or extended.

    ``resumed``: the boss had paused it because an init task failed, and the push replaced that. ``paused``: it is paused still, by a
    person, or for the ``reason`` that the boss had.
    """

    job: str
    resumed: bool = False
    paused: bool = False
    reason: str = ""
