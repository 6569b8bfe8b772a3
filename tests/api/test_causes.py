"""Failures by cause: which are one, which are not, and how few are left of very many."""

import pytest

from boss.api.causes import FEW, MOST, Cause, Causes
from boss.core.lines import last_line
from boss.ports import FailureRow


def row(number: int, stderr: str = "", **fields: object) -> FailureRow:
    """Task ``t<number>`` failed with exit code 1."""
    facts = {"phase": "run", "exit_code": 1, "signal": None, "reason": "exit code 1", **fields}
    return FailureRow(number, f"t{number}", stderr=stderr, **facts)  # type: ignore[arg-type]


def causes(*rows: FailureRow) -> list[Cause]:
    found = Causes()
    found.add(rows)
    return found.causes()


def counted(*rows: FailureRow) -> dict[str, int]:
    """Line (or reason) -> count."""
    return {cause.line or cause.reason: cause.count for cause in causes(*rows)}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        (" \n\n", ""),
        ("one\ntwo\n\n  \n", "two"),
        ("Traceback:\n  File x\nValueError: no\n", "ValueError: no"),
        ("10%\r50%\r100% done\r\n", "100% done"),
        ("x" * 1000, "x" * 300),
        ("\tindented\n", "indented"),
        ("\x1b[1;31merror: \x1b[0mno\n\x1b[0m\n", "error: no"),
    ],
)
def test_the_last_line_that_is_not_blank_counts(text: str, line: str) -> None:
    assert last_line(text) == line


def test_equal_exit_code_and_line_are_one_cause_and_the_first_task_its_example() -> None:
    found = causes(
        row(3, "a\nboom\n"), row(5, "b\nboom\n\n"), row(9, "crash"), row(10, "boom", exit_code=2, reason="exit code 2")
    )
    assert [(cause.exit_code, cause.line, cause.count, cause.example) for cause in found] == [
        (1, "boom", 2, "t3"),
        (1, "crash", 1, "t9"),
        (2, "boom", 1, "t10"),
    ]
    assert not any(cause.folded for cause in found)


def test_two_failures_that_differ_in_numbers_only_are_one_cause() -> None:
    assert counted(row(1, "ValueError: T = 0.5"), row(2, "ValueError: T = 1.5")) == {"ValueError: T = #": 2}


def test_thirty_failures_of_three_kinds_are_three_causes_and_one_of_a_kind_keeps_its_numbers() -> None:
    rows = [row(number, f"ValueError: T = {number}.5") for number in range(8)]
    rows += [row(100 + number, f"row {number}: no convergence after 300 steps") for number in range(4)]
    rows += [row(200, "KeyError: 17")]
    assert counted(*rows) == {"ValueError: T = #": 8, "row #: no convergence after 300 steps": 4, "KeyError: 17": 1}


def test_few_lines_that_differ_in_names_stay_as_they_are() -> None:
    assert len(counted(*(row(number, f"KeyError: '{chr(97 + number)}'") for number in range(FEW)))) == FEW


def test_many_lines_that_differ_in_numbers_are_one_cause() -> None:
    assert counted(*(row(number, f"ValueError: T = {number / 7} is above 1e-{number}") for number in range(30))) == {
        "ValueError: T = # is above #": 30
    }
    assert counted(*(row(number, f"free(): invalid pointer at 0x{number:x}f") for number in range(30))) == {
        "free(): invalid pointer at #": 30
    }
    assert counted(*(row(number, f"object {number:08x}-12ab-44ef is gone") for number in range(30))) == {"object # is gone": 30}
    assert counted(*(row(number, f"x = -{number}.5, n{number}") for number in range(30))) == {"x = #, n#": 30}


def test_many_lines_that_differ_in_paths_and_names_are_one_cause() -> None:
    names = [chr(97 + number) * 3 for number in range(20)]
    assert counted(*(row(number, f"KeyError: '{name}'") for number, name in enumerate(names))) == {"KeyError: ...": 20}
    assert counted(*(row(number, f"cat: /data/{name}/x: No such file or directory") for number, name in enumerate(names))) == {
        "cat: ... No such file or directory": 20
    }


