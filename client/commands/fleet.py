"""Commands about workers: create, drain, terminate."""

import time
from fnmatch import fnmatchcase
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from client import Client
from client.commands import completing
from client.commands.durations import seconds_of
from client.commands.frame import Json, Yes, agree, counted, print_json, say
from client.commands.tables import ago, clean, show

KEEP_ALIVE = "8h"

Workers = Annotated[
    list[str], typer.Argument(metavar="WORKER...", autocompletion=completing.workers, help="Ids, or globs over them: 'local-*'.")
]


class KeepAliveCommand(TyperCommand):
    """A command whose ``--keep-alive`` may stand alone, for eight hours."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a lone ``--keep-alive`` its value; what stands behind it is one, unless it is an option."""
        if "--keep-alive" in args:
            place = args.index("--keep-alive") + 1
            after = args[place] if place < len(args) else ""
            if not after or after.startswith("-"):
                args = [*args[: place - 1], f"--keep-alive={KEEP_ALIVE}", *args[place:]]
            elif after.isdecimal() and not _counts([*args[: place - 1], *args[place + 1 :]]):
                raise typer.BadParameter(
                    f"--keep-alive {after}: {after} workers or {after} seconds? "
                    f"write `instantiate_worker {after} --keep-alive`, or `--keep-alive={after}s`"
                )
        return super().parse_args(ctx, args)


def _counts(args: list[str]) -> bool:
    """Whether these words say how many workers."""
    return any(word.isdecimal() and before != "--pool" for before, word in zip(["", *args], args, strict=False))


def instantiate_worker(
    count: Annotated[int, typer.Argument(metavar="[N]", min=1, help="How many.")] = 1,
    pool: Annotated[str, typer.Option("--pool", metavar="P", help="Which pool; the first one when not given.")] = "",
    keep_alive: Annotated[
        str, typer.Option("--keep-alive", metavar="[8h]", help="Keep them this long without work; 8h when no time is given.")
    ] = "0",
    as_json: Json = False,
) -> None:
    """Create workers now, whatever waits."""
    keep = seconds_of(keep_alive, "--keep-alive")
    with Client() as client:
        made = client.instantiate_workers(count, pool, keep)
    _tell(made, as_json, "coming up")


def drain_worker(workers: Workers, as_json: Json = False) -> None:
    """Let workers finish what they have, then end them."""
    with Client() as client:
        drained = client.drain_workers(*workers)
    _tell(drained, as_json, "draining")


def debug(worker: Annotated[str, typer.Argument(metavar="WORKER", autocompletion=completing.workers)]) -> None:
    """Run debug.sh on a worker's VM: how it stands, and its start-up again with every command printed."""
    with Client() as client, client.debug(worker) as lines:
        for line in lines:
            if line is not None:
                typer.echo(clean(line["line"]) if line["line"] else "")


def set_boss_address(
    address: Annotated[str, typer.Argument(metavar="HOST", help="A name or an address.")], as_json: Json = False
) -> None:
    """Say under which name or address VMs reach the boss; it counts from the boss's next start on."""
    with Client() as client:
        known = client.set_boss_address(address)
    if as_json:
        print_json({"boss_address": known})
    else:
        typer.echo(f"VMs will reach the boss at {known}, from its next start on")


