"""The datastore's thread outlives what nobody thought of: else every result would wait for ever."""

import queue
from typing import Any

import pytest

from boss.adapters import results
from boss.adapters.results import DatastoreGate, result_of
from boss.core.events import DatastoreSeen, Event, ResultAccepted
from datastore.channel import Endpoint


class OddLink:
    """A link to a gate whose first answer is none that a gate gives."""

    name = "me@here:22"
    connected = False

    def __init__(self, endpoint: Endpoint, patience: float) -> None:
        self.asked = 0

    def connect(self) -> None:
        self.connected = True

    def close(self) -> None:
        self.connected = False

    def ask(self, request: dict[str, Any], take: object = None) -> dict[str, Any]:
        if request["op"] != "accept":
            return {}
        self.asked += 1
        return {} if self.asked == 1 else {"answers": [["u.0.1", "accepted", ""]]}


def test_the_thread_goes_on_after_an_answer_that_it_cannot_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "GateLink", OddLink)
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def put(event: Event) -> bool:
        events.put(event)
        return True

    gate = DatastoreGate(Endpoint("here", 22, "me", "", "", ""), "c1", b"secret")
    gate.start(put)
    gate.accept("u.0.1", "j", ())
    seen = [events.get(timeout=5) for _ in range(4)]
    gate.stop()
    assert [event.up for event in seen if isinstance(event, DatastoreSeen)] == [True, False, True]
    assert seen[-1] == ResultAccepted("u.0.1")


@pytest.mark.parametrize(
    "record", [{}, {"result": "{}", "files": 3}, {"result": "\udc80", "files": []}, {"result": 1, "files": [[1]]}]
)
def test_a_record_that_no_gate_wrote_is_none(record: dict[str, Any]) -> None:
    assert result_of("u.0.1", record) is None
