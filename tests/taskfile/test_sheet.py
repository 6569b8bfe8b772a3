"""boss.taskfile.sheet: what a CSV file may look like, and the sentence for each way to get it wrong."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boss.taskfile.sheet import Sheet, read_sheet


def sheet(data: bytes | str, limit: int = 5_000_000) -> Sheet:
    """A file that must be read."""
    told: list[str] = []
    found = read_sheet("p.csv", data.encode() if isinstance(data, str) else data, limit, told.append)
    assert found is not None, told
    assert told == []
    return found


def cells(data: bytes | str) -> list[dict[str, str]]:
    """The rows of a file, as they are written."""
    table = sheet(data).table
    return [{name: str(cell) for name, cell in table.at(row)} for row in range(len(table))]


def told(data: bytes | str, limit: int = 5_000_000) -> list[str]:
    """What is wrong with a file that must be refused."""
    problems: list[str] = []
    assert read_sheet("p.csv", data.encode() if isinstance(data, str) else data, limit, problems.append) is None
    assert problems
    return problems


NO_NAME = "names no parameter (a parameter's name is made of letters, digits and _, and begins with no digit)"
PANDAS = "(pandas writes such a column unless it is told index=False)"
COMMA = "; if 1,5 is meant as a number: with a decimal point it is 1.5"
QUOTES = '; a cell with a comma in it is written between quotation marks: "a, b"'
TWICE = '(within a cell a quotation mark is written twice: "")'
PLAIN = [{"T": "1.50", "seed": "007"}, {"T": "1e-3", "seed": "2"}]


@pytest.mark.parametrize(
    "data",
    [
        "T,seed\n1.50,007\n1e-3,2\n",
        "T,seed\n1.50,007\n1e-3,2",
        "T,seed\r\n1.50,007\r\n1e-3,2\r\n",
        "T,seed\r1.50,007\r1e-3,2\r",
        b"\xef\xbb\xbfT,seed\n1.50,007\n1e-3,2\n",
        "T;seed\n1.50;007\n1e-3;2\n",
        "T\tseed\n1.50\t007\n1e-3\t2\n",
        "sep=;\nT;seed\n1.50;007\n1e-3;2\n",
        b"\xef\xbb\xbfsep=,\r\nT,seed\r\n1.50,007\r\n1e-3,2\r\n",
        " T , seed \n1.50,  007\n 1e-3 , 2\n",
        '"T","seed"\n"1.50","007"\n"1e-3","2"\n',
        'T,seed\n1.50,"007"\n "1e-3" , 2\n',
        "\n\nT,seed\n\n1.50,007\n   \n,\n1e-3,2\n\n\n",
    ],
)
def test_the_same_table_is_read_from_what_different_programs_write(data: bytes | str) -> None:
    assert cells(data) == PLAIN


def test_quoted_cells_hold_separators_quotation_marks_line_breaks_blanks_and_tabs() -> None:
    data = 'a,b\n"x, y","say ""hi"""\n"two\nlines"," kept "\n"tab\there",back\\slash\nlast,5" disk\n'
    assert cells(data) == [
        {"a": "x, y", "b": 'say "hi"'},
        {"a": "two\nlines", "b": " kept "},
        {"a": "tab\there", "b": "back\\slash"},
        {"a": "last", "b": '5" disk'},
    ]
    assert list(sheet(data).lines) == [2, 3, 5, 6]


def test_columns_and_rows_say_the_same() -> None:
    data = 'a,b,c\n1,"x\ty",\\n\n2,"z\nz",\\\\\n'
    table = sheet(data).table
    assert [list(table.column(name)) for name in table.names] == [["1", "2"], ["x\ty", "z\nz"], ["\\n", "\\\\"]]
    assert [list(dict(table.at(row)).values()) for row in range(2)] == [["1", "x\ty", "\\n"], ["2", "z\nz", "\\\\"]]


def test_a_place_names_file_and_line_as_an_editor_counts_them() -> None:
    found = sheet("\nT\n\n1\n\n2\n")
    assert [found.place(row) for row in range(2)] == ["p.csv, line 4", "p.csv, line 6"]


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        (["1", "2"], True),
        (["0.10", "-1e-3", "+.5", "3."], True),
        (["1", "", "2"], True),
        (["", "x"], False),
        (["007", "008"], False),  # zeros in front make a label
        (["1", "007"], False),
        (["0,5"], False),
        (["1", "nan"], False),
        (["inf"], False),
        (["1e999"], False),
        (["1_000"], False),
        (["0x10"], False),
        (["٣"], False),
        (["9" * 30], False),
    ],
)
def test_a_column_is_one_of_numbers_when_all_its_cells_are(column: list[str], numbers: bool) -> None:
    data = "x,other\n" + "".join(f'"{cell}",-\n' for cell in column)
    assert sheet(data).table.numbers == (numbers, False)


