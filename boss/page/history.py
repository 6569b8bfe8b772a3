"""What the last hours were like: the loop's view, looked at every ten seconds and kept in bounded memory. And from it how fast jobs go.

Rules:
- The view is what the loop has published anyway: looking at it costs the loop nothing.
- Only unfinished jobs have a history of their own, of some minutes: it tells their rate, and when they will be done.
"""

import threading
from collections import deque
from types import TracebackType

from boss.core.model import FINAL_STATES
from boss.core.view import JobView, View
from boss.page import shown
from boss.ports import Datastore, DatastoreDown, Desk

#: Seconds between two looks, how many are kept (six hours), and how many of a job (five minutes).
EVERY = 10.0
KEPT = 2160
OF_A_JOB = 30
#: Every so many looks the datastore is asked for its room; below this part of it there is little.
ROOM, LITTLE = 6, 0.05
#: Points that a chart gets at most.
POINTS = 360

#: Time, running, ready, waiting for others, cores used, cores there, cores wanted by what is ready, workers, VMs, tasks per second.
Sample = tuple[float, int, int, int, float, float, float, int, int, float]


class History:
    """Looks at the desk's view while the context lasts."""

    def __init__(self, desk: Desk, datastore: Datastore | None = None) -> None:
        self._desk = desk
        self._datastore = datastore
        self.little = ""  #: a sentence when there is little room left on the datastore
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._jobs: dict[str, deque[tuple[float, int]]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)

    def __enter__(self) -> "History":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        looks = 0
        while not self._ended.is_set():
            self.look(self._desk.view())
            if looks % ROOM == 0:
                self.look_for_room()
            looks += 1
            self._ended.wait(EVERY)

    def look_for_room(self) -> None:
        """See whether the datastore is nearly full; one that does not answer is told of by the loop."""
        if self._datastore is None:
            return
        try:
            place, free, size = self._datastore.space()
        except DatastoreDown:
            return
        low = size > 0 and free < LITTLE * size
        self.little = (
            f"The datastore is nearly full: {shown.size(free)} of {shown.size(size)} are left at {place}." if low else ""
        )

    def look(self, view: View) -> None:
        """Keep what a view says."""
        tasks = view.tasks
        used, had, waiting = view.cores
        there = sum(1 for worker in view.workers if worker.state == "online")
        self._samples.append(
            (
                view.taken,
                tasks.get("running", 0),
                tasks.get("ready", 0) + tasks.get("delayed", 0) + tasks.get("assigned", 0),
                tasks.get("waiting", 0),
                used,
                had,
                used + waiting,
                there,
                len(view.vms),
                view.rate,
            )
        )
        kept = {}
        for job in view.jobs:
            if job.finished is None:
                seen = self._jobs.get(job.uid) or deque(maxlen=OF_A_JOB)
                seen.append((view.taken, finished_of(job)))
                kept[job.uid] = seen
        self._jobs = kept

    def samples(self) -> list[Sample]:
        """What was seen, oldest first, thinned to what a chart can show; the newest is always there."""
        found = list(self._samples)
        step = max(1, len(found) // POINTS)
        return found[::-1][::step][::-1]

    def rate(self, job: JobView, now: float) -> float:
        """Tasks of a job that finish per second, over the last minutes; 0 where none did."""
        done = finished_of(job)
        seen = self._jobs.get(job.uid)
        if seen:
            then, before = seen[0]
            if now - then >= EVERY and done >= before:
                return (done - before) / (now - then)
        if job.since is not None and now - job.since >= 1.0 and job.created == job.since:
            return done / (now - job.since)
        return 0.0

    def left(self, job: JobView, now: float) -> float | None:
        """In how many seconds a job will be done, as it goes now; None where nobody can tell."""
        rate, rest = self.rate(job, now), sum(job.tasks.values()) - finished_of(job)
        return rest / rate if rate > 0 and rest and job.state == "running" else None


def finished_of(job: JobView) -> int:
    """How many of its tasks have finished, in whatever way."""
    return sum(number for state, number in job.tasks.items() if state in FINAL_STATES)
