"""What a watcher should hear besides the numbers: a job that is paused, trouble outside, tasks that nobody takes.

Rules:
- Each piece of news is told once. A note that only counts seconds differently is the same note.
- Tasks that are ready while nothing runs are stuck after ``STUCK`` seconds; the boss's ``why`` of one of them is told then.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

#: Seconds that tasks may be ready while nothing runs before a watcher is told why.
STUCK = 10.0
#: Task states in which a worker has the task, or its results are on their way.
BUSY = ("assigned", "running", "promoting")

Status = dict[str, Any]


def busy(status: Status) -> bool:
    """Whether anything is being done."""
    return any(status["tasks"].get(state) for state in BUSY)


class News:
    """Compares each status with the one before. ``why`` returns a sentence about one ready task, empty when there is none any more."""

    def __init__(self, why: Callable[[], str]) -> None:
        self._why = why
        self._paused: set[str] = set()
        self._notes: set[str] = set()
        self._stuck_since: float | None = None
        self._told = False

    def of(self, status: Status, now: float) -> list[str]:
        """The lines to show; ``now`` in seconds of any clock."""
        return [*self._jobs(status), *self._outside(status), *self._stuck(status, now)]

    def _jobs(self, status: Status) -> Iterator[str]:
        paused = {job["name"] for job in status["jobs"] if job["state"] == "paused"}
        by_boss = {job["name"] for job in status["jobs"] if job.get("reason")}  # a note says why
        for name in sorted(paused - self._paused - by_boss):
            yield f"job {name} is paused by hand, and watched on; ./admin.py resume {name} deals its tasks out again"
        for job in status["jobs"]:
            if job["name"] in self._paused - paused:
                yield (
                    f"job {job['name']} is {job['state']} again"
                    if job["finished"] is None
                    else f"job {job['name']} {job['state']}"
                )
        self._paused = paused

    def _outside(self, status: Status) -> Iterator[str]:
        notes = {re.sub(r"\d+", "0", note): note for note in status["notes"]}
        for known in sorted(notes.keys() - self._notes):
            yield f"note: {notes[known]}"
        if self._notes and not notes:
            yield "note: that is over"
        self._notes = set(notes)

    def _stuck(self, status: Status, now: float) -> Iterator[str]:
        if busy(status) or not status["tasks"].get("ready") or self._paused:
            self._stuck_since, self._told = None, False
        elif self._stuck_since is None:
            self._stuck_since = now
        elif not self._told and now - self._stuck_since >= STUCK:
            self._told = True
            if reason := self._why():
                yield reason
