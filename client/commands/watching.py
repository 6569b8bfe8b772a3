"""Watching a job or everything: a bar on a terminal, a plain line now and then elsewhere; on stderr, so that stdout stays clean.

Rules:
- Ctrl-C only stops the watching: exit code 130, the job goes on.
- A job that the boss has paused is not watched on: nothing of it goes on before somebody acts. One that a person paused is.
- What is more than a number (a paused job, trouble outside, why nothing runs) is a line of its own, at once, on a terminal too.
"""

import shlex
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TransferSpeedColumn

from client import Client
from client.commands.failing import TOLD, summary
from client.commands.frame import say
from client.commands.news import News, busy
from client.commands.tables import clean, jobs_tasks, lasted, lost
from client.patience import ENDED, patiently

#: Seconds between two looks, and between two plain lines at least.
LOOK = 0.5
LINE = 5.0
#: Seconds of progress that the rate is taken from.
WINDOW = 30.0
#: Tasks that are looked at after a push, at most.
SAMPLED = 20
DONE = ("succeeded", "failed", "skipped", "cancelled")
#: Of these, what took workers' time and counts for the rate.
RAN = ("succeeded", "failed")


@dataclass(frozen=True, slots=True)
class Display:
    """Where progress goes (``show``), and lines beside it (``tell``)."""

    show: Callable[[dict[str, Any], "Pace"], None]
    tell: Callable[[str], None]


class Pace:
    """How fast tasks finish of late, and how long the rest would take at that rate."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def look(self, now: float, done: int) -> None:
        """``done`` tasks had run to their end at ``now`` (seconds of any clock)."""
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
    """Tasks done, tasks in all, and the rest in words: paused, running, lost, rate, ETA (while something runs), workers."""
    counts = status["tasks"]
    done, total = sum(counts.get(state, 0) for state in DONE), sum(counts.values())
    workers = status["fleet"]["online"]
    paused = sum(job["state"] == "paused" for job in status["jobs"])
    words = [
        ("paused" if len(status["jobs"]) == 1 else f"{paused} paused") if paused else "",
        f"{counts.get('running', 0)} running",
        *lost(counts),
        f"{pace.rate:.1f}/s",
        pace.eta(total - done) if busy(status) else "",
        f"{workers:,} worker{'' if workers == 1 else 's'}",
    ]
    return done, total, " · ".join(word for word in words if word)


def watch_job(client: Client, name: str) -> int:
    """Show a job's progress until it has ended, or the boss has paused it and nothing of it runs any more.

    Returns 0, or 1 when a task failed, was skipped or cancelled, or the job is paused.
    """
    with _stopping(f"stopped watching; job {name} goes on: ./admin.py status --job {name} --watch"), _shown(name) as display:
        status = _look(client, name, display, lambda status: status["jobs"][0]["state"] in ENDED or _given_up(status))
        job = status["jobs"][0]
        look = status["tasks"].get("failed") or job["state"] not in ENDED
        causes = patiently(lambda: client.failures(name + ":*")) if look else None
    if job["state"] not in ENDED:
        return _tell_paused(job, causes)
    since = job["since"]  # of this run; what was pushed first may have been weeks ago
    took = f" in {lasted(max(0.0, (job['finished'] or time.time()) - since))}" if since else ""
    say(f"{name} {job['state']}: {jobs_tasks(job)}{took}")
    for line in summary(causes, name) if causes else ():
        say(line)
    return 0 if job["state"] == "succeeded" else 1


def _given_up(status: dict[str, Any]) -> bool:
    """Whether the boss has paused the one job of this status, and what ran of it has ended."""
    job = status["jobs"][0]
    return job["state"] == "paused" and bool(job["reason"]) and not busy(status)


def _tell_paused(job: dict[str, Any], found: dict[str, Any] | None) -> int:
    """Why the boss paused a job, and the commands that come next; the exit code."""
    name = job["name"]
    say(clean(f"{name} paused: {job['reason']}"))
    for one in (found or {}).get("inits", [])[:TOLD]:
        say(f"  what it wrote: ./admin.py logs {shlex.quote(one['example'])}")
    say(f"  then mend it and push again with --job {name} --merge changed; or as it is: ./admin.py resume {name}")
    return 1


def watch_all(client: Client) -> None:
    """Show the progress of everything until Ctrl-C."""
    with _stopping("stopped watching"), _shown("all jobs") as display:
        _look(client, None, display, lambda status: False)


def _look(client: Client, job: str | None, display: Display, ended: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    pace = Pace()
    news = News(lambda: _why(client, job))
    status = client.status(job, brief=True)
    while True:
        now = time.monotonic()
        pace.look(now, sum(status["tasks"].get(state, 0) for state in RAN))
        display.show(status, pace)
        for line in news.of(status, now):
            display.tell(clean(line))
        if ended(status):
            return status
        time.sleep(LOOK)
        status = patiently(lambda: client.status(job, brief=True))


def _why(client: Client, job: str | None) -> str:
    """The first sentence of why one of the ready tasks is not dealt out; empty when none is ready."""
    page = patiently(lambda: next(client.task_pages(*([job + ":*"] if job else []), states=["ready"])))
    if not page:
        return ""
    full = f"{page[0]['job']}:{page[0]['id']}"
    said = patiently(lambda: client.why(full))["why"]
    return f"{page[0]['id'] if job else full} waits: {' '.join(said[:1])} More: ./admin.py why {shlex.quote(full)}"


def fits_nowhere(client: Client, job: str) -> str:
    """What to say after a push when a task of the job can never run as things are; a few are looked at. Empty when all is well."""
    page = next(client.task_pages(f"{job}:*", states=["ready", "waiting"]))
    for task in page[:: max(1, -(-len(page) // SAMPLED))]:
        full = f"{job}:{task['id']}"
        if never := client.why(full)["never"]:
            return f"{task['id']} will wait: {never} More: ./admin.py why {shlex.quote(full)}"
    return ""


@contextmanager
def _stopping(sentence: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        say(sentence)
        raise typer.Exit(130) from None


@contextmanager
def _shown(name: str) -> Iterator[Display]:
    if not sys.stderr.isatty():
        yield Display(_lines(name), say)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as progress:
        bar = progress.add_task(name, total=None, words="")

        def show(status: dict[str, Any], pace: Pace) -> None:
            done, total, words = facts_of(status, pace)
            progress.update(bar, completed=done, total=total, words=words)

        yield Display(show, lambda line: progress.console.print(line, markup=False, highlight=False))


def _lines(name: str) -> Callable[[dict[str, Any], Pace], None]:
    """A line when the counts have changed, but not too often."""
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
