"""What people call tasks and jobs: ``JOB``, ``JOB:ID``, ``JOB:GLOB``, or a bare ID. Read here and nowhere else.

Rules:
- A word that is a job's name is the job. Any other bare word is a task's id: of the newest job that has it when something is
  only read; a command that changes something refuses it when two jobs have it.
- Ids of replayed workflows may have a ``:``; what begins with no job's name is then taken as such an id.
- ``*`` in a glob over ids matches everything. An id that looks like a glob is taken as an id first.
- Unknown names are answered with the nearest known ones.
"""

import difflib
import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from boss.api.accounts import Caller, must_own
from boss.api.answers import Refusal
from boss.api.doing import doing
from boss.ports import JobRow, Reader, TaskRow

#: How many tasks of a job are looked at in search of a name like the one that was asked for.
SEARCHED = 2000
#: So many jobs are all named when none is like the one that was asked for.
FEW = 5
#: How alike names must be to be suggested, from 0 to 1; a typing error in a short name changes more of it.
ALIKE = 0.6
SHORT, SHORT_ALIKE = 4, 0.5
_ONE_BY_ONE = "of several jobs name each one (`admin.py show_jobs` lists them)"


@dataclass(frozen=True, slots=True)
class Target:
    """Tasks of one job: a glob over their ids (``*``: all). ``whole`` when all of the job is meant, ``named`` when tasks were named, be it
    all of them by ``JOB:*``, and not only the job. ``at``: the index of the one task that is named, -1 where it is not one by its id.
    """

    job: JobRow
    pattern: str
    whole: bool
    named: bool = True
    at: int = -1


class Targets:
    """Reads targets by what the store knows. All methods block, and raise Refusal."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def job(self, name: str) -> JobRow:
        """A job by its name; 404 with the nearest names."""
        row = self._reader.job(name)
        if row is None and _is_glob(name):
            raise Refusal(
                404, f"{name!r} is no job: the job part of a target takes no glob, only the part after the colon; {_ONE_BY_ONE}"
            )
        if row is None:
            known = [job.name for job in self._reader.jobs()]
            near = nearest(name, known)
            raise Refusal(404, f"there is no job named {name!r}{perhaps(near) or all_of(known)}", near)
        return row

    def resolve(self, text: str, *, changing: Caller | None) -> Target:
        """What one target names; 404 when it names nothing.

        ``changing`` is who wants to change it (None: it is only looked at): 422 when it is not clear which job is meant, 403 when that
        job is another's, 409 while it is still coming in.
        """
        target = self._named(text, changing is not None)
        if changing is not None:
            if (now := doing.get()) is not None:
                now.job, now.target = target.job.name, text
            must_own(changing, target.job.name, target.job.owner)
            if target.job.state == "staging":  # it may yet vanish, and its name go to somebody else
                raise Refusal(409, f"job {target.job.name} is still being pushed; wait a moment")
        return target

    def _named(self, text: str, changing: bool) -> Target:
        name, colon, pattern = text.partition(":")
        if not colon or (self._reader.job(name) is None and self._reader.jobs_with_task(text)):
            return self._bare(text, changing)
        job = self.job(name)
        found, at = self._known(job, pattern or "*")
        return Target(job, found, whole=pattern in ("", "*"), named=bool(pattern), at=at)

    def task(self, text: str) -> TaskRow:
        """The one task that a target names; 422 when it names several."""
        target = self.resolve(text, changing=None)
        rows = self._reader.tasks(job=target.job.name, pattern=target.pattern, limit=4)
        if len(rows) == 1:
            return rows[0]
        if not rows:
            raise Refusal(404, f"job {target.job.name} has no tasks")
        some = ", ".join(f"{row.job}:{row.id}" for row in rows[:3])
        raise Refusal(
            422, f"{text} names several tasks; name one of them, such as {some}", [f"{row.job}:{row.id}" for row in rows]
        )

    def _bare(self, word: str, changing: bool) -> Target:
        job = self._reader.job(word)
        if job is not None:
            return Target(job, "*", whole=True, named=False)
        holders = self._reader.jobs_with_task(word)
        if not holders:
            raise self._unknown(word)
        if changing and len(holders) > 1:
            meant = [f"{holder}:{word}" for holder in holders[:5]]
            raise Refusal(422, f"{len(holders)} jobs have a task {word!r}; write {' or '.join(meant)}", meant)
        found, at = self._known(self.job(holders[0]), word)
        return Target(self.job(holders[0]), found, whole=False, at=at)

    def _known(self, job: JobRow, pattern: str) -> tuple[str, int]:
        """The pattern, if some task fits it, and the index of the task whose id it is; an id that looks like a glob is escaped."""
        if pattern == "*":
            return pattern, -1
        exact = glob.escape(pattern)
        if rows := self._reader.tasks(job=job.name, pattern=exact, limit=1):
            return exact, rows[0].index
        if not self._reader.tasks(job=job.name, pattern=pattern, limit=1):
            near = nearest(pattern, (row.id for row in self._reader.tasks(job=job.name, limit=SEARCHED)))
            raise Refusal(404, f"job {job.name} has no task {pattern!r}{perhaps(near)}", [f"{job.name}:{name}" for name in near])
        return pattern, -1

    def _unknown(self, word: str) -> Refusal:
        jobs = self._reader.jobs()
        if _is_glob(word):
            return Refusal(404, f"{word!r} is no job; a glob over tasks is written JOB:{word}; {_ONE_BY_ONE}")
        near = nearest(word, (job.name for job in jobs))
        for job in reversed(jobs[-5:]):
            near += nearest(word, (row.id for row in self._reader.tasks(job=job.name, limit=SEARCHED)))
        hint = perhaps(near[:3]) or all_of([job.name for job in jobs])
        return Refusal(404, f"there is no job and no task named {word!r}{hint}", near[:3])


def _is_glob(word: str) -> bool:
    return any(letter in word for letter in "*?[")


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """At most three known names that are most like this one; of short names half a likeness is enough."""
    lowered = {name.lower(): name for name in known}
    alike = SHORT_ALIKE if len(word) <= SHORT else ALIKE
    return [lowered[name] for name in difflib.get_close_matches(word.lower(), lowered, 3, alike)]


def perhaps(near: Sequence[str]) -> str:
    """`` (did you mean 'a' or 'b'?)``, or nothing."""
    return f" (did you mean {' or '.join(repr(name) for name in near)}?)" if near else ""


def all_of(jobs: Sequence[str]) -> str:
    """`` (the jobs are 'a' and 'b')`` when there are few; nothing when there are many."""
    if not jobs:
        return " (there are no jobs)"
    if len(jobs) > FEW:
        return ""
    *most, last = [repr(name) for name in jobs]
    return f" (the jobs are {', '.join(most)} and {last})" if most else f" (the only job is {last})"
