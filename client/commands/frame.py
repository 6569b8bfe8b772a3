"""What all commands share: names with dashes or underscores, exit codes, one clear line on stderr, JSON on stdout.

Exit codes: 0 done, 1 something failed, 2 wrong usage, input or target, 3 boss not reachable, 4 no permission, 130 Ctrl-C.
"""

import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from client.commands.completing import in_bash
from client.commands.tables import clean
from client.errors import ClientError, Refused

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class Commands(TyperGroup):
    """A group whose commands may be written with dashes for underscores."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name."""
        return super().get_command(ctx, cmd_name.replace("-", "_"))


def run(app: typer.Typer) -> NoReturn:
    """Run the app on the process's arguments and exit with its code; nothing that a user can cause ends in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if in_bash(app):
        sys.exit(0)
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        code = 130
    except typer.TyperException as error:
        say(error.format_message())
        code = error.exit_code
    except Refused as error:
        for problem in error.problems:
            say(str(problem))
        code = error.exit_code
    except ClientError as error:
        say(str(error))
        code = error.exit_code
    except BrokenPipeError:  # whoever read our output has had enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def say(text: str) -> None:
    """One line for people, on stderr; what somebody else has said moves no cursor."""
    lines = [clean(line) if line else "" for line in text.split("\n")]
    typer.echo((" " if len(lines) < 3 else "\n").join(lines), err=True)


def print_json(document: object) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def name_job(target: str, job: str) -> None:
    """Tell which job a bare id was found in."""
    if ":" not in target and target != job:
        say(f"{target}: of job {job}")


def on_terminal() -> bool:
    """Whether a person sits there who can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def agree(what: str, yes: bool) -> None:
    """Say what will be touched and ask, on a terminal and unless told not to; exits 1 when the answer is no."""
    if not yes and on_terminal() and not typer.confirm(f"{what}. Go on?", err=True):
        say("nothing was changed")
        raise typer.Exit(1)


def counted(count: int, noun: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def nothing(targets: Sequence[str], verb: str) -> str:
    """``nothing of ising has failed``; ``nothing has failed`` without targets."""
    named = " and ".join(target.removesuffix(":*") for target in targets[:3]) + (" and others" if len(targets) > 3 else "")
    return f"nothing{f' of {named}' if named else ''} {verb}"
