"""Which promises there are, and when each is looked at. What they say is in ``promised_*``.

Rules:
- A promise is a function; the first sentence of its docstring is the promise, for people (``python -m simulator promises``).
- It looks at the world (rows of the database, files, servers, what workers ran), never at the core's own state: a core that errs
  must not be asked whether it does.
- It is called at its moments, with what has happened there, and raises ``Broken`` through ``broken``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from simulator.hostile.faults import Broken

if TYPE_CHECKING:
    from simulator.hostile.world import World

Check = Callable[..., None]
_PROMISES: dict[str, list[Check]] = {}


def promise(*moments: str) -> Callable[[Check], Check]:
    """A promise that is looked at in these moments."""

    def entered(check: Check) -> Check:
        for moment in moments:
            _PROMISES.setdefault(moment, []).append(check)
        return check

    return entered


def name_of(check: Check) -> str:
    """The name of a promise."""
    return check.__name__.replace("_", " ")


@dataclass(slots=True)
class Ledger:
    """What the promises have seen, apart from what is there."""

    openings: dict[tuple[str, int], int] = field(default_factory=dict)  #: how often each task was opened again
    turned: set[tuple[str, int]] = field(default_factory=set)  #: tasks that ended and were opened again in the last commit
    accepted: dict[tuple[str, int, int], str] = field(default_factory=dict)  #: of each opening of a task: what was accepted
    accepted_in: dict[str, int] = field(default_factory=dict)  #: each accepted attempt's opening
    files: dict[str, Any] = field(default_factory=dict)  #: what was accepted of each attempt
    dealt: set[str] = field(default_factory=set)
    failures: dict[tuple[str, int, int], int] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)
    reopened: set[str] = field(default_factory=set)  #: names of jobs of which somebody asked that something is run again
    ended: dict[str, set[str]] = field(default_factory=dict)  #: attempt -> the ends that workers saw
    announced: set[tuple[str, str, int]] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)  #: server -> the worker that it was told to be
    terminating: int = 0  #: how many wait for the answer to their wish that workers go at once
    terminated: float = float("-inf")  #: when somebody has wished for that last, or was answered
    restored: bool = False
    unsafe: bool = False
    leaving: set[str] = field(default_factory=set)  #: workers that were draining before the last commit
    before: Any = None  #: what a commit is about to change, for the looks after it


class Promises:
    """All of them, for one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._ledger = Ledger()

    def at(self, moment: str, facts: Sequence[object]) -> None:
        """Look at all promises of a moment."""
        for check in _PROMISES.get(moment, ()):
            try:
                check(self._world, self._ledger, *facts)
            except Wrong as wrong:
                raise Broken(name_of(check), str(wrong)) from None


class Wrong(Exception):
    """What a promise has found."""


def broken(sentence: str) -> NoReturn:
    """This does not hold."""
    raise Wrong(sentence)


#: Promises that the world itself looks at, where they can be broken.
OUTRIGHT: Final = {
    "every job ends": "When nothing goes wrong any more, every job comes to its end within a quarter of an hour.",
    "none is left at the end": "When nothing is left to do, every server beyond the minimum goes within a few minutes, with its claim.",
    "time goes on": "Nobody keeps the world busy within one moment for ever.",
    "rows are unique": "No row of a task or an attempt is entered twice.",
    "the core never raises": "No event makes the boss's core raise or its counts disagree (``state.check``), but for those made to.",
    "the cores never raise": "Nothing makes the boss's loop or a worker's core raise.",
}


def sentences() -> list[str]:
    """Every promise: its name and its sentence. What only takes notes is none."""
    checks = {check: None for checks in _PROMISES.values() for check in checks}
    outright = [f"{name}: {sentence}" for name, sentence in OUTRIGHT.items()]
    return outright + [f"{name_of(check)}: {(check.__doc__ or '').strip()}" for check in checks if not _is_note(check)]


def _is_note(check: Check) -> bool:
    return (check.__doc__ or "").startswith("(")
