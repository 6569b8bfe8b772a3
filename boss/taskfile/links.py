"""From texts to edges: whom each task waits for, because it says so (``after``) or because it reads what another yields (``inputs``).

Rules:
- A literal id or path goes before a glob; a glob must match something; nobody waits for itself.
- An input is a pushed file, what another task yields, or a file that lies in the job's folder already. In the dialects it may also be
  nothing of these: then it is looked for when the task runs. What lies outside the job (shared data) is collected for the datastore.
- Init tasks run on each worker before the job's other tasks there: waiting for one is understood and makes no edge, and one that waits
  for anything but an earlier init task is an error.
"""

from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain

from boss.core.templates import rows, size_of
from boss.taskfile.context import Context
from boss.taskfile.entry import Content, Entry
from boss.taskfile.files import input_remedy, path_problem
from boss.taskfile.inputs import destination_problem, shared_problem
from boss.taskfile.missing import Missing
from boss.taskfile.paths import PathIndex, unreadable
from boss.taskfile.problems import Neighbours, Outside, Problems, quoted
from boss.taskfile.roster import NOBODY, Roster
from boss.taskfile.yields import Yields
from datastore.layout import is_folder, is_pattern
from datastore.sources import LEGACY, SHARED, is_outside
from worker.texts import Text

#: All edges of a job. More would fill the boss's memory, and one task in between does the same with far fewer.
MAX_EDGES = 20_000_000
#: How many answers about globs are remembered at a time.
_REMEMBERED = 20_000

#: Whom a text of a task (its index, the text's place, the text) makes the task wait for.
_Resolve = Callable[[int, str, str], Sequence[int]]


