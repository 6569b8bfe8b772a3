"""Templates of jobs, for listings that show what a task's parameters are: read when first asked for, kept while they are small.

Rules:
- A template never changes once it is written (a merge writes new ones), so what is kept need not be looked at again.
- Jobs are asked for by name and kept by uid: a name may be used again.
- What is kept is bounded by the length of the templates' texts; the one that was not asked for for the longest time goes first.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable

from boss.adapters.database import Database
from boss.core.model import Template
from boss.core.templates import template_from_data

#: How much is kept, in characters of JSON: some ten thousand plain templates, or grids of a few hundred thousand values.
KEPT = 8_000_000
#: Templates that are read at once.
BATCH = 500


class Definitions:
    """The templates in a database. Safe to use from several threads."""

    def __init__(self, db: Database, kept: int = KEPT) -> None:
        self._db = db
        self._kept = kept
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[str, int], tuple[Template, int]] = OrderedDict()
        self._size = 0

    def of(self, job: str, numbers: Iterable[int]) -> dict[int, Template]:
        """These templates of the job of this name; those that there are."""
        for job_number, uid in self._db.select("SELECT number, uid FROM jobs WHERE name = ?", (job,)):
            wanted = set(numbers)
            found = self._remembered(uid, wanted)
            missing = sorted(wanted - found.keys())
            for start in range(0, len(missing), BATCH):
                found |= self._read(job_number, uid, missing[start : start + BATCH])
            return found
        return {}

    def _remembered(self, uid: str, numbers: Iterable[int]) -> dict[int, Template]:
        with self._lock:
            there = [number for number in numbers if (uid, number) in self._found]
            for number in there:
                self._found.move_to_end((uid, number))
            return {number: self._found[uid, number][0] for number in there}

    def _read(self, job: int, uid: str, numbers: list[int]) -> dict[int, Template]:
        marks = ", ".join("?" * len(numbers))
        sql = f"SELECT number, data FROM templates WHERE job = ? AND number IN ({marks})"
        found = {}
        for number, data in self._db.select(sql, (job, *numbers)):
            found[number] = template_from_data(json.loads(data))
            self._keep((uid, number), found[number], len(data))
        return found

    def _keep(self, key: tuple[str, int], template: Template, size: int) -> None:
        with self._lock:
            if key in self._found or size > self._kept:
                return
            self._found[key] = template, size
            self._size += size
            while self._size > self._kept:
                _, (_, gone) = self._found.popitem(last=False)
                self._size -= gone