def test_two_kinds_of_crash_among_many_lines_stay_two() -> None:
    rows = [row(number, f"ValueError: T = {number}") for number in range(21)]
    rows += [
        row(100 + number, f"double free at 0x{number:08x}", exit_code=None, signal=11, reason="killed by SIGSEGV")
        for number in range(9)
    ]
    found = causes(*rows)
    assert [(cause.count, cause.signal, cause.line, cause.folded) for cause in found] == [
        (21, None, "ValueError: T = #", True),
        (9, 11, "double free at #", True),
    ]


def test_words_that_are_no_numbers_are_not_folded() -> None:
    rows = [row(number, f"deadbeef effaced {number}") for number in range(20)]
    assert counted(*rows) == {"deadbeef effaced #": 20}


def test_numbers_that_are_always_the_same_are_shown() -> None:
    rows = [row(number, f"T = {number}") for number in range(20)] + [row(100 + number, "line 7 of a/b") for number in range(9)]
    assert [(cause.line, cause.folded) for cause in causes(*rows)] == [("T = #", True), ("line 7 of a/b", False)]


def test_of_a_folded_line_what_is_always_the_same_is_shown_and_one_real_line() -> None:
    rows = [row(number, f"[step 7] solver exited with code 1 at x={number}.5") for number in range(652)]
    rows += [row(1000 + number, f"cat: /data/{chr(97 + number)}/in.txt: line 3: 'gone' after {number}") for number in range(20)]
    rows += [row(2000 + number, "one of a kind " * (number + 1)) for number in range(12)]
    solver, cat, *_ = causes(*rows)
    assert (solver.line, solver.folded) == ("[step 7] solver exited with code 1 at x=#", True)
    assert (solver.count, solver.example, solver.example_line) == (652, "t0", "[step 7] solver exited with code 1 at x=0.5")
    assert cat.line == "cat: ... line 3: 'gone' after #"
    assert cat.example_line == "cat: /data/a/in.txt: line 3: 'gone' after 0"


def test_a_mark_that_is_really_written_does_not_hide_numbers_that_vary() -> None:
    rows = [row(0, "task # 5")] + [row(number, f"task {number} 5") for number in range(1, 20)]
    [cause] = causes(*rows)
    assert (cause.count, cause.folded) == (20, True)
    assert cause.line == "task # #"


def test_a_reason_that_says_more_than_the_exit_code_stands_for_the_line() -> None:
    assert counted(
        row(1, "step 17\n", reason="timed out after 300s", exit_code=None, signal=15),
        row(2, "step 18\n", reason="timed out after 300s", exit_code=None, signal=15),
        row(3, "loading\n", reason="killed by SIGKILL: out of memory (the kernel ended a process for want of it)", signal=9),
        row(4, "x\n", reason="exit code 1; the worker's disk is full"),
        row(5, "ecloud: y\n", phase="fetch", exit_code=None, reason="y of job j is not on the datastore"),
        row(6, "bash: foo: command not found\n", exit_code=127, reason="exit code 127 (command not found)"),
    ) == {
        "timed out after 300s": 2,
        "killed by SIGKILL: out of memory (the kernel ended a process for want of it)": 1,
        "exit code 1; the worker's disk is full": 1,
        "y of job j is not on the datastore": 1,
        "bash: foo: command not found": 1,
    }


def test_reasons_are_folded_like_lines_but_exit_codes_are_not() -> None:
    rows = [row(number, phase="fetch", exit_code=None, reason=f"in-{number}.csv is not on the datastore") for number in range(20)]
    rows += [row(100 + code, "", exit_code=code, reason=f"exit code {code}") for code in range(1, 15)]
    found = counted(*rows)
    assert found["in-#.csv is not on the datastore"] == 20
    assert found["exit code 3"] == 1


def test_a_hundred_thousand_failures_that_have_nothing_in_common_take_bounded_room() -> None:
    def word(number: int) -> str:
        return "".join(chr(97 + int(digit)) for digit in str(number))

    found = Causes()
    found.add(row(number, f"error {word(number)}") for number in range(100_000))
    left = found.causes()
    assert len(left) == MOST
    assert not any(cause.folded for cause in left)
    assert found.others + sum(cause.count for cause in left) == found.looked_at == 100_000
