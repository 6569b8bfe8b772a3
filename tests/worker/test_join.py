"""A machine at the join door: what it sends, whom it believes, what it writes, and what it does when it is not let in."""

import hashlib
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from boss.adapters.certificates import Authority
from boss.adapters.worker_config import BROKER_CA, KNOWN_HOSTS, SSH_CERTIFICATE, TLS_CERTIFICATE
from boss.api.serving import Served
from worker import join, protocol

BUNDLE = b"the worker"
DIGEST = hashlib.sha256(BUNDLE).hexdigest()


class Became(Exception):
    """The process has become the worker."""


class Door:
    """A boss's join door that says what the test says."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "pki")
        self.asked: list[dict[str, Any]] = []
        self.answers: list[Response] = []
        self.bundle = BUNDLE
        self.files = {"ca.pem": "ca", "tls.pem": "tls", "key-cert.pub": "ssh", "known_hosts": "hosts"}
        app = Starlette(routes=[Route("/join", self._join, methods=["POST"]), Route("/bundle/{digest}", self._send)])
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        self.served = Served(app, listener, self.authority.server(["127.0.0.1"]))

    async def _join(self, request: Request) -> Response:
        self.asked.append(json.loads(await request.body()))
        if self.answers:
            return self.answers.pop(0)
        worker = {"worker": "cloud-1", "folder": "work", "resources": {"cpus": 1}}
        bundle = {"name": "worker-x.pyz", "sha256": DIGEST}
        return JSONResponse({"worker": worker, "files": self.files, "lifetime": 3600.0, "bundle": bundle})

    async def _send(self, request: Request) -> Response:
        return Response(self.bundle)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    door = Door(tmp_path)
    with door.served:
        yield door


@pytest.fixture
def folder(tmp_path: Path, door: Door, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's folder; nothing is waited for, and becoming the worker raises ``Became``."""
    folder = tmp_path / "vm"
    folder.mkdir()
    told = {
        "boss": door.url,
        "ca": door.authority.ca.read_text(),
        "token": "tok.en",
        "patience": 30.0,
        "worker": {"task_user": "me"},
    }
    (folder / "join.json").write_text(json.dumps(told))
    (folder / "name").write_text("vm-1\n")

    def become(folder: str, bundle: str) -> None:
        raise Became(bundle)

    monkeypatch.setattr(join, "become", become)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return folder


def tell(folder: Path, **more: object) -> None:
    told = json.loads((folder / "join.json").read_text())
    (folder / "join.json").write_text(json.dumps({**told, **more}))


def run(folder: Path, *words: str) -> int:
    return join.main(["join.py", str(folder), *words])


def test_it_shows_its_keys_and_becomes_the_worker_that_the_boss_says(folder: Path, door: Door) -> None:
    with pytest.raises(Became, match=DIGEST[:12]):
        run(folder)
    [asked] = door.asked
    assert (asked["token"], asked["version"], asked["name"], asked["host_key"]) == ("tok.en", protocol.VERSION, "vm-1", None)
    assert asked["tls_key"].startswith("ecdsa-sha2-nistp256 ") and asked["ssh_key"].startswith("ssh-ed25519 ")
    assert asked["resources"]["memory"] > 1 << 20 and asked["addresses"] == ["127.0.0.1"]
    assert json.loads((folder / "worker.json").read_text())["task_user"] == "me"
    assert json.loads((folder / "certificates.json").read_text())["until"] > time.time() + 3500
    assert {path.name for path in folder.iterdir() if path.stat().st_mode & 0o077} <= {
        "join.json",
        "name",
        "tls.key.pub",
        "key.pub",
    }


def test_its_keys_are_ones_that_tls_and_ssh_take(folder: Path, door: Door) -> None:
    join.make_keys(str(folder))
    context = ssl.create_default_context()
    (folder / "tls.pem").write_text(door.authority.tls_certificate(join.public_key(str(folder), "tls.key"), "cloud-1", 60))
    context.load_cert_chain(folder / "tls.pem", folder / "tls.key")
    assert subprocess.run(["ssh-keygen", "-y", "-f", folder / "key"], capture_output=True).returncode == 0


def test_it_keeps_its_keys_and_does_not_fetch_what_it_has(folder: Path, door: Door) -> None:
    for _ in range(2):
        with pytest.raises(Became):
            run(folder)
        door.bundle = b"something else"
    assert door.asked[0]["tls_key"] == door.asked[1]["tls_key"]


def test_keys_of_which_half_was_written_are_made_anew(folder: Path) -> None:
    join.make_keys(str(folder))
    before = (folder / "key").read_bytes()
    (folder / "key.pub").unlink()
    (folder / "tls.key.new").write_text("torn")
    join.make_keys(str(folder))
    assert (folder / "key").read_bytes() != before and (folder / "key.pub").exists()


