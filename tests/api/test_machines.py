"""Looking into a worker's VM through the API."""

import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator

import pytest

from boss.api import machines
from boss.ports import MachineDown
from tests.api.rig import Rig


def with_debug(rig: Rig, answer: Iterable[str] | Exception) -> list[tuple[str, str, str]]:
    """Let ``debug`` answer this; what it was asked."""
    asked: list[tuple[str, str, str]] = []

    def debug(worker: str, pool: str, address: str, console: Callable[[], str]) -> Iterator[str]:
        assert console() == "", "a process of this machine has none"
        asked.append((worker, pool, address))
        if isinstance(answer, Exception):
            raise answer
        return iter(answer)

    house = rig.app.state.house
    rig.app.state.house = dataclasses.replace(house, facts=dataclasses.replace(house.facts, debug=debug))
    return asked


def up(rig: Rig) -> str:
    """A worker that is there; its name."""
    rig.push({"a": "hold"})
    rig.until(lambda rig: rig.states() == {"a": "running"})
    return str(rig.get("/workers")[0]["id"])


def test_the_lines_come_as_they_are_said(rig: Rig) -> None:
    worker = up(rig)
    asked = with_debug(rig, ["+ date", "exit code 0"])
    told = rig.http.get(f"/workers/{worker}/debug")
    assert (told.status_code, told.text) == (200, '{"line": "+ date"}\n{"line": "exit code 0"}\n')
    assert [(name, pool) for name, pool, _ in asked] == [(worker, "local")]


def test_a_silent_machine_gives_signs_of_life(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, heard = up(rig), threading.Event()
    monkeypatch.setattr(machines, "ALIVE", 0.01)

    def silent() -> Iterator[str]:
        assert heard.wait(20), "there was no sign of life"
        yield "at last"

    with_debug(rig, silent())
    with rig.http.stream("GET", f"/workers/{worker}/debug") as told:
        lines = told.iter_lines()
        assert next(lines) == ""
        heard.set()
        assert [line for line in lines if line] == ['{"line": "at last"}']


def test_a_machine_that_cannot_be_reached_is_one_sentence(rig: Rig) -> None:
    worker = up(rig)
    with_debug(rig, MachineDown("it has another host key"))
    told = rig.http.get(f"/workers/{worker}/debug")
    assert (told.status_code, told.json()["error"]) == (503, "it has another host key")


def test_a_worker_that_is_not_there_is_named_with_those_that_are(rig: Rig) -> None:
    worker = up(rig)
    told = rig.http.get("/workers/nobody/debug")
    assert told.status_code == 404 and worker in told.json()["error"]


def test_a_worker_that_is_a_process_here_has_a_log_here(rig: Rig) -> None:
    worker = up(rig)
    told = rig.http.get(f"/workers/{worker}/debug")
    assert told.status_code == 409 and "worker.log" in told.json()["error"]


def test_where_vms_reach_the_boss_is_kept_in_the_context(rig: Rig) -> None:
    told = rig.http.put("/context/boss", json={"address": "boss.example.org"})
    assert (told.status_code, told.json()) == (200, {"boss_address": "boss.example.org"})
    assert rig.get("/context")["boss_address"] == "boss.example.org"


@pytest.mark.parametrize("address", ["", "a b", "https://x", "x:80", "x" * 301])
def test_what_is_no_host_is_refused_and_changes_nothing(rig: Rig, address: str) -> None:
    before = rig.get("/context")
    assert rig.http.put("/context/boss", json={"address": address}).status_code == 422
    assert rig.get("/context") == before
