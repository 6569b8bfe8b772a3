"""A private MariaDB server for tests: one per test session on a free port, a fresh database for each test that asks.

The fixtures ``mariadb`` (the server) and ``mariadb_url`` (a fresh database) are known to every test (``tests/conftest.py``).
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import mariadb as servers

PASSWORD = servers.PASSWORD


class MariaDb(servers.MariaDb):
    """The server of a session, which makes databases."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._databases = 0

    def fresh(self) -> str:
        """The URL of a new, empty database; starts the server again if a test has ended it."""
        if not self.pid:
            self.start()
        self._databases += 1
        name = f"test_{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    """The session's server."""
    server = MariaDb(tmp_path_factory.mktemp("mariadb"))
    server.start()
    server.welcome()
    yield server
    server.stop()


@pytest.fixture
def mariadb_url(mariadb: MariaDb) -> str:
    """The URL of a database of this test alone."""
    return mariadb.fresh()