def terminate_workers(
    workers: Annotated[list[str] | None, typer.Argument(metavar="[WORKER]...", autocompletion=completing.workers)] = None,
    everyone: Annotated[bool, typer.Option("--all", help="All workers.")] = False,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for what they run; it is run again elsewhere.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """End workers: drained first, unless --now."""
    if bool(workers) == everyone:
        raise typer.BadParameter("name the workers, or say --all; one of the two")
    with Client() as client:
        there = [
            worker for worker in client.workers() if everyone or any(fnmatchcase(worker["id"], one) for one in workers or [])
        ]
        running = sum(len(worker["running"]) for worker in there)
        what = f"This ends {counted(len(there), 'worker')}, on which {counted(running, 'task')} run"
        agree(what + (" and are lost" if now else "; they finish first"), yes)
        ended = client.terminate_workers(*(workers or []), now=now)
    _tell(ended, as_json, "ending" if now else "draining")


def shutdown(
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for what runs; it is run again once the fleet is open.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let no VM come any more, let all go, and make sure that nothing is left in any cloud."""
    with Client() as client:
        there = client.vms()
        running = sum(len(worker["running"]) for worker in client.workers())
        what = f"This ends {counted(len(there), 'VM')}, on which {counted(running, 'task')} run"
        agree(what + (" and are lost" if now else "; they finish first"), yes)
        left = client.close_fleet(now)
        while left:
            if not as_json:
                say(f"{counted(len(left), 'VM')} on the way out: {', '.join(left[:5])}{' ...' if len(left) > 5 else ''}")
            left = _fewer(client, left)
        found = client.leaks()
    _tell_leaks(found, as_json, "nothing is left")
    if not as_json:
        say("no VM comes any more, whatever waits, until `admin.py open`")
    raise typer.Exit(1 if found["things"] or found["silent"] else 0)


def _fewer(client: Client, left: list[str]) -> list[str]:
    """Wait until a VM has gone, or three seconds; those that are left."""
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        there = [vm["id"] for vm in client.vms()]
        if len(there) < len(left):
            return there
        time.sleep(0.2)
    return there


def add_host(
    host: Annotated[str, typer.Argument(metavar="[USER@]HOST[:PORT]", help="As the boss's user's ssh takes it.")],
    cpus: Annotated[int | None, typer.Option("--cpus", metavar="N", min=1, help="Slots; all that it has when not given.")] = None,
    as_json: Json = False,
) -> None:
    """Install and start a worker on any host that the boss's user can log in to with ssh."""
    with Client() as client:
        made = client.add_host(host, cpus)
    if as_json:
        print_json(made)
        return
    typer.echo(f"{made['worker']} on {made['login']} coming up: {made['resources']['cpus']:g} cpus")


def remove_host(
    host: Annotated[str, typer.Argument(metavar="[USER@]HOST[:PORT]", help="As it was added.")],
    now: Annotated[bool, typer.Option("--now", help="Do not wait for what runs; it is run again elsewhere.")] = False,
    as_json: Json = False,
) -> None:
    """End the worker of a host that was added, and remove every trace of it there."""
    with Client() as client:
        leaving = client.remove_host(host, now)
    _tell(leaving, as_json, "ending" if now else "draining")


def open_fleet() -> None:
    """Let VMs come again for what waits, after a shutdown."""
    with Client() as client:
        client.open_fleet()
    typer.echo("VMs come again for what waits")


def show_pools(as_json: Json = False) -> None:
    """The pools: minimum, maximum, whether they are paused, and what the settings say."""
    with Client() as client:
        pools, vms = client.pools(), client.vms()
    if as_json:
        print_json(pools)
        return
    rows = []
    for pool in pools:
        there = sum(1 for vm in vms if vm["pool"] == pool["name"])
        given = f"{pool['given_minimum']} to {pool['given_maximum']}"
        changed = given if (pool["minimum"], pool["maximum"]) != (pool["given_minimum"], pool["given_maximum"]) else ""
        state = "paused" if pool["paused"] else "rests" if pool["resting"] else "goes on"
        rows.append([pool["name"], pool["provider"], state, str(there), str(pool["minimum"]), str(pool["maximum"]), changed])
    columns = ("pool", "provider", "state", "VMs", "minimum", "maximum", "settings")
    show(columns, rows, "there are no pools", right=("VMs", "minimum", "maximum"))


def set_pool(
    pool: Annotated[str, typer.Argument(metavar="POOL")],
    minimum: Annotated[int | None, typer.Option("--minimum", metavar="N", help="VMs that are always there.")] = None,
    maximum: Annotated[int | None, typer.Option("--maximum", metavar="N", help="VMs that there are at most.")] = None,
    pause: Annotated[bool, typer.Option("--pause", help="Let no VM of it come; those that are there go on.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Let VMs of it come again.")] = False,
    as_settings: Annotated[bool, typer.Option("--as-settings", help="Take back what was changed.")] = False,
    as_json: Json = False,
) -> None:
    """Change a pool while the boss runs; it holds until it is taken back, also after a restart."""
    changes = minimum is not None or maximum is not None or pause or resume
    if pause and resume:
        raise typer.BadParameter("--pause and --resume: one of the two")
    if changes == as_settings:
        raise typer.BadParameter("say what is to change (--minimum, --maximum, --pause, --resume), or --as-settings")
    with Client() as client:
        said = client.set_pool(pool, minimum, maximum, True if pause else False if resume else None)
    if as_json:
        print_json(said)
        return
    typer.echo(f"{said['name']}: {said['minimum']} to {said['maximum']} VMs{', paused' if said['paused'] else ''}")


def console(
    vm: Annotated[str, typer.Argument(metavar="VM", autocompletion=completing.vms, help="Its id, as events and `why` say it.")],
    as_json: Json = False,
) -> None:
    """The end of what a VM's server wrote that never became a worker."""
    with Client() as client:
        text = client.console(vm)
    if as_json:
        print_json({"vm": vm, "text": text})
        return
    for line in text.splitlines():
        typer.echo(clean(line) if line else "")


def vm_leaks(
    delete: Annotated[bool, typer.Option("--delete", help="Remove what no claim owns.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """All that lies in the clouds under this cluster's name, and who owns it."""
    with Client() as client:
        found = client.leaks()
        leaks = [thing for thing in found["things"] if not thing["owner"]]
        if delete and leaks:
            agree(f"This removes {counted(len(leaks), 'thing')} that no claim owns", yes)
            found = client.leaks(remove=True)
            leaks = [thing for thing in found["things"] if not thing["owner"] and not thing["removed"]]
    _tell_leaks(found, as_json, "no cloud has anything of this cluster")
    if leaks and not delete and not as_json:
        say(f"{counted(len(leaks), 'thing')} without an owner; `admin.py vm_leaks --delete` removes what has none")
    raise typer.Exit(1 if leaks or found["silent"] else 0)


def _tell_leaks(found: dict[str, Any], as_json: bool, nothing: str) -> None:
    if as_json:
        print_json(found)
        return
    rows = [
        (
            thing["kind"],
            thing["name"] or thing["id"],
            thing["status"],
            "" if thing["created"] is None else ago(thing["created"]),
            thing["claim"],
            thing["owner"] or ("removed" if thing["removed"] else f"nobody: {thing['error']}" if thing["error"] else "nobody"),
        )
        for thing in found["things"]
    ]
    show(("kind", "name", "status", "made", "claim", "owner"), rows, nothing)
    for provider, reason in found["silent"].items():
        say(f"cloud {provider} was not looked at: {reason}")


def _tell(workers: list[str], as_json: bool, words: str) -> None:
    if as_json:
        print_json({"workers": workers})
        return
    for worker in workers:
        typer.echo(f"{worker} {words}")
    if not workers:
        typer.echo("no workers", err=True)
