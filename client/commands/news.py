"""What a watcher should hear besides the numbers: a job that is paused, trouble outside, tasks that nobody takes.

Rules:
- Each piece of news is told once. A note that only counts seconds differently is the same note.
- Tasks that are ready while nothing runs are stuck after ``STUCK`` seconds; the first sentence of the boss's ``why`` of one of them is told
  then. It is asked again every ``AGAIN`` seconds, and told when it is another.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

#: Seconds that tasks may be ready while nothing runs before a watcher is told why, and until it is looked whether that has changed.
STUCK = 2.0
AGAIN = 10.0
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
        self._ask_at: float | None = None
        self._told = ""

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
        notes = {_same(note): note for note in status["notes"]}
        for known in sorted(notes.keys() - self._notes):
            yield f"note: {notes[known]}"
        if self._notes and not notes:
            yield "note: that is over"
        self._notes = set(notes)

    def _stuck(self, status: Status, now: float) -> Iterator[str]:
        if busy(status) or not status["tasks"].get("ready") or self._paused:
            self._ask_at, self._told = None, ""
        elif self._ask_at is None:
            self._ask_at = now + STUCK
        elif now >= self._ask_at:
            self._ask_at = now + AGAIN
            reason = self._why()
            if reason and _same(reason) != self._told:
                self._told = _same(reason)
                yield reason


def _same(note: str) -> str:
    """What two notes have in common that only count differently."""
    return re.sub(r"\d+", "0", note)
