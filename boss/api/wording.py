"""A line of text among others that are worded alike: what varies between them, and what is always the same. Pure.

Rules:
- At level 0 texts are alike when they are equal; at level 1 when they differ in numbers only; at level 2 in quoted texts and
  paths, too.
- What is the same in all of them is shown as it is; only what varies is written ``#`` (numbers) or ``...`` (the rest).
"""

import re

#: The level at which numbers do not matter, and the highest.
NUMBERS = 1
LEVELS = 2

_NUMBER = re.compile(
    r"0[xX][0-9a-fA-F]+|(?<![\w])(?=[0-9a-fA-F-]*\d)[0-9a-fA-F]{8}(?:[0-9a-fA-F-]*[0-9a-fA-F])?(?![\w])"
    r"|(?:(?<![\w.])[-+])?\d+(?:[.,:]\d+)*(?:[eE][-+]?\d+)?"
)
_NAME = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\S*/\S*")
#: Where a part begins and ends that may vary, and what is written for it.
_Part = tuple[int, int, str]


class Wording:
    """One text, and which of its parts vary among those that it has ``met``."""

    __slots__ = ("_parts", "_varies", "alike", "text")

    def __init__(self, text: str, level: int) -> None:
        self.text = text
        self._parts = _parts(text, level)
        self._varies = [False] * len(self._parts)
        self.alike = _written(text, self._parts) if self._parts else text  #: equal for texts that are alike

    @property
    def varies(self) -> bool:
        """Whether it has met another text."""
        return any(self._varies)

    def meet(self, other: "Wording") -> None:
        """Another text that is alike, with all that varies in it."""
        if other.text == self.text and not other.varies:
            return
        if len(other._parts) != len(self._parts):  # a "#" that is really there met a number
            self._varies = [True] * len(self._parts)
            return
        for place, (mine, theirs) in enumerate(zip(self._parts, other._parts, strict=True)):
            same = self.text[mine[0] : mine[1]] == other.text[theirs[0] : theirs[1]]
            self._varies[place] = self._varies[place] or other._varies[place] or not same

    def raised(self, level: int) -> "Wording":
        """The same at a higher level."""
        higher = Wording(self.text, level)
        found = [part for part, varies in zip(self._parts, self._varies, strict=True) if varies]
        higher._varies = [any(start <= one[0] and one[1] <= end for one in found) for start, end, _ in higher._parts]
        return higher

    def shown(self) -> str:
        """The text with a mark for each part that varies."""
        return _written(self.text, [part for part, varies in zip(self._parts, self._varies, strict=True) if varies])


def _parts(text: str, level: int) -> list[_Part]:
    if not level:
        return []
    numbers = [(found.start(), found.end(), "#") for found in _NUMBER.finditer(text)]
    if level == NUMBERS:
        return numbers
    names = [(found.start(), found.end(), "...") for found in _NAME.finditer(text)]
    rest = [one for one in numbers if not any(start <= one[0] and one[1] <= end for start, end, _ in names)]
    return sorted(names + rest)


def _written(text: str, parts: list[_Part]) -> str:
    pieces, end = [], 0
    for start, stop, mark in parts:
        pieces += [text[end:start], mark]
        end = stop
    return "".join([*pieces, text[end:]])
