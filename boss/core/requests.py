"""What is asked of the boss, through the API and at the join door: events with somebody who waits for the answer.

Rules:
- Past tense like every event; the reactor answers each with effects.
- ``reply`` is the number under which the loop answers after the commit (0: nobody waits); who asks the boss to end has none.
- Chance comes in as data: new uids are in the request, never made in the core.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from boss.core.deeds import DeedsSeen
from boss.core.model import FileRef, Resources, TaskSpec, Template
from boss.core.tokens import Role

# ---- jobs and their tasks -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobStaged:
    """A push was validated; its rows follow. ``reply`` is answered with the job's name, or an error if it is taken."""

    uid: str
    name: str
    owner: str
    submission: str
    priority: int = 0
    reply: int = 0


@dataclass(frozen=True, slots=True)
class TasksStaged:
    """One slice (at most 5,000 tasks) of a staging job's rows, with the templates that they are the first to use.

    Answered after its commit, so that a large push waits for the loop instead of filling the inbox.
    """

    uid: str
    templates: tuple[Template, ...]
    tasks: tuple[TaskSpec, ...]
    reply: int = 0


@dataclass(frozen=True, slots=True)
class JobOpened:
    """All rows are in and all files uploaded: schedule the job."""

    uid: str
    files: Mapping[str, FileRef]
    reply: int = 0


@dataclass(frozen=True, slots=True)
class StagingDropped:
    """The push was given up: forget its rows."""

    uid: str
    reply: int = 0


@dataclass(frozen=True, slots=True)
class JobExtended:
    """Tasks for a job that exists (``--job``, ``--merge``): indices from its count on are new, lower ones replace.

    Templates continue the job's numbering. ``expected`` is the job's task count that the push was computed from;
    if it has changed since, the answer is an error and nothing changes.
    """

    uid: str
    expected: int
    templates: tuple[Template, ...]
    tasks: tuple[TaskSpec, ...]
    files: Mapping[str, FileRef]
    submission: str = ""
    reply: int = 0


@dataclass(frozen=True, slots=True)
class TasksCancelled:
    """End these tasks (a glob over task names; ``*`` matches everything here, ``/`` included) of a job.

    ``at`` is the index of the one task that the pattern names, where that is known: then nothing has to be searched.
    """

    job: str
    pattern: str = "*"
    reply: int = 0
    at: int = -1


@dataclass(frozen=True, slots=True)
class JobPaused:
    """Deal out nothing new of this job."""

    job: str
    reply: int = 0


@dataclass(frozen=True, slots=True)
class JobResumed:
    """Deal out this job's tasks again."""

    job: str
    reply: int = 0


@dataclass(frozen=True, slots=True)
class TasksRedone:
    """Run these finished tasks again (``descendants``: and those below them); the old results stay until the new ones are accepted.

    ``others`` are further patterns, so that what several names mean is run again as one. ``stale``: only those whose result is stale,
    with the stale ones that they were made from, and all that is below. ``at``: for each pattern the index of the one task that it names,
    -1 where it names several or that is not known.
    """

    job: str
    pattern: str
    reply: int = 0
    descendants: bool = False
    others: tuple[str, ...] = ()
    stale: bool = False
    at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FailedRetried:
    """Run the failed tasks of a job again, and what was skipped because of them.

    Cancelled ones only when tasks are named: by any pattern but ``*``, and by that too when ``named``. ``others`` are further patterns;
    ``at`` as in ``TasksRedone``.
    """

    job: str
    pattern: str = "*"
    reply: int = 0
    named: bool = False
    others: tuple[str, ...] = ()
    at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class WhyAsked:
    """Why does this task wait (or: how did it end)? ``task`` is a task's name, ``at`` its index if that is known; answered with sentences.

    Without a job: a VM's id, or a pool's name.
    """

    job: str
    task: str
    reply: int = 0
    at: int = -1


@dataclass(frozen=True, slots=True)
class BasisAsked:
    """What would a plan be made from? Answered with pools, limits and what was learned (``boss.core.basis``)."""

    reply: int = 0


@dataclass(frozen=True, slots=True)
class LogFollowed:
    """Publish (or stop publishing) the output of a task's running attempt; ``at`` is its index, where that is known."""

    job: str
    task: str
    on: bool
    reply: int = 0
    at: int = -1


# ---- workers, VMs and hosts ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkersWanted:
    """``instantiate_worker``: create ``count`` VMs of a pool now; ``keep`` seconds without being scaled down."""

    count: int
    pool: str = ""
    keep: float = 0.0
    reply: int = 0


