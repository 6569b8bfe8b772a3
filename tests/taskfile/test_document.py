"""Text that is no task file at all: each way has its sentence."""

import pytest

from tests.taskfile.push import push, refusal


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b" \n\t ", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"{", "line 1, column 2: is not JSON: expecting property name enclosed in double quotes"),
        (b'{"tasks": [\n {"id": "a",}]}', "line 2, column 12: is not JSON: a comma too many; remove it"),
        (
            b'{"tasks": [\n {"id": "a"},\n\n]}',
            "line 2, column 13: is not JSON: a comma too many; remove it, because nothing follows",
        ),
        (b'{"tasks": [1,, 2]}', "line 1, column 14: is not JSON: expecting value"),
        (
            b"{'tasks': []}",
            "line 1, column 2: is not JSON: expecting property name enclosed in double quotes; texts stand between",
        ),
        (b'{"tasks": []} x', "line 1, column 15: is not JSON: extra data"),
        (b'{"tasks":\n\n "a\0b"}', "line 3: has a NUL byte (byte 14)"),
        (b'{"tasks":\n "a\xe9b"}', "line 2: is not UTF-8: byte 13 is 0xe9; save it as UTF-8"),
        (b'\xef\xbb\xbf{"tasks":\n "a\xe9b"}', "line 2: is not UTF-8: byte 16 is 0xe9; save it as UTF-8"),
        ('{"tasks": []}'.encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (b"[" * 100_000, "is nested too deeply to be a task file"),
        (b'{"a":' * 100_000, "is nested too deeply to be a task file"),
        (b'{"tasks": ' + b"9" * 5000 + b"}", "has a number with thousands of digits"),
        (b"7", 'is 7; a task file is {"tasks": [...]}'),
        (b"null", 'is null; a task file is {"tasks": [...]}'),
        (b'"hello"', "is 'hello'; a task file is {\"tasks\": [...]}"),
        (b"[]", "is an empty list: there is nothing to do"),
        (b"{}", 'tasks: is missing: a task file is {"tasks": [{"id": ..., "command": ...}, ...]}'),
        (b'{"tasks": []}', "tasks: is an empty list: there is nothing to do"),
        (b'{"tasks": {}}', "tasks: must be a list of tasks, not an object"),
        (b'{"tasks": [7]}', "tasks[0]: must be an object with id and command, not 7"),
    ],
)
def test_text_that_is_no_task_file_is_refused_with_one_sentence(data: bytes, sentence: str) -> None:
    [told] = refusal(data)
    assert told.startswith(sentence)


def test_a_byte_order_mark_is_allowed() -> None:
    assert push(b'\xef\xbb\xbf{"tasks": [{"id": "a", "command": "true"}]}').tasks == 1


def test_a_text_beyond_the_limit_is_refused_unread() -> None:
    data = b'{"tasks": [{"id": "a", "command": "true"' + b" " * 3_000_000 + b"}]}"
    assert refusal(data, max_bytes=2**20) == [
        "has 2.861 MiB, more than the 1 MiB that this boss accepts; say many tasks with one foreach"
    ]
    assert push(data).tasks == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"job": "a", "job": "b", "tasks": [{"id": "a", "command": "x"}]}', "has the field 'job' twice"),
        ('{"tasks": [{"id": "a", "command": "x", "command": "y"}]}', "tasks[0] 'a': has the field 'command' twice"),
        ('{"tasks": [{"id": "a", "command": "x", "env": {"A": "1", "A": "2"}}]}', "tasks[0] 'a': env: has the field 'A' twice"),
        ('[{"key": 1, "cmd": "x"}, {"key": "b", "cmd": "x", "cmd": "y"}]', "[1] 'b': has the field 'cmd' twice"),
    ],
)
def test_a_repeated_key_is_an_error_that_names_its_place(text: str, sentence: str) -> None:
    assert refusal(text) == [sentence]


def test_a_repeated_key_in_what_was_overwritten_is_told_too() -> None:
    text = '{"tasks": [{"id": "a", "command": "x", "env": {"A": "1", "A": "2"}, "env": {}}]}'
    assert refusal(text) == ["tasks[0] 'a': has the field 'env' twice"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_told_where_they_stand(number: str) -> None:
    [told] = refusal('{"tasks": [{"id": "a", "command": "x", "cpus": NUMBER}]}'.replace("NUMBER", number))
    assert told.startswith("tasks[0] 'a': cpus: must be a number, not ")
