"""foreach: the values of the parameters, and the ways to get them wrong."""

from typing import Any

import pytest

from tests.taskfile.push import push, refusal, tasks


def values(way: str, arguments: list[Any]) -> list[Any]:
    """The values of a parameter."""
    document = tasks({"id": "a{x}", "foreach": {"x": {way: arguments}}})
    return list(push(document).templates[0].grid[0].values)


@pytest.mark.parametrize(
    ("way", "arguments", "expected"),
    [
        ("range", [3], [0, 1, 2]),
        ("range", [0, 4], [0, 1, 2, 3]),
        ("range", [4, 0, -2], [4, 2]),
        ("range", [-1, 1], [-1, 0]),
        ("linspace", [1.5, 2.5, 5], [1.5, 1.75, 2.0, 2.25, 2.5]),
        ("linspace", [1.5, 1.9, 5], [1.5, 1.6, 1.7, 1.8, 1.9]),
        ("linspace", [-0.3, 0.3, 3], [-0.3, 0.0, 0.3]),
        ("linspace", [3, 1, 3], [3.0, 2.0, 1.0]),
        ("linspace", [7, 9, 1], [7.0]),
        ("values", ["a", 1, 1.5, True], ["a", 1, 1.5, True]),
    ],
)
def test_values_are_what_the_ways_say(way: str, arguments: list[Any], expected: list[Any]) -> None:
    found = values(way, arguments)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_a_grid_makes_every_combination_and_the_last_parameter_runs_fastest() -> None:
    document = tasks({"id": "{a}-{b}", "foreach": {"a": {"range": [2]}, "b": {"values": ["x", "y", "z"]}}})
    expansion = push(document)
    assert [spec.name for spec in expansion.specs()] == ["0-x", "0-y", "0-z", "1-x", "1-y", "1-z"]
    assert [(spec.index, spec.template, spec.row) for spec in expansion.specs()] == [(row, 0, row) for row in range(6)]


@pytest.mark.parametrize(
    ("foreach", "sentence"),
    [
        (1, 'foreach: must be an object such as {"seed": {"range": [0, 4]}}, {"csv": "params.csv"} or {"zip": {...}}, not 1'),
        (
            [1],
            'foreach[0]: must be an object such as {"seed": {"range": [0, 4]}}, {"csv": "params.csv"} or {"zip": {...}}, not 1',
        ),
        ([], "foreach: is an empty list: leave it out, or name a parameter"),
        ({}, "foreach: has no parameters: leave it out, or name one"),
        ({"x": [1, 2]}, 'foreach.x: must be an object: write {"values": [...]} for a list of values'),
        ({"x": 3}, 'foreach.x: must be an object such as {"range": [0, 4]}, not 3'),
        ({"2x": {"range": [1]}}, "foreach.2x: a parameter's name is made of letters, digits and _, and begins with no digit"),
        ({"x": {}}, 'foreach.x: must have exactly one of "values", "range", "linspace", not 0 fields'),
        ({"x": {"range": [1], "values": [1]}}, "foreach.x: must have exactly one of"),
        ({"x": {"linspce": [1, 2, 3]}}, "foreach.x: 'linspce' is no way to list values (did you mean 'linspace'?); there are"),
        ({"x": {"values": 3}}, "foreach.x: values must be a list, not 3"),
        ({"x": {"values": []}}, "foreach.x: values is an empty list"),
        ({"x": {"values": [None]}}, "foreach.x: values[0] must be a text, a finite number or a boolean, not null"),
        ({"x": {"values": [float("nan")]}}, "foreach.x: values[0] must be a text, a finite number or a boolean, not nan"),
        ({"x": {"values": [10**40]}}, "foreach.x: values[0] must be a text, a finite number or a boolean, not so large a number"),
        ({"x": {"values": ["a\0"]}}, "foreach.x: values[0] contains a NUL character"),
        ({"x": {"values": ["a", "b", "a"]}}, "foreach.x: values[2] repeats 'a'"),
        ({"x": {"values": [1, 1.0]}}, "foreach.x: values[1] repeats '1'"),
        ({"x": {"range": [0, 0]}}, "foreach.x: range [0, 0] has no values (it ends before its stop, like Python's)"),
        ({"x": {"range": [1.5]}}, "foreach.x: range takes [stop], [start, stop] or [start, stop, step], whole numbers"),
        ({"x": {"range": [True]}}, "foreach.x: range takes [stop]"),
        ({"x": {"range": []}}, "foreach.x: range takes [stop]"),
        ({"x": {"range": [0, 4, 0]}}, "foreach.x: the step of a range must not be 0"),
        (
            {"x": {"range": [-(2**63), 2**63 - 1]}},
            "foreach.x: has 18,446,744,073,709,551,615 values, more than the 5,000,000 tasks",
        ),
        ({"x": {"linspace": [0, 1]}}, "foreach.x: linspace takes [first, last, count], numbers"),
        ({"x": {"linspace": [0, 1, 2.5]}}, "foreach.x: the count of a linspace must be a whole number of at least 1"),
        ({"x": {"linspace": [0, 1, 0]}}, "foreach.x: the count of a linspace must be a whole number of at least 1"),
        ({"x": {"linspace": [0, 1, 10**15]}}, "foreach.x: has 1,000,000,000,000,000 values, more than the 5,000,000 tasks"),
        ({"x": {"linspace": [0, "1", 3]}}, "foreach.x: linspace takes [first, last, count], numbers"),
        (
            {"x": {"range": [10000]}, "y": {"range": [10000]}},
            "foreach.y: the grid has 100,000,000 rows up to here, more than the 5,000,000 tasks that one job may have",
        ),
    ],
)
def test_each_way_to_get_a_grid_wrong_has_its_sentence(foreach: object, sentence: str) -> None:
    told = refusal(tasks({"id": "a{x}{y}", "foreach": foreach, "outputs": ["o{x}{y}"]}))
    assert told[0].startswith(f"tasks[0] 'a{{x}}{{y}}': {sentence}"), told


