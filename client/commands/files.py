"""Commands about files: logs, fetch, and the doctor, who needs no boss."""

import dataclasses
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from client import Client, FilesDiffer, InvalidRequest, Job, NotFound
from client.checks import FAILED, examine
from client.commands import completing
from client.commands.frame import Json, counted, name_job, print_json, say
from client.commands.looking import OneTask
from client.commands.tables import clean, lost, newer_files
from client.commands.trying import attempt
from client.commands.watching import transferring
from datastore.layout import matches
from datastore.transfer import Fetched

#: The project's folder, where `python -m boss` is found.
PROJECT = Path(__file__).resolve().parents[2]
#: Outputs of a task that are named to somebody who asks for the task instead.
OUTPUTS = 5


def logs(
    task: OneTask,
    attempt: Annotated[
        int | None, typer.Option("--attempt", metavar="N", min=1, help="Which attempt; the newest when not given.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the task ends.")] = False,
    stdout: Annotated[bool, typer.Option("--stdout", help="Only what was written to stdout.")] = False,
    stderr: Annotated[bool, typer.Option("--stderr", help="Only what was written to stderr.")] = False,
    as_json: Json = False,
) -> None:
    """What a task has written: stdout, then stderr."""
    if stdout and stderr:
        raise typer.BadParameter("--stdout and --stderr together are the same as neither")
    stream = "stdout" if stdout else "stderr" if stderr else None
    with Client() as client:
        if follow:
            if attempt is not None or as_json:
                raise typer.BadParameter("--follow goes with neither --attempt nor --json")
            _follow(client, task, stream)
            return
        found = client.logs(task, attempt, stream)
        name_job(task, found["job"])
        if as_json:
            print_json(found)
            return
        for name in ("stdout", "stderr"):
            sys.stdout.write(found[name])
        if found["running"]:
            sys.stdout.flush()
            so_far = (
                ""
                if found["stdout"] or found["stderr"]
                else f" and has written nothing{f' to {stream}' if stream else ''} so far"
            )
            say(f"attempt {found['attempt']} is running{so_far}; --follow shows what it writes")
        elif not (found["stdout"] or found["stderr"]):
            say(_no_output(client.task(f"{found['job']}:{found['id']}"), found["attempt"], stream))


def _no_output(task: dict[str, Any], attempt: int, stream: str | None) -> str:
    """Why there is nothing to show of an attempt (0: there was none)."""
    nothing = f"no output{f' on {stream}' if stream else ''}"
    because = f" because {task['reason']}" if task["reason"] else ""
    match task["state"]:
        case "skipped" if not attempt:
            return f"{nothing}: the task was skipped{because}"
        case "cancelled" if not attempt:
            return f"{nothing}: the task was cancelled before it ran"
        case "succeeded" if not attempt:
            return f"{nothing}: the task did not run, it counts as succeeded{because}"
        case state if not attempt:
            return f"{nothing}: the task has not run yet, it is {state}"
    return f"{nothing}: attempt {attempt} {_verdict(task, attempt)}"


def _verdict(task: dict[str, Any], attempt: int) -> str:
    """How an attempt stands that wrote nothing."""
    found = next((one for one in task["attempts"] if one["number"] == attempt), None)
    if found is None or found["state"] in ("assigned", "running"):
        return "has not begun" if found is None or found["state"] == "assigned" else "is running"
    reason = f": {found['reason']}" if found["reason"] else ""
    return f"wrote nothing; it {found['state'] if found['state'] == 'succeeded' else 'ended as ' + found['state']}{reason}"


def _follow(client: Client, task: str, stream: str | None) -> None:
    with client.follow(task) as lines:
        for line in lines:
            if line is not None and stream in (None, line.get("stream")):
                sys.stdout.write(line.get("data", ""))
                sys.stdout.flush()


def fetch(
    target: Annotated[
        str, typer.Argument(metavar="JOB[:GLOB]", autocompletion=completing.jobs, help="A job, and which paths of its results.")
    ],
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Where to; ./JOB/ when not given.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files here that differ.")] = False,
    as_json: Json = False,
) -> None:
    """Bring a job's results here: resumed, verified, identical files skipped, files of yours that differ left alone."""
    name, _, pattern = target.partition(":")
    with Client() as client:
        job = client.job(name)
        there = job.results_so_far()
        status = job.status()
        progress = _progress(there, status["tasks"])
        if not any(not pattern or matches(pattern, file["path"]) for file in there["files"]):
            say(f"nothing to fetch: {_nothing(client, name, pattern if there['files'] else '')}; {progress}")
            raise typer.Exit(1)
        folder = to or Path(name)
        with transferring(f"fetching {name}") as bar:
            done, differing = _fetched(job, folder, [pattern] if pattern else [], force, bar)
        stale = next(client.task_pages(f"{name}:*", stale=True)) if status["stale"] else []
        newer = [path for path in job.newer() if not pattern or matches(pattern, path)]
    if stale:
        say(_stale(name, stale))
    if newer:
        say(f"note: {newer_files(newer)}")
    if as_json:
        facts = {"job": name, "folder": str(folder), **done._asdict()}
        print_json({**facts, "finished": there["finished"], "total": there["total"], "stale": len(stale)})
    else:
        older = "an older one" if len(done.replaced) == 1 else "older ones"
        new = f" ({len(done.replaced):,} of them in place of {older})" if done.replaced else ""
        here = f", {len(done.identical):,} were here already" if done.identical else ""
        typer.echo(f"{counted(len(done.fetched), 'file')} fetched{new}{here}; {progress}")
        typer.echo(f"{folder}/")
    if differing is not None:
        raise differing


