"""The join door: who gets in, what they get, and what it says to everybody else."""

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from boss.adapters.certificates import Authority, Gate
from boss.adapters.certifier import WorkerCertifier
from boss.adapters.join_tokens import JoinTokens
from boss.adapters.worker_config import WorkerTerms
from boss.api import join
from boss.api.join import JoinDoor, measured
from boss.core.bindings import fingerprint
from boss.core.deeds import DeedsSeen, Entry
from boss.core.requests import Answer, JoinAsked, Request
from worker.protocol import VERSION

NOW = 1_700_000_000.0


def public(key: Any) -> str:
    form = serialization.PublicFormat.OpenSSH
    return str(key.public_key().public_bytes(serialization.Encoding.OpenSSH, form).decode())


TLS, SSH = public(ec.generate_private_key(ec.SECP256R1())), public(ed25519.Ed25519PrivateKey.generate())


class FakeDesk:
    """A core that lets everybody in, or says what ``answer`` says."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.noted: list[Entry] = []
        self.answer = Answer(
            200, {"worker": "cloud-1", "pool": "cloud", "flavor": "one", "resources": {"cpus": 2, "memory": 4096.0, "gpus": 1}}
        )

    def ask(self, request: Callable[[int], Request], asker: object = None) -> "Future[Answer]":
        future: Future[Answer] = Future()
        event = request(1)
        if isinstance(event, DeedsSeen):
            self.noted += event.entries
            future.set_result(Answer())
            return future
        self.asked.append(event)
        future.set_result(self.answer)
        return future


class Rig:
    """A door with a desk behind it, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "pki")
        self.clock = [NOW]
        self.tokens = JoinTokens(folder / "pki" / "join_key", "c1", lambda: self.clock[0])
        self.gate = Gate("10.0.0.1", 2222, "eva", self.authority.host_key_public, "/gate.pyz", "/data")
        self.desk = FakeDesk()
        self.bundle = folder / "worker-0123456789ab.pyz"
        self.bundle.write_bytes(b"the worker")
        self.remembered: list[tuple[str, str, str]] = []
        terms = WorkerTerms("c1", "10.0.0.1", 8883, self.authority.ca.read_text(), 5.0, 1800.0, 172800.0, 1 << 30)
        certifier = WorkerCertifier(self.authority, lambda: self.gate, 3600.0)
        self.door = JoinDoor(
            self.desk,  # type: ignore[arg-type]
            self.tokens,
            certifier,
            lambda: self.gate,
            terms,
            self.bundle,
            lambda *what: self.remembered.append(what),
            lambda: self.clock[0],
        )

    def call(self, act: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]], address: str = "10.0.0.5") -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.door.app(), client=(address, 1234))
            async with httpx.AsyncClient(transport=transport, base_url="https://boss") as client:
                return await act(client)

        return asyncio.run(run())

    def post(self, content: bytes, address: str = "10.0.0.5") -> httpx.Response:
        return self.call(lambda client: client.post("/join", content=content), address)

    def join(self, token: str | None = None, address: str = "10.0.0.5", **body: object) -> httpx.Response:
        token = self.tokens.make("cloud-1", 2, 60) if token is None else token
        told = {"token": token, "version": VERSION, "tls_key": TLS, "ssh_key": SSH} | body
        return self.post(json.dumps(told).encode(), address)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_good_token_gets_all_that_a_worker_needs(rig: Rig) -> None:
    answer = rig.join(server="A1B2", name="vm-1", addresses=["10.0.0.6"], resources={"cpus": 8, "memory": 4000, "disk": 10})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert rig.desk.asked == [JoinAsked("cloud-1", fingerprint(TLS, SSH), "a1b2", "vm-1", "10.0.0.6", False, 1)]
    assert told["worker"]["worker"] == "cloud-1"
    assert told["worker"]["resources"] == {"cpus": 2, "memory": 4000, "gpus": 1}
    assert told["worker"]["broker"] == {
        "host": "10.0.0.1", "port": 8883, "ca": "ca.pem", "certificate": "tls.pem", "key": "tls.key",
    }  # fmt: skip
    assert told["lifetime"] == 3600.0
    certificate = x509.load_pem_x509_certificate(told["files"]["tls.pem"].encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(rig.authority.ca.read_bytes()))
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "cloud-1"
    assert certificate.public_key() == serialization.load_ssh_public_key(TLS.encode())
    ssh = serialization.load_ssh_public_identity(told["files"]["key-cert.pub"].encode())
    assert isinstance(ssh, serialization.SSHCertificate)
    assert ssh.critical_options[b"force-command"] == rig.gate.command("worker:cloud-1").encode()
    assert told["files"]["known_hosts"] == rig.gate.known_hosts()
    assert told["bundle"]["name"] == rig.bundle.name
    fetched = rig.call(lambda client: client.get(f"/bundle/{told['bundle']['sha256']}"))
    assert (fetched.status_code, fetched.content) == (200, b"the worker")


