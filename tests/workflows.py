"""Small traces of workflows for tests, and the graphs of any trace as networkx sees them."""

from typing import Any

import networkx as nx

Trace = dict[str, Any]


def task(name: str, reads: str = "", writes: str = "", **more: Any) -> dict[str, Any]:
    """A task of a specification; names of files and of ``parents`` and ``children`` between blanks."""
    lists = {"parents": "", "children": "", **more, "inputFiles": reads, "outputFiles": writes}
    return {"name": name, "id": name, **{key: value.split() if isinstance(value, str) else value for key, value in lists.items()}}


def trace_of(*tasks: dict[str, Any], sizes: int = 1000, runtime: float = 10.0, **more: Any) -> Trace:
    """A trace of these tasks, with files of one size and one runtime for all."""
    files = dict.fromkeys(name for one in tasks for name in (*one["inputFiles"], *one["outputFiles"]))
    return {
        "name": "made",
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {"tasks": list(tasks), "files": [{"id": name, "sizeInBytes": sizes} for name in files]},
            "execution": {
                "makespanInSeconds": 1,
                "executedAt": "2026-01-01T00:00:00Z",
                "tasks": [{"id": one["id"], "runtimeInSeconds": runtime} for one in tasks],
            },
        },
        **more,
    }


def graph_of(trace: Trace) -> "nx.DiGraph[str]":
    """The graph that a trace's parents and children make."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for one in trace["workflow"]["specification"]["tasks"]:
        graph.add_node(one["id"])
        graph.add_edges_from((parent, one["id"]) for parent in one["parents"])
        graph.add_edges_from((one["id"], child) for child in one["children"])
    return graph


def sizes_of(trace: Trace) -> dict[str, int]:
    """The bytes of each file of a trace."""
    return {file["id"]: file["sizeInBytes"] for file in trace["workflow"]["specification"]["files"]}
