"""The database of a run: SQLite in the state folder, a MariaDB server, or a Galera cluster of three; and what can be done to each."""

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import pymysql

from boss.adapters.processes import Identity, identify
from chaos.galera import NODES, Galera, Node
from chaos.mariadb import MariaDb

NAME = "chaos"


class Databases:
    """``kind`` is sqlite, mariadb or galera; servers are started again when they have ended."""

    def __init__(self, kind: str, folder: Path, through: Sequence[str] = ()) -> None:
        self.kind = kind
        self.server = kind != "sqlite"
        self.url = ""
        self._folder = folder / "database"
        self._through = through
        self._nodes: list[MariaDb] = []
        self._galera: Galera | None = None
        self._file = Path()
        self._holder: sqlite3.Connection | None = None
        self._starting: threading.Thread | None = None

    def start(self, state: Path, host: str = "127.0.0.1") -> str:
        """Start it; the URL."""
        if self.kind == "sqlite":
            self._file = state / "chaos.db"
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.url = f"sqlite:///{self._file}"
        elif self.kind == "mariadb":
            self._folder.mkdir()
            server = MariaDb(self._folder, host, self._through)
            self._nodes = [server]
            server.start()
            server.execute(f"CREATE DATABASE {NAME}")
            server.welcome(f"{NAME}.*")  # no right that read_only does not bind
            self.url = server.url(NAME)
        else:
            self._galera = Galera(self._folder)
            self._nodes = list(self._galera.nodes)
            self._galera.start()
            self._nodes[0].execute(f"CREATE DATABASE {NAME}")
            self.url = self._galera.url(NAME)
        return self.url

    def near_url(self) -> str:
        """A URL that is good on this machine, whatever network the server is in."""
        return self._nodes[0].near_url(NAME) if self._nodes else self.url

    def processes(self) -> list[Identity]:
        """The servers that may be hit: of a cluster only when all of them are there, for two at once are more than it bears."""
        if self._galera is not None and not self._whole():
            return []
        return [process for node in self._nodes if (process := identify(node.pid)) is not None] if self.pids() else []

    def pids(self) -> set[int]:
        """Of the servers."""
        return {node.pid for node in self._nodes if node.pid}

    def keep(self) -> None:
        """Start a server again that has ended; that may take a while, and is not waited for."""
        if self._starting is not None and self._starting.is_alive():
            return
        for node in self._nodes:
            if not node.pid:
                self._starting = threading.Thread(target=self._again, args=(node,), daemon=True)
                self._starting.start()
                return

    def hold(self, held: bool) -> bool:
        """Let nobody write: another writer in SQLite, read_only on a server (all of a cluster, or none). Whether it could be done."""
        if self.kind == "sqlite":
            try:
                return self._hold_file(held)
            except sqlite3.Error:
                return False
        reached = [self._hold_node(node, held) for node in self._nodes]
        if held and not all(reached):
            self.hold(False)
        return all(reached)

    def stop(self) -> None:
        """End the servers."""
        if self._starting is not None:
            self._starting.join(120)
        for node in reversed(self._nodes):
            node.stop()

    def _again(self, node: MariaDb) -> None:
        try:
            if self._galera is not None and isinstance(node, Node):
                self._galera.come_back(node)
            else:
                node.start()
        except (RuntimeError, pymysql.Error, OSError):  # seen by the next look, which tries again
            return

    def _whole(self) -> bool:
        if self._starting is not None and self._starting.is_alive():
            return False
        try:
            return all(
                isinstance(node, Node) and node.pid and node.status("wsrep_cluster_size") == str(NODES) for node in self._nodes
            )
        except (pymysql.Error, OSError):
            return False

    def _hold_node(self, node: MariaDb, held: bool) -> bool:
        try:
            node.execute(f"SET GLOBAL read_only = {'ON' if held else 'OFF'}")
        except (pymysql.Error, OSError):
            return False
        return True

    def _hold_file(self, held: bool) -> bool:
        if self._holder is not None:
            self._holder.rollback()
            self._holder.close()
            self._holder = None
        if held:
            self._holder = sqlite3.connect(self._file, timeout=0.2, isolation_level=None)
            self._holder.execute("BEGIN IMMEDIATE")
        return True
