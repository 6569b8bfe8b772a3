"""Why tasks run again, or are kept, told in a bounded number of lines: small groups task by task, large ones by their first few.

Rules:
- A group is what one sweep, or all the plain tasks together, make run for the same kind of reason: a million rows are one group.
- Of more groups than ``GROUPS`` only the tasks are counted.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

#: How many groups are told; the largest group whose tasks are all told; how many are told of a larger one.
GROUPS = 100
ALL = 10
FEW = 3


@dataclass(slots=True)
class Group:
    """Tasks with one kind of reason: how many, and the first of them, each with its sentence, and how far up in the graph it stands."""

    count: int = 0
    told: list[tuple[str, str]] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)

    def lines(self) -> Iterator[tuple[str, str, int]]:
        """``(task, sentence, how many more there are like it)``; only the last line of a large group counts more."""
        told = self.told if self.count <= ALL else self.told[:FEW]
        for place, (name, sentence) in enumerate(told, 1):
            yield name, sentence, self.count - len(told) if place == len(told) else 0


class Groups:
    """Groups in the order in which they were met."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, Group] = {}
        self.untold = 0

    def add(self, kind: Hashable, name: str, sentence: Callable[[], str], rank: int = 0) -> None:
        """One more task of a kind; its sentence is only made when it may be told. What has a higher ``rank`` is told earlier."""
        group = self._groups.get(kind)
        if group is None:
            if len(self._groups) >= GROUPS:
                self.untold += 1
                return
            group = self._groups[kind] = Group()
        group.count += 1
        if group.count <= ALL:
            group.told.append((name, sentence()))
            group.ranks.append(rank)

    @property
    def told(self) -> list[Group]:
        """The groups."""
        return list(self._groups.values())


def in_order(groups: Iterable[Group]) -> list[tuple[str, str, int]]:
    """The lines of all groups: a cause before what follows from it, else as they were met."""
    ranked = [(rank, line) for group in groups for rank, line in zip(group.ranks, group.lines(), strict=False)]
    return [line for _, line in sorted(ranked, key=lambda pair: -pair[0])]


def listed(names: Sequence[str], count: int | None = None, most: int = FEW) -> str:
    """``a, b, c and 4,967 more``; ``count`` is how many there are in all, when not all of them are given."""
    total = len(names) if count is None else count
    shown = ", ".join(names[:most])
    return f"{shown} and {total - most:,} more" if total > most else shown
