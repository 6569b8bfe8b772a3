"""The one command of push_tasks.py."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from time import localtime, strftime
from typing import Annotated, Any

import typer

from client import Client, Refused
from client.commands import completing, planning
from client.commands.durations import some_seconds_of
from client.commands.frame import counted, say
from client.commands.tables import amount, clean
from client.commands.watching import fits_nowhere, transferring, watch_job
from client.pushing import Wishes
from client.signing import VALID

#: More than this makes no sense of any trace; it is also what the boss takes.
LARGEST_SCALE = 1e9
#: Lines of reasons that a push shows; a dry run shows all.
SHOWN = 10


class Merge(StrEnum):
    """What happens to tasks that the job has already."""

    IGNORE = "ignore"
    KEEP_SUCCEEDED = "keep-succeeded"
    REPLACE = "replace"
    CHANGED = "changed"


def push_tasks(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The task file (docs/task-file.md).")],
    name: Annotated[str | None, typer.Option("--name", metavar="N", help="The new job's name; refused if it is taken.")] = None,
    job: Annotated[
        str | None, typer.Option("--job", metavar="J", autocompletion=completing.jobs, help="Add to this job.")
    ] = None,
    merge: Annotated[Merge | None, typer.Option("--merge", help="What happens to tasks that the job has already.")] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Tasks whose results all exist count as succeeded.")
    ] = False,
    replay: Annotated[
        str | None,
        typer.Option("--replay", metavar="SCALE", help="Replay a workflow's trace (WfFormat), durations and sizes times SCALE."),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--files",
            metavar="PATH",
            help="Push this local file, folder ('x/') or glob too, relative to the task file's folder; may be given repeatedly.",
        ),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option("--sign", metavar="KEY", help="Sign the job with this private Ed25519 key (docs/signed-jobs.md)."),
    ] = None,
    valid: Annotated[
        str | None, typer.Option("--valid", metavar="T", help="With --sign: how long tasks may be started by it (7d); else 30d.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show progress until the job has ended.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be pushed.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say how long it would take, on how many VMs, at what cost.")] = False,
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="T", help="With --plan: what keeps this time (6h).")
    ] = None,
    budget: Annotated[float | None, typer.Option("--budget", metavar="N", help="With --plan: what keeps N vCPU hours.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="PNG", help="With --plan: draw cost against time.")] = None,
) -> None:
    """Push a task file: its local files are uploaded, its tasks run as soon as they can. Prints the job's name last."""
    if name is not None and job is not None:
        raise typer.BadParameter("--name makes a new job, --job adds to one; one of the two")
    scale = None if replay is None else _scale(replay)
    if not plan and (deadline is not None or budget is not None or plot is not None):
        raise typer.BadParameter("--deadline, --budget and --plot go with --plan")
    if plan and (job is not None or merge is not None or watch or dry_run):
        raise typer.BadParameter("--plan is of a new job, and pushes nothing: without --job, --merge, --watch and --dry-run")
    if valid is not None and sign is None:
        raise typer.BadParameter("--valid goes with --sign")
    if plan and sign is not None:
        raise typer.BadParameter("--plan pushes nothing, so there is nothing to sign: without --sign")
    time = VALID if valid is None else some_seconds_of(valid, "--valid")
    wishes = Wishes(name, job, merge, skip_existing, dry_run, scale, tuple(files or ()), sign, time)
    if plan:
        end = None if deadline is None else some_seconds_of(deadline, "--deadline")
        with _refusals(file):
            raise typer.Exit(planning.run(file, wishes, end, budget, plot))
    with Client() as client:
        with _refusals(file), transferring("uploading") as bar:
            pushed = client.push_file(file, wishes, bar)
        for warning in pushed.summary["warnings"]:
            say(f"{file}: {warning}")
        if pushed.summary.get("signed"):
            say(_signature(pushed.summary["signed"], dry_run))
        if dry_run:
            for line in reasons_of(pushed.summary):
                typer.echo(line)
            _describe(pushed.job, pushed.summary)
            return
        for line in reasons_of(pushed.summary, SHOWN):
            say(line)
        say(f"{pushed.job}: {_in_words(pushed.summary)}")
        for line in _standing(pushed.job, pushed.summary):
            say(line)
        if not watch and (stuck := fits_nowhere(client, pushed.job)):
            say(clean(stuck))
        code = watch_job(client, pushed.job) if watch else 0
    typer.echo(pushed.job)
    raise typer.Exit(code)


@contextmanager
def _refusals(file: Path) -> Iterator[None]:
    """Tell all that is wrong with a file, one a line."""
    try:
        yield
    except Refused as refused:
        for problem in refused.problems:
            say(f"{file}: {problem}")
        raise typer.Exit(refused.exit_code) from None


def _signature(signed: dict[str, Any], dry_run: bool) -> str:
    """By whom a push is signed, for how long, and where that counts."""
    until = strftime("%Y-%m-%d %H:%M", localtime(signed["expires"]))
    where = f"pool {', '.join(signed['pools'])} trusts this key" if signed["pools"] else "no pool asks for signatures"
    return clean(
        f"{'would be signed' if dry_run else 'signed'} by {signed['signer']} with {signed['key']}, good until {until}; {where}"
    )


def _scale(text: str) -> float:
    """What ``--replay`` multiplies by."""
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= LARGEST_SCALE:
        raise typer.BadParameter(f"--replay SCALE is a number greater than 0, such as 0.01, not {text}")
    return scale


def reasons_of(summary: dict[str, Any], most: int | None = None) -> list[str]:
    """Why tasks run again, one a line: ``agg: agg.py changed``; at most so many lines, and how many tasks are not told."""
    told = summary["reasons"][:most]
    lines = [
        clean(f"{one['task']}: {one['reason']}") + (f" (and {counted(one['more'], 'more task')} like it)" if one["more"] else "")
        for one in told
    ]
    left = sum(1 + one["more"] for one in summary["reasons"][len(told) :]) + summary["more_reasons"]
    return [*lines, f"and {counted(left, 'more task')}"] if left else lines


def _in_words(summary: dict[str, Any]) -> str:
    changed = [f"{summary['new_tasks']} new", f"{summary['replaced']} replaced", f"{summary['kept']} left alone"]
    tasks = counted(summary["tasks"], "task") + (f" ({', '.join(changed)})" if summary["extends"] else "")
    return f"{tasks}, {counted(summary['files'], 'file')} ({amount(summary['bytes'])})"


def _standing(job: str, summary: dict[str, Any]) -> Iterator[str]:
    """Whether a job that was paused goes on."""
    if summary.get("resumed"):
        yield f"{job} was paused because an init task failed; that was replaced, so the job is resumed"
    elif summary.get("paused"):
        why = f": {clean(summary['reason'])}" if summary.get("reason") else ""
        yield f"{job} stays paused{why}; ./admin.py resume {job} deals its tasks out again"


def _describe(job: str, summary: dict[str, Any]) -> None:
    typer.echo(f"{'adds to' if summary['extends'] else 'would be'} job {job}: {_in_words(summary)}")
    if summary.get("example"):
        typer.echo(f"such as {clean(summary['example'])}")
    for path in summary["unread_files"]:
        typer.echo(f"no task reads {path}")
    typer.echo("nothing was pushed")
