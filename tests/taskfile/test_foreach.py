"""foreach as blocks: grids, zips and CSV files, multiplied; {row}; what texts may say of them."""

import time
from typing import Any

import pytest

from boss.core.templates import params_of, rows
from boss.taskfile.expansion import Expansion
from tests.taskfile.push import push, refusal, tasks
from worker.grid import Table
from worker.texts import Text

NOT_SENT = "was not sent along with the task file (as a part `csv` of that name: docs/api.md)"
CSV = b"T,seed,kind\n1.50,007,it's\n1e-3,008,b\n0.10,009,c d\n"


def sweep(foreach: object, name: str = "a-{row}", csv: bytes = CSV, **more: Any) -> Expansion:
    """The tasks of one entry; ``params.csv`` comes along."""
    context = {key: more.pop(key) for key in ("max_tasks", "unread_tables") if key in more}
    return push(tasks({"id": name, "foreach": foreach, **more}), tables={"params.csv": csv}, **context)


def wrong(foreach: object, name: str = "a-{row}", csv: bytes = CSV, **more: Any) -> list[str]:
    """What is wrong with one entry, without its label."""
    told = refusal(tasks({"id": name, "foreach": foreach, **more}), tables={"params.csv": csv})
    return [sentence.partition(": ")[2] for sentence in told]


def commands(expansion: Expansion) -> list[str]:
    """The command of every row."""
    template = expansion.templates[0]
    return list(rows(template.commands[0], template.grid))


# ---- blocks --------------------------------------------------------------------------------------------------------------


def test_a_grid_alone_and_a_list_of_it_mean_the_same() -> None:
    grid = {"a": {"range": [2]}, "b": {"values": ["x", "y"]}}
    alone, listed = (sweep(foreach, "{a}{b}") for foreach in (grid, [grid]))
    assert alone.templates == listed.templates
    assert list(alone.specs()) == list(listed.specs())
    assert sweep({"csv": "params.csv"}).templates == sweep([{"csv": "params.csv"}]).templates


def test_blocks_are_multiplied_and_the_last_runs_fastest() -> None:
    foreach = [{"g": {"range": [2]}}, {"csv": "params.csv"}, {"zip": {"x": {"range": [2]}, "y": {"values": ["p", "q"]}}}]
    found = sweep(foreach, "{g}-{seed}-{x}{y}")
    assert [spec.name for spec in found.specs()] == [
        f"{g}-{seed}-{pair}" for g in "01" for seed in ("007", "008", "009") for pair in ("0p", "1q")
    ]
    assert params_of(found.templates[0], 7) == {"g": 1, "T": 1.5, "seed": "007", "kind": "it's", "x": 1, "y": "q"}


def test_a_row_of_a_csv_file_is_a_row_of_its_block_printed_as_it_is_written() -> None:
    found = sweep({"csv": "params.csv"}, command="run {T} {seed} {kind!q}")
    assert commands(found) == ["run 1.50 007 'it'\"'\"'s'", "run 1e-3 008 b", "run 0.10 009 'c d'"]


def test_parameters_of_a_zip_move_together_and_may_repeat() -> None:
    foreach = {"zip": {"T": {"values": [1, 1, 2]}, "seed": {"linspace": [0, 1, 3]}, "n": {"range": [3]}}}
    assert [spec.name for spec in sweep(foreach, "{T}-{seed}-{n}").specs()] == ["1-0-0", "1-0.5-1", "2-1-2"]


def test_parameters_of_a_grid_may_be_called_csv_zip_and_values() -> None:
    foreach = {"csv": {"range": [2]}, "zip": {"values": [1, 2]}, "values": {"range": [1]}}
    assert sweep(foreach, "{csv}{zip}{values}").tasks == 4
    assert sweep({"zip": {"values": [1, 2]}}, "{zip}").tasks == 2
    assert sweep({"zip": {"values": {"range": [2]}}}, "{values}").tasks == 2


def test_row_counts_all_rows_of_the_task_from_0() -> None:
    found = sweep([{"csv": "params.csv"}, {"k": {"range": [2]}}], "t{row:03d}", outputs=["out/{row}.json"], command="x {row!q}")
    assert [spec.name for spec in found.specs()] == [f"t{row:03d}" for row in range(6)]
    assert commands(found) == [f"x {row}" for row in range(6)]


