"""What the look ahead remembers from one time to the next. Not stored: a new boss looks anew. Plain data."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Outlook:
    """``looked`` is when the work in sight was played through at last, ``due`` when it must be again though nothing happens.

    ``spent`` is what VMs that are gone have cost since ``busy``, when the queue was empty at last; ``alive`` the others, with the price a
    second and the time from which on they count. ``dropped`` says when a VM of a pool and flavor was let go at last.
    """

    looked: float = float("-inf")
    due: float = float("-inf")
    pause: float = 0.0
    seen: tuple[int, ...] = ()
    busy: float | None = None
    spent: float = 0.0
    alive: dict[str, tuple[float, float]] = field(default_factory=dict)
    dropped: dict[tuple[str, str], float] = field(default_factory=dict)
    limited: dict[str, float] = field(default_factory=dict)  #: when a provider's limits were heard
    binding: list[str] = field(default_factory=list)  #: what kept the last look from more VMs, in sentences
    save_at: float = 0.0  #: when what was learned is stored next
    needed: dict[str, float] = field(default_factory=dict)  #: when an idle VM is needed again
    ends: float | None = None  #: when all work in sight would end, as of the last look
