"""Who yields what: the outputs of all tasks of a job, for questions with paths, folders and globs.

Rules:
- Tasks are numbers (their index in the job). A file has one task that yields it; folders and globs ("open" outputs) may each yield many.
- Nothing is compared with everything: files lie in a dict, open outputs under their heads and tails (see ``paths``), and a question
  goes only through those whose head and tail agree with its own (one begins with the other).
- Whether two outputs may name one file, ``datastore.layout.overlap`` decides.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from boss.taskfile.paths import PathIndex, fitting, head_of, tail_of
from datastore.layout import overlap

_END = chr(0x10FFFF)
_LAST = 2**63
#: Two outputs that may name one file: a task and its output, then the other.
Clash = tuple[int, str, int, str]


class _Open(NamedTuple):
    """A folder or glob; ``tail`` is written backwards."""

    pattern: str
    task: int
    head: str
    tail: str


class Yields:
    """The outputs of all tasks. Add all of them, then ``seal``, then ask."""

    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.folders: set[str] = set()  #: every folder that some output lies in, without ``/`` at the end
        self._open: list[_Open] = []
        self._by_ends: dict[tuple[str, str], list[int]] = {}
        self._lengths: set[tuple[int, int]] = set()
        self._heads = _Ends([])
        self._tails = _Ends([])
        self._index: PathIndex | None = None

    def add_file(self, path: str, task: int) -> int | None:
        """A file; returns the task that yields it already, if there is one."""
        other = self.files.setdefault(path, task)
        return None if other == task else other

    def add_open(self, pattern: str, task: int) -> None:
        """A folder ``x/`` or a glob."""
        found = _Open(pattern, task, head_of(pattern), tail_of(pattern)[::-1])
        self._by_ends.setdefault((found.head, found.tail), []).append(len(self._open))
        self._lengths.add((len(found.head), len(found.tail)))
        self._open.append(found)

    def seal(self) -> None:
        """All are in: make what the questions need."""
        for path in chain(self.files, (found.head for found in self._open)):
            self._enter_folders(path)
        self._heads = _Ends([(found.head, found.tail) for found in self._open])
        self._tails = _Ends([(found.tail, found.head) for found in self._open])

    def _enter_folders(self, path: str) -> None:
        end = path.rfind("/")
        while end > 0:
            folder = path[:end]
            if folder in self.folders:
                return
            self.folders.add(folder)
            end = folder.rfind("/")

    def yielding(self, path: str) -> list[int]:
        """The tasks that yield this file: by name, or through a folder or glob."""
        found = [self.files[path]] if path in self.files else []
        if self._open:
            found += self._covering(path)
        return found

    def _covering(self, path: str) -> Iterator[int]:
        backwards = path[::-1]
        for head, tail in self._lengths:
            for place in self._by_ends.get((path[:head], backwards[:tail]), ()):
                if fitting(self._open[place].pattern)(path):
                    yield self._open[place].task

    def meeting(self, pattern: str) -> list[int]:
        """The tasks with an output that a folder or glob may name something of."""
        found = [self.files[path] for path in self._files_of(pattern)]
        return found + [self._open[place].task for place in self._overlapping(pattern)]

    def _files_of(self, pattern: str) -> list[str]:
        if self._index is None:
            self._index = PathIndex(self.files)
        return self._index.matching(pattern)

    def _overlapping(self, pattern: str) -> Iterator[int]:
        """The open outputs that meet a folder or glob: heads agree, tails agree, and ``overlap`` says so."""
        if not self._open:
            return
        head, tail = head_of(pattern), tail_of(pattern)[::-1]
        heads, tails = self._heads.agreeing(head), self._tails.agreeing(tail)
        fewer_heads = sum(map(len, heads)) <= sum(map(len, tails))
        places = self._heads.places(heads, tail) if fewer_heads else self._tails.places(tails, head)
        for place in places:
            if overlap(self._open[place].pattern, pattern):
                yield place

    def clashes(self) -> Iterator[Clash]:
        """Outputs of two tasks that may name one file, beside files of one name (``add_file`` tells those)."""
        for path in self.files.keys() & self.folders:
            yield from self._inside(path)
        for place, (pattern, task, _, _) in enumerate(self._open):
            for path in self._files_of(pattern):
                if self.files[path] != task:
                    yield self.files[path], path, task, pattern
            for other in self._overlapping(pattern):
                if other > place and self._open[other].task != task:
                    yield self._open[other].task, self._open[other].pattern, task, pattern

    def _inside(self, path: str) -> Iterator[Clash]:
        """A file that is also a folder in which outputs lie: of other tasks, or else of its own."""
        task, folder = self.files[path], path + "/"
        inside = [(self.files[other], other) for other in self._files_of(folder)]
        inside += [(self._open[place].task, self._open[place].pattern) for place in self._overlapping(folder)]
        others = [found for found in inside if found[0] != task]
        for other, output in others or inside[:1]:
            yield task, path, other, output


class _Ends:
    """Open outputs by one end (head or tail), and within it by the other; both are compared from their beginnings."""

    def __init__(self, ends: list[tuple[str, str]]) -> None:
        self._groups: dict[str, list[tuple[str, int]]] = {}
        for place, (first, second) in enumerate(ends):
            self._groups.setdefault(first, []).append((second, place))
        for group in self._groups.values():
            group.sort()
        self._firsts = sorted((first, 0) for first in self._groups)
        self._first_lengths = {len(first) for first, _ in ends}
        self._second_lengths = {len(second) for _, second in ends}

    def agreeing(self, first: str) -> list[range]:
        """Which first ends begin with this one, or it with them."""
        return _agreeing(self._firsts, self._first_lengths, first)

    def places(self, firsts: list[range], second: str) -> Iterator[int]:
        """The places of the outputs with one of these first ends whose second end agrees as well."""
        for number in chain.from_iterable(firsts):
            group = self._groups[self._firsts[number][0]]
            for entry in chain.from_iterable(_agreeing(group, self._second_lengths, second)):
                yield group[entry][1]


def _agreeing(entries: list[tuple[str, int]], lengths: set[int], end: str) -> list[range]:
    """The sorted entries that begin with ``end``, and those that ``end`` begins with (they have one of these lengths), as ranges."""
    if len(entries) == 1:
        other = entries[0][0]
        return [range(1)] if other.startswith(end) or end.startswith(other) else []
    shorter = [_span(entries, end[:length], end[:length]) for length in lengths if length < len(end)]
    return [_span(entries, end, end + _END), *shorter]


def _span(entries: list[tuple[str, int]], low: str, high: str) -> range:
    """The sorted entries from ``low`` to ``high`` (included)."""
    start = bisect_left(entries, (low,))
    return range(start, bisect_left(entries, (high, _LAST), start))