def test_tasks_of_two_entries_meet_row_by_row() -> None:
    foreach = [{"csv": "params.csv"}]
    document = tasks(
        {"id": "sim-{row}", "foreach": foreach, "outputs": ["out/{row}.json"]},
        {
            "id": "plot-{seed}",
            "foreach": foreach,
            "inputs": ["out/{row}.json"],
            "after": ["sim-{row}"],
            "env": {"SEED": "{seed}"},
        },
        {"id": "all", "inputs": ["out/*.json"]},
    )
    found = push(document, tables={"params.csv": CSV})
    assert [spec.dependencies for spec in found.specs()] == [(), (), (), (0,), (1,), (2,), (0, 1, 2)]
    assert found.templates[0].grid[0].text is found.templates[1].grid[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("foreach", "sentence"),
    [
        ([{}], "foreach[0]: has no parameters: leave it out, or name one"),
        ([{"a": {"range": [2]}}, None], "foreach[1]: must be an object such as"),
        (None, "foreach: must be an object such as"),
        ({"csv": 3}, 'foreach.csv: must be the path of a CSV file such as "params.csv", not 3'),
        ({"csv": ["params.csv"]}, 'foreach.csv: must be the path of a CSV file such as "params.csv", not a list'),
        ("params.csv", "foreach: must be an object such as"),
        (
            {"file": "Params.csv"},
            'foreach.file: is not how a CSV file is named: write {"csv": "Params.csv"} as a block of foreach',
        ),
        (
            {"T": {"csv": "params.csv"}},
            'foreach.T: "csv" is a block of foreach, which names its parameters itself: [{"csv": ...}, {...}]',
        ),
        ({"csv": " "}, 'foreach.csv: must be the path of a CSV file such as "params.csv", not \' \''),
        (
            [{"csv": "parms.csv"}],
            f"foreach[0].csv: 'parms.csv' {NOT_SENT}; sent was 'params.csv'",
        ),
        (
            {"csv": "params.csv", "seed": {"range": [4]}},
            "foreach: csv stands beside 'seed': blocks are multiplied as a list, [{\"csv\": ...}, {...}]",
        ),
        (
            [{"zip": {"a": {"range": [2]}}, "seed": {"range": [4]}}],
            "foreach[0]: zip stands beside 'seed': blocks are multiplied as a list, [{\"zip\": ...}, {...}]",
        ),
        ({"zip": []}, 'foreach.zip: must be an object of parameters such as {"T": {"values": [1, 2]}}, not a list'),
        (
            {"zip": [{"csv": "a.csv"}, {"csv": "b c.csv"}]},
            """foreach.zip: a CSV file cannot be in a zip; its columns move together already. Of several files join their columns into""",
        ),
        ({"zip": {"csv": ["a.csv", "b.csv"]}}, "foreach.zip: a CSV file cannot be in a zip;"),
        ({"zip": {"csv": "a.csv"}}, "foreach.zip: a CSV file cannot be in a zip;"),
        ({"zip": {"T": {"csv": "a.csv"}, "seed": {"csv": "b.csv"}}}, "foreach.zip: a CSV file cannot be in a zip;"),
        ({"csv": ["a.csv", "b.csv"]}, "foreach.csv: is one CSV file, not a list: for every pair of rows write"),
        ({"zip": {}}, 'foreach.zip: must be an object of parameters such as {"T": {"values": [1, 2]}}, not an object'),
        ({"zip": {"a": [1, 2]}}, 'foreach.zip.a: must be an object: write {"values": [...]} for a list of values'),
        ({"zip": {"a": {"range": [0]}}}, "foreach.zip.a: range [0] has no values (it ends before its stop, like Python's)"),
        (
            [{"zip": {"a": {"range": [2]}, "b": {"range": [3]}, "c": {"range": [2]}}}],
            "foreach[0].zip: parameters that move together have equally many values; a has 2, b has 3, c has 2",
        ),
        ([{"T": {"range": [2]}}, {"csv": "params.csv"}], "foreach[1]: 'T' is a parameter of foreach[0] already"),
        ([{"csv": "params.csv"}] * 2, "foreach[1]: 'T' (like 2 more) is a parameter of foreach[0] already"),
        ([{"x": {"range": [2]}}, {"zip": {"x": {"range": [2]}}}], "foreach[1]: 'x' is a parameter of foreach[0] already"),
        ({"row": {"range": [2]}}, "foreach.row: a parameter may not be called row: {row} is the number of the row, counted from 0"),
        ({"zip": {"row": {"range": [2]}}}, "foreach.zip.row: a parameter may not be called row"),
        (
            [{"csv": "params.csv"}, {"x": {"range": [3_000_000]}}],
            "foreach[1]: the grid has 9,000,000 rows up to here, more than the 5,000,000 tasks that one job may have",
        ),
    ],
)  # fmt: skip
def test_each_way_to_get_blocks_wrong_has_its_one_sentence(foreach: object, sentence: str) -> None:
    told = wrong(foreach)
    assert len(told) == 1, told
    assert told[0].startswith(sentence), told


