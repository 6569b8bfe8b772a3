"""What a person needs who works with a boss elsewhere (``ECLOUD_API_URL``), looked at one by one: each check ends with a remedy.

Rules:
- What cannot be looked at because something before it has failed is left out: one cause, one remedy.
- Findings have the form of ``python -m boss doctor``, which looks at the boss's own machine.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from client.access import datastore
from client.connection import Connection, find_boss
from client.errors import BossUnreachable, ClientError, NotPermitted, NotTrusted
from client.trust import is_loopback
from datastore.transfer import list_results

OK, FAILED = "ok", "failed"
#: A job that nobody needs to have: it is only asked for what it has yielded.
_ANY_JOB = "doctor"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``doctor``: what was looked at, ``ok`` or ``failed``, how it is, and what to do about it."""

    check: str
    verdict: str
    detail: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """All checks of the way from here to the boss that ECLOUD_API_URL names, in the order in which one would repair things."""
    yield Finding("Python", OK, f"{'.'.join(map(str, sys.version_info[:3]))} ({sys.executable})")
    missing = [name for name in ("ssh", "ssh-keygen") if not shutil.which(name)]
    if missing:
        yield Finding("ssh", FAILED, f"{' and '.join(missing)} not installed", "on Debian and Ubuntu: apt install openssh-client")
    else:
        yield Finding("ssh", OK, shutil.which("ssh") or "")
    try:
        connection = Connection(*find_boss())
    except NotTrusted as error:
        yield Finding("boss", FAILED, *map(str.strip, str(error).split(";", 1)))
        return
    except ClientError as error:
        yield Finding(
            "boss", FAILED, str(error), "set ECLOUD_API_URL to what create_token has said, such as https://ecloud.example.org"
        )
        return
    try:
        yield from _boss(connection, can_connect=not missing)
    finally:
        connection.close()


def _boss(connection: Connection, can_connect: bool) -> Iterator[Finding]:
    """The boss's answer, the token, and the way to the datastore."""
    try:
        health = connection.get("/health")
    except NotTrusted as error:
        yield Finding("boss", FAILED, *map(str.strip, str(error).split(";", 1)))
        return
    except ClientError as error:
        yield Finding("boss", FAILED, str(error).partition(";")[0], _reach(connection.url))
        return
    yield Finding("boss", OK, f"{connection.url} answers (ecloud {health.get('version', '?')})")
    try:
        me = connection.get("/me")
    except NotPermitted as error:
        unset = "" if os.environ.get("ECLOUD_TOKEN") else "ECLOUD_TOKEN is not set: "
        yield Finding(
            "token", FAILED, f"{unset}{error}", "ask the boss's admin for one (create_token), then export ECLOUD_TOKEN=..."
        )
        return
    except ClientError as error:
        yield Finding("token", FAILED, str(error), "try again; ask the boss's admin if it stays so")
        return
    yield Finding("token", OK, _whose(me))
    if can_connect:
        yield _datastore(connection)


def _whose(me: dict[str, Any]) -> str:
    until = me["expires"]
    return f"of {me['name']}, {me['role']}, " + (
        f"until {time.strftime('%F %T', time.localtime(until))}" if until else "for ever"
    )


def _datastore(connection: Connection) -> Finding:
    """Log in at the datastore with a certificate of the boss, as a fetch does."""
    try:
        with datastore(connection) as endpoint:
            list_results(endpoint, _ANY_JOB)
            return Finding("datastore", OK, f"{endpoint.host}:{endpoint.port} takes the boss's certificate")
    except BossUnreachable as error:
        return Finding("datastore", FAILED, str(error), _reach(connection.url))
    except ClientError as error:
        remedy = "see that this machine reaches its host and port over SSH (docs/going-further.md#people-on-other-machines)"
        return Finding("datastore", FAILED, str(error).partition("; it is on loopback")[0], remedy)


def _reach(url: str) -> str:
    """What to do when no boss answers."""
    place = urlsplit(url)
    if is_loopback(place.hostname):
        port = place.port or 80
        tunnel = f"ssh -N -L {port}:127.0.0.1:{port} HOST-OF-THE-BOSS"
        return (
            f"if a tunnel leads there, start it ({tunnel}); else correct ECLOUD_API_URL, or ask the boss's admin whether it runs"
        )
    return "correct ECLOUD_API_URL, or ask the boss's admin whether it runs and how it is reached from here"
