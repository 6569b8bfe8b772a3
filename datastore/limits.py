"""How much one request may bring in: the boss says it when it comes, and it holds for every session that begins later.

Rules:
- A limit is looked at while the bytes come, so nothing that a caller declares is trusted. What is too much is refused and removed.
- 0 is no limit. Files and text have bounds that no setting lifts: a record must fit into a line of the wire.

Python 3.9 syntax, standard library only.
"""

import json
from typing import Any, NamedTuple

from datastore import frames
from datastore.frames import GateRefused
from datastore.tree import Tree, amount

#: The file that they are kept in.
LIMITS = "limits"
#: The longest result of a worker, and the longest record of an upload, in bytes of JSON.
MAX_RESULT, MAX_RECORD = 1024 * 1024, frames.MAX_LINE // 2


class Limits(NamedTuple):
    """The most bytes, and the most files, of one request; how many requests move data at once."""

    upload_bytes: int = 0
    upload_files: int = 1_000_000
    transfers: int = 8

    def check(self, size: int, files: int) -> None:
        """Raises GateRefused when so much is more than may come."""
        if self.upload_bytes and size > self.upload_bytes:
            raise GateRefused(
                "more than %s in one upload: the setting max_upload of [datastore] bounds it" % amount(self.upload_bytes)
            )
        if files > self.upload_files:
            raise GateRefused("more than %d files in one upload; pack them" % self.upload_files)


def read(tree: Tree) -> Limits:
    """The limits that hold; the usual ones where nobody has said any."""
    try:
        said = json.loads(tree.read(LIMITS))
        return Limits(*(max(0, int(said.get(name, usual))) for name, usual in zip(Limits._fields, Limits())))
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        return Limits()


def write(tree: Tree, said: Any) -> None:
    """Keep what a boss has said; an earlier version of it says nothing."""
    if said is None:
        return
    if not isinstance(said, dict):
        raise GateRefused("limits must be an object")
    wanted = Limits(*(frames.count(said, name, usual) for name, usual in zip(Limits._fields, Limits())))
    if read(tree) != wanted:
        tree.write(LIMITS, json.dumps(wanted._asdict()).encode("ascii") + b"\n")
