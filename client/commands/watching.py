"""Watching a job or everything: a live table on a terminal, a plain line now and then elsewhere; on stderr, so that stdout stays clean.

Rules:
- Ctrl-C only stops the watching: exit code 130, the job goes on.
- A boss that is started again is waited for, and that is said; the first question of all is asked once.
- A job that the boss has paused is not watched on: nothing of it goes on before somebody acts. One that a person paused is.
- What is more than a number (a paused job, trouble outside, why nothing runs) is a line of its own, at once, on a terminal too.
- At the end the failures come first, then how the job ended, and last the command to type next.
"""

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from client import Client
from client.commands.board import RAN, Pace, Seen, board, facts_of
from client.commands.failing import TOLD, causes_of
from client.commands.frame import say
from client.commands.news import News, busy
from client.commands.tables import clean, jobs_tasks, lasted
from client.errors import BossUnreachable
from client.patience import ENDED

#: Seconds between two looks, and between two plain lines at least.
LOOK = 0.5
LINE = 5.0
#: Seconds between two looks at what runs and what failed, for a terminal.
DETAIL = 2.0
#: Seconds that a boss may be away while it is watched.
AWAY = 600.0
#: Tasks that are looked at after a push, and running ones that are listed, at most.
SAMPLED = 20
LISTED = 60

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Display:
    """Where progress goes (``show``), and lines beside it (``tell``). ``live``: there is room for what runs and what failed."""

    show: Callable[[Seen], None]
    tell: Callable[[str], None]
    live: bool


class Watch:
    """One boss that is watched; ``name`` is the job's (None: all)."""

    def __init__(self, client: Client, name: str | None, display: Display) -> None:
        self._client, self._display = client, display
        self._name = name
        self._seen: Seen | None = None
        self._detail_at = 0.0
        self._failed = 0

    def until(self, ended: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Look again and again until this is so of the status; returns that."""
        paces: dict[str, Pace] = {}
        pace = Pace()
        news = News(self._why)
        status = self._client.status(self._name, brief=True)
        while True:
            now = time.monotonic()
            pace.look(now, _ran(status["tasks"]))
            for job in () if self._name else status["jobs"]:
                if job["finished"] is None:
                    paces.setdefault(job["name"], Pace()).look(now, _ran(job["tasks"]))
            before = self._seen
            self._seen = Seen(self._name, status, pace, paces)
            over = ended(status)  # what is told at the end is not drawn before
            if before is not None and not over:
                self._seen.running, self._seen.causes = before.running, before.causes
            if self._display.live and self._name and now >= self._detail_at and not over:
                self._detail_at = now + DETAIL
                self._details(self._name)
            self._display.show(self._seen)
            for line in news.of(status, now):
                self._display.tell(clean(line))
            if over:
                return status
            time.sleep(LOOK)
            status = self.asked(lambda: self._client.status(self._name, brief=True))

    def asked(self, ask: Callable[[], T]) -> T:
        """What ``ask`` returns; asked again when the boss does not answer, which is said. Raises BossUnreachable after a while."""
        since = None
        while True:
            try:
                found = ask()
            except BossUnreachable:
                now = time.monotonic()
                if since is None:
                    since = now
                    if not self._display.live:
                        self._display.tell("the boss does not answer; it is asked again")
                if now - since >= AWAY:
                    raise
                if self._seen is not None:
                    self._seen.away = since
                    self._display.show(self._seen)
                time.sleep(LOOK)
                continue
            if since is not None:
                self._display.tell(f"the boss answers again, after {lasted(max(1.0, time.monotonic() - since))}")
            return found

    def _details(self, name: str) -> None:
        """What runs of the one job, and what has failed."""
        assert self._seen is not None
        counts = self._seen.status["tasks"]
        question: dict[str, Any] = {"target": name + ":*", "state": "running", "limit": LISTED}
        running = counts.get("running")
        self._seen.running = self.asked(lambda: self._client.connection.get("/tasks", question)["tasks"]) if running else ()
        if counts.get("failed", 0) != self._failed:
            self._failed = counts.get("failed", 0)
            self._seen.causes = self.asked(lambda: self._client.failures(name + ":*")["causes"])[:TOLD] if self._failed else ()

    def _why(self) -> str:
        """The first sentence of why one of the ready tasks is not dealt out; empty when none is ready."""
        targets = [self._name + ":*"] if self._name else []
        page = self.asked(lambda: next(self._client.task_pages(*targets, states=["ready"])))
        if not page:
            return ""
        full = f"{page[0]['job']}:{page[0]['id']}"
        said = self.asked(lambda: self._client.why(full))["why"]
        return f"{page[0]['id'] if self._name else full} waits: {' '.join(said[:1])} More: ./admin.py why {shlex.quote(full)}"


def _ran(counts: dict[str, int]) -> int:
    return sum(counts.get(state, 0) for state in RAN)


def watch_job(client: Client, name: str) -> int:
    """Show a job's progress until it has ended, or the boss has paused it and nothing of it runs any more.

    Returns 0, or 1 when a task failed, was skipped or cancelled, or the job is paused.
    """
    with _stopping(f"stopped watching; job {name} goes on: ./admin.py status --job {name} --watch"), _shown(name) as display:
        watch = Watch(client, name, display)
        status = watch.until(lambda status: status["jobs"][0]["state"] in ENDED or _given_up(status))
        job = status["jobs"][0]
        look = status["tasks"].get("failed") or job["state"] not in ENDED
        causes = watch.asked(lambda: client.failures(name + ":*")) if look else None
    if job["state"] not in ENDED:
        return _tell_paused(job, causes)
    for line in causes_of(causes) if causes else ():
        say(line)
    since = job["since"]  # of this run; what was pushed first may have been weeks ago
    took = f" in {lasted(max(0.0, (job['finished'] or time.time()) - since))}" if since else ""
    say(f"{name} {job['state']}: {jobs_tasks(job)}{took}")
    say(_next(name, status["tasks"]))
    return 0 if job["state"] == "succeeded" else 1


def _next(name: str, counts: dict[str, int]) -> str:
    """The command to type when a job has ended."""
    if counts.get("failed"):
        return f"next: ./admin.py show_failed --job {name}"
    if counts.get("cancelled") or counts.get("skipped"):
        return f"next: ./admin.py retry_failed {shlex.quote(name + ':*')} (runs what was cancelled)"
    return f"next: ./admin.py fetch {name} (its results), ./admin.py report {name} (what became of it)"


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
        Watch(client, None, display).until(lambda status: False)


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
    console = Console(stderr=True)
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield Display(_lines(name), say, live=False)
        return
    last: list[Seen] = []

    def picture() -> Any:
        return board(last[-1], console.width, console.height) if last else ""

    def show(seen: Seen) -> None:
        last[:] = [seen]
        live.refresh()

    with Live(get_renderable=picture, console=console, refresh_per_second=2, vertical_overflow="crop") as live:
        yield Display(show, lambda line: console.print(line, markup=False, highlight=False), live=True)


def _lines(name: str) -> Callable[[Seen], None]:
    """A line when the counts have changed, but not too often."""
    last: list[Any] = [None, 0.0]

    def show(seen: Seen) -> None:
        done, total, words = facts_of(seen.status, seen.pace)
        now = time.monotonic()
        if (seen.status["tasks"] != last[0] and now - last[1] >= LINE) or last[0] is None:
            last[:] = [seen.status["tasks"], now]
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
