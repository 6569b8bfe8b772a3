"""Commands about listeners: programs that read events at the broker, and nothing else. Only an admin may."""

import shlex
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from client import Client, ClientError
from client.commands.durations import seconds_of
from client.commands.frame import Json, print_json, say
from client.commands.tables import clock, show


def create_listener(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called: letters, digits, '_' and '-'.")],
    expires: Annotated[str, typer.Option("--expires", metavar="30d", help="When its certificate ends: 12h, 90d.")] = "30d",
    to: Annotated[
        str, typer.Option("--to", metavar="DIR", help="Where key and certificates go; listener-NAME when not given.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Let a program read events at the broker: writes its key and certificates into a new folder, prints how to listen."""
    folder = Path(to or f"listener-{name}")
    lifetime = seconds_of(expires, "--expires")
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise ClientError(f"{folder}: {error.strerror}; name a folder that is not there yet with --to") from None
    try:
        public = _make_key(folder / "listener.key")
        with Client() as client:
            made = client.create_listener(name, public, lifetime)
    except ClientError:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        raise
    (folder / "listener.pem").write_text(made["certificate"], encoding="ascii")
    (folder / "ca.pem").write_text(made["ca"], encoding="ascii")
    command = ["mosquitto_sub", "-V", "mqttv5", "-h", made["host"], "-p", str(made["port"])]
    for option, file in (("--cafile", "ca.pem"), ("--cert", "listener.pem"), ("--key", "listener.key")):
        command += [option, str(folder / file)]
    command += ["-t", made["topic"], "-v"]
    if as_json:
        print_json({**made, "folder": str(folder), "command": command})
        return
    say(f"listener {name}, until {clock(made['expires'])}; its key is in {folder}, and nowhere else. It hears events by")
    typer.echo(shlex.join(command))
    if made["remark"]:
        say(made["remark"])


def revoke_listener(name: Annotated[str, typer.Argument(metavar="NAME")], as_json: Json = False) -> None:
    """Take a listener back: it hears nothing from now on."""
    with Client() as client:
        gone = client.revoke_listener(name)
    if as_json:
        print_json(gone)
        return
    typer.echo(f"revoked listener {name}")
    if gone["remark"]:
        say(gone["remark"])


def show_listeners(as_json: Json = False) -> None:
    """Programs that may read events at the broker: since when, until when."""
    with Client() as client:
        found = client.listeners()
    if as_json:
        print_json(found)
        return
    rows = [(one["name"], clock(one["issued"]), clock(one["expires"])) for one in found]
    show(("listener", "since", "until"), rows, "no listeners: ./admin.py create_listener NAME")


def _make_key(path: Path) -> str:
    """A new key in a file of mode 0600; its public half in OpenSSH's form."""
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-b", "256", "-m", "PKCS8", "-N", "", "-C", "", "-f", str(path)]
    try:
        made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ClientError("ssh-keygen is missing: install the Debian package openssh-client") from None
    if made.returncode:
        raise ClientError(f"ssh-keygen failed: {made.stderr.strip() or made.stdout.strip()}")
    public = path.with_name(path.name + ".pub")
    text = public.read_text(encoding="ascii").strip()
    public.unlink()
    return text
