"""``report``: what became of a job, as one HTML file; and as a research object crate."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from client import Client
from client.commands import completing
from client.commands.frame import Json, counted, print_json, say
from client.commands.writing import check_place, written
from client.errors import Conflict
from client.report.gather import Report, gather

#: How much of a file is read to see whether it is a report of ours.
_HEAD = 400


def report(
    job: Annotated[str, typer.Argument(metavar="JOB", autocompletion=completing.jobs)],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The HTML file; else ./JOB-report.html.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE even if it is no report.")] = False,
    ro_crate: Annotated[
        Path | None, typer.Option("--ro-crate", metavar="FOLDER", help="Make a Workflow Run RO-Crate, with the results.")
    ] = None,
    no_files: Annotated[bool, typer.Option("--no-files", help="A crate that names the results by digest, without them.")] = False,
    licence: Annotated[str, typer.Option("--license", metavar="URL", help="The crate's licence.")] = "",
    as_json: Json = False,
) -> None:
    """A job as one HTML file: timeline, use, failures, cost, waste, slowest tasks, critical path; and --ro-crate for an archive."""
    # These draw and describe: a fifth of a second that no other command should wait for.
    from client.report.crate import check_folder, make_crate  # noqa: PLC0415
    from client.report.page import GENERATOR, page_of  # noqa: PLC0415

    if not job:
        raise typer.BadParameter("JOB is empty")
    if ro_crate is None and (no_files or licence):
        raise typer.BadParameter("--no-files and --license are about the crate of --ro-crate FOLDER")
    if as_json and (out or ro_crate):
        raise typer.BadParameter("--json prints the figures: without --out and --ro-crate")
    if out is not None:
        _check(out, force, GENERATOR)
    if ro_crate is not None:
        check_folder(ro_crate, job)
    with Client() as client:
        found = gather(client, job)
        if as_json:
            print_json(figures_of(found))
            return
        page = page_of(found)
        if ro_crate is not None:
            made = make_crate(client, found, page, ro_crate, files=not no_files, licence=licence)
            say(f"{ro_crate}: {counted(made.files, 'result')}, {counted(made.actions, 'action')}{made.remark}")
    if out is None and ro_crate is not None:
        return
    place = out if out is not None else Path(f"{found.past.name}-report.html")
    with written(place, _check(place, force, GENERATOR)) as file:
        file.write(page)
    still = "" if found.past.over else f"; the job is still {found.past.state}"
    say(f"{place}: report of {counted(len(found.past.tasks), 'task')}{still}")


def _check(out: Path, force: bool, generator: str) -> bool:
    """Whether a file may be overwritten: a report may. Raises Conflict, NotWritten."""
    ours = False
    if out.is_file():
        try:
            with out.open("rb") as file:
                ours = f'content="{generator}"'.encode() in file.read(_HEAD)
        except OSError:
            pass  # what cannot be read is none of ours
    try:
        check_place(out, force or ours)
    except Conflict:
        raise Conflict(f"{out} is there already and is no report; --force overwrites it") from None
    return force or ours


def figures_of(found: Report) -> dict[str, Any]:
    """The figures as plain data; times in seconds, CPU time in CPU seconds."""
    past, path = found.past, found.path
    return {
        "job": found.job,
        "now": past.now,
        "tasks": len(past.tasks),
        "attempts": sum(len(task.attempts) for task in past.tasks),
        "cost": asdict(found.cost),
        "critical_path": None
        if path is None
        else {
            **{name: getattr(path, name) for name in ("seconds", "wait", "tried", "start", "run", "bound", "bound_tasks")},
            "steps": [
                {
                    "task": one.task.id,
                    "worker": one.attempt.worker,
                    **{name: getattr(one, name) for name in ("wait", "tried", "start", "run")},
                }
                for one in path.steps
            ],
        },
        "slowest": [
            {"task": one.task.id, "seconds": one.attempt.seconds, "worker": one.attempt.worker, "times_median": one.times}
            for one in found.slowest
        ],
        "entries": [asdict(one) for one in found.families],
        "failures": found.failures,
        "machines": [asdict(one) for one in past.machines],
    }
