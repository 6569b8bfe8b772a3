"""``metrics``: one file that the task yields, in every row."""

from typing import Any

import pytest

from boss.core.templates import texts_of
from tests.taskfile.push import push, refusal, tasks
from worker.texts import render

GRID = {"n": {"range": [0, 3]}, "kind": {"values": ["a", "b"]}}


def sweep(metrics: object, *outputs: object, **more: Any) -> dict[str, Any]:
    """A sweep over a grid whose tasks yield these outputs."""
    return tasks({"id": "t-{n}-{kind}", "foreach": GRID, "outputs": list(outputs), "metrics": metrics, **more})


@pytest.mark.parametrize(
    ("metrics", "outputs"),
    [
        ("out/{n}-{kind}.json", ["out/{n}-{kind}.json"]),
        ("out/{n}-{kind}.json", ["log-{n}{kind}", {"path": "out/{n}-{kind}.json", "optional": True}]),
        ("out-{n}{kind}/m.json", ["out-{n}{kind}/"]),
        ("out-{n}{kind}/deep/m.json", ["out-{n}{kind}/**/*.json"]),
        ("{n}{kind}-result.json", ["{n}{kind}*.json"]),
    ],
)
def test_metrics_are_a_file_that_an_output_yields(metrics: str, outputs: list[object]) -> None:
    template = push(sweep(metrics, *outputs)).templates[0]
    assert render(template.metrics, texts_of(template, 3)) == metrics.replace("{n}", "1").replace("{kind}", "b")


def test_a_task_without_a_grid_may_have_metrics() -> None:
    assert push(tasks({"id": "a", "outputs": ["m.json"], "metrics": "m.json"})).templates[0].metrics == "m.json"


@pytest.mark.parametrize(
    ("metrics", "outputs", "sentence"),
    [
        ("m.json", [], "metrics: 'm.json' is not yielded: add it to the task's outputs"),
        (
            "out/{n}.json",
            ["out/{n}-{kind}.json"],
            "metrics: 'out/0.json' is yielded by none of the task's outputs ('out/0-a.json'): add it to them",
        ),
        ("out/{kind}.json", ["{n}{kind}/", "out-{n}{kind}/*"], "yielded by none of the task's outputs ('0a/', 'out-0a/*')"),
        (
            "out-{n}{kind}/",
            ["out-{n}{kind}/"],
            "metrics: 'out-0a/' is a folder or glob: name the one file that holds the numbers",
        ),
        ("{n}{kind}*.json", ["{n}{kind}*.json"], "metrics: '0a*.json' is a folder or glob"),
        ("../{n}.json", ["{n}{kind}/"], "metrics: '../0.json' "),
        ("/{n}.json", ["{n}{kind}/"], "metrics: '/0.json' "),
        ("{m}.json", ["{n}{kind}/"], "metrics: {m} has no value: this task's foreach has no such parameter"),
        ("  ", ["{n}{kind}/"], "metrics: is empty"),
        (["m.json"], ["{n}{kind}/"], "metrics: must be a text in double quotes, not a list"),
        (None, ["{n}{kind}/"], "metrics: must be a text in double quotes, not null"),
    ],
)
def test_wrong_metrics_are_told_once_with_task_and_field(metrics: object, outputs: list[object], sentence: str) -> None:
    [said] = refusal(sweep(metrics, *outputs))
    assert said.startswith("tasks[0] 't-{n}-{kind}': metrics: ")
    assert sentence in said


def test_a_row_in_the_middle_that_yields_another_file_is_named() -> None:
    grid = {"n": {"values": ["1", "2", "3"]}, "file": {"values": ["1.json"]}}
    document = tasks({"id": "t-{n}", "foreach": grid, "outputs": ["{n}.json"], "metrics": "{file}"})
    assert refusal(document) == [
        "tasks[0] 't-{n}': metrics: '1.json' is yielded by none of the task's outputs ('2.json'): add it to them"
    ]


def test_what_is_wrong_with_an_output_is_told_there_alone() -> None:
    for outputs in (["../x.json"], ["[z-a].json"], [3], ["{m}.json"]):
        [said] = refusal(tasks({"id": "t", "outputs": outputs, "metrics": "x.json"}))
        assert "outputs[0]" in said


def test_metrics_are_no_default_and_an_init_has_none() -> None:
    [said] = refusal(tasks({"id": "a", "outputs": ["m.json"]}, defaults={"metrics": "m.json"}))
    assert said == "defaults.metrics: cannot be a default: each task says it itself"
    [said] = refusal(tasks({"id": "a", "init": True, "metrics": "m.json"}))
    assert said == "tasks[0] 'a': metrics: an init task yields no files, so it has none"


def test_outputs_of_the_defaults_count() -> None:
    assert push(tasks({"id": "a", "metrics": "m.json"}, defaults={"outputs": ["m.json"]})).templates[0].metrics == "m.json"


def test_a_hundred_thousand_rows_are_checked_in_no_time() -> None:
    grid = {"n": {"range": [0, 100_000]}}
    document = tasks({"id": "t-{n}", "foreach": grid, "outputs": ["log-{n}", "out/{n}.json"], "metrics": "out/{n:d}.json"})
    assert push(document).tasks == 100_000
