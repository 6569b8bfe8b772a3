"""Which requests are changes, and what the audit calls them. Part of the reactor's floor: pure.

Rules:
- Verbs are the names of the commands. Whatever changes something is in ``_deed``; a question is not.
- An entry is made of the request and its answer, after the state was changed and before the commit: both are durable, or neither.
"""

from collections.abc import Iterable

from boss.core.deeds import Asker, DeedsSeen, Entry
from boss.core.effects import Effect, Reply
from boss.core.events import Event
from boss.core.requests import (
    ContextSet,
    FailedRetried,
    FleetClosed,
    FleetOpened,
    HostAdded,
    HostRemoved,
    JobExtended,
    JobOpened,
    JobPaused,
    JobResumed,
    PoolSet,
    StagingDropped,
    TasksCancelled,
    TasksRedone,
    TokenMade,
    TokensRevoked,
    TrialAsked,
    TrialStopped,
    WorkersDrained,
    WorkersWanted,
)
from boss.core.state import State

#: Verb, job, target.
Deed = tuple[str, str, str]
#: The requests that change something. What is left out of ``Request`` here is a question, or is said by a machine.
DEEDS = (
    JobOpened,
    StagingDropped,
    JobExtended,
    TasksCancelled,
    JobPaused,
    JobResumed,
    TasksRedone,
    FailedRetried,
    WorkersWanted,
    WorkersDrained,
    FleetClosed,
    FleetOpened,
    PoolSet,
    TrialAsked,
    TrialStopped,
    HostAdded,
    HostRemoved,
    ContextSet,
    TokenMade,
    TokensRevoked,
)


def is_deed(event: object) -> bool:
    """Whether a request changes something."""
    return isinstance(event, DEEDS)


def deed_of(state: State, event: Event) -> Deed | None:
    """What a request is going to do, as the audit calls it; None for a question. To be asked before the event is handled."""
    match event:
        case JobOpened() | StagingDropped() | JobExtended():
            job = state.jobs.get(event.uid)
            verb = {JobOpened: "push", StagingDropped: "drop_push", JobExtended: "push_into"}[type(event)]
            return (
                verb,
                job.name if job is not None else "",
                f"{len(event.tasks)} tasks" if isinstance(event, JobExtended) else "",
            )
        case TasksCancelled():
            return "cancel", event.job, event.pattern
        case JobPaused():
            return "pause", event.job, ""
        case JobResumed():
            return "resume", event.job, ""
        case TasksRedone():
            return "redo_task", event.job, " ".join((event.pattern, *event.others))
        case FailedRetried():
            return "retry_failed", event.job, " ".join((event.pattern, *event.others))
        case WorkersWanted():
            return "instantiate_worker", "", f"{event.count} {event.pool}".strip()
        case WorkersDrained():
            return "terminate_workers" if event.now else "drain_worker", "", " ".join(event.workers) or "all"
        case FleetClosed():
            return "shutdown", "", "now" if event.now else ""
        case FleetOpened():
            return "open", "", ""
        case PoolSet():
            changed = [f"{name}={value}".lower() for name, value in sorted(event.changes.items())]
            return "set_pool", "", " ".join((event.pool, *(changed or ["as the settings"])))
        case TrialAsked():
            return "doctor --boot", "", f"{event.pool} {event.flavor}".strip()
        case TrialStopped():
            return "doctor --boot (ended)", "", event.pool
        case HostAdded():
            return "add_host", "", event.login
        case HostRemoved():
            return "remove_host", "", event.login
        case ContextSet():
            named = [name if value is None else f"{name}={value}" for name, value in sorted(event.facts.items())]
            return (
                "set_context" if any(value is not None for value in event.facts.values()) else "drop_context",
                "",
                " ".join(named),
            )
        case TokenMade():
            return "create_token", "", f"{event.id} {event.role.value} {event.name}"
        case TokensRevoked():
            return "revoke_token", "", event.which
    return None


def note(state: State, asker: Asker, deed: Deed, reply: int, effects: Iterable[Effect], now: float) -> None:
    """Put down what has come of a deed: the answer to ``reply`` among the effects says it."""
    answer = next((effect.answer for effect in effects if isinstance(effect, Reply) and effect.reply == reply), None)
    if answer is None:
        return
    verb, job, target = deed
    said = str(answer.detail.get("error", "")) if answer.code != 200 else ""
    state.changes.audit.append(Entry(state.wall(now), asker, verb, job, target, answer.code, said).shortened())


def on_deeds_seen(state: State, event: DeedsSeen, now: float) -> None:
    """Put down what others have seen."""
    wall = state.wall(now)
    state.changes.audit += [
        Entry(one.at or wall, one.asker, one.verb, one.job, one.target, one.code, one.said).shortened() for one in event.entries
    ]
