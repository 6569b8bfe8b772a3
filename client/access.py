"""The way to the datastore for one transfer: a key of our own in a private folder, and the boss's certificate, which holds for an hour.

Rules:
- A certificate is looked at when a connection is made, and never again: what is being sent or fetched goes on after its hour. A connection
  that breaks is made anew, however, so the certificate is renewed at half its life for as long as the transfer takes.
- If the boss cannot be asked then, it is asked again until it can; a token that was revoked meanwhile ends the renewing.
"""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from client.connection import Connection
from client.errors import ClientError, DatastoreTrouble, FilesDiffer, NotPermitted
from client.trust import is_loopback
from datastore.transfer import Damaged, Endpoint, GateError, Unreachable, WouldOverwrite

#: Seconds between a certificate and the next at most, and at least: clocks differ.
LATEST = 1800.0
SOONEST = 20.0


@contextmanager
def datastore(connection: Connection) -> Iterator[Endpoint]:
    """An endpoint that holds as long as the block; its key is gone afterwards. Raises DatastoreTrouble for what goes wrong inside."""
    with tempfile.TemporaryDirectory(prefix="ecloud-") as folder:
        key = Path(folder, "key")
        _make_key(key)
        login = _Login(connection, key)
        access = login.renew()
        place = f"{access['host']}:{access['port']}"
        try:
            with login.kept_fresh(access["expires"]):
                yield Endpoint(
                    access["host"], access["port"], access["user"], str(key), str(login.certificate), str(login.known_hosts)
                )
        except WouldOverwrite as error:
            remedy = "--to DIR fetches into another folder"
            if not error.forced:
                remedy = f"--force overwrites {'it' if len(error.done.differing) == 1 else 'them'}, {remedy}"
            raise FilesDiffer(f"{error}; {remedy}", error.done) from None
        except Unreachable as error:
            raise DatastoreTrouble(f"the datastore {place}: {error}{_hint(access['host'])}") from None
        except (GateError, Damaged) as error:
            raise DatastoreTrouble(f"the datastore {place}: {error}") from None
        except OSError as error:
            raise DatastoreTrouble(f"{error.filename or 'a file here'}: {error.strerror or error}") from None


def _hint(host: str) -> str:
    """What to do when a datastore that is only on the boss's own loopback does not answer."""
    if is_loopback(host):
        return "; it is on loopback, for programs on the boss's machine only: docs/going-further.md says how to reach it from another"
    return ""


class _Login:
    """A key's certificate, made and made anew in the key's folder."""

    def __init__(self, connection: Connection, key: Path) -> None:
        self.certificate = key.with_name("key-cert.pub")
        self.known_hosts = key.with_name("known_hosts")
        self._connection = connection
        self._public = key.with_name("key.pub").read_text(encoding="ascii")

    def renew(self) -> dict[str, Any]:
        """Get a certificate; returns what the boss says of the way to the datastore."""
        access: dict[str, Any] = self._connection.post("/certificates", {"public_key": self._public})
        self.known_hosts.write_text(access["known_hosts"], encoding="ascii")
        beside = self.certificate.with_name("next-cert")  # so that an ssh that starts now reads the old one or the new one
        beside.write_text(access["certificate"].rstrip("\n") + "\n", encoding="ascii")
        beside.replace(self.certificate)
        return access

    @contextmanager
    def kept_fresh(self, expires: float) -> Iterator[None]:
        """Renew it at half its life, as long as the block lasts."""
        over = threading.Event()
        thread = threading.Thread(target=self._keep, args=(expires, over), name="certificate", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(1.0)  # not for ever: it may be waiting for the boss's answer

    def _keep(self, expires: float, over: threading.Event) -> None:
        while not over.wait(min(LATEST, max(SOONEST, (expires - time.time()) / 2))):
            try:
                expires = self.renew()["expires"]
            except NotPermitted:
                return
            except ClientError:
                continue  # the boss is away: what is left of this certificate's life decides when to ask again
            except OSError:
                return  # the transfer is over, and the folder gone


def _make_key(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"ecloud-{os.getpid()}", "-f", str(path)]
    try:
        made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DatastoreTrouble("ssh-keygen is missing: install the Debian package openssh-client") from None
    if made.returncode:
        raise DatastoreTrouble(f"ssh-keygen failed: {made.stderr.strip() or made.stdout.strip()}")