@dataclass(frozen=True, slots=True)
class WorkersDrained:
    """``drain_worker`` and ``terminate_workers``: with ``now`` their VMs are deleted without waiting for their attempts.

    An empty tuple means all.
    """

    workers: tuple[str, ...]
    now: bool = False
    reply: int = 0


@dataclass(frozen=True, slots=True)
class FleetClosed:
    """``shutdown``: create no VM any more, whatever waits, and let all go; with ``now`` without waiting for their tasks."""

    now: bool = False
    reply: int = 0


@dataclass(frozen=True, slots=True)
class FleetOpened:
    """Create VMs for what waits again, after a ``FleetClosed``."""

    reply: int = 0


@dataclass(frozen=True, slots=True)
class PoolSet:
    """An admin changes a pool: ``changes`` of minimum, maximum (whole numbers), paused (bool); none: as the settings say again."""

    pool: str
    changes: Mapping[str, int | bool]
    reply: int = 0


@dataclass(frozen=True, slots=True)
class TrialAsked:
    """``doctor --boot``: make one VM of a pool (the first with VMs when empty), let it join and run one task, and delete it.

    ``uid`` is that of the job that its task is of.
    """

    pool: str
    uid: str
    owner: str
    flavor: str = ""
    reply: int = 0


@dataclass(frozen=True, slots=True)
class TrialStopped:
    """Nobody wants the trial of this pool any more: its VM goes now."""

    pool: str
    reply: int = 0


@dataclass(frozen=True, slots=True)
class HostAdded:
    """A plain SSH host (``login``: ``user@host[:port]``) was looked at and may have a worker with these resources."""

    login: str
    resources: Resources
    reply: int = 0


@dataclass(frozen=True, slots=True)
class HostRemoved:
    """A host that was added is to have no worker any more, and no trace of one; ``now``: without waiting for its tasks."""

    login: str
    now: bool = False
    reply: int = 0


@dataclass(frozen=True, slots=True)
class JoinAsked:
    """A VM that shows a good join token of a claim group wants to be the worker of one of its claims.

    ``key`` is the fingerprint of its new public key: the same key asking again gets the same answer, and no other key ever does.
    ``server`` and ``name`` are what it thinks it is called (instance uuid, host name; either may be empty), ``address`` where it asked
    from. ``bound``: its token's time is over, so only a key that has joined before is let in. Answered with ``worker``, ``pool``,
    ``flavor`` and ``resources``, or an error.
    """

    group: str
    key: str
    server: str = ""
    name: str = ""
    address: str = ""
    bound: bool = False
    reply: int = 0


# ---- the house: facts, tokens, the end ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ContextSet:
    """Facts that survive restarts; a value of None removes the fact."""

    facts: Mapping[str, str | None]
    reply: int = 0


@dataclass(frozen=True, slots=True)
class TokenMade:
    """An admin lets somebody in: ``digest`` is the SHA-256 of the token's text; ``lifetime`` in seconds, None for ever."""

    id: str
    name: str
    role: Role
    digest: str
    lifetime: float | None = None
    reply: int = 0


@dataclass(frozen=True, slots=True)
class TokensRevoked:
    """An admin takes tokens back: the one of this id, or all of this name."""

    which: str
    reply: int = 0


@dataclass(frozen=True, slots=True)
class TokensUsed:
    """Tokens were shown at the door: id -> Unix time of the last request."""

    times: Mapping[str, float]
    reply: int = 0


@dataclass(frozen=True, slots=True)
class StopWanted:
    """The boss is asked to end: deal nothing, drain the local pools' workers, then finish."""


Request = (
    JobStaged
    | TasksStaged
    | JobOpened
    | StagingDropped
    | JobExtended
    | TasksCancelled
    | JobPaused
    | JobResumed
    | TasksRedone
    | FailedRetried
    | WorkersWanted
    | WorkersDrained
    | FleetClosed
    | FleetOpened
    | PoolSet
    | TrialAsked
    | TrialStopped
    | HostAdded
    | HostRemoved
    | ContextSet
    | WhyAsked
    | BasisAsked
    | LogFollowed
    | TokenMade
    | TokensRevoked
    | TokensUsed
    | DeedsSeen
    | JoinAsked
    | StopWanted
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the asker of a request gets after the commit.

    ``code`` follows HTTP: 200 done, 404 no such thing, 409 refused as things stand, 503 unknown, ask again.
    ``detail`` is plain data for the caller, or one clear sentence under ``error``.
    """

    code: int = 200
    detail: Mapping[str, object] = field(default_factory=dict)
