"""How a program that waits shows it: a bar on a terminal, a line now and then elsewhere, a live picture in a notebook.

Rules:
- Everything goes to stderr, so that a program's own output stays clean; a notebook shows it in the cell.
- What others have said is escaped.
"""

import html
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

#: Seconds between two plain lines, at least.
LINE = 5.0
DONE = ("succeeded", "failed", "skipped", "cancelled")
_COLOURS = {"succeeded": "#2f7d4f", "failed": "#c62f2f", "skipped": "#b9822b", "cancelled": "#8a8f98", "running": "#2f73c6"}

Plain = dict[str, Any]


def done_of(job: Mapping[str, Any]) -> int:
    """How many of a job's tasks have ended."""
    return sum(job["tasks"].get(state, 0) for state in DONE)


def in_words(job: Mapping[str, Any]) -> str:
    """``3 running, 12 succeeded, 1 failed``."""
    order = ("waiting", "ready", "delayed", "assigned", "running", "promoting", *DONE)
    return ", ".join(f"{job['tasks'][state]:,} {state}" for state in order if job["tasks"].get(state)) or "no tasks"


@contextmanager
def progress() -> Iterator[Callable[[Plain], None]]:
    """What ``Job.wait(progress=True)`` shows a job's standing with."""
    notebook = _notebook()
    if notebook is not None:
        yield _in_a_cell(notebook)
    elif sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[words]}"),
        )
        with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as bars:
            bar = bars.add_task("", total=None, words="")
            yield lambda job: bars.update(
                bar, description=_plain(job["name"]), completed=done_of(job), total=job["total"], words=in_words(job)
            )
    else:
        yield _lines()


def _lines() -> Callable[[Plain], None]:
    """A line when the counts have changed, but not too often; the last one always."""
    last: list[Any] = [None, -LINE]

    def show(job: Plain) -> None:
        now = time.monotonic()
        if job["tasks"] != last[0] and (now - last[1] >= LINE or job["finished"] is not None):
            last[:] = [job["tasks"], now]
            print(f"{_plain(job['name'])}: {done_of(job)}/{job['total']} done, {in_words(job)}", file=sys.stderr, flush=True)

    return show


def _notebook() -> Any | None:
    """IPython's display module where a notebook's kernel runs this, else None. Nothing is imported that is not there already."""
    there = sys.modules.get("IPython")
    shell = there.get_ipython() if there is not None and hasattr(there, "get_ipython") else None
    if shell is None or type(shell).__name__ != "ZMQInteractiveShell":
        return None
    return sys.modules.get("IPython.display")


def _in_a_cell(display: Any) -> Callable[[Plain], None]:
    shown: list[Any] = []

    def show(job: Plain) -> None:
        picture = display.HTML(job_html(job))
        if shown:
            shown[0].update(picture)
        else:
            shown.append(display.display(picture, display_id=True))

    return show


# ---- HTML --------------------------------------------------------------------------------------------------------------


def job_html(job: Mapping[str, Any]) -> str:
    """A job's name, state and a bar of its tasks by state."""
    total = max(1, job["total"])
    pieces = "".join(
        f'<span style="display:inline-block;height:100%;width:{100 * job["tasks"].get(state, 0) / total:.2f}%;background:{colour}"'
        f' title="{job["tasks"].get(state, 0):,} {state}"></span>'
        for state, colour in _COLOURS.items()
        if job["tasks"].get(state)
    )
    style = "height:.7em;max-width:30em;background:#8883;border-radius:.3em;overflow:hidden;white-space:nowrap;line-height:0"
    bar = f'<div style="{style}">{pieces}</div>'
    reason = f"<div>paused: {_escaped(job['reason'])}</div>" if job["state"] == "paused" and job["reason"] else ""
    return (
        f"<div><strong>{_escaped(job['name'])}</strong> {_escaped(job['state'])} &middot; {done_of(job):,} of {job['total']:,} done{bar}"
        f"<small>{in_words(job)}</small>{reason}</div>"
    )


def jobs_html(where: str, jobs: list[Plain], most: int = 10) -> str:
    """The newest jobs of a boss."""
    rows = "".join(f"<li>{job_html(job)}</li>" for job in reversed(jobs[-most:]))
    more = f"<p>and {len(jobs) - most:,} older</p>" if len(jobs) > most else ""
    return f"<div>ecloud at <code>{_escaped(where)}</code><ul>{rows or '<li>no jobs yet</li>'}</ul>{more}</div>"


def trouble_html(what: str, error: Exception) -> str:
    """Something that cannot be shown now; a notebook must not end in a traceback for that."""
    return f"<div><strong>{_escaped(what)}</strong>: {_escaped(error)}</div>"


def _escaped(text: object) -> str:
    return html.escape(_plain(text))


def _plain(text: object) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(text))
