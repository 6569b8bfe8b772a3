"""What is seen from outside while a boss works: servers that no claim knows, and how long its loop lets one wait."""

import sqlite3
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from openstack.exceptions import SDKException

from benchmarks.cloud_lab import LabBoss, Project
from client import ClientError

#: Seconds between two looks.
EACH = 0.5


@dataclass(slots=True)
class Orphans:
    """Looks at the servers and at the boss's claims, twice a second: who has none, and since when."""

    project: Project
    state: Path
    first: float | None = None  #: when the first server was seen (monotonic)
    peak: int = 0
    ever: set[str] = field(default_factory=set)
    worst: dict[str, float] = field(default_factory=dict)  #: server -> the longest that it was without a claim
    looks: int = 0
    failed: int = 0
    _since: dict[str, float] = field(default_factory=dict)
    _thread: threading.Thread = field(default_factory=threading.Thread)
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Orphans":
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        database = sqlite3.connect(f"file:{self.state}/ecloud.db?mode=ro", uri=True, timeout=30)
        while not self._end.wait(EACH):
            try:
                servers = self.project.ours()
                rows = database.execute("select server, claim_group, state from vms").fetchall()
            except (SDKException, sqlite3.Error):
                self.failed += 1
                continue
            self.looks += 1
            self._look({one[0]: one[3].get("ecloud-claim", "") for one in servers}, rows)
        database.close()

    def _look(self, servers: dict[str, str], rows: list[tuple[str, str, str]]) -> None:
        now = time.monotonic()
        if servers and self.first is None:
            self.first = now
        self.peak = max(self.peak, len(servers))
        self.ever |= servers.keys()
        live = {server for server, _, state in rows if state not in ("gone", "failed")}
        groups = {group for _, group, state in rows if state not in ("gone", "failed")}
        known = {server for server, _, _ in rows}
        orphans = {one for one, group in servers.items() if one not in live and not (group in groups and one not in known)}
        self._since = {one: self._since.get(one, now) for one in orphans}
        for one, since in self._since.items():
            self.worst[one] = max(self.worst.get(one, 0.0), now - since)


@dataclass(slots=True)
class Loop:
    """Asks a question that only the boss's loop answers, again and again: how long it takes."""

    boss: LabBoss
    task: str
    took: list[float] = field(default_factory=list)
    _thread: threading.Thread = field(default_factory=threading.Thread)
    _end: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Loop":
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._end.wait(0.25):
            begun = time.monotonic()
            try:
                self.boss.client.why(self.task)
            except ClientError:
                continue
            self.took.append(time.monotonic() - begun)

    @property
    def worst(self) -> float:
        """The longest answer, in seconds."""
        return max(self.took, default=0.0)

    @property
    def usual(self) -> float:
        """The median answer, in seconds."""
        return sorted(self.took)[len(self.took) // 2] if self.took else 0.0
