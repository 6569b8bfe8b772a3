"""What differs between a task of a push and the task that the job has: its definition, and the pushed files that its result was made of.

Rules:
- A definition is what the worker is told and what decides the result: commands, inputs, outputs, variables, all with the parameters in
  place, and whether it is an init task. How the texts came about (which entry, which grid), cpus, memory, timeout, runtime, retries and
  priority do not count, and neither does the order of inputs, outputs and variables.
- Files are compared with those that the task's last attempt was given, by digest and permission bits. Where nobody knows them (an
  earlier version dealt it, or its results were there already), or where the next attempt is still to be dealt, with the job's files as
  they were before this push.
- Entries whose texts and grid are the same are not rendered. Others are rendered text by text, so that only one kind of texts of a
  hundred thousand tasks is in memory at a time.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat

from boss.core.model import OTHER_DEFINITION, UNKNOWN_FILES, InputSet, OutputSpec, TaskState, Template
from boss.core.templates import rows, size_of, texts_of
from boss.taskfile.context import Digests, Existing
from boss.taskfile.entry import Entry
from boss.taskfile.paths import PathIndex
from boss.taskfile.reasons import FEW
from boss.taskfile.roster import NOBODY
from datastore.layout import is_folder, is_pattern
from worker.texts import Text, render

#: What differs of a task: sentences about its definition, then about its files.
Difference = tuple[tuple[str, ...], tuple[str, ...]]
SAME: Difference = ((), ())
_TO_BE_DEALT = frozenset({TaskState.WAITING, TaskState.READY, TaskState.DELAYED})


class _Kind:
    """One kind of texts of a template: how they are called, how many belong together, and whether their order matters."""

    def __init__(self, name: str, bit: int, texts: Callable[[Template], list[Text]], together: int = 0) -> None:
        self.name = name
        self.bit = bit
        self.texts = texts
        self.together = together  #: 0: the order matters

    def rendered(self, template: Template) -> Iterator[tuple[str, ...]]:
        """The texts of every row."""
        texts = self.texts(template)
        return zip(*(rows(text, template.grid) for text in texts), strict=True) if texts else repeat((), size_of(template.grid))

    def same(self, one: tuple[str, ...], other: tuple[str, ...]) -> bool:
        if one == other:
            return True
        return bool(self.together) and len(one) == len(other) and self._sorted(one) == self._sorted(other)

    def _sorted(self, texts: tuple[str, ...]) -> list[tuple[str, ...]]:
        return sorted(zip(*(texts[place :: self.together] for place in range(self.together)), strict=True))


def _output(spec: OutputSpec) -> tuple[Text, Text, Text]:
    return spec.path, spec.path if spec.to is None else spec.to, "optional" if spec.optional else ""


_KINDS = (
    _Kind("command", 1, lambda template: list(template.commands)),
    _Kind(
        "inputs",
        2,
        lambda t: [text for spec in t.inputs for text in (spec.source, spec.source if spec.to is None else spec.to)],
        2,
    ),
    _Kind("outputs", 4, lambda template: [text for spec in template.outputs for text in _output(spec)], 3),
    _Kind("env", 8, lambda template: [text for name, value in template.env for text in (name, value)], 2),
)
_INPUTS, _INIT = 2, 16
#: What a definition can be, as sentences, by the bits of what differs.
_SENTENCES = {
    bits: (*(f"its {kind.name} changed" for kind in _KINDS if bits & kind.bit), *(("its init changed",) if bits & _INIT else ()))
    for bits in range(32)
}


class Differences:
    """Compares the entries of a push with a job; ``digests`` are the files that the push brings."""

    def __init__(self, existing: Existing, digests: Digests) -> None:
        self._existing = existing
        self._then = _Files(existing.digests)
        self._now = _Files({**existing.digests, **digests})
        self._numbers: dict[InputSet, int] = {files: number for number, files in enumerate(existing.input_sets, 1)}
        self._told: dict[tuple[InputSet, InputSet], tuple[str, ...]] = {}

    def of(self, entry: Entry, before: Sequence[int]) -> Iterator[Difference]:
        """Row by row, what differs from the task of the job that stands in ``before``; ``SAME`` where there is none."""
        bits = self._definitions(entry.template, before)
        unknown = any(task != NOBODY and self._number(task) == UNKNOWN_FILES for task in before)
        then: Iterable[InputSet] = self._then.of(entry.template) if unknown else repeat((), len(before))
        for task, differs, now, assumed in zip(before, bits, self._now.of(entry.template), then, strict=True):
            if task == NOBODY:
                yield SAME
                continue
            number = self._number(task)
            if number == OTHER_DEFINITION:
                yield ("it is defined otherwise than what made its result",), ()
                continue
            files = () if differs & _INPUTS else self._files(number, assumed, now)
            yield (_SENTENCES[differs], files) if differs or files else SAME

    def _number(self, task: int) -> int:
        """The input set that a task's result was made of, or is being made of; one that is still to be dealt gets the job's files."""
        return UNKNOWN_FILES if self._existing.states[task] in _TO_BE_DEALT else self._existing.input_set[task]

    # ---- definitions -------------------------------------------------------------------------------------------------

    def _definitions(self, new: Template, before: Sequence[int]) -> "array[int]":
        """The bits of what differs, row by row."""
        existing = self._existing
        bits = array("B", bytes(len(before)))
        counts = Counter(existing.template[task] for task in before if task != NOBODY)
        like = {number for number in counts if _alike(new, existing.templates[number])}
        rendered = array("I")  # the rows that must be looked at
        for row, task in enumerate(before):
            if task != NOBODY and not (existing.template[task] in like and existing.rows[task] == row):
                rendered.append(row)
                if existing.templates[existing.template[task]].init != new.init:
                    bits[row] |= _INIT
        for kind in _KINDS if rendered else ():
            _compare(kind, new, before, rendered, existing, counts, bits)
        return bits

    # ---- files -------------------------------------------------------------------------------------------------------

    def _files(self, number: int, assumed: InputSet, now: InputSet) -> tuple[str, ...]:
        if number == UNKNOWN_FILES:
            return self._between(assumed, now)
        if self._numbers.get(now, 0 if not now else None) == number:
            return ()
        return self._between(self._existing.input_sets[number - 1] if number else (), now)

    def _between(self, then: InputSet, now: InputSet) -> tuple[str, ...]:
        """Sentences about what differs between two sets of files."""
        if then == now:
            return ()
        if (then, now) not in self._told:
            old, new = ({path: (digest, mode) for path, digest, mode in files} for files in (then, now))
            self._told[then, now] = tuple(_sentences(old, new))
        return self._told[then, now]


def _alike(one: Template, other: Template) -> bool:
    """Whether equal rows of the two are the same task, as far as the result goes."""
    return (
        one.commands == other.commands
        and one.inputs == other.inputs
        and one.outputs == other.outputs
        and one.env == other.env
        and one.init == other.init
        and one.grid == other.grid
    )


def _compare(
    kind: _Kind,
    new: Template,
    before: Sequence[int],
    looked_at: Sequence[int],
    existing: Existing,
    counts: Counter[int],
    bits: "array[int]",
) -> None:
    """Set the kind's bit of the rows (those to be looked at) whose texts differ."""
    columns: dict[int, list[tuple[str, ...]]] = {}
    wanted = iter(looked_at)
    next_row = next(wanted, None)
    for row, texts in enumerate(kind.rendered(new)):
        if row != next_row:
            continue
        next_row = next(wanted, None)
        task = before[row]
        number, old_row = existing.template[task], existing.rows[task]
        old = existing.templates[number]
        if counts[number] * 4 < size_of(old.grid):  # few of a large grid: one by one
            params = texts_of(old, old_row)
            known = tuple(render(text, params) for text in kind.texts(old))
        else:
            if number not in columns:
                columns[number] = list(kind.rendered(old))
            known = columns[number][old_row]
        if not kind.same(texts, known):
            bits[row] |= kind.bit


