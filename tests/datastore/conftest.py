"""A private sshd for the session, a fresh datastore for each test. Tests elsewhere import these fixtures by name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.datastore.host import Datastore, Sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One OpenSSH server for all tests."""
    server = Sshd(tmp_path_factory.mktemp("sshd") / "server")
    yield server
    server.stop()


@pytest.fixture
def datastore(tmp_path: Path) -> Iterator[Datastore]:
    """A datastore that was set up and holds nothing."""
    store = Datastore(tmp_path / "root")
    yield store
    store.close()
