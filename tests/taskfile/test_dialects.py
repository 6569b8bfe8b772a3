"""The two dialects of the original: recognised by their fields, read sparsely, literal."""

from typing import Any

import pytest

from boss.core.model import InputSpec, OutputSpec
from tests.taskfile.push import edges, push, refusal

FIRST = [
    {"key": 0, "cmd": "cat MISSING", "requires": ["MISSING"]},
    {"key": 1, "cmd": "false", "depends-on": [0]},
    {"key": "2", "cmd": ["echo x >&2", "exit 1"], "results": None},
    {"key": 3, "cmd": "echo 3.42 > v", "results": ["v"]},
    {"key": 4, "cmd": "cp w TEST_SUCCEEDED", "depends-on": 3, "requires": [["v", "w"]], "results": "TEST_SUCCEEDED"},
]
SECOND = [
    {"id": 0, "commands": ["cat MISSING"], "requirements": ["MISSING"]},
    {"id": 1, "commands": "false", "dependencies": ["0"]},
    {"id": "2", "commands": ["echo x >&2", "exit 1"], "requirements": [], "results": []},
    {"id": 3, "commands": ["echo 3.42 > out/v"], "results": [["out/v", "v"]]},
    {
        "id": 4,
        "commands": ["cp w TEST_SUCCEEDED"],
        "dependencies": [3],
        "requirements": [["v", "w"]],
        "results": ["TEST_SUCCEEDED"],
    },
]


@pytest.mark.parametrize(("document", "generation"), [(FIRST, 1), (SECOND, 2)])
def test_both_generations_make_the_same_graph(document: list[dict[str, Any]], generation: int) -> None:
    expansion = push(document, file_name="test.json")
    assert edges(expansion) == {"0": set(), "1": {"0"}, "2": set(), "3": set(), "4": {"3"}}
    first, missing = expansion.notes
    assert first == f"read as a list of the original ECLOUD's generation {generation}"
    assert "[0] '0': requirements" in missing or "[0] '0': requires" in missing
    assert expansion.job_name == "test"
    assert [template.commands for template in expansion.templates][2] == ("echo x >&2", "exit 1")
    assert expansion.templates[4].inputs == (InputSpec("v", "w"),)
    assert expansion.templates[4].outputs == (OutputSpec("TEST_SUCCEEDED"),)


def test_a_result_that_goes_elsewhere_is_known_by_its_destination() -> None:
    expansion = push(SECOND)
    assert expansion.templates[3].outputs == (OutputSpec("out/v", "v"),)
    document = [
        {"id": "a", "commands": "x", "results": [["o/", "kept/"], ["log", "logs/"]]},
        {"id": "b", "commands": "x", "requirements": ["kept/deep/file"]},
        {"id": "c", "commands": "x", "requirements": ["logs/log"]},
        {"id": "d", "commands": "x", "requirements": ["o/deep/file"]},
    ]
    assert edges(push(document)) == {"a": set(), "b": {"a"}, "c": {"a"}, "d": set()}


def test_texts_are_literal_and_ids_have_no_globs() -> None:
    document = [
        {"key": "a", "cmd": "echo {x} {{y}} ${z}"},
        {"key": "b*", "cmd": "true"},
        {"key": "c", "cmd": "true", "depends-on": "b*"},
    ]
    expansion = push(document)
    assert expansion.templates[0].commands == ("echo {x} {{y}} ${z}",)
    assert edges(expansion)["c"] == {"b*"}
    assert refusal([{"key": "a", "cmd": "true"}, {"key": "b", "cmd": "true", "depends-on": ["*"]}]) == [
        "[1] 'b': depends-on[0]: there is no task '*'"
    ]


def test_paths_may_begin_with_the_folder_itself() -> None:
    document = [{"key": "a", "cmd": "x", "requires": ["./in", ["d/e.txt", "."]], "results": [[".//f", "./g"]]}]
    made = push(document).templates[0]
    assert made.inputs == (InputSpec("in"), InputSpec("d/e.txt", "e.txt"))
    assert made.outputs == (OutputSpec("f", "g"),)


def test_a_task_may_require_what_it_yields_itself() -> None:
    assert edges(push([{"key": "a", "cmd": "x", "requires": ["state"], "results": ["state"]}])) == {"a": set()}


def test_init_runs_first_and_yields_nothing() -> None:
    document = [
        {"id": "env", "commands": "x", "init": True, "results": []},
        {"id": "a", "commands": "x", "dependencies": ["env"]},
    ]
    expansion = push(document)
    assert [template.init for template in expansion.templates] == [True, False]
    assert [spec.dependencies for spec in expansion.specs()] == [(), ()]
    document[0]["results"] = ["x"]
    assert refusal(document) == ["[0] 'env': results: an init task runs on every worker and cannot yield files"]


