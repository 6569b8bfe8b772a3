"""The request that is being answered, as the audit needs it: who asks, about which job, and whether the loop has put it down already."""

from contextvars import ContextVar
from dataclasses import dataclass

from boss.core.deeds import Asker


@dataclass(slots=True)
class Doing:
    """One request. ``job`` and ``target`` are filled in by whoever reads them out of it."""

    asker: Asker
    job: str = ""
    target: str = ""
    noted: bool = False


#: The request that is being answered; handlers in threads see it, too.
doing: ContextVar[Doing | None] = ContextVar("doing", default=None)
