"""Which tokens were taken back while certificates that were given for them still hold: the boss says so, and every session looks.

Rules:
- A certificate's forced command names the token that it was given for (``--token``); it is looked up at the session's begin and before each
  request, so that a session that is open already ends with the next thing that it asks.
- The list is the boss's: written whole, replaced at once. An entry is kept for as long as a certificate could hold.
- A list that cannot be read keeps out everybody with a token: better late than wrong.

Python 3.9 syntax, standard library only.
"""

import json
import os
import time
from typing import Dict, Sequence, Tuple

from datastore import layout
from datastore.frames import GateRefused
from datastore.tree import Tree

REFUSAL = "the token that this access was given for was revoked: ask an admin for another (create_token)"


def write(tree: Tree, rows: Sequence[Tuple[str, float]]) -> int:
    """Put down ``(token, until)`` rows, but for those whose time is over; how many are left."""
    now = time.time()
    found = {token: until for token, until in rows if until > now}
    tree.write(layout.REVOKED, json.dumps(found, sort_keys=True).encode("utf-8") + b"\n", 0o600)
    return len(found)


class Revoked:
    """The list, as one session sees it: read again only when the file is another one."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._seen: Tuple[int, ...] = ()
        self._tokens: Dict[str, float] = {}

    def check(self, token: str) -> None:
        """Raises GateRefused when this token was taken back."""
        if token and token in self._read():
            raise GateRefused(REFUSAL)

    def _read(self) -> Dict[str, float]:
        try:
            found = os.stat(layout.REVOKED, dir_fd=self._tree.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return {}
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen != self._seen:
            try:
                self._tokens = {str(name): float(until) for name, until in json.loads(self._tree.read(layout.REVOKED)).items()}
            except (OSError, ValueError, AttributeError, TypeError):
                raise GateRefused(
                    "the datastore's list of revoked tokens cannot be read; its boss writes it anew when it starts"
                ) from None
            self._seen = seen
        return self._tokens
