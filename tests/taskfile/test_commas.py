"""Columns with decimal commas that are printed as they are: noted at the push."""

from typing import Any

from tests.taskfile.push import push, refusal, tasks

SEMICOLONS = b"T;seed;kind\n1,5;1;cold\n2;2;hot, hot\n-0,25;3;\n"
NOTE = "params.csv: column T has decimal commas ('1,5'): texts, printed as they are"


def _notes(data: bytes = SEMICOLONS, **fields: Any) -> list[str]:
    entry = {"id": "a-{row}", "foreach": {"csv": "params.csv"}, **fields}
    return push(tasks(entry, {**entry, "id": "b-{row}"}), tables={"params.csv": data}).notes


def test_a_column_with_decimal_commas_is_noted_once_where_it_is_printed_as_it_is() -> None:
    assert _notes(command="echo {T} {seed} {kind}") == [NOTE]
    assert _notes(command="echo {T!q}") == [NOTE]
    assert _notes(command="true", env={"T": "{T}"}) == [NOTE]


def test_a_column_that_no_text_prints_is_not_noted() -> None:
    assert _notes(command="echo {seed} {kind}") == []


def test_texts_with_commas_in_them_and_numbers_are_not_noted() -> None:
    assert _notes(b"T;kind\n1.5;a,b\n2;1,5\n", command="echo {T} {kind}") == []
    assert _notes(b"T;kind\n1,5;x\nauto;y\n", command="echo {T} {kind}") == []


def test_a_format_for_numbers_is_the_error_that_it_was() -> None:
    entry = {"id": "a-{row}", "foreach": {"csv": "params.csv"}, "command": "echo {T:.2f} {T}"}
    [told] = refusal(tasks(entry), tables={"params.csv": SEMICOLONS})
    assert "'1,5' is no number (a number has a decimal point: 1.5)" in told
