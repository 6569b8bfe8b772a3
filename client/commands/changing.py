"""Commands that change jobs, tasks and the context. What destroys says what it touches and asks, on a terminal."""

import shlex
from typing import Annotated, Any

import typer

from client import Client
from client.commands import completing
from client.commands.frame import Json, Yes, agree, counted, name_job, on_terminal, print_json, say
from client.commands.tables import tally

Some = Annotated[
    list[str],
    typer.Argument(
        metavar="TARGET...", autocompletion=completing.targets, help="JOB, JOB:ID, JOB:GLOB, or an id that only one job has."
    ),
]
Jobs = Annotated[list[str], typer.Argument(metavar="JOB...", autocompletion=completing.jobs)]
UNFINISHED = ("waiting", "ready", "delayed", "assigned", "running", "promoting")


def cancel(targets: Some, yes: Yes = False, as_json: Json = False) -> None:
    """End tasks that have not finished."""
    with Client() as client:
        if on_terminal() and not yes:
            agree(f"This cancels {_touched(client, targets, UNFINISHED)}", yes)
        _tell(targets, client.cancel(*targets), as_json, "cancelled", "cancelled")


def pause(jobs: Jobs, as_json: Json = False) -> None:
    """Deal out nothing new of these jobs; what runs finishes."""
    with Client() as client:
        _tell(jobs, client.pause(*jobs), as_json, "", "paused")


def resume(jobs: Jobs, as_json: Json = False) -> None:
    """Deal out these jobs' tasks again."""
    with Client() as client:
        _tell(jobs, client.resume(*jobs), as_json, "", "resumed")


def redo_task(
    targets: Some,
    descendants: Annotated[bool, typer.Option("--descendants", help="And all that was made from their results.")] = False,
    stale: Annotated[
        bool, typer.Option("--stale", help="The stale ones among them, the stale ones that they are made from, and all below.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Run finished tasks again; the old results stay until the new ones are accepted."""
    with Client() as client:
        if on_terminal() and not yes:
            states = ("succeeded", "failed", "skipped", "cancelled")
            sources = ", the stale ones that they are made from" if stale else ""
            more = f"{sources}, and all that was made from them," if descendants or stale else ""
            agree(f"This runs {_touched(client, targets, states, stale)}{more} again and replaces their results", yes)
        done = client.redo(*targets, descendants=descendants, stale=stale)
        _tell(targets, done, as_json, "redone", "to be run again", stale)
        _remind(done, "--merge changed (all that reads it)")


def retry_failed(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET]...",
            autocompletion=completing.targets,
            help="JOB: what failed; JOB:ID, JOB:GLOB and JOB:*: what was cancelled too. "
            "Nothing: every job of yours with failed tasks (an admin: of all).",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run failed tasks again, and what was skipped because of them."""
    with Client() as client:
        chosen = targets or _own_with(client, "failed")
        if not chosen:
            say("no failed tasks" + _cancelled(_own_with(client, "cancelled")))
        done = client.retry_failed(*chosen) if chosen else []
        _tell(chosen, done, as_json, "retried", "to be tried again")
        _remind(done, "--merge keep-succeeded (only what failed) or --merge changed (all that reads it)")


def _own_with(client: Client, state: str) -> list[str]:
    """The jobs with failed (or cancelled) tasks: an admin's are all, a researcher's those of the same name."""
    me = client.me()
    if me["role"] == "viewer":
        client.retry_failed()  # refused by the boss, in its own words
    mine = [job for job in client.jobs() if me["role"] == "admin" or job["owner"] == me["name"]]
    return [job["name"] for job in mine if job["tasks"].get(state)]


def _cancelled(jobs: list[str]) -> str:
    """That there are cancelled tasks, and how they are run again."""
    if not jobs:
        return ""
    return f"; cancelled ones are run again when they are named: ./admin.py retry_failed {shlex.quote(jobs[-1] + ':*')}"


def _touched(client: Client, targets: list[str], states: tuple[str, ...], stale: bool = False) -> str:
    """What a command would touch, in words."""
    counts: dict[str, int] = {}
    for task in client.tasks(*targets, states=states, stale=stale):
        counts[task["state"]] = counts.get(task["state"], 0) + 1
    return f"{counted(sum(counts.values()), 'task')} ({tally(counts)})"


def _tell(targets: list[str], done: list[dict[str, Any]], as_json: bool, count: str, words: str, stale: bool = False) -> None:
    for target, effect in zip(targets, done, strict=True):
        name_job(target, effect["job"])
    if as_json:
        print_json(done)
        return
    for effect in done:
        if stale and not effect[count]:
            typer.echo(f"nothing of {effect['job']} is stale")
            continue
        touched = f"{counted(effect[count], 'task')} of {effect['job']}" if count in effect else effect["job"]
        typer.echo("; ".join([f"{touched} {words}", *_besides(effect)]))


def _remind(done: list[dict[str, Any]], merges: str) -> None:
    """What runs again is given the files that were pushed: whoever mended a script here would see it crash again."""
    for job in dict.fromkeys(effect["job"] for effect in done if effect.get("read_files")):
        say(f"{job}: with the files as they were pushed; if you changed one: ./push_tasks.py FILE --job {job} {merges}")


def _besides(effect: dict[str, Any]) -> list[str]:
    """What else is to be said about an effect."""
    said = []
    if effect.get("accepting"):
        said.append(f"{counted(effect['accepting'], 'result')} being accepted already")
    if effect.get("descendants"):
        said.append(f"{counted(effect['descendants'], 'descendant')} too")
    if effect.get("held"):
        said.append(f"{counted(effect['held'], 'task')} left alone ({effect['held_because']})")
    if effect.get("cancelled_left"):
        named = shlex.quote(f"{effect['job']}:*")
        said.append(
            f"{counted(effect['cancelled_left'], 'cancelled task')} left alone (./admin.py retry_failed {named} runs them too)"
        )
    if effect.get("kept"):
        said.append(
            f"{counted(effect['kept'], 'descendant')} left alone, stale if the new results differ (--descendants runs them too)"
        )
    return said


def drop_context(yes: Yes = False, as_json: Json = False) -> None:
    """Forget the small facts that survive restarts, but not who the cluster is; refused while VMs are claimed."""
    with Client() as client:
        agree("This drops the addresses that the boss remembers (not the cluster's id and epoch)", yes)
        dropped = client.drop_context()
    if as_json:
        print_json({"dropped": dropped})
    else:
        typer.echo(f"dropped: {', '.join(dropped) or 'there was nothing to drop'}")


def set_datastore(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="user@host[:port][:/folder]")],
    as_json: Json = False,
) -> None:
    """Use another datastore, after a log-in and a write there; refused while unfinished jobs use the one there is."""
    with Client() as client:
        found = client.set_datastore(address)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"datastore {found['datastore_address']}: {found['seen']}")