def test_nothing_private_of_the_boss_is_in_an_answer(rig: Rig) -> None:
    text = rig.join().text
    for path in rig.authority.folder.iterdir():
        if path.suffix in (".key", "") and not path.name.endswith(".pub"):
            assert path.read_text().strip() not in text
    assert "PRIVATE" not in text


@pytest.mark.parametrize("token", ["", "wrong", "a.b", "W10.W10", "x" * 5000])
def test_whatever_is_wrong_with_a_token_the_answer_is_the_same(rig: Rig, token: str) -> None:
    refused = rig.join(token)
    assert (refused.status_code, refused.json()) == (403, {"error": join.NOT_VALID})
    assert rig.desk.asked == []


def test_a_token_that_is_over_lets_only_known_keys_in_and_says_no_more_than_a_wrong_one(rig: Rig) -> None:
    token = rig.tokens.make("cloud-1", 2, 60)
    rig.clock[0] += 61
    assert rig.join(token).status_code == 200
    assert [asked.bound for asked in rig.desk.asked if isinstance(asked, JoinAsked)] == [True]
    rig.desk.answer = Answer(403, {"error": "no claim is bound to this key"})
    refused = rig.join(token)
    assert (refused.status_code, refused.json()) == (403, {"error": join.NOT_VALID})


def test_what_the_core_refuses_is_told_to_whoever_has_a_good_token(rig: Rig) -> None:
    rig.desk.answer = Answer(403, {"error": "every claim of cloud-1 has its worker already"})
    refused = rig.join()
    assert (refused.status_code, refused.json()) == (403, {"error": "every claim of cloud-1 has its worker already"})


RSA = public(rsa.generate_private_key(65537, 2048))


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"tls_key": "no key at all, but long enough"}, "tls_key"),
        ({"tls_key": SSH}, "ecdsa"),
        ({"ssh_key": RSA}, "ssh_key"),
        ({"tls_key": TLS.split()[0] + " " + base64.b64encode(b"x" * 60).decode()}, "tls_key"),
        ({"tls_key": TLS + "\n" + SSH}, "tls_key"),
        ({"tls_key": None}, "tls_key"),
        ({"version": 99}, "version: 99 is not spoken here"),
        ({"version": "x"}, "version"),
        ({"server": "../../etc"}, "server"),
        ({"name": "a" * 300}, "name"),
        ({"addresses": ["x"] * 17}, "addresses"),
        ({"addresses": ["<script>"]}, "addresses"),
        ({"resources": {"memory": -1}}, "resources.memory"),
        ({"resources": {"memory": "lots"}}, "resources.memory"),
        ({"resources": {str(number): 1 for number in range(65)}}, "resources"),
        ({"host_key": "x"}, "host_key"),
    ],
)
def test_a_hostile_body_behind_a_good_token_is_one_sentence_and_binds_nothing(
    rig: Rig, body: dict[str, object], named: str
) -> None:
    refused = rig.join(**body)
    assert refused.status_code == 422, refused.text
    assert named in refused.json()["error"] and "\n" not in refused.json()["error"]
    assert rig.desk.asked == []


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 400), (b"\xff", 400), (b"[]", 400), (b"[" * 10_000, 400), (b'{"token": 5}', 403), (b"x" * 20_000, 413), (b"{}", 403),
     (b'{"token": {"a": 1}}', 403)],
)  # fmt: skip
def test_what_is_no_request_is_refused(rig: Rig, content: bytes, status: int) -> None:
    refused = rig.post(content)
    assert refused.status_code == status and set(refused.json()) == {"error"}


def test_nothing_else_is_behind_the_door(rig: Rig) -> None:
    for path in ("/", "/docs", "/api/v1/status", "/bundle/", f"/bundle/{'0' * 64}", "/bundle/../pki/ca.key", "/join"):
        assert rig.call(lambda client, path=path: client.get(path)).status_code in (404, 405)  # type: ignore[misc]


