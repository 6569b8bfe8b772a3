"""Chains and circles, compared with networkx on small random graphs."""

from array import array

import networkx
from hypothesis import given
from hypothesis import strategies as st

from boss.taskfile.graph import chains, circles


def arrays(needs: list[set[int]]) -> tuple[array, array, array]:
    """The three arrays of a graph given as "task t needs these"."""
    edges = array("I", (needed for task in needs for needed in sorted(task)))
    ends = array("I")
    for task in needs:
        ends.append((ends[-1] if ends else 0) + len(task))
    return array("I", [end - len(task) for end, task in zip(ends, needs, strict=True)]), ends, edges


@given(
    st.integers(1, 8).flatmap(
        lambda count: st.lists(st.sets(st.integers(0, count - 1), max_size=3), min_size=count, max_size=count)
    )
)
def test_ranks_and_circles_are_what_networkx_finds(needs: list[set[int]]) -> None:
    begins, ends, edges = arrays(needs)
    graph = networkx.DiGraph([(task, needed) for task, these in enumerate(needs) for needed in these])
    graph.add_nodes_from(range(len(needs)))
    ranks, residue = chains(begins, ends, edges)
    if networkx.is_directed_acyclic_graph(graph):
        assert not residue
        below = {
            task: max((networkx.dag_longest_path_length(graph.subgraph({task, *networkx.ancestors(graph, task)})),))
            for task in graph
        }
        assert [ranks[task] for task in range(len(needs))] == [below[task] for task in range(len(needs))]
        return
    found = circles(residue, begins, ends, edges)
    knots = [
        knot
        for knot in networkx.strongly_connected_components(graph)
        if len(knot) > 1 or any(task in needs[task] for task in knot)
    ]
    assert len(found) == len(knots)
    for circle in found:
        assert circle[0] == min(circle)
        assert all(needed in needs[task] for task, needed in zip(circle, [*circle[1:], circle[0]], strict=True))


def test_a_long_chain_needs_no_recursion() -> None:
    needs: list[set[int]] = [set(), *({task} for task in range(99_999))]
    ranks, residue = chains(*arrays(needs))
    assert (ranks[0], ranks[99_999], residue) == (99_999, 0, [])