def test_of_csv_files_in_a_zip_the_command_that_joins_them_is_told() -> None:
    [told] = wrong({"zip": [{"csv": "a.csv"}, {"csv": "b c.csv"}]})
    assert '`paste -d, a.csv \'b c.csv\' > joined.csv`, and write {"csv": "joined.csv"}' in told


def test_parameters_of_a_csv_file_in_a_zip_are_not_told_to_be_missing() -> None:
    for foreach in (
        {"zip": [{"csv": "a.csv"}, {"csv": "b.csv"}]},
        {"zip": {"csv": "a.csv"}},
        {"zip": {"T": {"csv": "a.csv"}}},
        {"csv": ["a.csv", "b.csv"]},
        {"zip": []},
    ):
        assert len(refusal(tasks({"id": "x-{T}", "foreach": foreach, "command": "echo {T} {other}"}))) == 1, foreach


def test_what_is_wrong_with_a_csv_file_is_told_once_however_many_tasks_name_it() -> None:
    foreach = {"csv": "params.csv"}
    document = tasks(
        {"id": "a-{T}", "foreach": foreach}, {"id": "b-{T}", "foreach": [foreach], "after": ["a-{T}", "c"]}, {"id": "d"}
    )
    assert refusal(document, tables={"params.csv": b"T,S\n1,2\n3\n"}) == [
        "tasks[0] 'a-{T}': foreach.csv: 'params.csv': line 3 has 1 cell, but the header in line 1 has 2 names"
    ]
    assert refusal(document, unread_tables={"params.csv": "was not found beside the task file, in /home/eva"}) == [
        "tasks[0] 'a-{T}': foreach.csv: 'params.csv' was not found beside the task file, in /home/eva"
    ]


def test_what_texts_say_is_checked_against_the_names_that_are_known() -> None:
    assert wrong([{"a": {"range": 3}}, {"b": {"range": [2]}}], "x-{a}-{c}") == [
        "foreach[0].a: range must be a list, not 3",
        "id: {c} has no value: this task's foreach has no such parameter; write {{c}} for the text {c}",
    ]
    assert wrong({"csv": "other.csv"}, "x-{a}")[0].startswith("foreach.csv: 'other.csv' was not sent along")
    assert len(wrong({"csv": "other.csv"}, "x-{a}")) == 1
    assert wrong({"csv": "params.csv"}, command="echo {tt}") == [
        "command: {tt} has no value: this task's foreach has no such parameter; write {{tt}} for the text {tt}"
    ]
    assert wrong({"csv": "params.csv"}, command="echo {sead}")[0].startswith(
        "command: {sead} has no value: this task's foreach has no such parameter (did you mean {seed}?)"
    )


def test_every_wrong_field_of_a_text_is_told_once() -> None:
    foreach = {"T": {"values": [1.5, 2.5]}, "dt": {"values": [1]}, "seed": {"range": [2]}}
    command = "echo {t} {sed} {T:.3d} {row:q} {T} {t} {seed:s}"
    assert refusal(tasks({"id": "a-{row}", "foreach": foreach, "command": command})) == [
        f"tasks[0] 'a-{{row}}': command: {sentence}"
        for sentence in (
            "{t} has no value: this task's foreach has no such parameter (did you mean {T}?); write {{t}} for the text {t}",
            "{sed} has no value: this task's foreach has no such parameter (did you mean {seed}?); write {{sed}} for the text {sed}",
            "{row:q}: 'q' is not a format such as .3f or 03d; {row!q} quotes the value for the shell",
            "{T:.3d}: the value 1.5 does not take this format",
            "{seed:s}: the value 0 does not take this format",
        )
    ]


def test_of_thousands_of_wrong_fields_a_hundred_are_told_at_once() -> None:
    command = " ".join(f"{{x{number}}}" for number in range(20_000))
    told = refusal(tasks({"id": "a-{T}", "foreach": {"T": {"range": [2]}}, "command": command}))
    assert len(told) == 100


def test_of_a_grid_that_is_too_large_only_that_is_told() -> None:
    told = wrong([{"a": {"range": [9_000]}}, {"b": {"range": [9_000]}}, {"c": {"range": [2]}}], "{a}{b}{c}{d}")
    assert told == ["foreach[1]: the grid has 81,000,000 rows up to here, more than the 5,000,000 tasks that one job may have"]