def test_who_shows_bad_tokens_again_and_again_has_to_wait_and_others_do_not(rig: Rig) -> None:
    codes = [rig.join("wrong", "10.0.0.66").status_code for _ in range(join.FAILURES + 2)]
    assert codes == [403] * join.FAILURES + [429] * 2
    assert rig.join(address="10.0.0.66").status_code == 200, "a good token is good from there, too"
    assert rig.join("wrong", "10.0.0.67").status_code == 403
    rig.clock[0] += 61
    assert rig.join("wrong", "10.0.0.66").status_code == 403


def test_who_asks_too_often_has_to_wait(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "REQUESTS", 3)
    limited = Rig(rig.bundle.parent / "again") if (rig.bundle.parent / "again").mkdir() is None else rig
    codes = [limited.join().status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]


def test_no_token_and_no_certificate_is_logged(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    token = rig.tokens.make("cloud-1", 2, 60)
    with caplog.at_level(logging.DEBUG):
        assert rig.join(token).status_code == 200
        rig.join(token[:-3] + "AAA")
        rig.join(token, tls_key=token.ljust(30, "A"))
    assert token[:20] not in caplog.text and "BEGIN" not in caplog.text
    assert "worker cloud-1 joins from 10.0.0.5" in caplog.text


def test_a_host_key_is_remembered_for_the_worker_that_it_came_with(rig: Rig) -> None:
    rig.join(host_key=SSH, addresses=["10.0.0.6"])
    assert rig.remembered == [("cloud-1", "10.0.0.6", SSH)]


@pytest.mark.parametrize(
    ("offered", "seen", "offers"),
    [
        (
            {"cpus": 2, "memory": 4096.0, "disk": 100.0},
            {"cpus": 1, "memory": 4000.7, "disk": 200},
            {"cpus": 2, "memory": 4000, "disk": 100},
        ),
        ({"cpus": 2, "gpus": 1}, {"memory": 5}, {"cpus": 2, "gpus": 1}),
        ({}, {"cpus": 2, "memory": 5, "disk": 6, "gpus": 100}, {"cpus": 2, "memory": 5, "disk": 6}),
        ({"memory": 10.0}, {"memory": 0}, {"memory": 10}),
    ],
)
def test_a_worker_offers_what_its_flavor_promises_and_its_machine_has(
    offered: dict[str, float], seen: dict[str, float], offers: dict[str, float]
) -> None:
    assert measured(offered, seen) == offers


# ---- what admins see -------------------------------------------------------------------------------------------------


def test_machines_that_are_turned_away_are_in_the_audit_without_their_tokens(rig: Rig) -> None:
    token = rig.tokens.make("cloud-7", 1, 60)
    rig.join(token[:-1] + ("A" if token[-1] != "A" else "B"), address="10.0.0.9")
    rig.desk.answer = Answer(403, {"error": "every server of this group has joined already"})
    rig.join(token, address="10.0.0.8", name="vm-7", server="a1")
    assert [(one.verb, one.asker.address, one.code, one.target) for one in rig.desk.noted] == [
        ("join", "10.0.0.9", 403, ""),
        ("join", "10.0.0.8", 403, "cloud-7 vm-7 a1"),
    ]
    assert rig.desk.noted[1].said == "every server of this group has joined already"
    assert not any(token[:20] in f"{one}" for one in rig.desk.noted)


def test_a_flood_of_bad_tokens_fills_neither_audit_nor_memory(rig: Rig) -> None:
    for number in range(300):
        rig.join("nonsense", address=f"10.1.{number // 250}.{number % 250}")
    assert len(rig.desk.noted) == 30


def test_addresses_of_one_ipv6_network_are_counted_together(rig: Rig) -> None:
    codes = [rig.join("nonsense", address=f"2001:db8::{number:x}").status_code for number in range(1, 25)]
    assert codes == [403] * 20 + [429] * 4
    assert rig.join("nonsense", address="2001:db8:1::1").status_code == 403


def test_a_machine_that_gets_no_turn_is_told_to_ask_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "ANSWER", 0.05)
    rig.door._asking = asyncio.Semaphore(0)  # others wait for the core, and go on waiting
    answer = rig.join()
    assert (answer.status_code, answer.json()) == (503, {"error": "the boss is busy; ask again"})
    assert rig.desk.asked == []
