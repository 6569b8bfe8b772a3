"""Logs and events, as they happen."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx

from tests.api.rig import TOKEN, Rig, chunk
from tests.servers import eventually
from worker.protocol import Result


class Heard:
    """The lines of a stream, read by a thread."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.ended = threading.Event()

    def text(self, stream: str = "stdout") -> str:
        """All that came of one output stream."""
        return "".join(line["data"] for line in self.lines if line and line.get("stream") == stream)


@contextmanager
def hearing(rig: Rig, path: str, **params: str) -> Iterator[Heard]:
    """Read a stream until the block ends; then the connection is cut."""
    heard = Heard()
    with rig.client(TOKEN).stream("GET", path, params=params) as response:
        assert response.status_code == 200

        def read() -> None:
            try:
                for text in response.iter_lines():
                    heard.lines.append(json.loads(text) if text else None)
                heard.ended.set()
            except httpx.TransportError:
                return  # cut

        reader = threading.Thread(target=read)
        reader.start()
        yield heard
        connection = response.extensions["network_stream"].get_extra_info("socket")
        if not heard.ended.is_set():
            connection.shutdown(socket.SHUT_RDWR)
        reader.join(10)
        assert not reader.is_alive()


def _until(look: Callable[[], object]) -> None:
    eventually(look)


def _held(rig: Rig) -> str:
    eventually(lambda: rig.workers.held)
    return next(iter(rig.workers.held))


def test_the_logs_of_the_newest_attempt_are_read(rig: Rig) -> None:
    rig.push({"a": "true"})
    rig.until(lambda rig: rig.states() == {"a": "succeeded"})
    found = rig.get("/logs", target="a")
    assert (found["job"], found["id"], found["attempt"]) == ("job", "a", 1)
    assert (found["stdout"], found["stderr"]) == ("out of it\n", "err of it\n")
    assert rig.get("/logs", target="a", stream="stderr")["stdout"] == ""


def test_the_reason_of_refused_outputs_follows_a_stored_log(rig: Rig) -> None:
    rig.push({"a": "hold"})
    attempt = _held(rig)
    rig.shelf.logs["job", "a", 1, "stderr"] = b"much\n" * 2000
    told = Result(
        attempt, "failed", "upload", 0, reason="no y", stderr="much\necloud: no y\n", stderr_size=10016, stored_logs=True
    )
    rig.workers.tell(attempt, told)
    rig.until(lambda rig: rig.states() == {"a": "failed"})
    text = rig.get("/logs", target="a")["stderr"]
    assert text.startswith("much\nmuch\n") and text.endswith("much\n\necloud: no y\n")


def test_a_task_that_never_ran_has_an_empty_log_of_no_attempt(rig: Rig) -> None:
    rig.push([{"id": "a", "command": "fail"}, {"id": "b", "command": "true", "after": ["a"]}])
    rig.until(lambda rig: rig.states()["b"] == "skipped")
    assert rig.get("/logs", target="b") == {"job": "job", "id": "b", "attempt": 0, "stdout": "", "stderr": "", "running": False}
    assert "has not run yet" in rig.get("/logs", 404, target="b", attempt=1)["error"]


def test_the_log_of_a_running_attempt_is_what_it_has_written_so_far(rig: Rig) -> None:
    rig.push({"a": "hold"})
    attempt = _held(rig)
    rig.until(lambda rig: rig.states() == {"a": "running"})
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(rig.get, "/logs", target="a")
        eventually(lambda: (attempt, True) in rig.workers.followed)
        runner = rig.workers.held[attempt][0]
        rig.hub.publish("a-stranger", chunk(attempt, "lies\n"))
        rig.hub.publish(runner, chunk(attempt, "one\n"))
        rig.hub.publish(runner, chunk(attempt, "oh\n", stream="stderr"))
        rig.hub.publish(runner, chunk(attempt, "one\ntwo\n"))
        found = asked.result(30)
    assert found == {"job": "job", "id": "a", "attempt": 1, "stdout": "one\ntwo\n", "stderr": "oh\n", "running": True}
    eventually(lambda: (attempt, False) in rig.workers.followed)


def test_an_attempt_that_ends_while_its_log_is_gathered_is_read_whole(rig: Rig) -> None:
    rig.push({"a": "hold"})
    attempt = _held(rig)
    rig.until(lambda rig: rig.states() == {"a": "running"})
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(rig.get, "/logs", target="a")
        eventually(lambda: (attempt, True) in rig.workers.followed)
        rig.hub.publish(rig.workers.held[attempt][0], chunk(attempt, "one\n"))
        rig.workers.end(attempt, stdout="one\ntwo\n", stderr="")
        found = asked.result(30)
    assert (found["stdout"], found["running"]) == ("one\ntwo\n", False)


