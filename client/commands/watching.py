"""Watching a job or everything: a bar on a terminal, a plain line now and then elsewhere; on stderr, so that stdout stays clean.

Ctrl-C only stops the watching: exit code 130, the job goes on.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TransferSpeedColumn

from client import Client
from client.api import ENDED, patiently
from client.commands.frame import say
from client.commands.tables import lasted, tally

#: Seconds between two looks, and between two plain lines at least.
LOOK = 0.5
LINE = 5.0
#: Seconds of progress that the rate is taken from.
WINDOW = 30.0
DONE = ("succeeded", "failed", "skipped", "cancelled")

Show = Callable[[dict[str, Any], "Pace"], None]


class Pace:
    """How fast tasks finish of late, and how long the rest would take at that rate."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def look(self, now: float, done: int) -> None:
        """``done`` tasks had finished at ``now`` (seconds of any clock)."""
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[0][0] < now - WINDOW:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Tasks per second."""
        (start, before), (end, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def eta(self, left: int) -> str:
        """How long ``left`` tasks take at this rate."""
        return f"ETA {lasted(max(1.0, left / self.rate))}" if left and self.rate > 0 else ""


def facts_of(status: dict[str, Any], pace: Pace) -> tuple[int, int, str]:
    """Tasks done, tasks in all, and the rest in words: running, failed, rate, ETA, workers."""
    counts = status["tasks"]
    done, total = sum(counts.get(state, 0) for state in DONE), sum(counts.values())
    lost = counts.get("failed", 0) + counts.get("skipped", 0) + counts.get("cancelled", 0)
    workers = sum(worker["state"] == "online" for worker in status["workers"])
    words = [
        f"{counts.get('running', 0)} running",
        f"{lost} failed" if lost else "",
        f"{pace.rate:.1f}/s",
        pace.eta(total - done),
        f"{workers} worker{'' if workers == 1 else 's'}",
        *status["notes"][:1],
    ]
    return done, total, " · ".join(word for word in words if word)


def watch_job(client: Client, name: str) -> int:
    """Show a job's progress until it has ended; returns 0, or 1 when a task failed, was skipped or cancelled."""
    with _stopping(f"stopped watching; job {name} goes on: ./admin.py status --job {name} --watch"), _shown(name) as show:
        status = _look(client, name, show, lambda status: status["jobs"][0]["state"] in ENDED)
    job = status["jobs"][0]
    say(f"{name} {job['state']}: {tally(job['tasks'])} in {lasted((job['finished'] or time.time()) - job['created'])}")
    return 0 if job["state"] == "succeeded" else 1


def watch_all(client: Client) -> None:
    """Show the progress of everything until Ctrl-C."""
    with _stopping("stopped watching"), _shown("all jobs") as show:
        _look(client, None, show, lambda status: False)


def _look(client: Client, job: str | None, show: Show, ended: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    pace = Pace()
    status = client.status(job)
    while True:
        pace.look(time.monotonic(), sum(status["tasks"].get(state, 0) for state in DONE))
        show(status, pace)
        if ended(status):
            return status
        time.sleep(LOOK)
        status = patiently(lambda: client.status(job))


@contextmanager
def _stopping(sentence: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say(sentence)
        raise typer.Exit(130) from None


@contextmanager
def _shown(name: str) -> Iterator[Show]:
    if not sys.stderr.isatty():
        yield _lines(name)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as progress:
        bar = progress.add_task(name, total=None, words="")

        def show(status: dict[str, Any], pace: Pace) -> None:
            done, total, words = facts_of(status, pace)
            progress.update(bar, completed=done, total=total, words=words)

        yield show


def _lines(name: str) -> Show:
    """A line when something has changed, but not too often."""
    last: list[Any] = [None, 0.0]

    def show(status: dict[str, Any], pace: Pace) -> None:
        done, total, words = facts_of(status, pace)
        now = time.monotonic()
        if (status["tasks"] != last[0] and now - last[1] >= LINE) or last[0] is None:
            last[:] = [status["tasks"], now]
            say(f"{name}: {done}/{total} done · {words}")

    return show


@contextmanager
def transferring(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar for ``(bytes done, bytes in all)`` on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