def _fetched(
    job: Job, folder: Path, patterns: list[str], force: bool, bar: Callable[[int, int], None] | None
) -> tuple[Fetched, FilesDiffer | None]:
    """What came, and what to say at the end when files here differ."""
    try:
        return job.fetch(folder, patterns, force, bar), None
    except FilesDiffer as error:
        return error.done, error


def _nothing(client: Client, job: str, pattern: str) -> str:
    """Why no result is fetched; whoever has named a task hears what it yields."""
    if not pattern:
        return f"{job} has no results"
    said = f"no result fits {pattern}, a glob over paths, not over tasks"
    try:
        task = client.task(f"{job}:{pattern}")
    except (NotFound, InvalidRequest):  # no task, or a glob over several
        return said
    places = [one["path"] if one["to"] in ("", one["path"]) else one["to"] for one in task["outputs"]]
    if not places:
        return f"{said}; task {task['id']} yields no files"
    named = ", ".join(places[:OUTPUTS]) + (f" and {len(places) - OUTPUTS} more" if len(places) > OUTPUTS else "")
    remedy = f": ./admin.py fetch {shlex.quote(f'{job}:{places[0]}')}" if task["state"] == "succeeded" else ""
    return f"{said}; task {task['id']} is {task['state']} and yields {named}{remedy}"


def _stale(job: str, tasks: list[dict[str, Any]]) -> str:
    """Which results are older than what they were made from."""
    first = tasks[0]
    more = f" (and {counted(len(tasks) - 1, 'more task')})" if len(tasks) > 1 else ""
    return (
        f"note: the result of {first['id']} is stale, {first['stale']}{more}; "
        f"./admin.py show_tasks {job} --stale lists them, ./admin.py redo_task {job} --stale makes them anew"
    )


def _progress(there: dict[str, Any], counts: dict[str, int]) -> str:
    """``18 of 18 tasks finished (2 failed, 2 skipped)``."""
    without = f" ({', '.join(lost(counts))})" if lost(counts) else ""
    return f"{there['finished']} of {there['total']} tasks finished{without}"


def doctor(
    boot: Annotated[
        bool, typer.Option("--boot", help="Make one VM, see it join and run a task, and delete it: each step as it happens.")
    ] = False,
    pool: Annotated[
        str, typer.Option("--pool", metavar="P", help="With --boot: of which pool; the first with VMs if not given.")
    ] = "",
    flavor: Annotated[
        str, typer.Option("--flavor", metavar="F", help="With --boot: which of its flavors; its first if not given.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Check this machine and the settings; with ECLOUD_API_URL the way to that boss: one line each, with the remedy."""
    if boot:
        with Client() as client:
            raise typer.Exit(0 if attempt(client, pool, flavor, as_json) else 1)
    if pool or flavor:
        raise typer.BadParameter("--pool and --flavor go with --boot")
    if os.environ.get("ECLOUD_API_URL"):
        raise typer.Exit(_examine_way(as_json))
    raise typer.Exit(_run_boss("doctor", *(["--json"] if as_json else [])))


def adopt() -> None:
    """Take over after a restore, on the boss's own machine with the boss stopped: nothing is named twice, nothing newer overwritten."""
    if os.environ.get("ECLOUD_API_URL"):
        say(
            "a database is adopted on the boss's own machine, with the boss stopped: run `./admin.py adopt` there, without ECLOUD_API_URL"
        )
        raise typer.Exit(2)
    raise typer.Exit(_run_boss("adopt"))


def _run_boss(*words: str) -> int:
    """Run a command of the boss's program in the folder where the user is: the settings may lie there."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.run([sys.executable, "-P", "-m", "boss", *words], env=environment, check=False).returncode


def deploy(words: typer.Context) -> None:
    """Make the servers of boss and datastore in a cloud, and start the boss there; --help says how."""
    command = [sys.executable, "-m", "boss", "deploy", "servers", *words.args]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}  # its files are named from here, not from the project's folder
    if "--help" in words.args or "-h" in words.args:
        shown = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        typer.echo(shown.stdout.replace("python -m boss deploy servers", "admin.py deploy"), nl=False)
        raise typer.Exit(shown.returncode)
    raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)


def _examine_way(as_json: bool) -> int:
    """Check the way to a boss elsewhere, and print what was found; the exit code."""
    failed, found = False, []
    for finding in examine():
        failed = failed or finding.verdict == FAILED
        found.append(dataclasses.asdict(finding))
        if not as_json:
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            typer.echo(f"{finding.verdict:<6}  {finding.check:<12}  {clean(finding.detail)}{remedy}")
    if as_json:
        print_json(found)
    else:
        say(
            "this is the way to the boss that ECLOUD_API_URL names; `python -m boss doctor` checks a machine on which a boss is to run"
        )
    return int(failed)