class _Files:
    """The pushed files that tasks read, at one time."""

    def __init__(self, digests: Digests) -> None:
        self._digests = digests
        self._index = PathIndex(digests)
        self._globs: dict[str, InputSet] = {}

    def of(self, template: Template) -> Iterator[InputSet]:
        """Of each row, as ``boss.core.provenance`` records them."""
        sources = [spec.source for spec in template.inputs]
        fixed = {file for source in sources if isinstance(source, str) for file in self._named(source)}
        varied = [rows(source, template.grid) for source in sources if not isinstance(source, str)]
        common = tuple(sorted(fixed))
        if not varied:
            return repeat(common, size_of(template.grid))
        return (self._joined(fixed, common, named) for named in zip(*varied, strict=True))

    def _joined(self, fixed: set[tuple[str, str, int]], common: InputSet, named: Iterable[str]) -> InputSet:
        more = set(chain.from_iterable(map(self._named, named)))
        return tuple(sorted(fixed | more)) if more else common

    def _named(self, source: str) -> InputSet:
        """The files that one input names."""
        if not is_pattern(source) and not is_folder(source):
            found = self._digests.get(source)
            return () if found is None else ((source, *found),)
        if not self._digests:
            return ()
        if source not in self._globs:
            self._globs[source] = tuple((path, *self._digests[path]) for path in self._index.matching(source))
        return self._globs[source]


def files_of(template: Template, digests: Digests) -> list[InputSet]:
    """The pushed files that each row of a template is given."""
    return list(_Files(digests).of(template))


def _sentences(old: Digests, new: Digests) -> Iterator[str]:
    """The first few files that differ, and how many more."""
    differing = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    for path in differing[:FEW]:
        if path not in new:
            yield f"{path} is not among its inputs any more"
        elif path not in old:
            yield f"{path} is new"
        else:
            yield f"{path} changed" if old[path][0] != new[path][0] else f"{path} changed its permissions"
    if len(differing) > FEW:
        yield f"{len(differing) - FEW:,} more of its files changed"