@pytest.mark.parametrize(
    ("data", "sentences"),
    [
        ("", ["is empty: its first line must name the parameters"]),
        ("\n \n\t\n,,\n", ["is empty: its first line must name the parameters"]),
        ("T,seed\n", ["has no row below its header"]),
        ("T,seed\n\n,\n", ["has no row below its header"]),
        ("T,seed\n1,2\n3\n4,5\n6\n", ["line 3 has 1 cell, but the header in line 1 has 2 names (line 5 does not fit either)"]),
        (
            "T,seed\n3\n4\n5\n6\n",
            ["line 2 has 1 cell, but the header in line 1 has 2 names (lines 3, 4 and 5 do not fit either)"],
        ),
        (
            "T,seed\n3\n4\n5\n6\n" + "7\n" * 2000,
            ["line 2 has 1 cell, but the header in line 1 has 2 names (lines 3, 4, 5 and 2,000 more do not fit either)"],
        ),
        ("T,seed\n3\n1,5,7\n", [f"line 2 has 1 cell, but the header in line 1 has 2 names (line 3 does not fit either){COMMA}"]),
        ("T\n1,5\n", [f"line 2 has 2 cells, but the header in line 1 has 1 name{COMMA}"]),
        ("T,seed\ncold, slowly,7\n", [f"line 2 has 3 cells, but the header in line 1 has 2 names{QUOTES}"]),
        ("T;seed\n1;2;3\n", ["line 2 has 3 cells, but the header in line 1 has 2 names"]),
        ("T,T\n1,2\n", ["line 1, columns 1 and 2 are both called T"]),
        (
            "T,learning rate\n1,2\n",
            [f"line 1, column 2: 'learning rate' {NO_NAME}: write learning_rate"],
        ),
        ("2x,a\n1,2\n", [f"line 1, column 1: '2x' {NO_NAME}: write _2x"]),
        ("Größe,a\n1,2\n", [f"line 1, column 1: 'Größe' {NO_NAME}: write Grosse"]),
        ("a,Row!\n1,2\n", [f"line 1, column 2: 'Row!' {NO_NAME}: write Row"]),
        ("a,row\n1,2\n", ["line 1, column 2: a parameter may not be called row, which is the number of the row: write row_"]),
        (",T\n0,1\n", [f"line 1, column 1 has no name {PANDAS}: name it, or delete the column"]),
        (
            "1.5,7\n2,3\n",
            ["line 1 has numbers where the names of the parameters belong: put a line with the names before it"],
        ),
        (
            "# made by hand\nT\n1\n",
            ["line 1 begins with '#': a CSV file has no comments, and its first line names the parameters"],
        ),
        ("T,\n0,1\n", ["line 1, column 2 has no name: name it, or delete the column"]),
        ('T,seed\n1,"2\n3,4\n', ["line 2: cell 2 begins with a quotation mark that is never closed"]),
        ('T,seed\n1,"2"3\n', [f"line 2: cell 2 goes on behind its closing quotation mark {TWICE}"]),
        (b"T\n1\n\xe4\n", ["line 3 is not UTF-8 (byte 0xe4); save it as CSV UTF-8"]),
        (b"T\r\n1\r\n\0\n", ["line 3 has a NUL byte, so this is no CSV file"]),
        ("T\n1\n".encode("utf-16"), ["is UTF-16; save it as CSV UTF-8"]),
        (b"PK\x03\x04...", ["is an Excel or OpenDocument workbook; save it as CSV (UTF-8)"]),
        (b"\x1f\x8b...", ["is compressed (gzip); send it as plain text"]),
    ],
)
def test_each_way_to_get_a_file_wrong_has_its_sentence(data: bytes | str, sentences: list[str]) -> None:
    assert told(data) == sentences


def test_a_file_separated_by_something_else_is_told_what_separates() -> None:
    assert told("T|seed\n1|2\n")[-1] == "line 1: no separator was found there: cells are separated by commas, semicolons, tabs"
    assert told("T seed\n1 2\n")[-1] == "line 1: no separator was found there: cells are separated by commas, semicolons, tabs"


def test_problems_of_header_and_rows_are_told_together() -> None:
    assert [sentence[:14] for sentence in told("a b,c d,row\n1\n")] == [
        "line 1, column",
        "line 1, column",
        "line 1, column",
        "line 2 has 1 c",
    ]


def test_more_rows_than_a_job_may_have_tasks_are_refused() -> None:
    assert told("T\n1\n2\n3\n", limit=2) == ["has more than the 2 rows that one job may have as tasks"]
    assert len(sheet("T\n1\n2\n", limit=2).table) == 2


CELL = st.text(alphabet=st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["", " ", "\t", '"', "a b", "x,y", "x;y", "\\", "\\n", "1.50", "sep=,"]
)


@given(
    st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=6)),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_pythons_csv_writes_is_read_as_it_was(table: list[list[str]], separator: str, end: str) -> None:
    rows = [row for row in table if any(row)]
    if not rows:
        return
    names = [f"c{number}" for number in range(len(table[0]))]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([names, *table])
    found = cells(text.getvalue())
    assert [list(row.values()) for row in found] == rows


@given(st.binary(max_size=80) | st.text(alphabet='ab,;"\t\n\r 1', max_size=60).map(str.encode))
def test_any_bytes_give_a_table_or_sentences(data: bytes) -> None:
    problems: list[str] = []
    found = read_sheet("p.csv", data, 10, problems.append)
    assert (found is None) == bool(problems)
    if found is not None:
        assert len(found.table) == len(found.lines)
        assert all(len(list(found.table.at(row))) == len(found.table.names) for row in range(len(found.table)))
