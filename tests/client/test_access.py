"""The way to the datastore: a certificate that is renewed for as long as a transfer takes, and what is said when there is no way."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from client import access
from client.errors import BossUnreachable, ClientError, DatastoreTrouble, NotPermitted
from datastore.transfer import Unreachable
from tests.servers import eventually


class Boss:
    """Signs by counting; ``troubles`` are raised first. Certificates live for ``life`` seconds."""

    def __init__(self, life: float, *troubles: ClientError, host: str = "store.example.org") -> None:
        self.asked = 0
        self._life, self._troubles, self._host = life, list(troubles), host

    def post(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        """A certificate."""
        assert path == "/certificates" and body["public_key"].startswith("ssh-ed25519 ")
        self.asked += 1
        if self.asked > 1 and self._troubles:
            raise self._troubles.pop(0)
        return {
            "host": self._host, "port": 22, "user": "eva", "certificate": f"certificate {self.asked}", "known_hosts": "hosts\n",
            "expires": time.time() + self._life,
        }  # fmt: skip


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "SOONEST", 0.02)


def way(boss: Boss) -> Any:
    """The way to the datastore that this boss gives."""
    return access.datastore(boss)  # type: ignore[arg-type]


def test_a_certificate_is_renewed_at_half_its_life_until_the_transfer_is_over() -> None:
    boss = Boss(0.2)
    with way(boss) as endpoint:
        eventually(lambda: Path(endpoint.certificate).read_text() in ("certificate 3\n", "certificate 4\n"))
        assert Path(endpoint.key).exists()
    asked = boss.asked
    assert not [thread for thread in threading.enumerate() if thread.name == "certificate"]
    assert boss.asked == asked
    assert not Path(endpoint.key).exists()


def test_a_short_transfer_asks_once() -> None:
    boss = Boss(3600.0)
    with way(boss):
        pass
    assert boss.asked == 1


def test_a_boss_that_is_away_is_asked_again() -> None:
    boss = Boss(0.2, BossUnreachable("away"), BossUnreachable("still away"))
    with way(boss) as endpoint:
        eventually(lambda: Path(endpoint.certificate).read_text() == "certificate 4\n")


def test_a_revoked_token_ends_the_renewing_and_not_the_transfer() -> None:
    boss = Boss(0.1, NotPermitted("revoked"))
    with way(boss) as endpoint:
        eventually(lambda: not [thread for thread in threading.enumerate() if thread.name == "certificate"])
        assert Path(endpoint.certificate).read_text() == "certificate 1\n"
    assert boss.asked == 2


def test_a_datastore_on_the_boss_loopback_is_explained_to_those_elsewhere() -> None:
    with pytest.raises(DatastoreTrouble, match="docs/going-further"), way(Boss(60.0, host="127.0.0.1")):
        raise Unreachable("connection refused")
    with pytest.raises(DatastoreTrouble) as trouble, way(Boss(60.0)):
        raise Unreachable("connection refused")
    assert str(trouble.value) == "the datastore store.example.org:22: connection refused"