def test_thousands_of_blocks_are_read_at_once() -> None:
    foreach = [{f"p{number}": {"values": [number]}} for number in range(20_000)]
    assert sweep(foreach, "a", command="echo {p19999}").tasks == 1


def test_row_without_foreach_is_the_usual_error() -> None:
    assert refusal(tasks({"id": "a-{row}"})) == [
        "tasks[0] 'a-{row}': id: {row} has no value: this task has no foreach; write {{row}} for the text {row}"
    ]


# ---- formats and quoting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "cell", "text"),
    [
        ("{x}", "007", "007"),
        ("{x:d}", "007", "7"),
        ("{x:05d}", "007", "00007"),
        ("{x:.3f}", "1e-3", "0.001"),
        ("{x:.1e}", "0.10", "1.0e-01"),
        ("{x:+}", "1.50", "+1.5"),
        ("{x:g}", "  1.50 ", "1.5"),
        ("{x:,}", "1234567", "1,234,567"),
        ("{x:%}", ".5", "50.000000%"),
        ("{x:>6}", "007", "   007"),  # it says where to fill, nothing of numbers
        ("{x:*^7s}", "007", "**007**"),
        ("{x!q}", "a b", "'a b'"),
        ("{x!q}", "", "''"),
        ("{x!q:>4}", "a", "'   a'"),
        ("{x!q:.2f}", "1.005", "1.00"),
        ("{x!q:05d}", "7", "00007"),
        ("a{{x}}{{{x}}}", "7", "a{x}{7}"),
        ("${x} {} {print $1} {x}", "7", "${x} {} {print $1} 7"),
        ("{row:05d}{x}{row!q:>3}", "7", "000007'  0'"),
        ("{row:.1f}", "7", "0.0"),
    ],
)  # fmt: skip
def test_a_cell_prints_as_it_is_written_and_is_a_number_where_one_is_wanted(field: str, cell: str, text: str) -> None:
    assert commands(sweep({"csv": "params.csv"}, csv=f'x,y\n"{cell}",-\n'.encode(), command=f"echo {field}")) == [f"echo {text}"]


@pytest.mark.parametrize(
    ("field", "cell", "sentence"),
    [
        ("{x:.3f}", "cold", "{x:.3f}: params.csv, line 3, column x: 'cold' is no number"),
        ("{x:03d}", "1.5", "{x:03d}: params.csv, line 3, column x: '1.5' is no whole number"),
        ("{x:.3f}", "", "{x:.3f}: params.csv, line 3, column x: the cell is empty, which is no number"),
        ("{x:.3f}", "0,5", "{x:.3f}: params.csv, line 3, column x: '0,5' is no number (a number has a decimal point: 0.5)"),
        ("{x:.3f}", "nan", "{x:.3f}: params.csv, line 3, column x: 'nan' is no number"),
        ("{x:e}", "1e999", "{x:e}: params.csv, line 3, column x: '1e999' is no number"),
        ("{x:d}", "9" * 5000, "{x:d}: params.csv, line 3, column x: '9999"),
        ("{x!q:d}", "a", "{x:d}: params.csv, line 3, column x: 'a' is no number"),
        ("{x:oops}", "1", "{x:oops}: 'oops' is not a format such as .3f or 03d"),
        ("{x!r}", "1", "{x!r}: the only conversion is !q"),
        ("{row:s}", "1", "{row:s}: the value 0 does not take this format"),
    ],
)
def test_a_cell_that_is_no_number_is_named_with_file_line_and_column(field: str, cell: str, sentence: str) -> None:
    told = wrong({"csv": "params.csv"}, csv=f'x,y\n1,-\n"{cell}",-\nworse,-\n'.encode(), command=f"echo {field}")
    assert len(told) == 1, told
    assert told[0].startswith(f"command: {sentence}")


def test_texts_of_values_take_formats_for_numbers_too() -> None:
    assert commands(sweep({"x": {"values": ["007", 8]}}, command="{x} {x:.1f} {x:3d}")) == ["007 7.0   7", "8 8.0   8"]
    assert wrong({"x": {"values": ["cold"]}}, command="{x:.1f}") == [
        "command: {x:.1f}: the value 'cold' does not take this format"
    ]


