"""Plain hosts that are somebody else's by now: what they say harms nobody but themselves. An ``ssh`` of ours answers in their place."""

import json
import os
import queue
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters import ssh_hosts
from boss.adapters.certificates import Authority, Gate
from boss.adapters.ssh_hosts import SshHosts
from boss.adapters.worker_config import WorkerTerms
from boss.core.events import Event, ServersListed, VmCreated, VmCreateFailed, VmDeleteFailed
from boss.ports import HostRefused

GATE = Gate("127.0.0.1", 22, "eva", "ssh-ed25519 AAAA", "/gate.pyz", "/data")
TERMS = WorkerTerms("c1", "127.0.0.1", 8883, "the CA", 2.0, 30.0, 60.0, 1 << 20)
HAS = {"cpus": 4, "memory": 1 << 30, "disk": 1 << 30}
DAY = 86400.0


class Crowd:
    """Hosts ``good`` and ``bad``: ``bad`` says what is in a file; ``good`` has one living worker, ``w-good``."""

    def __init__(self, folder: Path, authority: Authority, lifetime: float) -> None:
        self._said, self._log = folder / "said", folder / "asked"
        (folder / "bin").mkdir()
        ssh = folder / "bin" / "ssh"
        ssh.write_text(
            f'#!/bin/sh\necho "$@" >> {self._log}\nfor word; do case $word in good) '
            'echo \'{"workers": {"w-good": "1:1"}}\'; exit;; esac; done\n'
            f". {self._said}\n"
        )
        ssh.chmod(0o755)
        bundle = folder / "worker.pyz"
        bundle.write_bytes(b"")
        self.events: queue.Queue[Event] = queue.Queue()
        self.hosts = SshHosts("c1", bundle, authority, lambda: GATE, TERMS, lifetime)
        self.hosts.start(self._put)
        self.hosts.expect("w-good", "good", dict(HAS))
        self.hosts.expect("w-bad", "bad", dict(HAS))

    def _put(self, event: Event) -> bool:
        self.events.put(event)
        return True

    def bad(self, script: str) -> None:
        """From now on it does this, as a shell does."""
        self._said.write_text(script)

    def says(self, what: object) -> None:
        """From now on it says this."""
        self.bad(f"cat <<'END'\n{json.dumps(what)}\nEND\n")

    def asked(self) -> str:
        """What all calls of ssh were, one a line."""
        return self._log.read_text()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


@pytest.fixture
def crowd(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crowd]:
    made = Crowd(tmp_path, authority, 3600.0)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    yield made
    made.hosts.stop()


@pytest.mark.parametrize(
    "said",
    [
        5,
        [],
        {},
        {"unreachable": {}, "resources": {"cpus": "many", "memory": 1, "disk": 1}},
        {"unreachable": {}, "resources": {"cpus": float("nan"), "memory": 1, "disk": 1}},
        {"unreachable": {}, "resources": {"cpus": 1e300, "memory": 1, "disk": 1}},
        {"unreachable": {}, "resources": {"cpus": True, "memory": 1, "disk": -1}},
        {"unreachable": {}, "resources": {"cpus": 4}},
        {"unreachable": [1], "resources": HAS},
        "[" * 100_000,
    ],
)
def test_a_host_that_answers_nonsense_is_refused_when_it_is_added(crowd: Crowd, said: object) -> None:
    if isinstance(said, str):
        crowd.bad(f"echo '{said}'")
    else:
        crowd.says(said)
    with pytest.raises(HostRefused, match=r"^bad "):
        crowd.hosts.probe("bad")


def test_a_host_offers_what_every_host_has_and_nothing_else(crowd: Crowd) -> None:
    crowd.says({"unreachable": {}, "resources": {**HAS, "licenses": 1000}})
    assert crowd.hosts.probe("bad") == HAS


@pytest.mark.parametrize("said", [5, {}, {"workers": 7}, {"workers": {"w-bad": 5}}, {"workers": {"w-bad": "x" * 1000}}])
def test_the_list_of_workers_comes_whatever_one_host_says(crowd: Crowd, said: object) -> None:
    crowd.says(said)
    crowd.hosts.list(1.0)
    listed = crowd.events.get(timeout=20)
    assert isinstance(listed, ServersListed)
    assert {server.vm: server.status for server in listed.servers} == {"w-good": "ACTIVE", "w-bad": "UNKNOWN"}


def test_a_worker_whose_start_is_answered_by_nonsense_was_not_started(crowd: Crowd) -> None:
    crowd.says({"process": ["1"]})
    crowd.hosts.create(("w-2",), "hosts", "bad")
    assert isinstance(crowd.events.get(timeout=20), VmCreateFailed)
    crowd.says({"process": "17:4711"})
    crowd.hosts.create(("w-2",), "hosts", "bad")
    assert crowd.events.get(timeout=20) == VmCreated("w-2", "17:4711", "bad")


def test_a_host_that_talks_without_end_is_cut_off(crowd: Crowd) -> None:
    for script in ("yes", "yes >&2"):
        crowd.bad(f"exec {script}")
        with pytest.raises(HostRefused, match="more than 1 MiB"):
            crowd.hosts.probe("bad")


def test_a_host_that_never_answers_is_given_up_and_what_it_started_holds_nobody(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_hosts, "_PATIENCE", 0.2)
    crowd.bad("sleep 30 & wait")
    with pytest.raises(HostRefused, match="did not answer"):
        crowd.hosts.probe("bad")


def test_what_a_host_says_moves_no_cursor_and_writes_no_line_of_its_own_into_the_log(crowd: Crowd) -> None:
    crowd.says({"error": "\x1b]0;title\x07\n2026-11-28 INFO boss: forged" + "x" * 5000})
    with pytest.raises(HostRefused) as refused:
        crowd.hosts.probe("bad")
    assert str(refused.value).isprintable() and len(str(refused.value)) < 600
    crowd.bad("printf '\\033[2Jgone' >&2; exit 3")
    with pytest.raises(HostRefused) as refused:
        crowd.hosts.probe("bad")
    assert str(refused.value).isprintable()


def test_a_host_gets_neither_agent_nor_forwarding(crowd: Crowd) -> None:
    crowd.says({"unreachable": {}, "resources": HAS})
    crowd.hosts.probe("bad")
    words = crowd.asked().split()
    assert {"-a", "-x", "-oClearAllForwardings=yes", "-oBatchMode=yes"} < set(words[: words.index("--")])


def test_a_worker_that_is_given_up_gets_no_certificates_though_its_host_does_not_obey(crowd: Crowd) -> None:
    crowd.says({"error": "no"})
    crowd.hosts.delete("w-bad", "hosts", "")
    assert isinstance(crowd.events.get(timeout=20), VmDeleteFailed)
    crowd.hosts.renew()
    crowd.hosts.stop(wait=True)
    assert [line for line in crowd.asked().splitlines() if " certificates " in line and " w-bad" in line] == []
