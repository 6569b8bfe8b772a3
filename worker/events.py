"""What can happen to a worker, and what its brain can wish for. Plain data. Pure.

Rules:
- Events are facts in the past tense, effects are wishes in the imperative; ``core.Core.handle`` turns the former into the latter.
- The shell performs effects in the order given, and may perform each of them twice without harm.
- Times called ``at`` are Unix seconds; chance comes in as data (``jitter``, between 0 and 1).

Python 3.9 syntax: this file rides in the worker's bundle.
"""

from typing import NamedTuple, Tuple, Union

from worker.protocol import Assignment, Certified, Result, ToBoss, ToWorker

# ---- events ------------------------------------------------------------------------------------------------------


class Connected(NamedTuple):
    """The broker took us in and our subscription; ``address`` is the address that we reach it from."""

    address: str = ""


class Disconnected(NamedTuple):
    """The link is down: nothing that was said since its last answer may be relied on."""


class Heard(NamedTuple):
    """A message of the boss arrived."""

    message: ToWorker


class Began(NamedTuple):
    """The process of an attempt was started ``at`` this time."""

    attempt: str
    at: float


class Ended(NamedTuple):
    """An attempt's process ended, or could not be started; nothing of it runs any more."""

    attempt: str
    result: Result


class Fetched(NamedTuple):
    """An attempt's inputs lie in its folder."""

    attempt: str


class Delivered(NamedTuple):
    """An attempt's outputs and long logs are at the datastore; ``result`` names them."""

    attempt: str
    result: Result


class StageFailed(NamedTuple):
    """Inputs could not be fetched, or outputs not delivered; ``final`` is False for trouble that passes.

    ``full``: the datastore has no room.
    """

    attempt: str
    phase: str
    reason: str
    final: bool
    jitter: float = 0.5
    full: bool = False


class DrainAsked(NamedTuple):
    """The machine wants us to go: give back what waits, finish what runs."""

    reason: str


class StopAsked(NamedTuple):
    """The machine wants us to go now: kill what runs; results stay in the spool."""

    reason: str


class Rejoined(NamedTuple):
    """New certificates are in place: they last for so many seconds."""

    lifetime: float


class Turned(NamedTuple):
    """Everything that had happened was told: start what fits, say what there is to say, look at the clock."""


Event = Union[
    Connected, Disconnected, Heard, Began, Ended, Fetched, Delivered, StageFailed, DrainAsked, StopAsked, Rejoined, Turned
]

# ---- effects -----------------------------------------------------------------------------------------------------


class Send(NamedTuple):
    """Say this to the boss, if the link is up."""

    message: ToBoss


class Fetch(NamedTuple):
    """Bring an attempt's inputs into its folder; ends as Fetched or StageFailed."""

    assignment: Assignment


class Start(NamedTuple):
    """Start an attempt's process; ends as Began and, later, Ended."""

    assignment: Assignment


class Kill(NamedTuple):
    """End a running attempt's processes, with ``grace`` politely first; ends as Ended."""

    attempt: str
    reason: str
    grace: bool = True


class Deliver(NamedTuple):
    """Send an attempt's outputs and long logs to the datastore; ends as Delivered or StageFailed."""

    assignment: Assignment
    result: Result


class Deposit(NamedTuple):
    """Put an attempt's result alone at the datastore, for a boss that is off; ends as Delivered or StageFailed."""

    assignment: Assignment
    result: Result


class Halt(NamedTuple):
    """Break off an attempt's fetch or delivery; it still ends as Fetched, Delivered or StageFailed."""

    attempt: str


class Keep(NamedTuple):
    """Write these results to the spool, before they are said."""

    results: Tuple[Result, ...]


class Forget(NamedTuple):
    """Remove the folders of these attempts, and their results from the spool."""

    attempts: Tuple[str, ...]


class Follow(NamedTuple):
    """Begin, or stop, to publish the output of an attempt."""

    attempt: str
    on: bool


class Install(NamedTuple):
    """Use these certificates from the next connection on."""

    certified: Certified


class Rejoin(NamedTuple):
    """Ask for certificates at the join door; ends as ``Rejoined`` if it opens."""


class Exit(NamedTuple):
    """Leave; ``code`` is the process's exit code."""

    reason: str
    code: int = 0


Effect = Union[Send, Fetch, Start, Kill, Deliver, Deposit, Halt, Keep, Forget, Follow, Install, Rejoin, Exit]
