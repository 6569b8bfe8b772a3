"""What became of a job, as the database tells it to whoever makes a report of it: tasks, attempts and the machines that ran them.

Rules:
- All of a job comes in pages of tasks, so that a job of any size is read in pieces, and neither the boss nor its loop is held up by one.
- Times are Unix seconds, durations seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """One execution of a task; ``usage`` as the worker counted it (``cpu`` seconds, ``memory`` peak bytes)."""

    number: int
    worker: str
    state: str
    phase: str
    exit_code: int | None
    signal: int | None
    reason: str
    assigned: float
    started: float | None
    finished: float | None
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PastTask:
    """One task: ``template`` is the number of its entry of the task file, ``after`` are the indices of what it waited for."""

    index: int
    id: str
    state: str
    template: int
    finished: float | None
    after: Sequence[int] = ()
    attempts: Sequence[PastAttempt] = ()


@dataclass(frozen=True, slots=True)
class PastMachine:
    """A worker that ran attempts of a job, with its VM where it had one.

    ``ended`` is None while the VM is there, ``first`` when the first task of any job was dealt to it. ``others`` are the CPU seconds that
    tasks of other jobs had there, by their needs. Of a worker without a VM ``pool`` and ``flavor`` are empty, ``created`` is None.
    """

    id: str
    pool: str
    flavor: str
    state: str
    created: float | None
    ended: float | None
    first: float | None
    others: float


class Past(Protocol):
    """What the reader can tell of a job's past; jobs are asked for by name, and one that is not there has none."""

    def past_tasks(self, job: str, after: int, limit: int) -> list[PastTask]:
        """The tasks of a job behind this index, with their attempts: at most so many, fewer where they wait for very many others."""
        ...

    def past_machines(self, job: str) -> list[PastMachine]:
        """Who ran attempts of a job, in the order of their first one."""
        ...
