"""A drawing of a directed graph in layers, from left to right: whoever is waited for stands left of whoever waits. Pure.

Rules:
- A node's layer is the longest way to it; edges over several layers bend around what stands between (they have a place in each).
- Within layers nodes are put beside those that they are linked to (barycentres, there and back), then moved towards them.
- The graph has no cycle: pushes with one are refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

#: Looks at all layers, there and back.
SWEEPS = 6


@dataclass(frozen=True, slots=True)
class Drawing:
    """Places of nodes (left upper corners), edges as SVG paths, and how large it all is."""

    places: dict[int, tuple[float, float]]
    edges: list[tuple[int, int, str]]
    width: float
    height: float


def draw(
    nodes: Sequence[int], edges: Sequence[tuple[int, int]], size: tuple[float, float], gap: tuple[float, float] = (70.0, 16.0)
) -> Drawing:
    """The drawing of these nodes, each of one size; an edge ``(a, b)`` says that b waits for a."""
    if not nodes:
        return Drawing({}, [], 0.0, 0.0)
    layer = _layers(nodes, edges)
    chains, ranks = _chains(nodes, edges, layer)
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for chain in chains.values():
        for one, other in pairwise(chain):
            before.setdefault(other, []).append(one)
            after.setdefault(one, []).append(other)
    _order(ranks, before, after)
    wide, high = size
    y = _heights(ranks, before, after, high + gap[1])
    least = min(y.values())
    x_of = {number: number * (wide + gap[0]) for number in range(len(ranks))}
    at = {node: (x_of[number], y[node] - least) for number, rank in enumerate(ranks) for node in rank}
    lines = []
    for (source, target), chain in chains.items():
        points = [(at[source][0] + wide, at[source][1] + high / 2)]
        for bend in chain[1:-1]:
            points += [(at[bend][0], at[bend][1] + high / 2), (at[bend][0] + wide, at[bend][1] + high / 2)]
        points.append((at[target][0], at[target][1] + high / 2))
        lines.append((source, target, _path(points)))
    places = {node: at[node] for node in nodes}
    return Drawing(places, lines, max(x for x, _ in at.values()) + wide, max(y for _, y in at.values()) + high)


def _layers(nodes: Sequence[int], edges: Sequence[tuple[int, int]]) -> dict[int, int]:
    """The longest way to each node, in steps (Kahn's order)."""
    missing = dict.fromkeys(nodes, 0)
    below: dict[int, list[int]] = {}
    for source, target in edges:
        missing[target] += 1
        below.setdefault(source, []).append(target)
    layer = dict.fromkeys(nodes, 0)
    free = [node for node in nodes if not missing[node]]
    for node in free:
        for other in below.get(node, ()):
            layer[other] = max(layer[other], layer[node] + 1)
            missing[other] -= 1
            if not missing[other]:
                free.append(other)
    return layer


def _chains(
    nodes: Sequence[int], edges: Sequence[tuple[int, int]], layer: Mapping[int, int]
) -> tuple[dict[tuple[int, int], list[int]], list[list[int]]]:
    """Each edge with a bend (a negative number) in every layer that it crosses; and who stands in which layer."""
    ranks: list[list[int]] = [[] for _ in range(max(layer.values()) + 1)]
    for node in nodes:
        ranks[layer[node]].append(node)
    chains: dict[tuple[int, int], list[int]] = {}
    bend = 0
    for source, target in edges:
        chain = [source]
        for number in range(layer[source] + 1, layer[target]):
            bend -= 1
            ranks[number].append(bend)
            chain.append(bend)
        chains[source, target] = [*chain, target]
    return chains, ranks


def _order(ranks: list[list[int]], before: Mapping[int, list[int]], after: Mapping[int, list[int]]) -> None:
    place = {node: float(index) for rank in ranks for index, node in enumerate(rank)}
    for sweep in range(SWEEPS):
        for rank in ranks if sweep % 2 == 0 else reversed(ranks):
            beside = before if sweep % 2 == 0 else after
            middles = {node: _mean([place[other] for other in beside.get(node, ())], place[node]) for node in rank}
            rank.sort(key=middles.__getitem__)
            place |= {node: float(index) for index, node in enumerate(rank)}


def _heights(
    ranks: list[list[int]], before: Mapping[int, list[int]], after: Mapping[int, list[int]], step: float
) -> dict[int, float]:
    y = {node: (index - len(rank) / 2) * step for rank in ranks for index, node in enumerate(rank)}
    for sweep in range(SWEEPS):
        for rank in ranks if sweep % 2 == 0 else reversed(ranks):
            wanted = [_mean([y[other] for other in (*before.get(node, ()), *after.get(node, ()))], y[node]) for node in rank]
            down, up = list(wanted), list(wanted)
            for index in range(1, len(rank)):
                down[index] = max(down[index], down[index - 1] + step)
            for index in range(len(rank) - 2, -1, -1):
                up[index] = min(up[index], up[index + 1] - step)
            for index, node in enumerate(rank):
                y[node] = (down[index] + up[index]) / 2
    return y


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _path(points: Sequence[tuple[float, float]]) -> str:
    (x, y), *rest = points
    said = [f"M{x:.1f} {y:.1f}"]
    for number, (to_x, to_y) in enumerate(rest):
        if number % 2 == 0:  # between two layers
            middle = (x + to_x) / 2
            said.append(f"C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}")
        else:  # past a layer
            said.append(f"L{to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return "".join(said)