@pytest.mark.parametrize(
    ("arguments", "linspace"),
    [
        ([0, 1, 0.1], "[0, 0.9, 10]"),
        ([1.5, 3.5], "[1.5, 2.5, 2]"),
        ([1, 0, -0.25], "[1, 0.25, 4]"),
        ([2.5], "[0, 2, 3]"),
        ([0, 1, 0.0], "[first, last, count]"),
        ([0, 1, -0.5], "[first, last, count]"),
        ([0, 1e300, 1e-300], "[first, last, count]"),
    ],
)
def test_a_range_of_fractions_is_told_as_the_linspace_that_it_would_be(arguments: list[float], linspace: str) -> None:
    [told] = refusal(tasks({"id": "a{x}", "foreach": {"x": {"range": arguments}}}))
    assert told.endswith(f'{{"linspace": {linspace}}}'), told


def test_a_grid_whose_rows_have_one_id_or_one_output_is_told_once() -> None:
    document = tasks(
        {
            "id": "a-{T}",
            "foreach": {"T": {"range": [50]}, "seed": {"range": [50]}, "one": {"range": [1]}},
            "outputs": ["x", "y-{seed}"],
        }
    )
    assert refusal(document) == [
        "tasks[0] 'a-{T}': id: is the same for every value of {seed}: put {seed} into it",
        "tasks[0] 'a-{T}': outputs[0]: is yielded again for every value of {T} and {seed}: put {T} and {seed} into it",
        "tasks[0] 'a-{T}': outputs[1]: is yielded again for every value of {T}: put {T} into it",
    ]


def test_values_that_print_alike_give_one_id_twice() -> None:
    told = refusal(tasks({"id": "a-{T:.1f}", "foreach": {"T": {"values": [1.51, 1.52]}}}))
    assert told == ["tasks[0] 'a-1.5': id: is there twice: tasks[0] has the same id"]


def test_paths_are_checked_row_by_row() -> None:
    told = refusal(tasks({"id": "a-{x}", "foreach": {"x": {"values": ["ok", "..", "/etc", "", "a b"]}}, "outputs": ["{x}"]}))
    remedy = "; let the command write it below its working folder: `admin.py fetch JOB --to DIR` brings it to any place"
    assert told == [
        f"tasks[0] 'a-..': outputs[0]: '..' leaves the job's folder ('..'){remedy}",
        f"tasks[0] 'a-/etc': outputs[0]: '/etc' is absolute; write it relative to the job's folder{remedy}",
        "tasks[0] 'a-': outputs[0]: '' is empty",
    ]


def test_a_job_has_at_most_as_many_tasks_as_the_boss_accepts() -> None:
    document = tasks({"id": "a-{x}", "foreach": {"x": {"range": [10]}}}, {"id": "b"})
    assert refusal(document, max_tasks=10) == ["tasks: makes 11 tasks, more than the 10 that one job may have"]
    assert push(document, max_tasks=11).tasks == 11
