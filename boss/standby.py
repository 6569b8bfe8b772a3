"""Whose turn it is: a boss opens its database at once, waits until another's lease has ended, or is a standby.

Rules:
- A boss that finds another's lease running waits for as long as that lease runs: if the other is alive it has renewed it by then, and this
  one ends. A standby (``python -m boss --standby``) waits as long as it takes.
- A standby takes over what is outside of the first boss's machine only: a database on a server, an outside broker, an outside datastore. It
  must have the same keys. What is missing is said at its start, not when it is needed.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from boss.adapters.store import Store
from boss.ports import LeaseHeld, StoreError, Superseded

log = logging.getLogger(__name__)

#: Seconds between two looks of a standby at the lease, at most.
LOOK: Final = 1.0


class NoStandby(Exception):
    """This boss could not take over; the message says what is missing."""


def check(database_url: str, broker_outside: bool, datastore_outside: bool) -> None:
    """Whether a standby could take over with these settings. Raises NoStandby."""
    if database_url.startswith("sqlite:"):
        raise NoStandby(
            "a standby needs a database that it reaches when the first boss's machine is gone: set database_url (MySQL)"
        )
    if not broker_outside:
        raise NoStandby("a standby needs the workers' broker to be elsewhere: set [broker] host (`python -m boss deploy broker`)")
    if not datastore_outside:
        raise NoStandby("a standby needs the files to be elsewhere: set [datastore] address (`python -m boss deploy datastore`)")


def keys_of(folder: Path) -> str:
    """What tells the same keys from others: a digest of the CA's certificate, the SSH CA's public key and the gate's secret."""
    digest = hashlib.sha256()
    for name in ("ca.pem", "ssh_ca.pub", "gate_secret"):
        digest.update((folder / name).read_bytes() + b"\0")
    return digest.hexdigest()[:32]


def open_in_turn(store: Store, standby: bool, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep) -> int:
    """The epoch of the life that begins. Raises StoreError when another boss is alive and this one is no standby, or NoStandby."""
    patience = -1.0
    said = ""
    while True:
        try:
            return store.open()
        except Superseded:
            raise
        except LeaseHeld as held:
            if standby and not held.same_keys:
                raise NoStandby(
                    f"{held.place} has other keys: copy the folder `pki` of its state folder here, in place of this one's"
                ) from None
            if not standby:
                patience = held.left if patience < 0 else patience
                if patience == 0:
                    raise StoreError(f"{held}; end that boss first, or start this one with --standby") from None
            if said != held.place:
                said = held.place
                say(f"standby: {held}" if standby else f"waiting: {held}, unless it is gone")
            pause = max(0.05, min(held.left, LOOK) if standby else patience + 0.05)
            patience = 0.0
        except StoreError as error:
            if not standby:
                raise
            if said != str(error):  # once, not at every look: it may be away for hours
                said = str(error)
                log.warning("the database does not answer, which the boss may see as well: %s", error)
            pause = LOOK
        sleep(pause)
