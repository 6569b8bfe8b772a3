"""Commands about shared data: put, show_shared."""

from pathlib import Path
from typing import Annotated

import typer

from client import Client, sharing
from client.commands.frame import Json, counted, print_json, say
from client.commands.tables import amount, clock, show
from client.commands.watching import transferring
from client.sharing import measured, name_for


def put(
    local: Annotated[Path, typer.Argument(metavar="LOCAL", help="A file or folder here.")],
    name: Annotated[
        str, typer.Argument(metavar="shared:NAME", help="What tasks call it; may have parts: shared:genomes/hg38.fa.")
    ],
    as_json: Json = False,
) -> None:
    """Bring read-only data for many jobs to the datastore. Goes on where it was cut off; never overwrites."""
    name_for(local, name)  # a mistake is told before anything is read
    with Client() as client:
        try:
            with transferring(f"reading {local}") as read:
                files = measured(local, read)
            with transferring(f"putting {name}") as sent:
                done = sharing.put(client.connection, local, name, files, sent)
        except KeyboardInterrupt:
            say(f"interrupted; the same command goes on with {name} where it stopped")
            raise typer.Exit(130) from None
    if as_json:
        print_json(done)
        return
    said = "is there now" if done["new"] else "was there already, the same; nothing was sent"
    typer.echo(f"{done['name']} {said} ({counted(done['files'], 'file')}, {amount(done['bytes'])})")


def show_shared(
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", help="Only what begins with this, such as shared:genomes/.")] = "",
    as_json: Json = False,
) -> None:
    """Read-only data for many jobs: name, size, sha256, when it came, and by whom."""
    with Client() as client:
        found = client.shared(prefix)
    if as_json:
        print_json(found)
        return
    rows = [("shared:" + one["name"], amount(one["size"]), one["sha256"][:12], clock(one["when"]), one["by"]) for one in found]
    show(("name", "size", "sha256", "put", "by"), rows, "no shared data; `./admin.py put LOCAL shared:NAME` brings some")
