"""The shape of a job's graph: the longest chain below each task, and the circles that it must not have.

Rules:
- A graph is three integer arrays: task t needs ``edges[begins[t]:ends[t]]``. A million tasks cost a few megabytes and a second or two.
- Kahn's algorithm takes tasks off from the bottom; what it cannot take off is trimmed from the top as well. Only what is left then,
  which is all on or between circles, is given to networkx, to name them.
"""

from array import array
from collections.abc import Iterable, Sequence

import networkx


def chains(begins: Sequence[int], ends: Sequence[int], edges: Sequence[int]) -> tuple["array[int]", list[int]]:
    """``(ranks, residue)``: the longest chain of tasks that wait for each task, and the tasks that a circle keeps from having one."""
    count = len(begins)
    ranks = array("I", bytes(4 * count))
    waiting = array("I", bytes(4 * count))
    for task in edges:
        waiting[task] += 1
    free = [task for task in range(count) if not waiting[task]]
    taken = 0
    while free:
        task = free.pop()
        taken += 1
        rank = ranks[task] + 1
        for needed in edges[begins[task] : ends[task]]:
            if ranks[needed] < rank:
                ranks[needed] = rank
            waiting[needed] -= 1
            if not waiting[needed]:
                free.append(needed)
    return ranks, [task for task in range(count) if waiting[task]] if taken < count else []


def circles(residue: Iterable[int], begins: Sequence[int], ends: Sequence[int], edges: Sequence[int]) -> list[list[int]]:
    """One circle of each knot of tasks that need each other: ``[a, b, c]`` where a needs b, b needs c and c needs a."""
    left = set(residue)
    graph: networkx.DiGraph[int] = networkx.DiGraph()
    for task in _trimmed(left, begins, ends, edges):
        graph.add_edges_from((task, needed) for needed in edges[begins[task] : ends[task]] if needed in left)
    found = []
    for knot in networkx.strongly_connected_components(graph):
        first = min(knot)
        if len(knot) > 1 or graph.has_edge(first, first):
            circle = [edge[0] for edge in networkx.find_cycle(graph.subgraph(knot), first)]
            start = circle.index(min(circle))
            found.append(circle[start:] + circle[:start])
    return sorted(found)


def _trimmed(left: set[int], begins: Sequence[int], ends: Sequence[int], edges: Sequence[int]) -> set[int]:
    """Takes those off that need nothing of what is left, again and again; changes and returns ``left``."""
    needs = {task: sum(needed in left for needed in edges[begins[task] : ends[task]]) for task in left}
    users: dict[int, list[int]] = {}
    for task in left:
        for needed in edges[begins[task] : ends[task]]:
            if needed in left:
                users.setdefault(needed, []).append(task)
    free = [task for task, count in needs.items() if not count]
    while free:
        task = free.pop()
        left.discard(task)
        for user in users.get(task, ()):
            needs[user] -= 1
            if not needs[user]:
                free.append(user)
    return left
