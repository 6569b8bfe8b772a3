"""Which datastore the boss uses: the one that ``set_datastore`` named, the one in the settings, or a private one on loopback.

Rules:
- An address is ``user@host[:port][:/folder]``; without a folder the one of the settings is meant.
- A host's key is pinned: from the settings when they speak of this host, else only if the admin's ``known_hosts`` vouches for it.
- A new address counts from the boss's next start on: what runs keeps the datastore that it began with.
"""

import re

from boss import deploy
from boss.adapters.certificates import Authority, Gate
from boss.checks import try_gate
from boss.config import BossConfig, gate_program
from boss.ports import DatastoreDown
from datastore.channel import Unreachable
from datastore.frames import GateError

#: The fact that ``set_datastore`` leaves in the context.
FACT = "datastore_address"

_ADDRESS = re.compile(r"(?P<login>[^@\s:/]+@[^@\s:/]+)(?::(?P<port>\d+))?(?::(?P<root>/[^\s]*))?")


def read_address(settings: BossConfig, address: str) -> tuple[str, int | None, str]:
    """Log-in (``user@host``), port and folder of an address. Raises ValueError with what is wrong with it."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise ValueError(f"{address!r} is no address of a datastore; write it like eva@store.example.org:22:/data/ecloud")
    own = settings.datastore
    root = found["root"] or (own.root if own is not None else "")
    if not root:
        raise ValueError(f"{address!r} names no folder; write it like {found['login']}:/data/ecloud")
    return found["login"], int(found["port"]) if found["port"] else None, root


def gate_at(settings: BossConfig, address: str) -> Gate:
    """The gate at an address. Raises ValueError (what is wrong with the address) or DeployError (what is in the way)."""
    login, port, root = read_address(settings, address)
    own = settings.datastore
    user, _, host = login.partition("@")
    if own is not None and (own.user, own.host) == (user, host) and (port or own.port) == own.port:
        return Gate(host, own.port, user, own.host_key, gate_program(root), root)
    place = deploy.resolve(login if port is None else f"{login}:{port}")
    return Gate(place.host, place.port, place.user, deploy.host_key(place), gate_program(root), root)


def check(settings: BossConfig, authority: Authority, address: str) -> str:
    """Log in at an address, write, read back and remove a small file; one sentence. Raises ValueError or DatastoreDown."""
    try:
        root, free = try_gate(authority, gate_at(settings, address))
    except (Unreachable, GateError, deploy.DeployError) as error:
        raise DatastoreDown(f"{address}: {error}; `python -m boss deploy datastore` prepares a host") from None
    return (
        f"a file was written, read back and removed in {root}; {free / 1e9:.1f} GB are free; used from the boss's next start on"
    )
