"""Whatever arrives is a message or a ProtocolError, and what was read is written so that it reads the same."""

import json
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.protocol import _NAMES, MAX_MESSAGE, Message, ProtocolError, decode, encode

TEXT = st.sampled_from(["", "u1.0.1", "\u00b2", "\ud800", "a\0b", "../x", "online"]) | st.text(max_size=6)
NUMBER = (
    st.sampled_from([0, -1, 2**63, 2**63 - 1, 10**400, 1e308, float("inf"), float("nan"), 5e-324]) | st.integers() | st.floats()
)
ANYTHING = st.recursive(
    TEXT | NUMBER | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
FIELDS = sorted({name for cls in get_args(Message) for name in cls._fields} | {"attempt", "outcome", "files", "usage", "inputs"})


@pytest.mark.long
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([1, 2, 2, 3, True, 2.0, "2", None]),
    st.sampled_from(sorted(_NAMES.values())) | ANYTHING,
    st.dictionaries(st.sampled_from(FIELDS), ANYTHING | st.lists(st.dictionaries(st.sampled_from(FIELDS), ANYTHING))),
)
def test_any_object_is_a_message_that_reads_again_or_an_error_in_a_line(version: Any, kind: Any, fields: dict[str, Any]) -> None:
    payload = json.dumps({**fields, "v": version, "kind": kind}).encode()
    try:
        message = decode(payload)
    except ProtocolError as error:
        assert len(str(error)) < 500
        return
    (once,) = encode(message)
    assert encode(decode(once)) == [once]


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    try:
        decode(data)
    except ProtocolError:
        return


def test_what_is_nested_as_deeply_as_json_takes_it_is_refused_like_anything_else() -> None:
    for deep in range(100, 3000, 100):
        for nested in ("[" * deep + "]" * deep, '{"a":' * deep + "1" + "}" * deep):
            for payload in (f'{{"v":2,"kind":{nested}}}', f'{{"v":{nested}}}', f'{{"v":2,"kind":"goodbye","session":{nested}}}'):
                try:
                    decode(payload.encode())
                except ProtocolError as error:
                    assert len(str(error)) < 500
                    continue
                raise AssertionError(payload[:40])


def test_a_kind_or_a_version_as_long_as_a_message_makes_no_long_error() -> None:
    for payload in (f'{{"v":2,"kind":"{"x" * (MAX_MESSAGE - 100)}"}}', f'{{"v":"{"x" * (MAX_MESSAGE - 100)}"}}'):
        try:
            decode(payload.encode())
        except ProtocolError as error:
            assert len(str(error)) < 500
