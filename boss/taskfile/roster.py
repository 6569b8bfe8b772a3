"""Who is called what: every row of every entry gets its task's index in the job.

Rules:
- Tasks that the job has already keep their index; new ones continue the count, in the order of the file.
- What happens to a task that the job has already, ``Merge`` says; without one it is an error.
- A row that the merge leaves alone makes no task: it is ``NOBODY``.
"""

from array import array
from bisect import bisect_right

from boss.core.templates import rows
from boss.taskfile.context import Existing, Merge
from boss.taskfile.entry import Entry
from boss.taskfile.names import ID_RULE, is_id
from boss.taskfile.paths import PathIndex
from boss.taskfile.problems import Neighbours, Problems, quoted
from boss.taskfile.reasons import FEW, listed

#: What can be done with tasks that the job has already.
_CHOICES = (
    "--merge ignore (leave them alone), --merge keep-succeeded (run again those that have not succeeded), "
    "--merge changed (those that would come out differently) or --merge replace (all of them)"
)
#: In place of a task's index: this row makes no task.
NOBODY = 2**32 - 1


class Roster:
    """The names of a job's tasks by index, and the task of each row. ``tasks[starts[e] + r]`` is row r of entry e."""

    def __init__(self, existing: Existing | None, merge: Merge | None, problems: Problems) -> None:
        self.names: list[str] = list(existing.names) if existing else []
        self.first_new = len(self.names)
        self.tasks = array("I")
        self.starts: list[int] = []
        self.before = array("I")  #: like ``tasks``: the task that the job has already under a row's name, or NOBODY
        self.replaced: set[int] = set()
        self.kept = 0
        self.inits: set[int] = {
            index
            for index, number in enumerate(existing.template if existing else ())
            if existing and existing.templates[number].init
        }
        self._existing = existing
        self._merge = merge
        self._problems = problems
        self._by_name = {name: index for index, name in enumerate(self.names)}
        self._first_of: list[int] = []  # by entry: the index that its first new task has, or would have
        self._entries: list[Entry] = []
        self._again: set[int] = set()  # existing tasks that this file has named
        self._taken = array("I")  # those of them of which nobody said what to do with them
        self._first_taken: tuple[str, str] | None = None
        self._ids: PathIndex | None = None
        self._neighbours = Neighbours(self.names)

    def enter(self, entry: Entry) -> None:
        """Give every row of an entry its task."""
        self.starts.append(len(self.tasks))
        self._first_of.append(len(self.names))
        self._entries.append(entry)
        names, by_name, tasks, before = self.names, self._by_name, self.tasks, self.before
        for name in rows(entry.template.name, entry.template.grid):
            fresh = len(names)
            index = by_name.setdefault(name, fresh)
            before.append(index if index < self.first_new else NOBODY)
            if index != fresh:
                index = self._known(entry, name, index)
            else:
                names.append(name)
                if not is_id(name, entry.colons):
                    message = f"{quoted(name)} cannot be {_indefinite(entry.name_field)}: {ID_RULE}"
                    self._problems.add(f"{entry.label} {quoted(name)}", entry.name_field, message)
            tasks.append(index)
            if entry.template.init and index != NOBODY:
                self.inits.add(index)

    def _known(self, entry: Entry, name: str, index: int) -> int:
        """What becomes of a row whose name is taken."""
        label = f"{entry.label} {quoted(name)}"
        if index >= self.first_new or index in self._again:
            self._problems.add(label, entry.name_field, f"is there twice: {self._holder(index)} has the same {entry.name_field}")
            self.names.append(name)  # a task of its own, so that the rest of it is looked at too
            return len(self.names) - 1
        self._again.add(index)
        if self._existing is None or self._merge is None:
            self._taken.append(index)
            self._first_taken = self._first_taken or (label, entry.name_field)
        elif self._merge is Merge.IGNORE or (self._merge is Merge.KEEP_SUCCEEDED and self._existing.succeeded[index]):
            self.kept += 1
            return NOBODY
        self.replaced.add(index)
        self.inits.discard(index)
        return index

    def check_merge(self) -> None:
        """Tell, once for all, of tasks that the job has already when nobody said what to do with them."""
        if self._first_taken is None:
            return
        count = len(self._taken)
        if count == 1:
            self._problems.add(*self._first_taken, f"the job has a task of this name already: say what to do with it: {_CHOICES}")
            return
        named = listed([self.names[index] for index in self._taken[:FEW]], count)
        self._problems.add(
            "", "", f"the job has {count:,} of these tasks already ({named}): say what to do with them: {_CHOICES}"
        )

    def leave_alone(self, place: int) -> None:
        """The row at this place of ``tasks`` makes no task after all: the one that the job has stays as it is."""
        self.replaced.discard(self.tasks[place])
        self.tasks[place] = NOBODY
        self.kept += 1

    def missing(self) -> list[int]:
        """The tasks of the job that the file does not have, except init tasks."""
        return [index for index in range(self.first_new) if index not in self._again]

    def _holder(self, index: int) -> str:
        """The entry that made a new task."""
        return self._made_by(index).label if index >= self.first_new else "an entry before"

    def _made_by(self, index: int) -> Entry:
        return self._entries[bisect_right(self._first_of, index) - 1]

    def output_field(self, index: int) -> str:
        """What the format of a task's entry calls its outputs."""
        return self._made_by(index).output_field if index >= self.first_new else self._entries[0].output_field

    def label(self, index: int) -> str:
        """A task in a sentence about it: ``tasks[3] 'sim-7'``."""
        place = self._holder(index) if index >= self.first_new else "task"
        return f"{place} {quoted(self.names[index])}"

    def index_of(self, name: str) -> int | None:
        """The task of this name."""
        return self._by_name.get(name)

    def called_like(self, pattern: str) -> list[int]:
        """The tasks whose names a glob fits."""
        if self._ids is None:
            self._ids = PathIndex(self.names)
        return [self._by_name[name] for name in self._ids.matching(pattern)]

    def hint(self, name: str) -> str:
        """The nearest name there is, in brackets."""
        return self._neighbours.hint(name)


def _indefinite(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