class Links:
    """The edges of a job: task t waits for ``edges[begins[t]:ends[t]]``. ``read`` collects the pushed files that are inputs,

    ``missing`` what the dialects may ask for although nobody has it.
    """

    def __init__(self, content: Content, roster: Roster, yields: Yields, context: Context, problems: Problems) -> None:
        count = len(roster.names)
        self.begins = array("I", bytes(4 * count))
        self.ends = array("I", bytes(4 * count))
        self.edges = array("I")
        self.read: set[str] = set()
        self.missing = Missing(context.beside)
        self._content = content
        self._roster = roster
        self._yields = yields
        self._problems = problems
        self._pushed = context.files
        self._sent = PathIndex(context.files)
        self._there = context.results | (context.existing.files if context.existing else frozenset())
        self._there_index = PathIndex(self._there)
        self._globs: dict[str, Sequence[int]] = {}
        self._neighbours = Neighbours(chain(yields.files, context.files))
        if context.existing is not None:
            for task, needed in enumerate(context.existing.dependencies):
                if task not in roster.replaced:
                    self._add(task, needed)

    def enter(self, entry: Entry, start: int) -> None:
        """Link the tasks of one entry, whose rows begin at ``start`` in the roster."""
        fixed: list[tuple[_Resolve, str, str]] = []
        varied: list[tuple[_Resolve, str, Iterator[str]]] = []
        for resolve, place, text in self._texts(entry):
            if isinstance(text, str):
                fixed.append((resolve, place, text))
            else:
                varied.append((resolve, place, rows(text, entry.template.grid)))
        tasks = self._roster.tasks[start : start + size_of(entry.template.grid)]
        first = next((task for task in tasks if task != NOBODY), None)
        if first is None:
            return
        # What does not vary is looked up once, and told once.
        common = {needed for resolve, place, text in fixed for needed in resolve(first, place, text)}
        columns = zip(*(column for _, _, column in varied), strict=True) if varied else None
        for task in tasks:
            needed = common
            if columns is not None:
                texts = next(columns)
                if task == NOBODY:
                    continue
                needed = common.copy()
                for (resolve, place, _), text in zip(varied, texts, strict=True):
                    needed.update(resolve(task, place, text))
            if task != NOBODY:
                self._add(task, self._without_inits(entry, task, needed) if self._roster.inits else needed)

    def _texts(self, entry: Entry) -> Iterator[tuple[_Resolve, str, Text]]:
        after = self._after_literally if entry.lenient else self._after
        reads = self._input_leniently if entry.lenient else self._input
        for place, text in entry.after:
            yield after, place, text
        for place, spec in zip(entry.input_places, entry.template.inputs, strict=True):
            yield reads, place, spec.source
            if spec.to is not None and not entry.lenient:
                yield self._destination, place, spec.to

    def _add(self, task: int, needed: Collection[int]) -> None:
        """The edges of one task. Raises Refused when there are too many in all."""
        if not needed:
            return
        self.begins[task] = len(self.edges)
        self.edges.extend(sorted(other for other in needed if other != task))
        self.ends[task] = len(self.edges)
        if len(self.edges) > MAX_EDGES:
            remedy = "let one task wait for the many, and the others for that one (`after`)"
            self._wrong(task, "", f"the tasks wait for each other in more than {MAX_EDGES:,} ways: {remedy}")
            self._problems.raise_if_any()

    def _without_inits(self, entry: Entry, task: int, needed: set[int]) -> set[int]:
        """What is left when the order of init tasks and others, which goes without saying, is taken away."""
        inits, label = self._roster.inits, self._roster.label
        if not entry.template.init:
            return needed - inits
        for other in sorted(needed - inits):
            self._wrong(task, "", f"an init task runs before the job's other tasks; it cannot wait for {label(other)}")
        for other in sorted(needed & inits):
            if other > task:
                self._wrong(task, "", f"init tasks run in the order of the file: move {label(other)} before this one")
        return set()

    def _wrong(self, task: int, place: str, message: str) -> None:
        self._problems.add(self._roster.label(task), place, message)

    # ---- after -------------------------------------------------------------------------------------------------------

    def _after_literally(self, task: int, place: str, name: str) -> Sequence[int]:
        found = self._roster.index_of(name)
        if found == task:
            self._wrong(task, place, "names the task itself")
        elif found is not None:
            return (found,)
        elif self._content.names_known:
            hint = "" if self._problems.full else self._roster.hint(name)
            self._wrong(task, place, f"there is no task {quoted(name)}{hint}")
        return ()

    def _after(self, task: int, place: str, name: str) -> Sequence[int]:
        if not is_pattern(name) or self._roster.index_of(name) is not None:
            return self._after_literally(task, place, name)
        if (reason := unreadable(name)) is not None:
            self._wrong(task, place, f"{quoted(name)} {reason}")
            return ()
        found = self._remembered("after " + name, lambda: self._roster.called_like(name))
        if self._content.names_known and not any(other != task for other in found):
            self._wrong(task, place, f"no other task's id matches {quoted(name)}")
        return found

    # ---- inputs ------------------------------------------------------------------------------------------------------

    def _destination(self, task: int, place: str, path: str) -> Sequence[int]:
        if (reason := destination_problem(path)) is not None:
            self._wrong(task, place, f"{quoted(path)} {reason}")
        return ()

    def _input(self, task: int, place: str, path: str) -> Sequence[int]:
        if path.startswith(LEGACY):
            self._wrong(task, place, f"{quoted(path)} {path_problem(path)}")
            return ()
        found, known = self._lookup(task, place, path)
        # What this task yields nobody else may yield: an entry that could not be read does not change that.
        certain = self._content.yields_known or task in found
        if not known and certain and not any(other != task for other in found):
            self._wrong(task, place, self._nowhere(task, path))
        return found

    def _input_leniently(self, task: int, place: str, path: str) -> Sequence[int]:
        found, known = self._lookup(task, place, path)
        if not known and path not in self._content.makes and not any(other != task for other in found):
            self.missing.add(self._roster.label(task), place, path)
        return found

    def _lookup(self, task: int, place: str, path: str) -> tuple[Sequence[int], bool]:
        """The tasks that yield something of an input, and whether it is there in any case (or was told to be wrong)."""
        if is_outside(path):
            self._look_outside(task, place, path)
            return (), True
        owner = self._yields.files.get(path)
        if owner is not None and owner != task:
            return (owner,), True
        if (reason := path_problem(path)) is not None:
            self._wrong(task, place, f"{quoted(path)} {reason}{input_remedy(path)}")
            return (), True
        if is_pattern(path) or is_folder(path):
            found = self._remembered("input " + path, lambda: self._meeting(path))
            return found, self._sent.any(path) or self._there_index.any(path)
        if path in self._pushed:
            self.read.add(path)
        return self._yields.yielding(path), path in self._pushed or path in self._there

    def _look_outside(self, task: int, place: str, source: str) -> None:
        """Remember what the datastore is to be asked for, once for each source."""
        if source.startswith(SHARED) and (reason := shared_problem(source)) is not None:
            self._wrong(task, place, f"{quoted(source)} {reason}")
        elif source not in self._problems.outside:
            self._problems.outside[source] = Outside(source, self._roster.label(task), place)

    def _meeting(self, pattern: str) -> Sequence[int]:
        self.read.update(self._sent.matching(pattern))
        return self._yields.meeting(pattern)

    def _remembered(self, question: str, ask: Callable[[], Sequence[int]]) -> Sequence[int]:
        if question not in self._globs:
            if len(self._globs) >= _REMEMBERED:
                self._globs.clear()
            self._globs[question] = array("I", sorted(set(ask())))
        return self._globs[question]

    def _nowhere(self, task: int, path: str) -> str:
        """Why an input cannot be had, and the remedy."""
        if self._problems.full:
            return "cannot be had"
        if task in self._yields.yielding(path):
            return (
                f"{quoted(path)} is yielded by this task only, so it cannot be there before: leave it out, or yield it elsewhere"
            )
        if is_pattern(path) or is_folder(path):
            return f'nothing matches {quoted(path)}: no other task yields such files, and none are pushed (add them to "files")'
        if path in self._yields.folders or self._sent.any(path + "/"):
            return f'{quoted(path)} is a folder: write "{path}/"'
        hint = self._neighbours.hint(path)
        return f'no task yields {quoted(path)}, and no such file is pushed: add it to "files"{hint}'
