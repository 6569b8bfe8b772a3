"""Certificates that last for hours: asked for at half of their life, over MQTT while that goes, else at the join door."""

import json
import time
from pathlib import Path

import pytest

from tests.worker.conversation import Conversation, sent
from worker import events as ev
from worker import protocol as wire
from worker.config import ConfigError, parse
from worker.core import Core, Identity
from worker.credentials import Credentials, renewal_of
from worker.renewal import LATE, RETRY, Renewal
from worker.terms import RenewalConfig

LIFE = 7200.0


class Certified(Conversation):
    """A worker whose certificates last from now on for ``life`` seconds; its lease is long."""

    def __init__(self, life: float = LIFE) -> None:
        super().__init__()
        renewal = Renewal("ecdsa T", "ssh-ed25519 S", self.now, self.now + life)
        self.core = Core(Identity("s1"), {"cpus": 4}, 5.0, 1e6, self.now, renewal=renewal)

    def asked(self) -> list[ev.Effect]:
        """What is asked about certificates in a turn now."""
        return [effect for effect in self.tell() if effect == ev.Rejoin() or sent([effect], wire.Certify)]

    def jump(self, seconds: float) -> list[ev.Effect]:
        self.now += seconds
        return self.asked()


ASKED = [ev.Send(wire.Certify("s1", "ecdsa T", "ssh-ed25519 S"))]


def test_nothing_is_asked_before_half_of_their_life_and_then_again_until_there_is_an_answer() -> None:
    talk = Certified()
    talk.connect()
    assert talk.jump(LIFE / 2 - 1) == []
    assert talk.jump(1) == ASKED
    assert talk.jump(RETRY - 1) == []
    assert talk.jump(1) == ASKED
    answer = talk.say(wire.Certified, "PEM", "line", LIFE)
    assert ev.Install(answer.message) in talk.tell(answer)  # type: ignore[arg-type]
    assert talk.jump(LIFE / 2 - 1) == []
    assert talk.jump(1) == ASKED


def test_certificates_of_minutes_are_asked_for_more_often() -> None:
    talk = Certified(life=20)
    talk.connect()
    assert [len(talk.jump(1)) for _ in range(16)] == [0] * 9 + [1, 0, 1, 0, 1, 0, 1]


def test_the_core_comes_back_when_it_is_time() -> None:
    talk = Certified()
    assert talk.core.deadline() == talk.now + LIFE / 2


def test_without_a_link_the_join_door_is_asked_only_when_little_is_left() -> None:
    talk = Certified()
    assert talk.jump(LIFE / 2) == []
    assert talk.jump(LIFE * (0.5 - LATE) - 1) == []
    assert talk.jump(1) == [ev.Rejoin()]
    assert talk.jump(RETRY) == [ev.Rejoin()]
    talk.tell(ev.Rejoined(LIFE))
    assert talk.jump(LIFE / 2 - 1) == []


def test_what_is_overdue_is_asked_as_soon_as_the_link_is_up() -> None:
    talk = Certified()
    talk.jump(LIFE * 0.7)
    assert ASKED[0] in talk.tell(ev.Connected("10.0.0.7"))


def test_a_worker_without_certificates_of_hours_ignores_new_ones() -> None:
    talk = Conversation()
    talk.connect()
    assert talk.tell(talk.say(wire.Certified, "PEM", "line", LIFE)) == []


# ---- on disk -------------------------------------------------------------------------------------------------------


def folder(path: Path, begun: float = -100.0, until: float = 100.0) -> dict[str, object]:
    """A worker's folder; its configuration."""
    for name in ("ca.pem", "tls.pem", "tls.key", "key", "key-cert.pub", "known_hosts"):
        (path / name).write_text("old")
    (path / "tls.key.pub").write_text("ecdsa-sha2-nistp256 AAAA me@vm\n")
    (path / "key.pub").write_text("ssh-ed25519 BBBB\n")
    (path / "certificates.json").write_text(json.dumps({"from": time.time() + begun, "until": time.time() + until}))
    return {
        "worker": "w",
        "cluster": "c",
        "folder": "work",
        "broker": {"host": "b", "port": 1, "ca": "ca.pem", "certificate": "tls.pem", "key": "tls.key"},
        "datastore": {
            "host": "d", "port": 2, "user": "u", "key": "key", "certificate": "key-cert.pub", "known_hosts": "known_hosts",
        },
        "resources": {"cpus": 1},
        "renewal": {"record": "certificates.json", "tls_key": "tls.key.pub", "ssh_key": "key.pub"},
        "pulse": {"file": "pulse", "margin": 2},
        "longest_lease": 3600,
        "task_user": "nobody",
    }  # fmt: skip


def test_the_configuration_of_a_vm_is_read(tmp_path: Path) -> None:
    config = parse(folder(tmp_path), str(tmp_path))
    assert (config.longest_lease, config.task_user, config.base) == (3600.0, "nobody", str(tmp_path))
    assert config.pulse == (str(tmp_path / "pulse"), 2.0)
    assert config.renewal is not None and config.renewal.tls_key == str(tmp_path / "tls.key.pub")


def test_a_note_that_is_missing_is_named(tmp_path: Path) -> None:
    document = folder(tmp_path)
    (tmp_path / "certificates.json").unlink()
    with pytest.raises(ConfigError, match=r"renewal.record: there is no file"):
        parse(document, str(tmp_path))


def test_the_half_life_is_counted_from_when_they_came(tmp_path: Path) -> None:
    config = parse(folder(tmp_path, -300, 100), str(tmp_path))
    assert config.renewal is not None
    renewal = renewal_of(config.renewal, 5000.0)
    assert renewal.deadline() == pytest.approx(4900.0, abs=2)
    assert renewal.ask("s", True, 5000.0) == [ev.Send(wire.Certify("s", "ecdsa-sha2-nistp256 AAAA", "ssh-ed25519 BBBB"))]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"from": "x", "until": 3}'])
def test_a_note_that_cannot_be_read_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "note").write_text(text)
    with pytest.raises(ValueError):
        renewal_of(RenewalConfig(str(tmp_path / "note"), "a", "b"), 0.0)


def test_renewed_certificates_replace_the_old_ones_and_are_noted(tmp_path: Path) -> None:
    config = parse(folder(tmp_path), str(tmp_path))
    Credentials(config, lambda: None).install(wire.Certified(1, 1, "new tls", "new ssh", 500.0))
    assert (tmp_path / "tls.pem").read_text() == "new tls"
    assert (tmp_path / "key-cert.pub").read_text() == "new ssh"
    assert (tmp_path / "tls.pem").stat().st_mode & 0o777 == 0o600
    note = json.loads((tmp_path / "certificates.json").read_text())
    assert note["until"] - note["from"] == pytest.approx(500.0, abs=1)
