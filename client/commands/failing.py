"""Failed tasks by cause: ``show_failed``, and the lines about them where a job's end is told."""

import shlex
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import typer

from client import Client
from client.commands.frame import counted, nothing, print_json, say
from client.commands.tables import clean

#: Causes of one job that are shown; the others are counted.
SHOWN = 10
#: Causes that are told when a job ends.
TOLD = 2
#: How much of a line is shown when a job ends, in characters.
LINE = 100
Plain = dict[str, Any]


def show_failures(targets: list[str], as_json: bool) -> None:
    """Print the failed tasks of these targets (none: of all jobs) by cause."""
    with Client() as client:
        found = client.failures(*targets)
    if as_json:
        print_json(found)
        return
    for line in inits_of(found):
        typer.echo(line)
    if not found["total"]:
        if not found.get("inits"):
            say(nothing(targets, "has failed"))
        return
    if found.get("inits"):
        typer.echo("")
    first = False
    for job, causes in groupby(found["causes"], key=lambda cause: cause["job"]):
        if first:
            typer.echo("")
        first = True
        for line in _described(job, list(causes)):
            typer.echo(line)
    if found["looked_at"] < found["total"]:
        say(f"causes were looked for in the first {found['looked_at']:,} of {found['total']:,} failed tasks")
    if found["others"]:
        say(f"{counted(found['others'], 'failed task')} of other causes: --list shows them all")


def inits_of(found: Plain) -> Iterator[str]:
    """Init tasks that fail, in two lines each: they count as waiting, because another worker may yet do them."""
    for one in found.get("inits", []):
        then = "the job is paused for it" if one["paused"] else "it is tried on other workers"
        yield clean(f"init task {one['example']} failed, the last time on {one['worker']}: {what(one)}; {then}")
        yield f"      ./admin.py logs {shlex.quote(one['example'])}"


def _described(job: str, causes: list[Plain]) -> Iterator[str]:
    """One job's causes as a paragraph each: how often, what, and where to look."""
    total = sum(cause["count"] for cause in causes)
    width = len(f"{causes[0]['count']:,}")
    indent = " " * (width + 4)
    ways = f", in {len(causes)} ways" if len(causes) > 1 else ""
    yield typer.style(f"{counted(total, 'task')} of {job} failed{ways}", bold=True)
    for cause in causes[:SHOWN]:
        yield ""
        yield typer.style(f"  {cause['count']:>{width},}", bold=True) + f"  {what(cause)}"
        if cause["line"]:
            yield indent + typer.style(clean(cause["line"]), fg="red")
        if cause["example_line"]:
            yield indent + f"such as: {clean(cause['example_line'])}"
        yield indent + typer.style(f"./admin.py logs {shlex.quote(cause['example'])}", dim=True)
    yield ""
    if len(causes) > SHOWN:
        rest = causes[SHOWN:]
        yield f"{counted(sum(cause['count'] for cause in rest), 'task')} failed in {len(rest)} further ways"
    yield f"one by one: ./admin.py show_failed --job {job} --list"
    yield f"run them again, as they were pushed: ./admin.py retry_failed {job}"
    yield f"after you changed a pushed file or the task file: ./push_tasks.py FILE --job {job} --merge keep-succeeded"
    yield "  (runs only what failed; --merge changed runs all that reads the file)"


def what(cause: Plain) -> str:
    """``exit code 1``, ``killed by SIGSEGV``, ``fetch: no such file``: the cause without the line of stderr."""
    before = "" if cause["phase"] in ("run", "") else f"{cause['phase']}: "
    return clean(before + (cause["reason"] or "no reason was given"))


def causes_of(found: Plain) -> Iterator[str]:
    """The largest causes of a job's failures in a line each."""
    told = found["causes"][:TOLD]
    rest = found["total"] - sum(cause["count"] for cause in told)
    width = len(f"{max([rest, *(cause['count'] for cause in told)]):,}")
    for cause in told:
        said = what(cause) + (f": {clean(cause['line'])}" if cause["line"] else "")
        yield f"  {cause['count']:>{width},}  {said[:LINE]}{'...' if len(said) > LINE else ''}"
    if rest > 0:
        yield f"  {rest:>{width},}  in other ways"


def summary(found: Plain, job: str) -> Iterator[str]:
    """The largest causes of a job's failures in a line each, and the command that says more."""
    yield from causes_of(found)
    yield f"  more: ./admin.py show_failed --job {job}"
