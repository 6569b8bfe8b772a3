"""Large jobs in pieces: equal tasks that are played through as one which takes as long as all of them, one after the other.

Rules:
- Tasks go together that need the same, run the same program and have the same depth (the longest chain above them), neighbours by index:
  so the pieces wait for each other without circles. A piece waits for all that any of its tasks waits for.
- Of each such kind so many pieces stay that every slot that there can be gets ``FINE`` of them, or fewer where that is too many in all, but
  never fewer than ``COARSE``: the last piece of a slot is then at most that part of its work too long.
- What comes of it is an approximation, which the plan says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil

from boss.core.learned import program_of
from boss.core.model import TaskSpec, Template
from boss.core.ready import shape_of
from simulator.workload import Workload, in_order

#: Pieces for each slot, at best and at worst.
FINE, COARSE = 20, 4


@dataclass(frozen=True, slots=True)
class Pieces:
    """The job in pieces; ``each`` is the most tasks that one has."""

    load: Workload
    each: int


def in_pieces(load: Workload, slots: int, most: int, is_known: Callable[[Template], bool]) -> Pieces | None:
    """The job in at most ``most`` pieces, for so many slots at most; None if it cannot be parted so coarsely.

    ``is_known`` says whether run times of a template's tasks are known beforehand.
    """
    if len(load.tasks) <= most:
        return Pieces(load, 1)
    alike = [(shape_of(template), program_of(template), template.priority) for template in load.templates]
    classes: dict[tuple[object, int], list[int]] = {}
    for number, depth in enumerate(_depths(load.tasks)):
        classes.setdefault((alike[load.tasks[number].template], depth), []).append(number)
    for each_slot in range(FINE, COARSE - 1, -1):
        least = each_slot * slots
        if sum(min(len(members), least) for members in classes.values()) <= most:
            return _parted(load, list(classes.values()), least, is_known)
    return None


def _parted(load: Workload, classes: Sequence[list[int]], least: int, is_known: Callable[[Template], bool]) -> Pieces:
    belongs = [0] * len(load.tasks)
    made = Workload(load.name, (), ())
    templates: list[Template] = []
    firsts: list[TaskSpec] = []
    most = 1
    for members in classes:
        each = ceil(len(members) / least)
        most = max(most, each)
        for start in range(0, len(members), each):
            together = members[start : start + each]
            for number in together:
                belongs[number] = len(firsts)
            first = load.tasks[together[0]]
            template = load.templates[first.template]
            seconds = sum(load.runtimes[number] for number in together)
            templates.append(replace(template, number=len(firsts), runtime=seconds if is_known(template) else 0.0))
            firsts.append(first)
            made.runtimes.append(seconds)
    above: list[set[int]] = [set() for _ in firsts]
    for task in load.tasks:
        above[belongs[task.index]].update(belongs[other] for other in task.dependencies)
    made.templates = tuple(templates)
    made.tasks = tuple(
        replace(first, index=number, template=number, dependencies=tuple(sorted(above[number])))
        for number, first in enumerate(firsts)
    )
    return Pieces(made, most)


def _depths(tasks: Sequence[TaskSpec]) -> list[int]:
    depths = [0] * len(tasks)
    for number in in_order([task.dependencies for task in tasks]):
        depths[number] = max((depths[other] + 1 for other in tasks[number].dependencies), default=0)
    return depths
