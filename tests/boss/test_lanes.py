"""Lanes do jobs in order and in time, go on after one that stumbles, and end although one hangs."""

import threading
import time

import pytest

from boss.adapters.lanes import Lane
from tests.servers import eventually


def test_jobs_of_one_thread_are_done_in_their_order_and_later_ones_when_their_time_comes() -> None:
    lane, done = Lane("test", 1), []
    lane.do(lambda: done.append("later"), 0.05)
    for number in range(3):
        lane.do(lambda number=number: done.append(number))  # type: ignore[misc]
    lane.start()
    eventually(lambda: len(done) == 4)
    assert done == [0, 1, 2, "later"]
    lane.stop()


def test_a_lane_goes_on_after_a_job_that_stumbles(caplog: pytest.LogCaptureFixture) -> None:
    lane, done = Lane("test", 1), threading.Event()
    lane.start()
    lane.do(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    lane.do(done.set)
    assert done.wait(5)
    assert "test stumbled" in caplog.text
    lane.stop()


def test_a_job_that_hangs_delays_neither_others_nor_the_end() -> None:
    lane, hold, done = Lane("test", 2), threading.Event(), threading.Event()
    lane.start()
    lane.do(lambda: hold.wait(60) and None)
    lane.do(done.set)
    assert done.wait(5)
    lane.do(done.clear, 60)
    began = time.monotonic()
    lane.stop(patience=0.2)
    assert time.monotonic() - began < 5
    assert done.is_set()  # what had not begun never does
    hold.set()
