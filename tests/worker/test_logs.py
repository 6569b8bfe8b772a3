"""A worker's log: its id and the attempt's at the end of the line, one line for each event."""

import io
import logging
from collections.abc import Iterator

import pytest

from worker import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The root logger of the tests is theirs again afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_ends_with_the_ids_of_what_it_is_about() -> None:
    stream = io.StringIO()
    logs.begin(stream, "vm-1")
    logging.getLogger("worker").info("attempt %s failed: %s", "u1.0.1", "exit code 1", extra={"attempt": "u1.0.1"})
    assert stream.getvalue().endswith(" INFO attempt u1.0.1 failed: exit code 1 [worker=vm-1 attempt=u1.0.1]\n")


def test_what_a_task_wrote_begins_no_line() -> None:
    stream = io.StringIO()
    logs.begin(stream, "vm-1")
    logging.getLogger("worker").info("it says %s", "x\n2026 ERROR \x1b[2J")
    assert len(stream.getvalue().splitlines()) == 1 and "\x1b" not in stream.getvalue()


def test_before_a_worker_knows_its_name_lines_are_plain() -> None:
    stream = io.StringIO()
    logs.begin(stream)
    logging.getLogger("worker").error("no")
    assert stream.getvalue().endswith(" ERROR no\n")
