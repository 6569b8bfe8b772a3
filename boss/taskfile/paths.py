"""Finding the few of very many paths that a glob names, without comparing it with each.

Rules:
- What a glob names is decided by ``datastore.layout``; here is only decided what need not be asked.
- A glob's head (its text before the first wildcard) and tail (after the last) must begin and end what it names.
- A word of the glob that stands between other characters must be a word of what it names. Words are runs of letters, or of digits and
  dots: whatever stands beside such a run cannot change it.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

from datastore.layout import is_pattern, matcher, odd_class

_WILDCARD = re.compile(r"\[!?[^/][^\]/]*\]|[*?]+")
_WORD = re.compile(r"[^\W\d_]+|[\d.]+")
#: Greater than any character of a path.
_END = chr(0x10FFFF)


def head_of(pattern: str) -> str:
    """What everything that a path, folder or glob names begins with."""
    return _WILDCARD.split(pattern, maxsplit=1)[0].split("[", 1)[0] if is_pattern(pattern) else pattern


def tail_of(pattern: str) -> str:
    """What everything that a path, folder or glob names ends with."""
    if pattern.endswith("/"):
        return ""
    tail = _WILDCARD.split(pattern)[-1].rsplit("]", 1)[-1].rsplit("[", 1)[-1]
    # "**/" may stand for nothing at all.
    return tail.removeprefix("/") if "**" in pattern else tail


def words_of(pattern: str) -> Iterator[str]:
    """The words that every path which a glob names has as a whole."""
    runs = _WILDCARD.split(pattern)
    for place, run in enumerate(runs):
        # The last run of a folder "x/" is followed by more.
        open_left, open_right = place > 0, place < len(runs) - 1 or pattern.endswith("/")
        for word in _WORD.finditer(run):
            if not (open_left and word.start() == 0) and not (open_right and word.end() == len(run)):
                yield word[0]


def fitting(pattern: str) -> Callable[[str], object]:
    """A function that says whether a path is what a path, folder or glob names; cheap for the usual ones."""
    if not is_pattern(pattern):
        return (lambda path: path.startswith(pattern)) if pattern.endswith("/") else pattern.__eq__
    if pattern.count("*") == 1 and "?" not in pattern and "[" not in pattern and not pattern.endswith("/"):
        head, tail = pattern.split("*")
        least, stop = len(head) + len(tail), len(tail)
        return lambda path: (
            len(path) >= least and path.startswith(head) and path.endswith(tail) and "/" not in path[len(head) : len(path) - stop]
        )
    return matcher(pattern).fullmatch


def unreadable(pattern: str) -> str | None:
    """Why a glob cannot be read (``[z-a]``); None if it can."""
    if "[" not in pattern:
        return None
    for found in _WILDCARD.finditer(pattern):
        if any(pair in found[0] for pair in ("--", "&&", "~~", "||")):
            return f"has the character set {found[0]}, which cannot be read: name each character once"
    return "has a character set that cannot be read, such as [z-a]" if odd_class(pattern) else None


class PathIndex:
    """Many paths (or names), for questions with folders and globs. ``paths`` may hold a path several times."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths: Sequence[str] = sorted(paths)
        self._words: dict[str, array[int]] | None = None
        self._compared = 0

    def __contains__(self, path: str) -> bool:
        place = bisect_left(self.paths, path)
        return place < len(self.paths) and self.paths[place] == path

    def matching(self, pattern: str) -> list[str]:
        """The paths that a folder or glob names, sorted."""
        head = head_of(pattern)
        low = bisect_left(self.paths, head)
        high = bisect_left(self.paths, head + _END, low)
        if pattern == head:  # a folder
            return list(self.paths[low:high])
        fits = fitting(pattern)
        return [path for path in self._candidates(pattern, low, high) if fits(path)]

    def any(self, pattern: str) -> bool:
        """Whether a folder or glob names any of the paths."""
        return bool(self.matching(pattern))

    def _candidates(self, pattern: str, low: int, high: int) -> Iterable[str]:
        """The paths from ``low`` to ``high``, or those that have the glob's rarest word when that pays."""
        self._compared += high - low
        if high - low < 256 or self._compared < 8 * len(self.paths):
            return self.paths[low:high]
        if self._words is None:
            self._words = _indexed(self.paths)
        words = self._words
        rarest = min((words.get(word, ()) for word in words_of(pattern)), key=len, default=None)
        if rarest is None or len(rarest) >= high - low:
            return self.paths[low:high]
        return [self.paths[place] for place in rarest]


def _indexed(paths: Iterable[str]) -> "dict[str, array[int]]":
    """Each word, with the places of the paths that have it."""
    words: dict[str, array[int]] = {}
    for place, path in enumerate(paths):
        for word in set(_WORD.findall(path)):
            words.setdefault(word, array("I")).append(place)
    return words
