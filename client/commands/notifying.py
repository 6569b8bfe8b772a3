"""The command that tries whether messages to people arrive. Only an admin may."""

from typing import Annotated

import typer

from client import Client
from client.commands.frame import Json, print_json
from client.commands.tables import show


def notify_test(
    target: Annotated[
        str, typer.Argument(metavar="[TARGET]", help="A target of the settings, [notify.targets.TARGET]; none: all.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Send a test message now, to one target of [notify] or to all; exits 1 when one was not taken."""
    with Client() as client:
        tried = client.notify_test(target)
    if as_json:
        print_json(tried)
    else:
        rows = [(one["target"], one["to"] or "webhook", "sent" if one["sent"] else "NOT SENT", one["said"]) for one in tried]
        show(("target", "to", "", "said"), rows, "nobody was told")
    raise typer.Exit(0 if all(one["sent"] for one in tried) else 1)
