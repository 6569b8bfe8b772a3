"""What is looked at every second where no control group bounds it."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from worker import processes
from worker.limits import Bounds
from worker.watch import INTERVAL, Watch

#: Twenty threads, and the one that all programs have.
CROWD = "import threading\nfor _ in range(20): threading.Thread(target=threading.Event().wait).start()\nprint(flush=True)"


@pytest.fixture
def crowd() -> Iterator[int]:
    """A process of twenty-one threads."""
    with subprocess.Popen([sys.executable, "-c", CROWD], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        yield process.pid
        process.kill()


def test_threads_count_as_the_kernel_counts_them(crowd: int) -> None:
    assert processes.thread_count([crowd, 2**22]) == 21  # no process has the latter number


def test_threads_count_where_processes_are_looked_at(crowd: int) -> None:
    watch = Watch(frozenset({"processes"}))
    watch.add("fits", crowd, Bounds(processes=21), 0.0)
    watch.add("too many", crowd, Bounds(processes=20), 0.0)
    assert watch.look(INTERVAL) == [("too many", "killed for its processes: limit 20, had 21")]
