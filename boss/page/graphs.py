"""A job's graph as a page can show it: task by task while it is small, else one box for each entry of the task file. Pure.

Rules:
- The tasks of one entry (one ``foreach``, one template) are a family. What a family waits for are the families of what its tasks wait for,
  with the number of such links.
- A family within which tasks wait for each other says so on itself.
- More families than can be looked at are cut, and what was cut is counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape

from boss.core.model import Template
from boss.ports import StructureRow
from worker.texts import Text

#: ``(who is waited for, who waits) -> how often``, by families.
Links = dict[tuple[int, int], int]
#: Tasks that are shown one by one where nobody asks, and when somebody does; families that are shown at most.
FEW, MANY = 24, 600
FAMILIES = 300


@dataclass(slots=True)
class Family:
    """The tasks of one entry. ``first`` is the index of its first task, ``within`` counts links among its own tasks,
    ``glob`` fits their names."""

    number: int
    name: str
    counts: dict[str, int] = field(default_factory=dict)
    first: int = 0
    within: int = 0
    glob: str = "*"

    @property
    def total(self) -> int:
        """How many tasks it has."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Collapsed:
    """Families by number, the links between them with their counts, and how many families are left out."""

    families: dict[int, Family]
    links: dict[tuple[int, int], int]
    left_out: int = 0


def collapse(rows: Sequence[StructureRow], templates: Mapping[int, Template]) -> Collapsed:
    """The families of a job's tasks."""
    counts: dict[tuple[int, str], tuple[int, int]] = {}
    for row in rows:
        number, first = counts.get((row.template, row.state), (0, row.task))
        counts[row.template, row.state] = number + 1, first
    return drawn(counts, links_of(rows), templates)


def links_of(rows: Sequence[StructureRow]) -> Links:
    """The links between the families of a job's tasks: who is waited for, by whom, how often.

    This is the dear part of a drawing, and changes with merges only.
    """
    of_task = {row.task: row.template for row in rows}
    links: Links = {}
    for row in rows:
        if not row.dependencies:
            continue
        found = [(of_task.get(row.dependencies[0]), 1)] if len(row.dependencies) == 1 else _counted(of_task, row)
        for other, count in found:
            if other is not None:
                links[other, row.template] = links.get((other, row.template), 0) + count
    return links


def drawn(counts: Mapping[tuple[int, str], tuple[int, int]], links: Links, templates: Mapping[int, Template]) -> Collapsed:
    """The families as their tasks stand: ``counts`` has for template and state how many tasks, and the first one's index."""
    families: dict[int, Family] = {}
    for (number, state), (count, first) in sorted(counts.items()):
        family = families.get(number)
        if family is None:
            template = templates.get(number)
            name = written(template.name) if template is not None else f"entry {number}"
            pattern = globbed(template.name) if template is not None else "*"
            family = families[number] = Family(number, name, {}, first, links.get((number, number), 0), pattern)
        family.counts[state] = count
        family.first = min(family.first, first)
    between = {pair: count for pair, count in links.items() if pair[0] != pair[1] and set(pair) <= set(families)}
    kept = dict(sorted(families.items())[:FAMILIES])
    shown = {pair: count for pair, count in _without_cycles(families, between).items() if set(pair) <= set(kept)}
    return Collapsed(kept, shown, len(families) - len(kept))


def _counted(of_task: Mapping[int, int], row: StructureRow) -> list[tuple[int | None, int]]:
    """The families of what a task waits for, with how many of each."""
    return list(Counter(map(of_task.get, row.dependencies)).items())


def _without_cycles(families: Mapping[int, Family], links: Mapping[tuple[int, int], int]) -> dict[tuple[int, int], int]:
    """Families may wait for each other crosswise where tasks do not: the lighter direction is left out of the drawing."""
    kept: dict[tuple[int, int], int] = {}
    below: dict[int, set[int]] = {number: set() for number in families}

    def leads(start: int, end: int) -> bool:
        seen, open_ends = {start}, [start]
        while open_ends:
            for other in below[open_ends.pop()]:
                if other == end:
                    return True
                if other not in seen:
                    seen.add(other)
                    open_ends.append(other)
        return False

    for (source, target), count in sorted(links.items(), key=lambda item: -item[1]):
        if not leads(target, source):
            below[source].add(target)
            kept[source, target] = count
    return kept


def written(text: Text) -> str:
    """A text with its parameters as the task file has them: ``run-{T}``."""
    return text if isinstance(text, str) else "".join(part if isinstance(part, str) else f"{{{part.name}}}" for part in text)


def globbed(text: Text) -> str:
    """A glob that fits what a text becomes: ``run-*``."""
    return escape(text) if isinstance(text, str) else "".join(escape(part) if isinstance(part, str) else "*" for part in text)
