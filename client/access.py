"""The way to the datastore for one transfer: a key of our own in a private folder, and the boss's certificate for an hour."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client.connection import Connection
from client.errors import DatastoreTrouble
from datastore.transfer import Damaged, Endpoint, GateError, Unreachable, WouldOverwrite


@contextmanager
def datastore(connection: Connection) -> Iterator[Endpoint]:
    """An endpoint that holds as long as the block; its key is gone afterwards. Raises DatastoreTrouble for what goes wrong inside."""
    with tempfile.TemporaryDirectory(prefix="ecloud-") as folder:
        key = Path(folder, "key")
        _make_key(key)
        public = key.with_name("key.pub").read_text(encoding="ascii")
        access = connection.post("/certificates", {"public_key": public})
        certificate, known_hosts = Path(folder, "key-cert.pub"), Path(folder, "known_hosts")
        certificate.write_text(access["certificate"].rstrip("\n") + "\n", encoding="ascii")
        known_hosts.write_text(access["known_hosts"], encoding="ascii")
        try:
            yield Endpoint(access["host"], access["port"], access["user"], str(key), str(certificate), str(known_hosts))
        except WouldOverwrite as error:
            raise DatastoreTrouble(f"{error}; --force overwrites, --to chooses another folder") from None
        except (Unreachable, GateError, Damaged) as error:
            raise DatastoreTrouble(f"the datastore {access['host']}:{access['port']}: {error}") from None
        except OSError as error:
            raise DatastoreTrouble(f"{error.filename or 'a file here'}: {error.strerror or error}") from None


def _make_key(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"ecloud-{os.getpid()}", "-f", str(path)]
    try:
        made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise DatastoreTrouble("ssh-keygen is missing: install the Debian package openssh-client") from None
    if made.returncode:
        raise DatastoreTrouble(f"ssh-keygen failed: {made.stderr.strip() or made.stdout.strip()}")
