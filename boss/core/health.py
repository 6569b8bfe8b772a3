"""What failures have taught about pools and their flavors: when to ask a cloud again, and what to say meanwhile. Part of the reactor.

Rules:
- Failures that come while a pool or flavor rests belong to the same burst and count once.
- Each burst makes the rest longer. The third in a row pauses the pool; it tries again by itself, at growing intervals.
- What a person must mend (a bad credential, settings that name what is not there) pauses the pool at once.
- A VM whose worker has done work ends the series.
"""

from boss.core.model import Pool, Refusal
from boss.core.retry import backoff, jitter
from boss.core.state import PoolHealth, State

#: Bursts in a row that pause a pool.
PAUSED_AFTER = 3
#: Seconds: the longest interval of a paused pool; the first is a setting.
LONGEST = 3600.0
#: Seconds until a used up quota is tried again, unless the limits show room before.
QUOTA = 30.0
_MENDED_BY_PEOPLE = frozenset({Refusal.CREDENTIAL, Refusal.INVALID})
_OF_THE_FLAVOR = frozenset({Refusal.NO_HOST})
_OF_THE_CLOUD = frozenset({Refusal.BUSY, Refusal.UNAVAILABLE, Refusal.CREDENTIAL})


def failed(state: State, pool: str, flavor: str, kind: Refusal, reason: str, now: float, retry_after: float = 0.0) -> None:
    """Ask for no more such VMs for a while."""
    if kind in _OF_THE_CLOUD:
        provider = next((other.provider for other in state.policy.pools if other.name == pool), None)
        for other in state.policy.pools:
            if other.provider == provider:
                _rest(state, (other.name, ""), kind, reason, now, retry_after)
    else:
        _rest(state, (pool, flavor if kind in _OF_THE_FLAVOR else ""), kind, reason, now, retry_after)


def _rest(state: State, key: tuple[str, str], kind: Refusal, reason: str, now: float, retry_after: float) -> None:
    health = state.health.setdefault(key, PoolHealth())
    health.reason, health.kind = reason, kind
    if now < health.resume_at:
        return
    if kind is Refusal.QUOTA:
        health.resume_at = now + QUOTA * (0.75 + 0.5 * jitter(key[0]))
        return
    health.bursts += 1
    if kind in _MENDED_BY_PEOPLE:
        health.bursts = max(health.bursts, PAUSED_AFTER)
    if health.bursts >= PAUSED_AFTER:
        pause = min(LONGEST, state.policy.pool_pause * 2.0 ** min(health.bursts - PAUSED_AFTER, 40)) * (
            0.75 + 0.5 * jitter(key[0])
        )
    else:
        pause = backoff(health.bursts, key[0], state.policy)
    health.resume_at = now + max(pause, retry_after)


def worked(state: State, pool: str, flavor: str = "") -> None:
    """A VM of this pool has become a worker that works: the series of failures is over."""
    state.health.pop((pool, ""), None)
    state.health.pop((pool, flavor), None)


def add(state: State, pool: str, flavor: str, beginning: str, more: str) -> None:
    """More is known of a failure: what the reason that begins so is added to."""
    for key in ((pool, ""), (pool, flavor)):
        health = state.health.get(key)
        if health is not None and health.reason.startswith(beginning):
            health.reason += more


def resting(state: State, pool: str, flavor: str, now: float) -> PoolHealth | None:
    """Why no such VM may be asked for now; None when one may. With an empty flavor only what concerns the whole pool."""
    for key in ((pool, ""), (pool, flavor)):
        health = state.health.get(key)
        if health is not None and now < health.resume_at:
            return health
    return None


def sentence(pool: Pool, health: PoolHealth, now: float, flavor: str = "") -> str:
    """Why this pool (or flavor of it) is not asked for VMs now, when it will be, and what helps where a person must."""
    what = f"Pool {pool.name}" + (f" ({flavor})" if flavor else "")
    wait = max(0.0, health.resume_at - now)
    if health.kind in _MENDED_BY_PEOPLE:
        return f"{what} is paused and tries again in {wait:.0f} s: {health.reason}. {_remedy(pool, health.kind)}"
    if health.bursts >= PAUSED_AFTER:
        return f"{what} is paused after {health.bursts} failures in a row and tries again in {wait:.0f} s: {health.reason}."
    return f"{what} waits {wait:.0f} s before it asks for a VM again: {health.reason}."


def trying(pool: Pool, health: PoolHealth, flavor: str = "") -> str:
    """What went wrong before, while a pool (or flavor of it) is being tried again."""
    what = f"Pool {pool.name}" + (f" ({flavor})" if flavor else "")
    times = "a failure" if health.bursts == 1 else f"{health.bursts} failures in a row"
    return f"{what} is being tried again after {times}, the last: {health.reason}."


def _remedy(pool: Pool, kind: Refusal) -> str:
    if kind is Refusal.CREDENTIAL:
        return "Mend the credential (clouds.yaml is read again at each try); `admin.py doctor` logs in with it."
    return f"Mend [pools.{pool.name}] in the settings, or what it names in the cloud; `admin.py doctor` checks all of it."
