"""Tables and times for people: drawn on a terminal, plain aligned lines elsewhere."""

import sys
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

STATE_STYLES = {
    "succeeded": "green",
    "running": "cyan",
    "online": "green",
    "joined": "green",
    "failed": "bold red",
    "skipped": "yellow",
    "cancelled": "yellow",
    "lost": "red",
    "offline": "red",
    "paused": "yellow",
}
#: Files that a note names.
NAMED = 3
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def show(columns: Sequence[str], rows: Iterable[Sequence[object]], nothing: str, right: Collection[str] = ()) -> None:
    """Print rows under their columns' names, or the sentence ``nothing`` (on stderr) when there are none.

    On a terminal the columns in ``right`` (numbers) are drawn at the right of their width.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    if not cells:
        typer.echo(nothing, err=True)
    elif sys.stdout.isatty():
        _draw(columns, cells, right)
    else:
        _write(columns, cells)


def _draw(columns: Sequence[str], cells: Sequence[Sequence[str]], right: Collection[str]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(Text(name), justify="right" if name in right else "left")
    for row in cells:
        table.add_row(
            *(
                Text(cell, style=STATE_STYLES.get(cell, "") if name == "state" else "")
                for name, cell in zip(columns, row, strict=True)
            )
        )
    Console().print(table)


def _write(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[place]) for row in (columns, *cells)) for place in range(len(columns))]
    for row in (columns, *cells):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def clean(cell: object) -> str:
    """A cell as text: None and empty are ``-``; what could move a terminal's cursor is shown as an escape."""
    text = "" if cell is None else str(cell)
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text) or "-"


def ago(moment: float | None, now: float | None = None) -> str:
    """How long ago a time was."""
    return "-" if moment is None else f"{lasted(max(0.0, (time.time() if now is None else now) - moment))} ago"


def lasted(seconds: float) -> str:
    """A duration in two units at most: ``35 ms``, ``4.2 s``, ``3 min 20 s``, ``5 h 10 min``, ``2 d 3 h``."""
    if 0 < seconds < 0.9995:
        return f"{max(1.0, seconds * 1000):.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    for size, unit, smaller, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = int(seconds % size // smaller)
            return f"{int(seconds // size)} {unit}" + (f" {rest} {below}" if rest else "")
    return "0 s"


def took(task: dict[str, Any]) -> str:
    """How long a task's last attempt ran, or runs; of one that was lost nobody knows when it ended."""
    if task["started"] is None or (task["finished"] is None and task["state"] not in ("assigned", "running", "promoting")):
        return "-"
    return lasted(max(0.0, (task["finished"] or time.time()) - task["started"]))


def clock(moment: float | None) -> str:
    """A time of day with its date, in the local zone."""
    return "-" if moment is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def amount(size: float) -> str:
    """Bytes with a unit."""
    for unit in UNITS[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {UNITS[-1]}"


def tally(counts: dict[str, int]) -> str:
    """``3 running, 12 succeeded``; states in the order in which tasks pass through them."""
    order = ("waiting", "ready", "delayed", "assigned", "running", "promoting", "succeeded", "failed", "skipped", "cancelled")
    return ", ".join(f"{counts[state]:,} {state}" for state in order if counts.get(state)) or "no tasks"


def jobs_tasks(job: dict[str, Any]) -> str:
    """``tally`` of a job, with what is stale: ``500 succeeded (2 of them stale)``."""
    return tally(job["tasks"]) + (f" ({job['stale']:,} of them stale)" if job["stale"] else "")


def newer_files(paths: Sequence[str]) -> str:
    """What to say of results that are newer than a database that came from a back-up."""
    named = ", ".join(paths[:NAMED]) + (", ..." if len(paths) > NAMED else "")
    one = len(paths) == 1
    return clean(
        f"{len(paths):,} {'file is' if one else 'files are'} newer than the database, which came from a back-up ({named}): attempts and"
        f" digests that show_task tells are those of older results. redo_task makes both agree, and puts the newer"
        f" {'one' if one else 'ones'} aside, in replaced/ on the datastore"
    )


def lost(counts: dict[str, int]) -> list[str]:
    """``["2 failed", "1 skipped"]``: what ended without success, each kind by itself."""
    return [f"{counts[state]:,} {state}" for state in ("failed", "skipped", "cancelled") if counts.get(state)]
