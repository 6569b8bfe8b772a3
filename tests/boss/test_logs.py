"""The boss's log: one JSON object a line, or lines for people; ids in fields; nothing that steers a terminal."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from boss.adapters import logs
from boss.adapters.chronicle import EACH, WINDOW, Chronicle


class Terminal(io.StringIO):
    """Somebody looks."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The root logger of the tests is theirs again afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_file_gets_one_object_a_line_with_the_ids_in_fields() -> None:
    stream = io.StringIO()
    logs.begin(stream)
    logging.getLogger("boss.x").warning("attempt %s waits", "u1.0.1", extra={"attempt": "u1.0.1", "password": "hidden"})
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "attempt u1.0.1 waits", "level": "warning", "logger": "boss.x", "attempt": "u1.0.1"}


def test_a_traceback_stays_in_its_line_and_shows_no_values() -> None:
    for form in ("json", "text"):
        stream = io.StringIO()
        logs.begin(stream, form)
        secret = "hunter2"
        try:
            raise RuntimeError(f"{len(secret)} characters")
        except RuntimeError:
            logging.getLogger("boss.x").exception("it stumbled")
        text = stream.getvalue()
        assert "RuntimeError: 7 characters" in text
        assert "hunter2" not in text
        if form == "json":
            (line,) = lines(stream)
            assert line["exception"].startswith("Traceback")


def test_a_terminal_gets_lines_for_people_unless_it_is_told_otherwise() -> None:
    for form, pretty in (("auto", True), ("json", False)):
        stream = Terminal()
        logs.begin(stream, form)
        logging.getLogger("boss.x").info("ending", extra={"job": "ising"})
        assert stream.getvalue().startswith("{") is not pretty
        assert "ising" in stream.getvalue()


def test_what_tasks_wrote_begins_no_line_and_steers_no_terminal() -> None:
    hostile = "x\n2026 CRITICAL all is lost\x1b[2J\u202e\ud800"
    for form in ("json", "text"):
        stream = io.StringIO()
        logs.begin(stream, form)
        logging.getLogger("boss.x").info("it says %s", hostile, extra={"task": hostile})
        assert len(stream.getvalue().splitlines()) == 1, form
        assert "\x1b" not in stream.getvalue()
        stream.getvalue().encode()


def test_ways_of_jobs_workers_and_failures_are_told(caplog: pytest.LogCaptureFixture) -> None:
    chronicle = Chronicle()
    with caplog.at_level("INFO", "boss.events"):
        chronicle.hear("job", {"job": "ising", "state": "failed"})
        chronicle.hear("worker", {"worker": "local-1", "state": "lost", "draining": False})
        chronicle.hear("task", {"job": "ising", "id": "t0", "state": "succeeded", "attempt": 1, "reason": ""})
        chronicle.hear(
            "task",
            {
                "job": "ising",
                "id": "t1",
                "state": "delayed",
                "attempt": 2,
                "reason": "exit code 1",
                "worker": "w",
                "exit_code": 1,
            },
        )
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "job ising is failed"),
        ("WARNING", "worker local-1 is lost"),
        ("WARNING", "attempt 2 of ising:t1 failed on w: exit code 1"),
    ]
    last = vars(caplog.records[-1])
    assert {name: last[name] for name in ("job", "task", "attempt", "worker", "exit_code")} == {
        "job": "ising", "task": "t1", "attempt": 2, "worker": "w", "exit_code": 1,
    }  # fmt: skip


def test_of_a_flood_of_failures_the_number_is_told(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    chronicle = Chronicle(lambda: now[0])
    for number in range(1000):
        chronicle.hear("task", {"job": "j", "id": f"t{number}", "state": "failed", "attempt": 1, "worker": "w", "reason": "no"})
    assert len(caplog.records) == EACH
    now[0] = WINDOW
    chronicle.hear("task", {"job": "j", "id": "t", "state": "failed", "attempt": 1, "worker": "w", "reason": "no"})
    assert caplog.records[EACH].getMessage() == f"{1000 - EACH} more attempts have failed in 10 s"


def test_libraries_log_no_line_for_each_connection() -> None:
    logs.begin(sys.stderr)
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
