"""A content that several attempts want is fetched by one of them; the others wait, and take over when that one fails."""

import threading

import pytest

from datastore.landing import Stopped
from tests.servers import eventually
from worker.arrivals import Arrivals


def test_each_content_is_the_first_ones_to_fetch_until_that_is_over() -> None:
    arrivals = Arrivals()
    with arrivals.claimed(["a", "b"]) as first:
        assert first == {"a", "b"}
        with arrivals.claimed(["b", "c"]) as second:
            assert second == {"c"}
    with arrivals.claimed(["a", "b", "c"]) as third:
        assert third == {"a", "b", "c"}


def test_who_waits_goes_on_when_one_of_them_has_come_or_failed() -> None:
    arrivals = Arrivals()
    arrivals.wait(["nobody fetches it"], threading.Event())
    inside, leave, over = threading.Event(), threading.Event(), threading.Event()

    def fetch() -> None:
        with pytest.raises(OSError, match="no room"), arrivals.claimed(["a"]):
            inside.set()
            leave.wait(30)
            raise OSError("no room")

    def wait() -> None:
        arrivals.wait(["a"], threading.Event())
        over.set()

    threads = [threading.Thread(target=fetch), threading.Thread(target=wait)]
    threads[0].start()
    assert inside.wait(30)
    threads[1].start()
    assert not over.is_set()
    leave.set()
    assert over.wait(30)
    for thread in threads:
        thread.join(30)
    with arrivals.claimed(["a"]) as mine:
        assert mine == {"a"}


def test_who_is_stopped_waits_no_longer() -> None:
    arrivals, stopped, ended = Arrivals(), threading.Event(), threading.Event()

    def wait() -> None:
        with pytest.raises(Stopped):
            arrivals.wait(["a"], stopped)
        ended.set()

    with arrivals.claimed(["a"]):
        thread = threading.Thread(target=wait)
        thread.start()
        stopped.set()
        eventually(ended.is_set)
        thread.join(30)
