"""The datastore's gate of the hostile world: incoming, accepted, trash and the jobs' folders, as ``datastore/`` keeps them.

Rules:
- Acceptance is a rename of ``incoming/<attempt>`` to ``accepted/<attempt>``, then files move forward one by one; death may come between any
  two of these steps, and the same request begins again where it was. Rejection is the other rename.
- It looks at its own promises here: what is accepted, and what lies where something else is put.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from worker.protocol import Assignment, Result

if TYPE_CHECKING:
    from simulator.hostile.boss import Boss
    from simulator.hostile.world import World

Files = tuple[tuple[str, int, str], ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """A file in a job's folder: what it holds, and the attempt that made it."""

    digest: str
    attempt: str


@dataclass(slots=True)
class Upload:
    """A complete upload: its record (with all files), and what of it has not moved forward yet."""

    record: Result
    left: dict[str, str] = field(default_factory=dict)


class Gate:
    """The datastore's host. ``epoch`` is the latest life of a boss that it has seen."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.up, self.full = True, False
        self.epoch = 0
        self._life: Boss | None = None
        self.incoming: dict[str, Upload] = {}
        self.accepted: dict[str, Upload] = {}
        self.trash: set[str] = set()
        self.jobs: dict[str, dict[str, Stored]] = {}
        self.aside: list[tuple[str, str, Stored]] = []
        self.accepts: list[str] = []  #: attempts, in the order of acceptance

    def enter(self, boss: "Boss") -> bool:
        """Whether a boss may work here: none that is older than the newest, and no two of one epoch."""
        if boss.epoch < self.epoch or (boss.epoch == self.epoch and self._life is not boss):
            return False
        self.epoch, self._life = boss.epoch, boss
        return True

    # ---- for the boss ----------------------------------------------------------------------------------------------

    def accept(self, attempt: str, job: str, files: Files, keep: bool) -> str | None:
        """Accept an upload: empty when it lies in the job's folder, a reason when it never will, None when the gate has died over it."""
        upload = self.accepted.get(attempt)
        if upload is None:
            upload = self.incoming.get(attempt)
            if upload is None or upload.record.files != files:
                return "" if self._done(job, files) else f"there is no such upload of attempt {attempt}"
            self.world.witness("accepted", attempt, job)
            del self.incoming[attempt]
            upload.left = {path: digest for path, _, digest in files}
            self.accepted[attempt] = upload
            self.accepts.append(attempt)
            if self._dies():
                return None
        elif upload.record.files != files:
            return f"the upload of attempt {attempt} is another one"
        folder = self.jobs.setdefault(job, {})
        for path, digest in list(upload.left.items()):
            there = folder.get(path)
            if keep and there is not None and there.digest != digest:
                self.aside.append((job, path, there))
                there = None
            self.world.witness("placed", attempt, job, path, there)
            folder[path] = Stored(digest, attempt)
            del upload.left[path]
            if self._dies():
                return None
        del self.accepted[attempt]
        return ""

    def reject(self, attempt: str) -> None:
        """Nothing of it will ever be accepted, unless it is sent again and asked for again."""
        if self.incoming.pop(attempt, None) is not None:
            self.trash.add(attempt)

    def record(self, attempt: str) -> Result | None:
        """What the record of a complete upload says."""
        found = self.incoming.get(attempt) or self.accepted.get(attempt)
        return found.record if found is not None else None

    def _done(self, job: str, files: Files) -> bool:
        folder = self.jobs.get(job, {})
        return all(path in folder and folder[path].digest == digest for path, _, digest in files)

    def _dies(self) -> bool:
        if not self.world.chance.fault("gate dies"):
            return False
        self.world.tell("the datastore dies in the middle of an acceptance")
        self.up = False
        self.world.clock.after(self.world.chance.detail(0.5, 5.0), self.back)
        return True

    def crash(self, seconds: float) -> None:
        """Not reachable for a while."""
        self.up = False
        self.world.clock.after(seconds, self.back)

    def back(self) -> None:
        """Reachable again."""
        self.up = True

    # ---- for the workers -------------------------------------------------------------------------------------------

    def lacks(self, assignment: Assignment) -> list[str]:
        """The inputs that are not there."""
        folder = self.jobs.get(assignment.job, {})
        return [item.source for item in assignment.inputs if item.source not in folder]

    def receive(self, assignment: Assignment, result: Result) -> Result:
        """A whole upload; what was accepted meanwhile is answered with the old record."""
        attempt = assignment.attempt
        there = self.accepted.get(attempt)
        if there is not None:
            return there.record
        delivered = result._replace(files=tuple((out.to, 1, self.content(assignment, out.to)) for out in assignment.outputs))
        waiting = self.incoming.get(attempt)
        if waiting is None or waiting.record.files != delivered.files:
            self.incoming[attempt] = Upload(delivered)
            self.world.witness("uploaded", attempt)
        return delivered

    def content(self, assignment: Assignment, path: str) -> str:
        """What an attempt yields: half of the tasks yield the same each time they run."""
        name = assignment.attempt
        stable = self.world.chance.of(f"stable {assignment.job} {assignment.task}") < 0.5
        return sha256(f"{assignment.task if stable else name}:{path}".encode()).hexdigest()
