"""Commands that change jobs, tasks and the context. What destroys says what it touches and asks, on a terminal."""

from typing import Annotated, Any

import typer

from client import Client
from client.commands.frame import Json, Yes, agree, counted, name_job, on_terminal, print_json
from client.commands.tables import tally

Some = Annotated[list[str], typer.Argument(metavar="TARGET...", help="JOB, JOB:ID, JOB:GLOB, or an id that only one job has.")]
Jobs = Annotated[list[str], typer.Argument(metavar="JOB...")]
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
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Run finished tasks again; the old results stay until the new ones are accepted."""
    with Client() as client:
        if on_terminal() and not yes:
            states = ("succeeded", "failed", "skipped", "cancelled")
            more = ", and all that was made from them," if descendants else ""
            agree(f"This runs {_touched(client, targets, states)}{more} again and replaces their results", yes)
        _tell(targets, client.redo(*targets, descendants=descendants), as_json, "redone", "to be run again")


def retry_failed(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TARGET]...", help="Nothing: every job of yours with failed tasks (an admin: of all)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run failed tasks again, and what was skipped because of them."""
    with Client() as client:
        chosen = targets or _own_with_failures(client)
        if not chosen:
            typer.echo("no failed tasks", err=True)
        _tell(chosen, client.retry_failed(*chosen) if chosen else [], as_json, "retried", "to be tried again")


def _own_with_failures(client: Client) -> list[str]:
    """The jobs with failed tasks: an admin's are all, a researcher's those of the same name."""
    me = client.me()
    if me["role"] == "viewer":
        client.retry_failed()  # refused by the boss, in its own words
    mine = [job for job in client.jobs() if me["role"] == "admin" or job["owner"] == me["name"]]
    return [job["name"] for job in mine if job["tasks"].get("failed")]


def _touched(client: Client, targets: list[str], states: tuple[str, ...]) -> str:
    """What a command would touch, in words."""
    counts: dict[str, int] = {}
    for task in client.tasks(*targets, states=states):
        counts[task["state"]] = counts.get(task["state"], 0) + 1
    return f"{counted(sum(counts.values()), 'task')} ({tally(counts)})"


def _tell(targets: list[str], done: list[dict[str, Any]], as_json: bool, count: str, words: str) -> None:
    for target, effect in zip(targets, done, strict=True):
        name_job(target, effect["job"])
    if as_json:
        print_json(done)
        return
    for effect in done:
        touched = f"{counted(effect[count], 'task')} of {effect['job']}" if count in effect else effect["job"]
        typer.echo("; ".join([f"{touched} {words}", *_besides(effect)]))


def _besides(effect: dict[str, Any]) -> list[str]:
    """What else is to be said about an effect."""
    said = []
    if effect.get("accepting"):
        said.append(f"{counted(effect['accepting'], 'result')} being accepted already")
    if effect.get("descendants"):
        said.append(f"{counted(effect['descendants'], 'descendant')} too")
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