def test_a_task_that_must_not_overwrite_counts_as_done_when_all_its_results_exist() -> None:
    document = [
        {"id": "all", "commands": "x", "results": ["a", ["b", "c/b"], "d/"], "overwrite_result": False},
        {"id": "some", "commands": "x", "results": ["e", "f"], "overwrite_result": False},
        {"id": "none", "commands": "x", "overwrite_result": False},
        {"id": "again", "commands": "x", "results": ["g"]},
        {"id": "null", "commands": "x", "results": ["h"], "overwrite_result": None},
    ]
    there = ["a", "c/b", "d/1", "e", "g", "h"]
    assert [spec.done for spec in push(document, results=there).specs()] == [True, False, False, False, False]
    assert [spec.done for spec in push(document, results=there, skip_existing=True).specs()] == [True, False, False, True, True]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (
            [{"key": "a", "cmd": "x"}, {"id": "b", "commands": "x"}],
            "mixes the two dialects of the original ECLOUD: [0] has 'key' (generation 1) and [1] has 'id' (generation 2)",
        ),
        (
            [{"key": "a", "commands": "x"}],
            "mixes the two dialects of the original ECLOUD: [0] has 'key' (generation 1) and [0] has 'commands'",
        ),
        (
            [{"id": "a", "command": "x"}],
            'is a plain list, but in no dialect of the original ECLOUD: write {"tasks": [...]} around it',
        ),
        ([{"foo": 1}], "is a plain list, but in no dialect of the original ECLOUD: its tasks have neither"),
        ([1, 2], "is a plain list, but in no dialect of the original ECLOUD: its tasks have neither"),
        ([{"key": "a", "cmd": "x"}, 7], "[1]: must be an object with key and cmd, not 7"),
        ([{"key": "a", "cmd": "x", "dependson": []}], "[0] 'a': dependson: is not a known field (did you mean 'depends-on'?)"),
        (
            [{"key": "a", "cmd": "x", "inputs": []}],
            "[0] 'a': inputs: is a field of the native format: a list of tasks has key, cmd, depends-on",
        ),
        ([{"key": "a", "cmd": "x", "nodes": 2}], "[0] 'a': nodes: is planned, not in this version"),
        ([{"cmd": "x"}], "[0]: key: is missing"),
        ([{"key": 1.5, "cmd": "x"}], "[0]: key: must be a text or a whole number, not 1.5"),
        ([{"key": True, "cmd": "x"}], "[0]: key: must be a text or a whole number, not true"),
        ([{"key": "a"}], "[0] 'a': cmd: is missing: the task has nothing to run"),
        ([{"key": "a", "cmd": []}], "[0] 'a': cmd: is missing: the task has nothing to run"),
        ([{"key": "a", "cmd": [3]}], "[0] 'a': cmd[0]: must be a text in double quotes, not 3"),
        ([{"key": "a", "cmd": {"x": 1}}], "[0] 'a': cmd: must be a list, not an object"),
        ([{"key": "a", "cmd": "x", "depends-on": ["b"]}], "[0] 'a': depends-on[0]: there is no task 'b'"),
        ([{"key": "a", "cmd": "x", "depends-on": [None]}], "[0] 'a': depends-on[0]: must be the key of a task, not null"),
        ([{"key": "a", "cmd": "x", "depends-on": True}], "[0] 'a': depends-on: must be a list, not true"),
        (
            [{"key": "a", "cmd": "x", "requires": [["a", "b", "c"]]}],
            "[0] 'a': requires[0]: must be a path or a pair [source, destination]",
        ),
        (
            [{"key": "a", "cmd": "x", "requires": [3]}],
            "[0] 'a': requires[0]: must be a path or a pair [source, destination] of paths, not 3",
        ),
        (
            [{"key": "a", "cmd": "x", "requires": {"a": "b"}}],
            "[0] 'a': requires: must be a list of paths and [source, destination] pairs",
        ),
        (
            [{"key": "a", "cmd": "x", "requires": ["/data/x"]}],
            "[0] 'a': requires[0]: '/data/x' lies outside the job: set datastore_legacy_root",
        ),
        (
            [{"key": "a", "cmd": "x", "requires": [["../x", "x"]]}],
            "[0] 'a': requires[0]: '../x' lies outside the job: set datastore_legacy_root",
        ),
        ([{"key": "a", "cmd": "x", "results": [["x", "../x"]]}], "[0] 'a': results[0]: '../x' leaves the job's folder ('..')"),
        (
            [{"key": "a", "cmd": "x", "results": [["x", "y*"]]}],
            "[0] 'a': results[0]: the destination 'y*' has wildcards; it must be one path",
        ),
        ([{"key": "a:b", "cmd": "x"}], "[0] 'a:b': key: 'a:b' cannot be a key: it has 1 to 200 characters"),
        ([{"key": 1, "cmd": "x"}, {"key": "1", "cmd": "x"}], "[1] '1': key: is there twice: [0] has the same key"),
        ([{"id": "a", "commands": "x"}, {"id": "a", "commands": "x"}], "[1] 'a': id: is there twice: [0] has the same id"),
        (
            [{"key": "a", "cmd": "x", "results": ["x/"]}, {"key": "b", "cmd": "x", "results": ["x/*"]}],
            "[1] 'b': results: 'x/*' and 'x/' of [0] 'a' may be one file",
        ),
        ([{"id": "a", "commands": "x", "init": 1}], "[0] 'a': init: must be true or false, not 1"),
        ([{"id": "a", "commands": "x", "overwrite_result": "no"}], "[0] 'a': overwrite_result: must be true or false, not 'no'"),
    ],
)
def test_each_way_to_get_a_list_wrong_has_its_sentence(document: list[Any], sentence: str) -> None:
    told = refusal(document)
    assert len(told) == 1, told
    assert told[0].startswith(sentence), told


def test_a_list_takes_its_jobs_name_from_the_file_or_the_command_line() -> None:
    assert push(FIRST, file_name="old.json").job_name == "old"
    assert push(FIRST, name="mine").job_name == "mine"
