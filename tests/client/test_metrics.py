"""What becomes of a metrics file's content."""

import json
import math
from typing import Any

import pytest

from client.metrics import COLUMNS, Unreadable, read_metrics


def values(document: Any) -> dict[str, Any]:
    found = read_metrics(json.dumps(document).encode())
    assert found.left_out == []
    return found.values


def left_out(document: Any) -> list[str]:
    return read_metrics(json.dumps(document).encode()).left_out


def test_numbers_booleans_and_short_texts_are_columns_in_the_order_of_the_file() -> None:
    found = values({"b": 1, "a": 2.5, "ok": True, "no": False, "kind": "x", "nothing": None, "empty": ""})
    assert list(found.items()) == [("b", 1), ("a", 2.5), ("ok", 1), ("no", 0), ("kind", "x"), ("empty", "")]
    assert type(found["ok"]) is int


def test_objects_are_written_with_dots_and_short_lists_with_places() -> None:
    assert list(values({"fit": {"loss": 1, "deep": {"x": 2}}, "size": [3, None, True], "none": [], "nil": {}}).items()) == [
        ("fit.loss", 1),
        ("fit.deep.x", 2),
        ("size.0", 3),
        ("size.2", 1),
    ]


def test_nan_and_infinities_are_numbers() -> None:
    found = values({"a": math.nan, "b": math.inf, "c": -math.inf})
    assert math.isnan(found["a"]) and (found["b"], found["c"]) == (math.inf, -math.inf)


def test_what_makes_no_column_is_left_out_and_named() -> None:
    assert left_out({"trace": list(range(17)), "matrix": [[1, 2], [3, 4]], "rows": [{"a": 1}], "text": "x" * 201, "": 1, "n" * 201: 1}) == [
        "trace",
        "matrix",
        "rows",
        "text",
        "",
        "n" * 201,
    ]  # fmt: skip
    found = read_metrics(json.dumps({f"k{number}": number for number in range(COLUMNS + 5)}).encode())
    assert (len(found.values), len(found.left_out)) == (COLUMNS, 5)


def test_a_name_that_comes_in_two_ways_is_one_column() -> None:
    assert read_metrics(b'{"a.b": 1, "a": {"b": 2}}').values == {"a.b": 1}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "not JSON"),
        (b"loss: 3", "not JSON"),
        (b'{"a": 1', "not JSON"),
        (b'{"a": "\xff\xfe\xfa"}', "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b"[1, 2]", "not an object of names and numbers"),
        (b"3.5", "not an object of names and numbers"),
        (b'{"a":' * 200_000, "nested too deeply"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, what: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_metrics(data)
    assert caught.value.what == what


def test_a_deep_but_sound_object_does_not_break_it() -> None:
    depth = 300
    found = read_metrics(b'{"a":' * depth + b"1" + b"}" * depth)
    assert found.values == {}
    assert len(found.left_out) == 1


def test_byte_order_marks_and_other_encodings_of_json_are_read() -> None:
    assert read_metrics(b'\xef\xbb\xbf{"a": 1}').values == {"a": 1}
    assert read_metrics('{"ü": 1}'.encode("utf-16")).values == {"ü": 1}
