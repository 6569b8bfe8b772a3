"""Numbers on the wire are numbers that the boss can keep."""

import json

import pytest

from worker.protocol import Heartbeat, ProtocolError, Result, Results, decode, encode


def payload(**fields: object) -> bytes:
    """A results message whose one result has these fields."""
    result = {"attempt": "u1.0.1", "outcome": "failed", **fields}
    return json.dumps({"v": 1, "kind": "results", "session": "s", "results": [result]}).encode()


@pytest.mark.parametrize("field", ["exit_code", "signal", "stdout_size", "started", "finished"])
@pytest.mark.parametrize("number", [10**400, -(10**400), float("inf"), float("nan"), True, "1"])
def test_a_number_that_no_column_holds_is_refused(field: str, number: object) -> None:
    with pytest.raises(ProtocolError, match=f"Result.{field}"):
        decode(payload(**{field: number}))


def test_sizes_and_usage_are_checked_too() -> None:
    for fields in ({"usage": {"cpu": float("inf")}}, {"files": [["x", 2**63, "ab"]]}, {"files": [["x", True, "ab"]]}):
        with pytest.raises(ProtocolError):
            decode(payload(**fields))


def test_the_largest_numbers_pass_unchanged() -> None:
    result = Result(
        "u1.0.1", "failed", exit_code=-(2**63) + 1, stdout_size=2**63 - 1, started=1.7976931348623157e308, usage={"cpu": 5e-324}
    )
    (whole,) = encode(Results("s", (result,)))
    assert decode(whole) == Results("s", (result,))
    assert decode(encode(Heartbeat("s", 1, 2, {}, 2**62, 0.5))[0]) == Heartbeat("s", 1, 2, {}, 2**62, 0.5)
