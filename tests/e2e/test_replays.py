"""Workflows' traces, replayed by real processes: the graph as networkx has it from the trace, and the files that come out."""

import json
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest
from wfcommons.wfchef.recipes import EpigenomicsRecipe

from datastore.layout import FETCHED, MANIFEST
from tests.e2e.deployment import Deployment, deployed
from tests.generating import generated
from tests.workflows import graph_of, sizes_of, task, trace_of

#: What fetch itself writes beside the results.
OWN = (MANIFEST, FETCHED)


@pytest.fixture(scope="module")
def ecloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("replays")) as deployment:
        yield deployment


def test_a_generated_workflow_runs_in_the_shape_of_its_trace(ecloud: Deployment) -> None:
    trace = generated(EpigenomicsRecipe, 45)
    sizes = sizes_of(trace)
    scale = min(1e-4, 2e7 / sum(sizes.values()))
    job = ecloud.push(trace, "--replay", repr(scale), "--watch", name="epigenomics")
    graph, wanted = nx.node_link_graph(ecloud.look("show_graph", job)), graph_of(trace)
    assert set(graph) == set(wanted)
    assert set(graph.edges) == set(wanted.edges)
    assert {graph.nodes[name]["state"] for name in graph} == {"succeeded"}
    ecloud.admin("fetch", job, "--to", "results")
    yielded = {name for one in trace["workflow"]["specification"]["tasks"] for name in one["outputFiles"]}
    found = {str(path.relative_to(ecloud.folder / "results")): path.stat().st_size for path in _files(ecloud.folder / "results")}
    found = {name: size for name, size in found.items() if name not in OWN}
    assert found == {name: round(sizes[name] * scale) for name in yielded}


def test_what_is_odd_in_a_trace_does_no_harm(ecloud: Deployment) -> None:
    trace = trace_of(
        {**task("NF:A (x)#1"), "inputFiles": ["s3://bucket/in", "/abs"], "outputFiles": ["$(touch pwned)", "d/-rf", "log"]},
        {**task("b"), "inputFiles": ["$(touch pwned)", "d/-rf", "db"], "outputFiles": ["db", "log"], "parents": ["NF:A (x)#1"]},
        {**task("c"), "inputFiles": ["log", "db"], "outputFiles": ["end"], "parents": ["b"]},
        sizes=300_000,
        runtime=0.5,
    )
    job = ecloud.push(trace, "--replay", "0.5", "--watch", name="odd")
    one = ecloud.look("show_task", f"{job}:c")
    assert one["dependencies"] == ["b"]
    assert [item["source"] for item in one["inputs"]] == ["log~2", "db~2"]
    assert one["finished"] - one["started"] >= 0.2
    results = json.loads(ecloud.admin("show_tasks", f"{job}:NF:A*", "--json"))
    assert [task["id"] for task in results] == ["NF:A (x)#1"]
    ecloud.admin("fetch", job, "--to", "odd")
    assert {path.name: path.stat().st_size for path in _files(ecloud.folder / "odd") if path.name not in OWN} == dict.fromkeys(
        ["$(touch pwned)", "-rf", "log", "log~2", "db~2", "end"], 150_000
    )


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
