"""Inputs that are objects, shared data, and the dialects' sources from outside the job."""

from typing import Any

import pytest

from boss.core.deals import assignment_of
from boss.core.model import Attempt, InputSpec, Job, Task
from boss.taskfile.problems import Outside
from tests.taskfile.push import edges, push, refusal, tasks
from worker.protocol import Input

MAKER = {"id": "maker", "outputs": ["out/a.csv", "out/b.csv"]}


def inputs_of(document: object, row: int = 0, **context: Any) -> tuple[Input, ...]:
    """What a worker is told of the inputs of one row of the first entry."""
    expansion = push(document, **context)
    job = Job("u", "j", "ada", 0.0)
    template = expansion.templates[0]
    task = Task(job, 0, "t", template, row=row)
    return assignment_of(task, Attempt("u", 0, 1, "w", 0.0)).inputs


def outside(document: object, **context: Any) -> list[Outside]:
    return push(document, **context).outside


@pytest.mark.parametrize(
    ("written", "source", "to"),
    [
        ("shared:genomes/hg38.fa", "shared:genomes/hg38.fa", "hg38.fa"),
        ({"from": "shared:genomes/hg38.fa"}, "shared:genomes/hg38.fa", "hg38.fa"),
        ({"from": "shared:genomes/hg38.fa", "to": "ref.fa"}, "shared:genomes/hg38.fa", "ref.fa"),
        ({"from": "shared:genomes/hg38.fa", "to": "in/"}, "shared:genomes/hg38.fa", "in/"),
        ({"from": "shared:a/refs/"}, "shared:a/refs/", "refs/"),
        ({"from": "shared:refs/", "to": "r/"}, "shared:refs/", "r/"),
        ({"from": "out/a.csv", "to": "in.csv"}, "out/a.csv", "in.csv"),
        ({"from": "out/*.csv", "to": "in/"}, "out/*.csv", "in/"),
        ({"from": "out/a.csv"}, "out/a.csv", ""),  # the same path
        ("out/a.csv", "out/a.csv", ""),
    ],
)
def test_an_input_lies_where_it_is_said_or_by_the_last_part_of_its_name(written: Any, source: str, to: str) -> None:
    assert inputs_of(tasks({"id": "a", "inputs": [written]}, MAKER)) == (Input(source, to),)


def test_an_object_that_names_what_a_task_yields_is_a_dependency() -> None:
    document = tasks({"id": "a", "inputs": [{"from": "out/*.csv", "to": "in/"}, {"from": "shared:x"}]}, MAKER)
    assert edges(push(document)) == {"a": {"maker"}, "maker": set()}


def test_shared_data_is_asked_for_once_with_the_first_place_that_names_it() -> None:
    shared = {"from": "shared:g/hg38.fa"}
    document = tasks({"id": "a", "inputs": [shared]}, {"id": "b", "inputs": [shared, "shared:refs/"]})
    assert outside(document) == [
        Outside("shared:g/hg38.fa", "tasks[0] 'a'", "inputs[0]"),
        Outside("shared:refs/", "tasks[1] 'b'", "inputs[1]"),
    ]


def test_parameters_stand_in_both_texts() -> None:
    grid = {"g": {"values": ["hg38", "mm10"]}}
    document = tasks(
        {"id": "a-{g}", "foreach": grid, "inputs": [{"from": "shared:genomes/{g}.fa", "to": "in/{g}"}, "shared:{g}/x/"]}
    )
    assert inputs_of(document, row=1) == (Input("shared:genomes/mm10.fa", "in/mm10"), Input("shared:mm10/x/", "x/"))
    assert [item.source for item in outside(document)] == [
        "shared:genomes/hg38.fa",
        "shared:hg38/x/",
        "shared:genomes/mm10.fa",
        "shared:mm10/x/",
    ]


