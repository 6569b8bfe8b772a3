"""How often workers say that they live, and how long each may be silent. Part of the reactor.

Rules:
- All workers together beat at most ``policy.heartbeat_rate`` times a second: in a large fleet each of them beats less often than
  ``policy.heartbeat``. A worker whose link has broken is known by its last will all the same; only one that hangs is found out later.
- The interval is said with each answer to a sign of life (``Renew``): a fleet that grows or shrinks is followed within one of them.
- Silence is judged by the longest interval that this worker may be keeping: what it was told may not have reached it yet.
- Whoever says hello is told a part of the interval at first, a different one each: a whole fleet that is asked to say hello at once does
  not beat at once for ever after.
"""

from boss.core.model import Worker
from boss.core.retry import jitter
from boss.core.state import State
from worker.protocol import SILENCE, Heartbeat

#: A worker beats at least so many times before it takes its boss for being off.
LEAST_BEATS = 4.0


def interval(state: State) -> float:
    """Seconds between two heartbeats of each worker, for as many workers as there are."""
    policy = state.policy
    wanted = state.roster.speaking() / policy.heartbeat_rate
    longest = policy.worker_lease * SILENCE / LEAST_BEATS
    missed = policy.offline_after / policy.heartbeat
    return max(policy.heartbeat, min(wanted, longest, policy.heartbeat + (policy.worker_lease - policy.lease) / missed))


def tell(state: State, worker: Worker, seq: int, first: bool) -> float:
    """The interval that message ``seq`` tells a worker, which from then on may be keeping it; ``first``: in answer to its hello."""
    told = interval(state)
    if first:
        told = max(state.policy.heartbeat, told * jitter(f"{worker.id} {worker.session}"))
    if told != worker.told:
        worker.told, worker.told_by = told, seq
        worker.beats = max(told, worker.beats)
    return told


def on_heartbeat(state: State, worker: Worker, message: Heartbeat) -> None:
    """A worker that has handled the message with its interval keeps that one and no other."""
    if message.epoch == state.epoch and message.seq >= worker.told_by:
        worker.beats = worker.told


def loaded(state: State) -> None:
    """After a load: workers keep what an earlier life of the boss has told them."""
    told = interval(state)
    for worker in state.workers.values():
        worker.beats = told
        worker.told, worker.told_by = 0.0, 0


def beats(state: State, worker: Worker) -> float:
    """The longest interval that this worker may be keeping, in seconds."""
    return max(state.policy.heartbeat, worker.beats)


def offline_after(state: State, worker: Worker) -> float:
    """Silence until this worker counts as offline: as many heartbeats as the policy has in a small fleet."""
    return state.policy.offline_after * beats(state, worker) / state.policy.heartbeat


def lease(state: State, worker: Worker) -> float:
    """Silence until this worker counts as lost: as long after it went offline as the policy has in a small fleet."""
    return state.policy.lease + offline_after(state, worker) - state.policy.offline_after