def test_an_environment_variable_an_after_and_an_output_have_the_same_fields() -> None:
    entry = {"id": "b-{seed:d}", "foreach": {"csv": "params.csv"}, "after": ["a-{T!q}"], "outputs": ["{T:.2f}/{row:02d}"],
             "env": {"K": "{kind!q}"}, "commands": ["one {T}", "two {row}"]}  # fmt: skip
    document = tasks({"id": "a-{T}", "foreach": {"csv": "params.csv"}}, entry)
    found = push(document, tables={"params.csv": CSV})
    template = found.templates[1]

    def all_of(text: Text) -> list[str]:
        return list(rows(text, template.grid))

    assert all_of(template.name) == ["b-7", "b-8", "b-9"]
    assert all_of(template.outputs[0].path) == ["1.50/00", "0.00/01", "0.10/02"]
    assert all_of(template.env[0][1]) == ["'it'\"'\"'s'", "b", "'c d'"]
    assert [spec.dependencies for spec in list(found.specs())[3:]] == [(0,), (1,), (2,)]


# ---- rows must differ ----------------------------------------------------------------------------------------------------------

REPEATS = b"T,seed\n1,0\n1,1\n2,0\n2,1\n"


@pytest.mark.parametrize(
    ("foreach", "name", "sentence"),
    [
        ({"csv": "params.csv"}, "a", "id: is the same for every row of params.csv: put {T}, {seed} or {row} into it"),
        (
            {"csv": "params.csv"},
            "a-{T}",
            "id: is the same for the lines 2 and 3 of params.csv (and 1 more), where {T} is '1': put {seed} or {row} into it",
        ),
        (
            [{"csv": "params.csv"}, {"k": {"range": [2]}}],
            "a-{T}-{seed}",
            "id: is the same for every value of {k}: put {k} into it",
        ),
        (
            [{"zip": {"a": {"values": [1, 1]}, "b": {"values": [2, 2]}}}],
            "a-{b}{a}",
            "id: is the same for the rows 0 and 1 of foreach[0].zip, where {b} is '2', {a} is '1': put {row} into it",
        ),
        ({"zip": {"a": {"range": [2]}}}, "a", "id: is the same for every row of foreach.zip: put {a} or {row} into it"),
    ],
)
def test_rows_with_one_id_are_told_once_with_what_tells_them_apart(foreach: object, name: str, sentence: str) -> None:
    assert wrong(foreach, name, csv=REPEATS) == [sentence]


def test_rows_with_one_output_are_told_once() -> None:
    assert wrong({"csv": "params.csv"}, csv=REPEATS, outputs=["out/{T:.1f}", "{row}", "{T}-{seed}", "x"]) == [
        "outputs[0]: is yielded again for the lines 2 and 3 of params.csv (and 1 more), where {T} is '1.0': put {seed} or {row} into it",
        "outputs[3]: is yielded again for every row of params.csv: put {T}, {seed} or {row} into it",
    ]


def test_one_row_needs_no_parameter_in_its_id() -> None:
    assert sweep({"csv": "params.csv"}, "a", csv=b"T\n1\n").tasks == 1


# ---- size ----------------------------------------------------------------------------------------------------------------------


def test_five_thousand_rows_of_twenty_columns_are_read_well_within_a_second() -> None:
    names = [f"p{number}" for number in range(20)]
    lines = [",".join(f"{row * number / 7:.6f}" for number in range(20)) for row in range(5000)]
    data = "\n".join([",".join(names), *lines]).encode()
    began = time.process_time()
    found = sweep({"csv": "params.csv"}, csv=data, command=" ".join(f"{{{name}:.3f}}" for name in names))
    assert time.process_time() - began < 1.0
    assert found.tasks == 5000


def test_a_hundred_thousand_rows_are_kept_as_one_text() -> None:
    data = b"n,x\n" + b"".join(b"%d,%d.5\n" % (row, row % 10) for row in range(100_000))
    found = sweep({"csv": "params.csv"}, "n{n}", csv=data, outputs=["out/{n}-{x:.2f}.dat"])
    [table] = found.templates[0].grid
    assert isinstance(table, Table)
    assert len(table.text) == len(data) - len(b"n,x\n") - 1
    assert params_of(found.templates[0], 99_999) == {"n": 99_999, "x": 9.5}


def test_csv_files_count_as_tasks_before_any_is_made() -> None:
    told = refusal(
        tasks({"id": "a-{row}", "foreach": {"csv": "params.csv"}}, {"id": "b"}), tables={"params.csv": CSV}, max_tasks=3
    )
    assert told == ["tasks: makes 4 tasks, more than the 3 that one job may have"]