def test_a_boss_of_another_ca_is_not_believed(
    folder: Path, door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(folder, ca=Authority(tmp_path / "other").ca.read_text(), patience=-1)
    assert run(folder) == join.TOO_LATE
    assert door.asked == []
    assert "certificate verify failed" in capsys.readouterr().err


def test_a_damaged_bundle_is_not_run_and_nothing_of_the_answer_is_kept(folder: Path, door: Door) -> None:
    door.bundle = b"evil"
    tell(folder, patience=-1)
    assert run(folder) == join.TOO_LATE
    assert not (folder / "worker.json").exists() and not list(folder.glob("*.pyz"))


def test_a_boss_that_is_busy_or_away_is_asked_again(folder: Path, door: Door) -> None:
    door.answers = [Response(status_code=503), Response(status_code=429), Response(b"<html>"), JSONResponse({"worker": 5})]
    with pytest.raises(Became):
        run(folder)
    assert len(door.asked) == 5


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_boss_that_says_no_is_told_with_its_sentence_and_not_asked_again(
    folder: Path, door: Door, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    door.answers = [JSONResponse({"error": "every claim has its worker"}, status)]
    assert run(folder) == join.REFUSED
    said = capsys.readouterr().err
    assert "every claim has its worker" in said and "tok.en" not in said


@pytest.mark.parametrize("answer", [JSONResponse({"error": "no"}, 403), Response(status_code=503)])
def test_one_that_has_joined_before_goes_on_with_what_it_was_given(folder: Path, door: Door, answer: Response) -> None:
    with pytest.raises(Became):
        run(folder)
    door.answers = [answer]
    with pytest.raises(Became):
        run(folder)


def test_but_not_with_certificates_that_are_over(folder: Path, door: Door) -> None:
    with pytest.raises(Became):
        run(folder)
    (folder / "certificates.json").write_text(json.dumps({"from": 0, "until": time.time() - 1}))
    door.answers = [JSONResponse({"error": "no"}, 403)]
    assert run(folder) == join.REFUSED


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "tls.key", "key", ".hidden", "a/b", ""])
def test_an_answer_writes_only_plain_files_of_the_folder_and_never_its_keys(folder: Path, door: Door, name: str) -> None:
    door.files = {**door.files, name: "written by the boss"}
    with pytest.raises(Became):
        run(folder)
    written = [path for path in folder.parent.rglob("*") if path.is_file() and b"written by the boss" in path.read_bytes()]
    assert written == []


def test_looking_changes_nothing_and_shows_no_secret(folder: Path, door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--look") == 0
    said = capsys.readouterr()
    assert '"worker": "cloud-1"' in said.out and "lets this machine in" in said.err
    assert "tok.en" not in said.out + said.err
    assert not (folder / "worker.json").exists()


def source(said: str | Exception) -> Callable[[], str]:
    def look() -> str:
        if isinstance(said, Exception):
            raise said
        return said

    return look


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ("0D0F7A51-38C9-4C4B-8C4E-6C0F5B8B6A01\n", "", "0d0f7a51-38c9-4c4b-8c4e-6c0f5b8b6a01"),
        (OSError(), "0d0f7a51-38c9-4c4b-8c4e-6c0f5b8b6a01", "0d0f7a51-38c9-4c4b-8c4e-6c0f5b8b6a01"),
        ("iid-datasource-none", KeyError("uuid"), ""),
        (ValueError("not JSON"), OSError(), ""),
    ],
)
def test_the_clouds_id_of_a_server_comes_from_the_first_who_knows(
    monkeypatch: pytest.MonkeyPatch, first: str | Exception, second: str | Exception, found: str
) -> None:
    monkeypatch.setattr(join, "_SOURCES", {"one": source(first), "two": source(second)})
    assert join.server_id(("one", "two", "unknown")) == found


def test_it_speaks_the_version_of_the_wire_that_the_worker_does() -> None:
    assert join.VERSION == protocol.VERSION


def test_a_boss_that_was_broken_into_changes_nothing_that_came_with_the_user_data(folder: Path, door: Door) -> None:
    for name in ("run.sh", "allowed_signers", "join.json"):
        if name != "join.json":
            (folder / name).write_text("mine")
        door.files[name] = "evil"
    told = (folder / "join.json").read_text()
    with pytest.raises(Became):
        run(folder)
    assert [(folder / name).read_text() for name in ("run.sh", "allowed_signers")] == ["mine", "mine"]
    assert (folder / "join.json").read_text() == told
    assert set(join.FROM_BOSS) == {BROKER_CA, TLS_CERTIFICATE, SSH_CERTIFICATE, KNOWN_HOSTS}


def test_a_machine_that_was_made_for_one_bundle_runs_no_other(folder: Path, door: Door) -> None:
    tell(folder, bundle="ab" * 32)
    assert run(folder) == join.REFUSED
    tell(folder, bundle=DIGEST)
    with pytest.raises(Became, match=DIGEST[:12]):
        run(folder)
    tell(folder, bundle="ab" * 32)  # as after an upgrade of the boss: it goes on with what it has
    with pytest.raises(Became, match=DIGEST[:12]):
        run(folder)
