"""``doctor --boot``: one VM from the create call to its end, each step printed as it happens; what failed, and where to look.

Rules:
- The boss does it all by itself: whoever watches may go away. Ctrl-C ends the trial, the VM is deleted all the same.
- A trial has worked when its task's result was accepted (where unsigned tasks are not run: when its worker has joined) and nothing of its
  VM is left in the cloud.
"""

import time
from collections.abc import Iterator
from typing import Any

import typer

from client import Client
from client.commands.frame import print_json, say
from client.commands.tables import clean
from client.errors import ClientError, NotFound

#: What each step means, for people.
WORDS = {
    "accepted": "the cloud has given a server",
    "active": "the server is ACTIVE",
    "called": "first word: it has shown its token at the join door",
    "joined": "its worker speaks over the broker",
    "ran": "its task has run, the result lies on the datastore",
    "leaving": "its deletion was asked for",
    "deleted": "the cloud has no such server any more",
}
#: What is missing when a step does not come.
MISSING = {
    "accepted": "the cloud has given no server",
    "active": "the server did not become ACTIVE",
    "called": "nothing was heard of it at the join door",
    "joined": "its worker did not speak over the broker",
    "ran": "its task did not bring a result",
}
#: Seconds between two looks.
PAUSE = 0.5
#: Seconds for the deletion, and after it for what belongs to a server to be gone.
PATIENCE, REST = 300.0, 30.0
#: Lines of the console's end that are shown.
CONSOLE = 20


def attempt(client: Client, pool: str, flavor: str, as_json: bool) -> bool:
    """Try one VM of a pool; whether all went well."""
    trial = client.begin_trial(pool, flavor)
    if not as_json:
        say(f"one VM of pool {trial['pool']} ({trial['flavor']}), as claim {trial['vm']}; Ctrl-C ends it early")
    try:
        trial, left = _follow(client, trial, as_json)
    except KeyboardInterrupt:
        client.stop_trial(trial["pool"])
        say(f"stopped; {trial['vm']} is being deleted (`admin.py show_vms`)")
        raise
    told = (
        None
        if trial["over"] is not None
        else f"the cloud has not confirmed its deletion within {PATIENCE:.0f} s; the boss goes on asking"
    )
    console = "" if trial["worked"] else _console(client, trial["vm"])
    if as_json:
        print_json({**trial, "left": left, "console": console})
    else:
        _judge(trial, left, told, console)
    return trial["worked"] and not left and told is None


def _follow(client: Client, trial: dict[str, Any], as_json: bool) -> tuple[dict[str, Any], list[str]]:
    """Print steps until the VM is gone; the trial at its end, and what is left of it in the cloud."""
    shown: set[str] = set()
    given_up = None
    while True:
        for step in sorted(set(trial["steps"]) - shown, key=lambda step: (trial["steps"][step], trial["order"].index(step))):
            shown.add(step)
            if not as_json:
                typer.echo(f"{trial['steps'][step] - trial['asked']:7.1f} s  {WORDS[step]}")
        if trial["over"] is not None:
            return trial, _left(client, trial["vm"])
        if "leaving" in shown and given_up is None:
            given_up = time.monotonic() + PATIENCE
        if given_up is not None and time.monotonic() > given_up:
            return trial, []
        time.sleep(PAUSE)
        trial = next(one for one in client.trials() if one["pool"] == trial["pool"])


def _left(client: Client, vm: str) -> list[str]:
    """What a claim's server has left behind, once it had the time to go."""
    end = time.monotonic() + REST
    left = list(_things(client, vm))
    while left and time.monotonic() < end:
        time.sleep(PAUSE)
        left = list(_things(client, vm))
    return left


def _things(client: Client, vm: str) -> Iterator[str]:
    for thing in client.leaks()["things"]:
        if thing["claim"] == vm:
            yield f"{thing['kind']} {thing['name'] or thing['id']}"


def _console(client: Client, vm: str) -> str:
    """The end of what its server wrote, where the boss has kept it."""
    try:
        return client.console(vm)
    except NotFound:
        return ""
    except ClientError as error:
        return str(error)


def _judge(trial: dict[str, Any], left: list[str], told: str | None, console: str) -> None:
    """The last lines: what works, or what failed and where to look."""
    if left:
        typer.echo(f"left behind: {', '.join(left)} -> admin.py vm_leaks --delete removes it")
    elif told:
        typer.echo(f"{told} -> admin.py vm_leaks shows what is there")
    elif "deleted" in trial["steps"]:
        typer.echo("           nothing of it is left: no server, port, volume or floating IP")
    if trial["unrun"]:
        typer.echo(
            f"ok      VMs of pool {trial['pool']} reach the boss; their way to the datastore was not tried: {trial['unrun']}"
        )
        return
    if trial["worked"]:
        typer.echo(f"ok      VMs of pool {trial['pool']} reach the boss and its datastore, and work")
        return
    typer.echo(f"failed  {MISSING.get(trial['stage'], 'it did not work')}: {clean(trial['reason'])}")
    typer.echo(f"        -> {trial['advice']}")
    lines = [line for line in console.splitlines() if line.strip()][-CONSOLE:]
    if lines:
        typer.echo("        the end of its console:")
    for line in lines:
        typer.echo(f"        | {clean(line)}")
