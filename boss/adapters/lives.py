"""Whether the database is as new as what has happened: a boss on one that somebody has put back by other means starts nothing.

Rules:
- Each life leaves its epoch in the state folder, and at the datastore. A database with a lower one is older than the files: its boss would
  give numbers of attempts a second time, and overwrite results that it has forgotten.
- ``python -m boss restore`` and ``adopt`` make such a database safe, and raise its epoch above all that any life has reached.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from boss.adapters.keys import write_private

_REMEDY: Final = (
    "if it was put back from a copy, `python -m boss adopt` makes it safe to go on with it; if not, find the newer database"
)


class Outdated(Exception):
    """The database is older than what has happened; the message says by what, and what helps."""


class Lives:
    """The notes about epochs in one state folder. ``reason`` is why this life must end, once that is known."""

    def __init__(self, state: Path) -> None:
        self._note = state / "epoch"
        self._known = state / "outdated"
        self.reason = ""

    def check(self, facts: Mapping[str, str]) -> None:
        """Compare a database's context with what was noted here. Raises Outdated."""
        if self._known.exists():
            raise Outdated(self._known.read_text().strip())
        cluster, epoch = self._read()
        if cluster and not facts.get("cluster"):
            raise Outdated(
                f"the database is empty, but a boss of cluster {cluster} has worked in {self._note.parent}: restore a back-up of it "
                "(`python -m boss restore`); to begin anew, set ECLOUD_STATE to another folder"
            )
        if cluster and facts.get("cluster") == cluster and int(facts.get("epoch", "0")) < epoch:
            raise Outdated(
                f"the database is at epoch {facts['epoch']}, but its boss has been at {epoch} here: it is older; {_REMEDY}"
            )

    def enter(self, cluster: str, epoch: int) -> None:
        """Note that this life began."""
        write_private(self._note, json.dumps({"cluster": cluster, "epoch": epoch}).encode())

    def end(self, reason: str) -> None:
        """Note that the datastore knows of a later life: no boss starts any more until that was looked at."""
        self.reason = f"{reason}; {_REMEDY}"
        write_private(self._known, self.reason.encode())

    def _read(self) -> tuple[str, int]:
        try:
            said = json.loads(self._note.read_text())
            return str(said["cluster"]), int(said["epoch"])
        except (OSError, ValueError, KeyError, TypeError):
            return "", 0
