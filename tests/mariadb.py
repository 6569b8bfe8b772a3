"""A private MariaDB server for tests: one per test session on a free port, a fresh database for each test that asks.

The fixtures ``mariadb`` (the server) and ``mariadb_url`` (a fresh database) are known to every test (``tests/conftest.py``).
"""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

PASSWORD = "p@ss:w/rd?"


class MariaDb:
    """One server in its own folder, reachable on loopback as user ``ecloud``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._databases = 0
        self._server: subprocess.Popen[str] | None = None
        self.port = _free_port()
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        data = [*as_root, f"--datadir={folder / 'data'}"]
        install = [_program("mariadb-install-db"), "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([*install, *data], check=True, capture_output=True, text=True)
        self._command = [
            _program("mariadbd"),
            "--no-defaults",
            *data,
            f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=128M",
        ]

    def start(self) -> None:
        """Start the server; returns when it accepts connections."""
        server = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
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
            self._server.terminate()
            self._rest.join()

    def execute(self, sql: str) -> None:
        """Run one statement as root."""
        with pymysql.connect(unix_socket=str(self._folder / "socket"), user="root", autocommit=True) as connection:
            connection.cursor().execute(sql)

    def fresh(self) -> str:
        """The URL of a new, empty database; starts the server again if a test has ended it."""
        if self._server is None or self._server.poll() is not None:
            self.start()
        self._databases += 1
        name = f"test_{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return f"mysql://ecloud:{'p%40ss%3Aw%2Frd%3F'}@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    """The session's server."""
    server = MariaDb(tmp_path_factory.mktemp("mariadb"))
    server.start()
    server.execute(f"CREATE USER ecloud@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
    server.execute("GRANT ALL ON *.* TO ecloud@'127.0.0.1'")
    yield server
    server.stop()


@pytest.fixture
def mariadb_url(mariadb: MariaDb) -> str:
    """The URL of a database of this test alone."""
    return mariadb.fresh()


def _program(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    assert found is not None, f"{name} is needed: install the package mariadb-server"
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