def test_an_attempt_that_never_was_is_refused_with_those_that_were(rig: Rig) -> None:
    rig.push({"a": "true"})
    rig.until(lambda rig: rig.states() == {"a": "succeeded"})
    assert "attempts: 1" in rig.get("/logs", 404, target="a", attempt=7)["error"]


def test_a_log_can_be_followed_from_before_the_start_to_the_end(rig: Rig) -> None:
    rig.push([{"id": "first", "command": "hold"}, {"id": "a", "command": "hold", "after": ["first"]}])
    first = _held(rig)
    with hearing(rig, "/logs/follow", target="job:a") as heard:
        rig.workers.end(first)
        eventually(lambda: rig.workers.followed)
        attempt = rig.workers.followed[0][0]
        runner = rig.workers.held[attempt][0]
        rig.hub.publish(runner, chunk(attempt, "one\n"))
        rig.hub.publish(runner, chunk(attempt, "one\ntwo\n"))  # began again, for somebody else
        rig.hub.publish("a-stranger", chunk(attempt, "lies\n", offset=8))
        _until(lambda: heard.text() == "one\ntwo\n")
        rig.workers.end(attempt, stdout="one\ntwo\nthree\n", stderr="oh\n")
        assert heard.ended.wait(10)
    assert heard.text() == "one\ntwo\nthree\n"
    assert heard.text("stderr") == "oh\n"
    assert heard.lines[-1] == {"end": "succeeded"}
    rig.until(lambda rig: (attempt, False) not in rig.workers.followed)


def test_following_goes_on_with_the_next_attempt(rig: Rig) -> None:
    rig.push([{"id": "a", "command": "hold", "retries": 1}])
    one = _held(rig)
    with hearing(rig, "/logs/follow", target="a") as heard:
        eventually(lambda: rig.workers.followed)
        rig.workers.end(one, "failed", stdout="try 1\n", stderr="")
        eventually(lambda: rig.workers.held)
        two = _held(rig)
        assert two != one
        eventually(lambda: two in [attempt for attempt, _ in rig.workers.followed])
        rig.workers.end(two, stdout="try 2\n", stderr="")
        assert heard.ended.wait(20)
    assert [(line["attempt"], line["data"]) for line in heard.lines if line and "data" in line] == [
        (1, "try 1\n"),
        (2, "try 2\n"),
    ]


def test_following_a_task_that_has_ended_reads_its_log_whole(rig: Rig) -> None:
    rig.push({"a": "fail"})
    rig.until(lambda rig: rig.states() == {"a": "failed"})
    with hearing(rig, "/logs/follow", target="a") as heard:
        assert heard.ended.wait(10)
    assert (heard.text(), heard.text("stderr")) == ("out of it\n", "err of it\n")
    assert heard.lines[-1] == {"end": "failed"}


def test_a_worker_is_told_when_nobody_follows_any_more(rig: Rig) -> None:
    rig.push({"a": "hold"})
    attempt = _held(rig)
    with hearing(rig, "/logs/follow", target="a"):
        eventually(lambda: (attempt, True) in rig.workers.followed)
        rig.hub.publish(rig.workers.held[attempt][0], chunk(attempt, "x"))
    rig.hub.publish(rig.workers.held[attempt][0], chunk(attempt, "y", offset=1))
    eventually(lambda: (attempt, False) in rig.workers.followed)


def test_events_are_heard_as_they_happen(rig: Rig) -> None:
    with hearing(rig, "/events") as heard:
        _until(lambda: heard.lines)
        rig.push({"a": "true"})
        _until(lambda: any(line and line["topic"] == "task/job:a" and line["state"] == "succeeded" for line in heard.lines))
        _until(lambda: any(line and line["topic"] == "job/job" and line["state"] == "succeeded" for line in heard.lines))
    assert any(line and line["kind"] == "vm" for line in heard.lines)


def test_a_topic_chooses_events(rig: Rig) -> None:
    with hearing(rig, "/events", topic="task/other:*") as heard:
        _until(lambda: heard.lines)
        rig.push({"a": "true"}, name="job")
        rig.push({"b": "true"}, name="other")
        _until(lambda: any(line and line["state"] == "succeeded" for line in heard.lines))
    assert {line["topic"] for line in heard.lines if line} == {"task/other:b"}