def test_defaults_may_hold_shared_data() -> None:
    document = tasks(
        {"id": "a", "inputs": [{"from": "shared:x", "to": "y"}]},
        defaults={"inputs": [{"from": "shared:x", "to": "y"}, "shared:z"]},
    )
    assert inputs_of(document) == (Input("shared:x", "y"), Input("shared:z", "z"))


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (["shared:"], "inputs[0]: 'shared:' names no shared data; write it like shared:genomes/hg38.fa"),
        (["shared:a*"], "inputs[0]: 'shared:a*' has wildcards; shared data is one file, or a folder that ends in '/'"),
        (["shared:../x"], "inputs[0]: 'shared:../x' leaves shared/ ('..')"),
        (["shared:/etc/passwd"], "inputs[0]: 'shared:/etc/passwd' is absolute"),
        ([{"from": "shared:x", "to": "../y"}], "inputs[0]: '../y' leaves the job's folder ('..')"),
        ([{"from": "shared:x", "to": "/y"}], "inputs[0]: '/y' is absolute"),
        ([{"from": "shared:x", "to": "y*"}], "inputs[0]: 'y*' has wildcards; it must be one path"),
        ([{"from": "shared:x", "to": "shared:y"}], "inputs[0]: 'shared:y' is a place in the working folder"),
        (["shared:a/x", "shared:b/x"], "inputs[1]: would lie at 'x' like inputs[0]: say another place with"),
        ([{"from": "shared:a", "to": "x"}, {"from": "shared:b", "to": "x"}], "inputs[1]: would lie at 'x' like inputs[0]"),
        ([{"from": "nothing", "to": "x"}], "inputs[0]: no task yields 'nothing', and no such file is pushed"),
    ],
)
def test_each_way_to_get_it_wrong_has_its_sentence(inputs: list[Any], sentence: str) -> None:
    [told] = refusal(tasks({"id": "a", "inputs": inputs}))
    assert told.startswith(f"tasks[0] 'a': {sentence}"), told


def test_what_only_the_datastore_knows_is_told_beside_the_problems() -> None:
    from boss.taskfile.context import Context
    from boss.taskfile.expansion import expand
    from boss.taskfile.problems import Refused

    with pytest.raises(Refused) as caught:
        expand(b'{"tasks": [{"id": "a", "command": "x", "inputs": ["shared:x", "y"]}]}', Context())
    assert len(caught.value.problems) == 1
    assert [item.source for item in caught.value.outside] == ["shared:x"]


# ---- the dialects --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "source", "to"),
    [
        ("/data/a/x.dat", "legacy:a/x.dat", "x.dat"),
        ("/other/x.dat", "legacy:other/x.dat", "x.dat"),
        ("/data/a/", "legacy:a/", "a/"),
        ("//data//a/./x.dat", "legacy:a/x.dat", "x.dat"),
        (["/data/x.dat", "in/y.dat"], "legacy:x.dat", "in/y.dat"),
        (["/data/x.dat", "."], "legacy:x.dat", "x.dat"),
        ("../x.dat", "legacy:x.dat", "x.dat"),
        (["../a/../b/x.dat", "x"], "legacy:b/x.dat", "x"),
        ("a/../x.dat", "x.dat", ""),
        (["shared:refs/", "r/"], "shared:refs/", "r/"),
        ("shared:g/x", "shared:g/x", "x"),
    ],
)
@pytest.mark.parametrize("root", ["/data", "/data/"])
def test_a_source_from_outside_lies_below_the_legacy_root(root: str, written: Any, source: str, to: str) -> None:
    first = [{"key": "a", "cmd": "x", "requires": [written]}]
    second = [{"id": "a", "commands": "x", "requirements": [written]}]
    for document in (first, second):
        assert inputs_of(document, legacy_root=root) == (Input(source, to),)
        assert [item.source for item in outside(document, legacy_root=root)] == ([source] if ":" in source else [])


def test_a_root_of_everything_is_a_root() -> None:
    assert inputs_of([{"key": "a", "cmd": "x", "requires": ["/data/x"]}], legacy_root="/") == (Input("legacy:data/x", "x"),)


@pytest.mark.parametrize("written", ["../../x", "..", "../", "/data", "/data/", "/", "../a/../../x", "a/../../../x"])
def test_what_would_leave_the_legacy_root_is_refused_with_its_name(written: str) -> None:
    [told] = refusal([{"key": "a", "cmd": "x", "requires": [[written, "x"]]}], legacy_root="/data")
    assert "leads out of datastore_legacy_root (/data), or is all of it" in told


def test_without_a_legacy_root_the_setting_is_named() -> None:
    for written in ("/data/x", "../x", ["/data/x", "x"], "a/../../x"):
        [told] = refusal([{"id": "a", "commands": "x", "requirements": [written]}])
        assert "lies outside the job: set datastore_legacy_root" in told


def test_the_native_format_does_not_read_below_the_legacy_root() -> None:
    [told] = refusal(tasks({"id": "a", "inputs": ["/data/x"]}), legacy_root="/data")
    assert "'/data/x' is absolute; write it relative to the job's folder" in told
    assert InputSpec("x").to is None
