"""A database that came from a back-up knows less than has happened: what must not be repeated, and what must not be overwritten.

Rules:
- Between the back-up and the restore a life was lived that this database does not know. It dealt attempts, made VMs, accepted results.
- Nothing is named twice: epoch, numbers of VMs, and numbers of attempts of the jobs that came with the back-up go on from the time of day,
  which is above all that any forgotten life can have reached, however often the same back-up is restored: none makes a VM, or an attempt
  of one task, each second.
- Nothing is overwritten: while such a job's results are accepted, a file in its folder that differs is put aside, never replaced.
"""

from collections.abc import Mapping
from typing import Final

from boss.core.model import Job, Task
from boss.core.state import State

#: The facts in the context: jobs created until then came from a back-up, and their attempts are numbered above the floor.
UNTIL: Final = "restored_until"
FLOOR: Final = "attempt_floor"
#: 2026-01-01: numbers of attempts and VMs count seconds from here, so that they have eight digits.
_EPOCH: Final = 1767225600.0


def marks(facts: Mapping[str, str], highest_attempt: int, newest_job: float, now: float) -> dict[str, str]:
    """What to write into the context of a database that was restored at the time of day ``now``."""
    seconds = int(now - _EPOCH)
    floor = max(seconds, highest_attempt + 1000, int(facts.get(FLOOR, "0")) + 1000)
    return {
        "epoch": str(max(int(now), int(facts.get("epoch", "0")) + 1000)),
        "vm_number": str(max(seconds, int(facts.get("vm_number", "0")) + 1000)),
        UNTIL: repr(max(now, newest_job)),
        FLOOR: str(floor),
    }


def came_back(facts: Mapping[str, str], created: float) -> bool:
    """Whether a job that was made then came with a back-up, by the facts of the context."""
    until = facts.get(UNTIL)
    return until is not None and created <= float(until)


def is_restored(state: State, job: Job) -> bool:
    """Whether the job came with a back-up."""
    return came_back(state.context, job.created)


def next_number(state: State, task: Task) -> int:
    """The number of the task's next attempt."""
    floor = int(state.context[FLOOR]) if is_restored(state, task.job) else 0
    return max(task.number, floor) + 1
