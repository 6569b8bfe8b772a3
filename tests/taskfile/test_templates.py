"""boss.core.templates: what is replaced, what stays, what is an error; rows; plain data."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boss.core.model import InputSpec, OutputSpec, Template
from boss.core.templates import fields, params_of, parse, rows, size_of, template_from_data, template_to_data, texts_of
from worker.grid import Axis, Dimension, Table, Together, packed
from worker.texts import Field, TemplateError, render


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "${HOME}",
        "${T}",
        "{}",
        "{print $1}",
        "{a,b}",
        "{1..3}",
        '{"a": 1}',
        "{x: 1}",
        "a } b { c",
        "{ T }",
        "$${T}",
        "{x!}",
        "{x:}",
    ],
)
def test_what_is_no_field_stays_as_it_is(text: str) -> None:
    assert parse(text, ["T"]) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{T}", "1.5"),
        ("a{T}b{T}", "a1.5b1.5"),
        ("{T:.3f}", "1.500"),
        ("{n:03d}", "007"),
        ("{n}", "7"),
        ("{flag}", "true"),
        ("{kind}", "it's"),
        ("{kind!q}", "'it'\"'\"'s'"),
        ("{{T}}", "{T}"),
        ("{{other}}", "{other}"),
        ("{{T:.3f}}", "{T:.3f}"),
        ("{{{T}}}", "{1.5}"),
        ("{{T}}}", "{T}}"),
        ("{T}}", "1.5}"),
        ("{{T}", "{1.5"),
        ("${HOME}/{T} {} {print $1}", "${HOME}/1.5 {} {print $1}"),
        ("$X{T}", "$X1.5"),
    ],
)
def test_fields_of_declared_parameters_are_replaced(text: str, expected: str) -> None:
    params = {"T": 1.5, "n": 7, "kind": "it's", "flag": True}
    assert render(parse(text, params), params) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.1 + 0.2, "0.3"), (1.0, "1"), (1e-15, "1e-15"), (123456789.125, "123456789.125"), (2**70, str(2**70)), (False, "false")],
)
def test_plain_values_print_like_people_write_them(value: float, expected: str) -> None:
    assert render(("", Field("x")), {"x": value}) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{temp}",
            "{temp} has no value: this task's foreach has no such parameter (did you mean {Temp}?); write {{temp}} for the text {temp}",
        ),
        ("{temp:.3f}", "{temp:.3f} has no value"),
        ("{temp!q}", "{temp!q} has no value"),
        ("{Temp!r}", "{Temp!r}: the only conversion is !q"),
        ("{Temp:oops}", "'oops' is not a format"),
        ("{Temp:999999999}", "'999999999' is not a format"),
        ("{{{other}}}", "{other} has no value"),
    ],
)
def test_a_field_without_a_value_is_an_error_with_the_remedy(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=r".") as caught:
        parse(text, ["Temp"])
    assert message in str(caught.value)


def test_without_any_parameter_the_error_says_so() -> None:
    with pytest.raises(TemplateError, match=r"this task has no foreach; write \{\{print\}\} for the text \{print\}"):
        parse("awk '{print}'", [])


def test_a_format_that_a_value_does_not_take_is_an_error_before_the_first_row() -> None:
    grid = (Axis("kind", ("cold", "hot")),)
    with pytest.raises(TemplateError, match=r"the value 'cold' does not take this format"):
        rows(parse("{kind:.3f}", ["kind"]), grid)


def test_rows_and_params_agree_and_the_last_axis_runs_fastest() -> None:
    grid = (Axis("a", (1, 2)), Axis("b", ("x", "y", "z")), Axis("c", (0.5,)))
    template = Template(0, "t", (), grid=grid)
    text = parse("{b!q}-{a:02d}-{c}", ["a", "b", "c"])
    assert size_of(grid) == 6
    assert list(rows(text, grid)) == [render(text, texts_of(template, row)) for row in range(6)]
    assert [params_of(template, row)["b"] for row in range(4)] == ["x", "y", "z", "x"]
    assert list(rows("plain", grid)) == ["plain"] * 6
    assert list(rows("plain", ())) == ["plain"]


def test_fields_names_the_parameters_of_a_text() -> None:
    assert fields(parse("{a}{b:.1f}{{c}}", ["a", "b", "c"])) == {"a", "b"}
    assert fields("plain") == set()


TEXTS = st.text(max_size=5) | st.lists(
    st.text(min_size=1, max_size=3)
    | st.builds(Field, st.sampled_from(["a", "b"]), st.sampled_from(["", ".3f"]), st.sampled_from(["", "q"])),
    min_size=1,
    max_size=3,
).map(tuple)
VALUES = st.text(max_size=3) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
AXES = st.builds(Axis, st.text(max_size=3), st.lists(VALUES, min_size=1, max_size=3).map(tuple))
PAIRS = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=3).map(
    lambda pairs: Together(tuple(Axis(name, values) for name, values in zip("ab", zip(*pairs, strict=True), strict=True)))
)
TABLES = st.builds(
    lambda lines, numbers: Table(("a", "b"), numbers, "\n".join(map(packed, lines))),
    st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), min_size=1, max_size=3),
    st.tuples(st.booleans(), st.booleans()),
)
DIMENSIONS = AXES | PAIRS | TABLES
TEMPLATES = st.builds(
    Template,
    number=st.integers(0, 9),
    name=TEXTS,
    commands=st.lists(TEXTS, min_size=1, max_size=2).map(tuple),
    inputs=st.lists(st.builds(InputSpec, TEXTS, st.none() | TEXTS), max_size=2).map(tuple),
    outputs=st.lists(st.builds(OutputSpec, TEXTS, st.none() | TEXTS, st.booleans()), max_size=2).map(tuple),
    env=st.lists(st.tuples(st.text(max_size=3), TEXTS), max_size=2).map(tuple),
    needs=st.dictionaries(st.sampled_from(["cpus", "memory"]), st.integers(0, 9) | st.floats(0, 9)),
    timeout=st.floats(1, 1e6),
    retries=st.integers(0, 3),
    priority=st.integers(-3, 3),
    init=st.booleans(),
    grid=st.lists(DIMENSIONS, max_size=2).map(tuple),
)


def _types(dimension: Dimension) -> list[type]:
    return [type(value) for name in dimension.names for value in dimension.column(name)]


@given(TEMPLATES)
def test_a_template_survives_the_way_through_json(template: Template) -> None:
    again = template_from_data(json.loads(json.dumps(template_to_data(template))))
    assert again == template
    assert list(map(_types, again.grid)) == list(map(_types, template.grid))


def test_the_data_of_a_template_are_as_stored_databases_have_them() -> None:
    grid = (Axis("T", (1.5, True, "x")),)
    template = Template(
        3,
        ("t-", Field("T", ".1f")),
        ("echo",),
        (InputSpec("a", "b"),),
        (OutputSpec("o/", None, True),),
        (("K", "v"),),
        {"cpus": 2},
        grid=grid,
    )
    assert template_to_data(template) == {
        "number": 3,
        "name": ["t-", ["T", ".1f", ""]],
        "commands": ["echo"],
        "needs": {"cpus": 2},
        "timeout": 86400.0,
        "inputs": [["a", "b"]],
        "outputs": [["o/", None, True]],
        "env": [["K", "v"]],
        "grid": [["T", [1.5, True, "x"]]],
    }


# ---- parameters that move together, and tables ---------------------------------------------------------------------------------

GRID = (
    Axis("g", (1, 2)),
    Together((Axis("a", (1, 1.5)), Axis("b", ("x", True)))),
    Table(
        ("T", "id", "note"),
        (True, False, False),
        "\n".join(map(packed, [("0.10", "007", "a\tb"), ("", "8", "c\\nd"), ("1e3", "", "\n")])),
    ),
)
EVERYTHING = Template(0, "t", (), grid=GRID)


def test_the_data_of_every_kind_of_dimension_are_as_stored_databases_have_them() -> None:
    assert template_to_data(EVERYTHING)["grid"] == [
        ["g", [1, 2]],
        {"together": [["a", [1, 1.5]], ["b", ["x", True]]]},
        {
            "names": ["T", "id", "note"],
            "numbers": [True, False, False],
            "text": "0.10\t007\ta\\tb\n\t8\tc\\\\nd\n1e3\t\t\\n",
        },
    ]


def test_rows_and_params_agree_whatever_the_grid_is_made_of() -> None:
    names = [name for dimension in GRID for name in dimension.names]
    text = parse("{row:02d} " + " ".join(f"{{{name}!q}}" for name in names), [*names, "row"])
    assert size_of(GRID) == 12
    found = list(rows(text, GRID))
    assert found == [render(text, texts_of(EVERYTHING, row)) for row in range(12)]
    assert found[7] == "07 2 1 x '' 8 'c\\nd'"


def test_params_have_numbers_where_a_column_has_and_print_as_they_are_written() -> None:
    params = params_of(EVERYTHING, 0)
    assert params == {"g": 1, "a": 1, "b": "x", "T": 0.1, "id": "007", "note": "a\tb"}
    assert json.loads(json.dumps(params)) == params
    assert render(parse("{T} {T:.3f} {T:>6}", ["T"]), params) == "0.10 0.100   0.10"
    assert params_of(EVERYTHING, 1)["T"] == ""
    assert params_of(EVERYTHING, 2)["T"] == 1000.0
    assert texts_of(EVERYTHING, 0)["T"] == "0.10"


def test_a_plain_task_has_no_row() -> None:
    assert params_of(Template(0, "t", ()), 0) == {}


def test_a_parameter_of_an_older_job_that_is_called_row_keeps_its_meaning() -> None:
    template = template_from_data({"number": 0, "name": ["t", ["row", "", ""]], "commands": [], "needs": {}, "timeout": 1.0,
                                   "grid": [["row", [5, 6]]]})  # fmt: skip
    assert params_of(template, 1) == {"row": 6}
    assert list(rows(template.name, template.grid)) == ["t5", "t6"]


def test_one_table_is_kept_once_however_many_templates_have_it() -> None:
    data = json.dumps(template_to_data(EVERYTHING))
    tables = [template_from_data(json.loads(data)).grid[2] for _ in range(2)]
    assert isinstance(tables[0], Table) and isinstance(tables[1], Table)
    assert tables[0].text is tables[1].text
