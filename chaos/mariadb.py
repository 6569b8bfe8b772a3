"""A private MariaDB server: its own folder, a free port on loopback (or an address of its own), nothing of the machine's settings."""

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pymysql

from boss.adapters.daemons import find_program
from boss.adapters.sockets import free_port

PASSWORD = "p@ss:w/rd?"  #: of servers that are reached from this machine only
_QUOTED = "p%40ss%3Aw%2Frd%3F"
#: Debian's, of the server.
PACKAGE = "mariadb-server"


class MariaDb:
    """One server, reachable as user ``ecloud``; ``through`` is a command that ends by running what follows it."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", through: Sequence[str] = (), user: str = "root") -> None:
        """Makes the data folder. ``user`` is who the server runs as if we are root.

        Raises DaemonError where no server is installed, RuntimeError with what was said if the folder cannot be made.
        """
        self.folder = folder
        self.host = host
        self.port = free_port()
        self._server: subprocess.Popen[str] | None = None
        self._rest = threading.Thread()
        as_root = [f"--user={user}"] if os.geteuid() == 0 else []
        data = [*as_root, f"--datadir={folder / 'data'}"]
        install = [find_program("mariadb-install-db", PACKAGE), "--no-defaults", "--auth-root-authentication-method=normal"]
        install += ["--skip-test-db", *data]
        made = subprocess.run(install, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f"no data folder of MariaDB could be made (exit {made.returncode}):\n{made.stdout[-4000:]}")
        self._command = [
            *through,
            find_program("mariadbd", PACKAGE),
            "--no-defaults",
            *data,
            f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}",
            f"--bind-address={host}",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=128M",
        ]

    @property
    def pid(self) -> int:
        """The server's process; 0 when it does not run."""
        return self._server.pid if self._server is not None and self._server.poll() is None else 0

    def start(self, *options: str) -> None:
        """Start the server; returns when it accepts connections. Raises RuntimeError with what it said when it does not."""
        server = subprocess.Popen([*self._command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        said: list[str] = []
        for line in server.stderr:
            said.append(line)
            if "ready for connections" in line:
                break
        else:
            server.communicate()
            raise RuntimeError("MariaDB did not start:\n" + "".join(said))
        self._server, self._rest = server, threading.Thread(target=server.communicate)  # its log must not fill the pipe
        self._rest.start()

    def kill(self) -> None:
        """End the server as a power cut would."""
        assert self._server is not None
        self._server.kill()
        self._rest.join()

    def stop(self) -> None:
        """End the server if it runs."""
        if self._server is not None:
            if self._server.poll() is None:
                self._server.send_signal(signal.SIGCONT)
                self._server.terminate()
            self._rest.join()

    def execute(self, sql: str) -> None:
        """Run one statement as root."""
        with pymysql.connect(unix_socket=str(self.folder / "socket"), user="root", autocommit=True) as connection:
            connection.cursor().execute(sql)

    def welcome(self, rights: str = "*.*") -> None:
        """Make the user ``ecloud``, with all rights to that."""
        for where in ("%", "localhost"):
            self.execute(f"CREATE USER IF NOT EXISTS ecloud@'{where}' IDENTIFIED BY '{PASSWORD}'")
            self.execute(f"GRANT ALL ON {rights} TO ecloud@'{where}'")

    def url(self, database: str, *others: "MariaDb") -> str:
        """The URL of a database of this server, and of others that hold the same."""
        nodes = ",".join(f"{node.host}:{node.port}" for node in (self, *others))
        return f"mysql://ecloud:{_QUOTED}@{nodes}/{database}"

    def near_url(self, database: str) -> str:
        """The same for this machine, whatever network the server is in: through its socket."""
        return f"mysql://ecloud:{_QUOTED}@localhost/{database}?unix_socket={self.folder / 'socket'}"
