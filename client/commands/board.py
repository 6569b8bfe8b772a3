"""What a watcher sees on a terminal: one job with what runs and what failed, or all jobs. From plain data to something that rich draws.

Rules:
- It fits whatever the terminal is: on 40 columns names, states and counts are left, on wide ones times, workers and rates come beside them.
- It never has more lines than the terminal, so that it is redrawn in place.
- What others have said (names, reasons) is text: no markup, no letter that moves the cursor.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from client.commands.failing import what
from client.commands.news import busy
from client.commands.tables import STATE_STYLES, clean, lasted, lost

#: From these widths on there is room for: where tasks run and a bar in a list; rates and attempts.
MIDDLE, WIDE = 60, 100
#: Lines that are left for what is written above and below.
SPARED = 3
#: Seconds of progress that the rate is taken from.
WINDOW = 30.0
DONE = ("succeeded", "failed", "skipped", "cancelled")
#: Of these, what took workers' time and counts for the rate.
RAN = ("succeeded", "failed")

Plain = dict[str, Any]


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
        if not self._seen:
            return 0.0
        (start, before), (end, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def eta(self, left: int) -> str:
        """How long ``left`` tasks take at this rate."""
        return f"ETA {lasted(max(1.0, left / self.rate))}" if left and self.rate > 0 else ""


@dataclass(slots=True)
class Seen:
    """What was seen last. ``name`` is the one job's (None: all). ``running`` and ``causes`` are of one job. ``away``: since when (monotonic
    seconds) the boss does not answer.
    """

    name: str | None
    status: Plain
    pace: Pace
    paces: Mapping[str, Pace] = field(default_factory=dict)
    running: Sequence[Plain] = ()
    causes: Sequence[Plain] = ()
    away: float | None = None


def facts_of(status: Plain, pace: Pace) -> tuple[int, int, str]:
    """Tasks done, tasks in all, and the rest in words: paused, running, lost, rate, ETA (while something runs), workers."""
    counts = status["tasks"]
    done, total = done_of(counts), sum(counts.values())
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


def done_of(counts: Mapping[str, int]) -> int:
    """How many tasks have ended."""
    return sum(counts.get(state, 0) for state in DONE)


def board(seen: Seen, width: int, height: int) -> RenderableType:
    """What to draw on a terminal of this size."""
    lines = list(_of_job(seen, width, height) if seen.name else _of_all(seen, width, height))
    if seen.away is not None:
        gone = lasted(max(1.0, time.monotonic() - seen.away))
        said = (
            f"the boss has not answered for {gone}; it is asked again"
            if width >= MIDDLE
            else f"no answer for {gone}; asked again"
        )
        lines.append(Text(said, style="yellow", no_wrap=True, overflow="ellipsis"))
    return Group(*lines)


# ---- one job -----------------------------------------------------------------------------------------------------------


def _of_job(seen: Seen, width: int, height: int) -> Iterator[RenderableType]:
    job = seen.status["jobs"][0]
    done, total, words = facts_of(seen.status, seen.pace)
    yield _headed(job["name"], job["state"], f"{done:,}/{total:,}", width)
    yield _bar(done, total, width)
    yield Text(words, overflow="fold")
    room = max(0, height - SPARED - 2 - _folded(words, width))
    causes = list(seen.causes)[: min(2, max(0, room - 4))]
    if seen.running and room - len(causes) >= 3:
        yield from _running(seen, width, room - len(causes))
    for cause in causes:
        said = what(cause) + (f": {cause['line']}" if cause["line"] else "")
        line = Text(f"{cause['count']:,} failed: {clean(said)}", style="red", no_wrap=True, overflow="ellipsis")
        yield line


def _running(seen: Seen, width: int, room: int) -> Iterator[RenderableType]:
    """What runs, the longest first."""
    columns = ["task", "for", *(["worker"] if width >= MIDDLE else []), *(["attempt"] if width >= WIDE else [])]
    table = _table(columns, width)
    now = time.time()
    ordered = sorted(seen.running, key=lambda task: task["started"] or now)
    count = seen.status["tasks"].get("running", 0)
    shown = ordered[: room - 1 if len(ordered) <= room - 1 and count <= len(ordered) else room - 2]
    for task in shown:
        cells = [
            clean(task["id"]),
            lasted(max(0.1, now - task["started"])) if task["started"] else "",
            task["worker"],
            str(task["attempt"]),
        ]
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells[: len(columns)]))
    yield table
    if count > len(shown):
        yield Text(f"and {count - len(shown):,} more", style="dim")


# ---- all jobs ----------------------------------------------------------------------------------------------------------


def _of_all(seen: Seen, width: int, height: int) -> Iterator[RenderableType]:
    done, total, words = facts_of(seen.status, seen.pace)
    yield _headed("all jobs", "", f"{done:,}/{total:,}", width)
    yield Text(words, overflow="fold")
    jobs = _first(seen.status["jobs"])
    if not jobs:
        yield Text("no jobs yet: ./push_tasks.py FILE", style="dim")
        return
    room = max(1, height - SPARED - 2 - _folded(words, width))
    shown = jobs if len(jobs) <= room else jobs[: room - 1]
    columns = [
        "job",
        "state",
        *(["progress"] if width >= MIDDLE else []),
        "done",
        *(["running", "failed", "/s", "left"] if width >= WIDE else []),
    ]
    table = _table(columns, width)
    for job in shown:
        table.add_row(*_row(job, seen, columns, width))
    yield table
    if len(jobs) > len(shown):
        yield Text(f"and {len(jobs) - len(shown):,} more: ./admin.py show_jobs", style="dim", no_wrap=True, overflow="ellipsis")


def _row(job: Plain, seen: Seen, columns: Sequence[str], width: int) -> Iterator[RenderableType]:
    counts, pace = job["tasks"], seen.paces.get(job["name"], Pace())
    done, total = done_of(counts), job["total"]
    left = pace.eta(total - done).removeprefix("ETA ") if job["finished"] is None else ""
    cells: dict[str, RenderableType] = {
        "job": _name(job["name"]),
        "state": Text(job["state"], style=STATE_STYLES.get(job["state"], ""), no_wrap=True),
        "progress": ProgressBar(total=max(1, total), completed=done, width=_bar_width(width)),
        "done": Text(f"{done:,}/{total:,}", no_wrap=True),
        "running": Text(f"{counts.get('running', 0):,}"),
        "failed": Text(f"{counts['failed']:,}" if counts.get("failed") else "", style="red"),
        "/s": Text(f"{pace.rate:.1f}" if pace.rate else ""),
        "left": Text(left, no_wrap=True),
    }
    yield from (cells[name] for name in columns)


def _first(jobs: Sequence[Plain]) -> list[Plain]:
    """What goes on before what has ended, the newest of each first."""
    newest = list(jobs)
    newest.reverse()
    newest.sort(key=lambda job: job["finished"] is not None)
    return newest


# ---- pieces --------------------------------------------------------------------------------------------------------------


def _headed(name: str, state: str, right: str, width: int) -> RenderableType:
    """A name and a state at the left, a count at the right."""
    line = Table.grid(expand=False, padding=(0, 1))
    line.width = width
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    line.add_column(no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(_name(name), Text(state, style=STATE_STYLES.get(state, "")), Text(right))
    return line


def _folded(words: str, width: int) -> int:
    """On how many lines these words are, at most."""
    return -(-len(words) // max(1, width - 12))


def _bar(done: int, total: int, width: int) -> RenderableType:
    """A bar on a line of its own: by itself it does not end its line."""
    line = Table.grid()
    line.add_row(ProgressBar(total=max(1, total), completed=done, width=width))
    return line


def _name(name: str) -> Text:
    return Text(clean(name), style="bold", no_wrap=True, overflow="ellipsis")


#: Widths of columns that do not give way; names get what is left.
_WIDTHS = {"for": 11, "worker": 14, "attempt": 7, "state": 9, "done": 15, "running": 7, "failed": 6, "/s": 6, "left": 11}
_RIGHT = ("for", "done", "running", "failed", "/s", "left", "attempt")


def _table(columns: Sequence[str], width: int) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    widths = {name: _WIDTHS.get(name, _bar_width(width)) for name in columns[1:]}
    least = max(8, width - sum(widths.values()) - 2 * len(widths) - 1)
    for name in columns:
        table.add_column(
            Text(name),
            justify="right" if name in _RIGHT else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=widths.get(name, least),
            min_width=min(widths.get(name, 8), 8),
        )
    return table


def _bar_width(width: int) -> int:
    """Of a bar in a list."""
    return max(10, width // 5)
