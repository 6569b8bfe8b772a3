"""Fixtures of the store's contract: each test runs on SQLite and on MariaDB, on a database of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters.reader import Reader
from boss.adapters.store import Store
from tests.contract.backups import Admin, Place


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


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    """Makes the surroundings of a boss: ``place("here", url)``; SQLite in the state folder without a URL."""
    for name in list(os.environ):
        if name.startswith("ECLOUD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def make(name: str, url: str = "") -> Admin:
        return Admin(tmp_path / name, url or f"sqlite:///{tmp_path / name / 'ecloud.db'}", monkeypatch, capsys)

    return make


@pytest.fixture(params=["sqlite", "mariadb"])
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A second database, empty, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'other.db'}"
    server = request.getfixturevalue("mariadb")
    fresh: str = server.fresh()
    return fresh
