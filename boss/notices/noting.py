"""What of a turn is worth telling: jobs that have ended or were paused, and bursts of failures; put into the commit that made it so.

Rules:
- A notice is a fact of the context, written by the same transaction as what it tells: a boss that is killed afterwards finds it, one that
  is killed before has neither. It is removed when everybody has been told.
- What had ended before this life is known from the rows; so nothing is told again after a load, and nothing is left out.
- Used by the loop's thread alone. A turn in which nothing ended costs a few comparisons.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from boss.core.changes import Changes
from boss.core.model import Job, TaskState, Wanted
from boss.core.outcomes import job_state
from boss.core.state import State
from boss.notices.notice import Kind, Notice, from_text, made, to_text
from boss.notices.targets import Telling

#: Facts of the context: notices begin so; and what stands and was told (``boss.notices.watching``).
FACT, STANDING = "notice/", "notices standing"
#: Notices that wait for their delivery at most; beyond that they are counted and left out.
WAITING = 1000
#: Seconds in which one job's failures are told once.
AGAIN = 3600.0


#: A notice, and who is still to be told of it.
Row = tuple[Notice, Sequence[str]]


class Hearer(Protocol):
    """Whoever sends what is noted; called on the loop's thread, so it only puts things down."""

    def loaded(self, epoch: int, standing: str | None) -> None:
        """The database was read, in this life; ``standing`` is what was told of what stands."""

    def take(self, rows: Sequence[Row], left_out: int = 0) -> None:
        """These are durable and to be told; some may be known already. So many more were left out, because too much waits."""


class Noting:
    """Makes notices of commits. ``hearer`` is called on the loop's thread."""

    def __init__(self, telling: Telling, hearer: Hearer) -> None:
        self._telling, self._hearer = telling, hearer
        self._ends = telling.asks_for(Kind.JOB_DONE, Kind.JOB_FAILED)
        self._pauses, self._bursts = telling.asks_for(Kind.JOB_PAUSED), telling.asks_for(Kind.FAILURES)
        self._ended: dict[str, float] = {}  # when jobs finished, by uid, as far as that was noted
        self._paused: dict[str, str] = {}  # why jobs are paused
        self._failing: dict[str, deque[tuple[float, int]]] = {}  # when how many attempts of a job failed
        self._told: dict[str, float] = {}  # when a job's failures were told
        self._made: list[Row] = []
        self._left_out = 0
        self._number = 0

    def load(self, state: State) -> None:
        """A state was loaded: what is in it is known, and what waits for its delivery is handed over."""
        self._ended = {job.uid: job.finished for job in state.jobs.values() if job.finished is not None}
        self._paused = {job.uid: job.reason for job in state.jobs.values() if job.reason}
        self._made.clear()
        self._hearer.loaded(state.epoch, state.context.get(STANDING))
        self._hearer.take([row for row in map(_read, _facts(state)) if row is not None])

    def note(self, state: State, changes: Changes, now: float) -> None:
        """Add to what is going to be committed."""
        wall = state.wall(now)
        for job in (*changes.jobs.values(), *changes.new_jobs.values()):
            if self._ends:
                self._note_end(state, job, wall)
            if self._pauses:
                self._note_pause(state, job, wall)
        if self._bursts and changes.attempts:
            self._count_failures(state, changes, wall)
        for notice, units in self._made:
            changes.context[FACT + notice.id] = state.context[FACT + notice.id] = to_text(notice, units)

    def committed(self) -> None:
        """The commit has taken place."""
        if self._made or self._left_out:
            taken, self._made, left_out, self._left_out = self._made, [], self._left_out, 0
            self._hearer.take(taken, left_out)

    def _note_end(self, state: State, job: Job, wall: float) -> None:
        if job.finished is None:
            self._ended.pop(job.uid, None)
            return
        if self._ended.get(job.uid) == job.finished:
            return
        self._ended[job.uid] = job.finished
        outcome, counts = job_state(job), job.counts
        total, failed, skipped = sum(counts.values()), counts.get(TaskState.FAILED, 0), counts.get(TaskState.SKIPPED, 0)
        facts: dict[str, str | float] = {
            "tasks": total,
            "failed": failed,
            "skipped": skipped,
            "seconds": round(wall - job.created, 1),
        }
        if outcome == "succeeded":
            text = f"job {job.name} of {job.owner} is done: {_tasks(total)} in {_lasted(wall - job.created)}"
            self._add(state, Kind.JOB_DONE, wall, job.name, text, job.owner, f"admin.py fetch {job.name}", facts)
        elif outcome == "failed":
            text = f"job {job.name} of {job.owner} has failed: {failed} of {_tasks(total)} failed" + (
                f", {skipped} were skipped" if skipped else ""
            )
            self._add(state, Kind.JOB_FAILED, wall, job.name, text, job.owner, f"admin.py show_failed {job.name}", facts)

    def _note_pause(self, state: State, job: Job, wall: float) -> None:
        reason = job.reason if job.wanted is Wanted.PAUSE and job.finished is None else ""
        if reason == self._paused.get(job.uid, ""):
            return
        self._paused[job.uid] = reason
        if reason:
            text = f"job {job.name} of {job.owner} is paused: {reason}"
            remedy = f"admin.py show_failed {job.name}; then admin.py resume {job.name}"
            self._add(state, Kind.JOB_PAUSED, wall, job.name, text, job.owner, remedy, {})

    def _count_failures(self, state: State, changes: Changes, wall: float) -> None:
        failed: dict[str, int] = {}
        for attempt in changes.attempts.values():
            if attempt.state == "failed":
                failed[attempt.job] = failed.get(attempt.job, 0) + 1
        for uid, count in failed.items():
            turns = self._failing.setdefault(uid, deque())
            turns.append((wall, count))
            while turns[0][0] < wall - self._telling.window:
                turns.popleft()
            job, many = state.jobs.get(uid), sum(number for _, number in turns)
            if job is None or many < self._telling.burst or wall - self._told.get(uid, -AGAIN) < AGAIN:
                continue
            self._told[uid] = wall
            self._failing.pop(uid)
            text = f"job {job.name} of {job.owner}: {many} attempts have failed within {_lasted(self._telling.window)}"
            remedy = f"admin.py show_failed {job.name}; admin.py pause {job.name} stops it"
            self._add(state, Kind.FAILURES, wall, job.name, text, job.owner, remedy, {"attempts": many})

    def _add(
        self,
        state: State,
        kind: Kind,
        wall: float,
        about: str,
        text: str,
        owner: str,
        remedy: str,
        facts: Mapping[str, str | float],
    ) -> None:
        self._number += 1
        notice = made(f"{state.epoch}-{self._number}", kind, wall, about, text, owner, remedy, facts)
        units = self._telling.units(notice)
        if not units:
            return  # nobody wants to know
        if len(self._made) + sum(1 for _ in _facts(state)) >= WAITING:
            self._left_out += 1
            return
        self._made.append((notice, units))


def _facts(state: State) -> list[str]:
    return [value for name, value in state.context.items() if name.startswith(FACT)]


def _read(text: str) -> Row | None:
    try:
        return from_text(text)
    except ValueError:
        return None  # of another version


def _tasks(count: int) -> str:
    return f"{count:,} task" if count == 1 else f"{count:,} tasks"


def _lasted(seconds: float) -> str:
    """``12 s``, ``5 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
