"""Commands about accounts: tokens are made, taken back and listed. Only an admin may."""

import shlex
import sys
import time
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from client import Client
from client.commands.durations import seconds_of
from client.commands.frame import Json, counted, print_json, say
from client.commands.tables import ago, clock, show
from client.trust import is_loopback

#: What a token may let its name do.
ROLES = ("viewer", "researcher", "admin")


def create_token(
    role: Annotated[
        str, typer.Argument(metavar="ROLE", help="viewer (looks, fetches), researcher (also pushes, changes own jobs), admin.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is: jobs pushed with it belong to this name.")],
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="90d", help="When it ends by itself: 12h, 90d; never when not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let somebody in: prints a new token once, on stdout; on a terminal in the two lines that set it."""
    if role not in ROLES:
        raise typer.BadParameter(f"{role!r} is no role; one of {', '.join(ROLES)}")
    lifetime = None if expires is None else seconds_of(expires, "--expires")
    with Client() as client:
        made = client.create_token(role, name, lifetime)
    if as_json:
        print_json(made)
        return
    until = f", until {clock(made['expires'])}" if made["expires"] else ""
    say(f"token {made['id']} for {made['name']}, {made['role']}{until}; it is shown only now. {made['name']} sets:")
    url = f"export ECLOUD_API_URL={shlex.quote(made['api_url'])}"  # a # means something to some shells
    if sys.stdout.isatty():
        typer.echo(f"{url}\nexport ECLOUD_TOKEN={made['token']}")
    else:  # a file or a program gets the token alone, and nobody who reads along on stderr
        say(url)
        say('export ECLOUD_TOKEN="$(cat FILE)"    # FILE: where the token went that is printed on stdout')
        typer.echo(made["token"])
    for line in _reach(made["api_url"]):
        say(line)


def _reach(url: str) -> list[str]:
    """How somebody elsewhere reaches an API that listens on loopback; nothing for another."""
    place = urlsplit(url)
    if not is_loopback(place.hostname):
        return []
    tunnel = f"ssh -N -L {place.port}:{place.hostname}:{place.port} THIS-HOST"
    return [
        f"{url} is reached from this machine only; from another by {tunnel}, or by the setting [api] host (docs/going-further.md)"
    ]


def revoke_token(
    which: Annotated[str, typer.Argument(metavar="NAME_OR_ID", help="A token's id, or a name: then all its tokens.")],
    as_json: Json = False,
) -> None:
    """Take a token back: it opens nothing from now on. The jobs of its name go on."""
    with Client() as client:
        gone = client.revoke_token(which)
    if as_json:
        print_json(gone)
        return
    for token in gone["revoked"]:
        typer.echo(f"revoked {token['id']} of {token['name']}, {token['role']}")
    if gone["jobs"]:
        some = " ".join(gone["jobs"][:5]) + (" ..." if len(gone["jobs"]) > 5 else "")
        say(f"{counted(len(gone['jobs']), 'unfinished job')} of {gone['revoked'][0]['name']} go on; ./admin.py cancel {some}")


def show_tokens(as_json: Json = False) -> None:
    """All tokens: whose, what role, when made, until when, when last used. Never their texts."""
    with Client() as client:
        found = client.tokens()
    if as_json:
        print_json(found)
        return
    rows = [
        (token["id"], token["name"], token["role"], clock(token["created"]), _until(token), ago(token["used"])) for token in found
    ]
    show(("token", "name", "role", "created", "expires", "used"), rows, "no tokens: ./admin.py create_token ROLE NAME")


def _until(token: dict[str, Any]) -> str:
    if token["expires"] is None:
        return "never"
    return clock(token["expires"]) + (" (expired)" if token["expired"] else "")


def audit(
    job: Annotated[str, typer.Option("--job", metavar="J", help="Only what was done to this job.")] = "",
    who: Annotated[str, typer.Option("--who", metavar="NAME", help="Only what this name has done.")] = "",
    since: Annotated[str, typer.Option("--since", metavar="7d", help="Only the last 12h, 7d...; or from 2026-01-31 on.")] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="The newest so many.")] = 1000,
    as_json: Json = False,
) -> None:
    """Who has changed what, when and from where, and what was refused: jobs, workers, tokens, settings, failed log-ins. For admins."""
    with Client() as client:
        found = client.audit(job, who, _since(since), limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            clock(entry["at"]),
            entry["who"] or "(stranger)",
            entry["address"],
            entry["verb"],
            " ".join(part for part in (entry["job"], entry["target"]) if part),
            "done" if entry["code"] < 300 else f"{entry['code']}: {entry['said']}",
        )
        for entry in found
    ]
    show(("when", "who", "from", "what", "to what", "outcome"), rows, "nothing of that kind was done")


def _since(text: str) -> float:
    """Unix time of ``7d`` ago, or of a day (``2026-01-31``, ``2026-01-31T12:00``); 0 for none."""
    if not text:
        return 0.0
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        pass
    try:
        return max(0.0, time.time() - seconds_of(text))
    except typer.BadParameter:
        raise typer.BadParameter(f"--since {text} is neither a time such as 12h or 7d, nor a day such as 2026-01-31") from None
