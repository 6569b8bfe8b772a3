"""Again or never, and when. Pure decisions about a failed attempt.

Rules:
- A failure of the user's command, inputs or outputs uses up the task's ``retries``.
- A loss by the infrastructure (worker lost, folder or process not made, upload refused) has a budget of its own.
- What a worker has refused because it is not what was signed is never tried again: it would be refused again, or be something else.
- Delays double from ``retry_base`` up to ``retry_limit`` and are spread by a jitter that comes from the attempt's name,
  so that a thousand tasks which failed together do not come back together (source: river ``retrypolicy``).
"""

from dataclasses import dataclass
from zlib import crc32

from boss.core.model import Phase, Policy, Task

#: Phases that count as losses of the infrastructure.
LOSSES = frozenset({Phase.INFRASTRUCTURE, Phase.PROMOTE})


@dataclass(frozen=True, slots=True)
class Verdict:
    """``again`` after ``delay`` seconds, or never."""

    again: bool
    delay: float = 0.0


def judge(task: Task, phase: str, attempt: str, policy: Policy) -> Verdict:
    """Whether a task whose attempt failed in this phase is tried again; its counters include this failure already."""
    if phase == Phase.VERIFY:
        return Verdict(False)
    if phase in LOSSES:
        return Verdict(task.losses <= policy.infrastructure_budget, backoff(task.losses, attempt, policy))
    return Verdict(task.failures <= task.template.retries, backoff(task.failures, attempt, policy))


def backoff(times: int, name: str, policy: Policy) -> float:
    """Seconds to wait after the ``times``-th failure: exponential, limited, between 0.75 and 1.25 of the plain value."""
    plain = min(policy.retry_limit, policy.retry_base * 2.0 ** max(0, min(times, 40) - 1))
    return plain * (0.75 + 0.5 * jitter(name))


def jitter(name: str) -> float:
    """A number in [0, 1) that is always the same for the same name."""
    return crc32(name.encode()) / 2**32
