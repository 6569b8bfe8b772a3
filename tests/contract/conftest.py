"""Fixtures of the store's contract: each test runs on SQLite and on MariaDB, on a database of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters.reader import Reader
from boss.adapters.store import Store


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of this test alone."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    fresh: str = request.getfixturevalue("mariadb_url")
    return fresh


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """The store, opened and loaded."""
    opened = Store(url, "c0ffee00")
    opened.open()
    opened.load()
    yield opened
    opened.close()


@pytest.fixture
def reader(url: str, store: Store) -> Iterator[Reader]:
    """A reader of the same database."""
    opened = Reader(url)
    yield opened
    opened.close()
