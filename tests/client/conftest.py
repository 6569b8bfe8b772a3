"""One real boss for all tests of the client."""

from collections.abc import Iterator

import pytest

from client import Client
from tests.e2e.deployment import Deployment, deployed


@pytest.fixture(scope="session")
def ecloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A running deployment."""
    with deployed(tmp_path_factory.mktemp("client")) as deployment:
        yield deployment
    close_output(deployment)


def close_output(deployment: Deployment) -> None:
    """Close our end of the pipe to a boss that has ended."""
    assert deployment.boss is not None and deployment.boss.stdout is not None
    deployment.boss.stdout.close()


@pytest.fixture
def client(ecloud: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client that finds the boss by its note in the state folder."""
    for name in ("ECLOUD_API_URL", "ECLOUD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ECLOUD_STATE", str(ecloud.state))
    with Client() as made:
        yield made
