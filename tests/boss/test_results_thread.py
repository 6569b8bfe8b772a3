"""The datastore's thread outlives what nobody thought of: else every result would wait for ever."""

import queue
from typing import Any

import pytest

from boss.adapters import results
from boss.adapters.results import DatastoreGate, result_of
from boss.core.events import DatastoreSeen, Event, ResultAccepted
from datastore.channel import Endpoint
from datastore.frames import GateFull


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


class FullLink(OddLink):
    """A link to a gate that has no room at first: for an acceptance, then for anything, then by its own word."""

    def __init__(self, endpoint: Endpoint, patience: float) -> None:
        super().__init__(endpoint, patience)
        self.free = 10**9

    def ask(self, request: dict[str, Any], take: object = None) -> dict[str, Any]:
        if request["op"] != "accept":
            return {"root": "/srv/ecloud", "free": self.free, "size": 10**9}
        self.asked += 1
        if self.asked == 1:
            return {"answers": [["u.0.1", "full", "the datastore is full"]]}
        if self.asked == 2:
            raise GateFull("the datastore is full")
        return {"answers": [["u.0.1", "accepted", ""]]}


def test_a_full_datastore_is_told_from_one_that_is_away_and_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "GateLink", FullLink)
    monkeypatch.setattr(results, "LONGEST_WAIT", 0.05)
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def put(event: Event) -> bool:
        events.put(event)
        return True

    gate = DatastoreGate(Endpoint("here", 22, "me", "", "", ""), "c1", b"secret")
    gate.accept("u.0.1", "j", ())
    gate.start(put)
    place = "here:/srv/ecloud"
    assert [events.get(timeout=5) for _ in range(4)] == [
        DatastoreSeen(True, place=place),
        DatastoreSeen(True, full=True, place=place),
        ResultAccepted("u.0.1"),
        DatastoreSeen(True, place=place),
    ]
    gate.stop()


def test_too_little_room_counts_as_full_before_anybody_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "GateLink", FullLink)
    monkeypatch.setattr(results, "LOOK", 0.01)
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def put(event: Event) -> bool:
        events.put(event)
        return True

    gate = DatastoreGate(Endpoint("here", 22, "me", "", "", ""), "c1", b"secret")
    link: Any = gate._link
    link.free = 0
    gate.start(put)
    assert events.get(timeout=5) == DatastoreSeen(True, full=True, place="here:/srv/ecloud")
    link.free = 10**9
    assert events.get(timeout=5) == DatastoreSeen(True, place="here:/srv/ecloud")
    gate.stop()


@pytest.mark.parametrize(
    "record", [{}, {"result": "{}", "files": 3}, {"result": "\udc80", "files": []}, {"result": 1, "files": [[1]]}]
)
def test_a_record_that_no_gate_wrote_is_none(record: dict[str, Any]) -> None:
    assert result_of("u.0.1", record) is None
