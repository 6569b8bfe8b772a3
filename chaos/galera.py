"""Three MariaDB servers on this machine that hold the same: a Galera cluster, of which any one may be killed.

Rules:
- As root the nodes run as user ``mysql``: a node that joins gets the data by rsync, which gives root away. The folder is theirs.
- The first node begins the cluster; whoever comes (back) later asks the others.
- Galera's own timeouts stay as they are: with shorter ones the survivors of a busy machine lose one another, too.
"""

import os
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pymysql

from boss.adapters.daemons import DaemonError, find_program
from boss.adapters.sockets import free_port
from chaos.mariadb import MariaDb

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
NODES = 3
_PATIENCE = 120.0


class Node(MariaDb):
    """One of the three; ``ports`` are its group's, its increments' and its state transfer's."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, user="mysql")
        self.group, self._increments, self._transfer = free_port(), free_port(), free_port()

    def join(self, others: Sequence["Node"]) -> None:
        """Start as a member of a cluster of these, or begin one; returns when it has all that they have."""
        provider = f"gmcast.listen_addr=tcp://127.0.0.1:{self.group};ist.recv_addr=127.0.0.1:{self._increments};gcache.size=16M"
        self.start(
            "--wsrep-on=ON",
            f"--wsrep-provider={PROVIDER}",
            f"--wsrep-cluster-address=gcomm://{','.join(f'127.0.0.1:{other.group}' for other in others)}",
            "--wsrep-node-address=127.0.0.1",
            "--wsrep-sst-method=rsync",
            f"--wsrep-sst-receive-address=127.0.0.1:{self._transfer}",
            f"--wsrep-provider-options={provider}",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
        )
        self.wait_for("wsrep_local_state_comment", "Synced")

    def wait_for(self, name: str, value: str) -> None:
        """Wait until a status variable has that value. Raises RuntimeError when it has another for too long."""
        deadline, never = time.monotonic() + _PATIENCE, threading.Event()
        while (found := self.status(name)) != value:
            if time.monotonic() > deadline:
                raise RuntimeError(f"node {self.port}: {name} is {found!r} and not {value!r}")
            never.wait(0.1)

    def status(self, name: str) -> str:
        """A status variable of the node."""
        with pymysql.connect(unix_socket=str(self.folder / "socket"), user="root") as connection:
            cursor = connection.cursor()
            cursor.execute("SHOW GLOBAL STATUS LIKE %s", (name,))
            row = cursor.fetchone()
        return str(row[1]) if row else ""


class Galera:
    """The cluster. ``folder`` is made, and has to be one that user ``mysql`` can reach when we are root. Raises DaemonError."""

    def __init__(self, folder: Path) -> None:
        if not PROVIDER.exists():
            raise DaemonError(f"{PROVIDER} is needed; on Debian and Ubuntu: apt install galera-4")
        find_program("rsync", "rsync")
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        self.nodes: list[Node] = []
        for number in range(NODES):
            own = folder / f"node{number}"
            own.mkdir()
            if os.geteuid() == 0:
                shutil.chown(own, "mysql", "mysql")
            self.nodes.append(Node(own))

    def start(self) -> None:
        """Start all nodes, and make the user ``ecloud``."""
        first, *others = self.nodes
        first.join(())
        first.welcome()
        for node in others:
            node.join(self.nodes)
        self.wait_for_size(NODES)

    def come_back(self, node: Node) -> None:
        """Start a node again that was killed."""
        node.join(self.nodes)

    def wait_for_size(self, size: int) -> None:
        """Wait until the nodes that run know that they are so many, and accept changes."""
        for node in self.nodes:
            if node.pid:
                node.wait_for("wsrep_cluster_size", str(size))
                node.wait_for("wsrep_ready", "ON")

    def url(self, database: str) -> str:
        """The URL of a database; the nodes are asked in their order."""
        first, *others = self.nodes
        return first.url(database, *others)

    def stop(self) -> None:
        """End all nodes that run."""
        for node in reversed(self.nodes):
            node.stop()
