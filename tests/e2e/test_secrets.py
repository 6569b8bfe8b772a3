"""A whole deployment, searched for secrets: tokens, keys and passwords are in files of mode 0600, and nowhere else."""

import json
import re
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from client.connection import Connection
from tests.e2e.deployment import Deployment, deployed, until
from tests.e2e.test_doors import remote

#: What a careless program would hand on: it is in the boss's environment, and no task's.
PASSWORD = "hunter2-of-the-database"
TASK = {"id": "a", "command": "env > env.txt; cat /proc/self/cmdline > argv.txt; sleep 1", "outputs": ["env.txt", "argv.txt"]}


def secrets_in(path: Path) -> list[bytes]:
    """What is secret in a file of the state folder: the lines of private keys, tokens, shared secrets."""
    data = path.read_bytes()
    if b"PRIVATE KEY-----" in data:
        return [line for line in data.splitlines() if len(line) >= 32 and b"-----" not in line]
    if path.name in ("gate_secret", "join_key"):
        return [data.strip()]
    if path.name == "api.json":
        return [json.loads(data)["token"].encode()]
    return []


class Watch:
    """Reads the command lines of all processes, again and again."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    @contextmanager
    def looking(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            for folder in Path("/proc").iterdir():
                if folder.name.isdigit():
                    try:
                        self.seen.add((folder / "cmdline").read_bytes())
                    except OSError:
                        continue  # it has ended


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A deployment in which all that handles secrets was used, what its processes were called, and what its commands said."""
    folder = tmp_path_factory.mktemp("searched")
    watch = Watch()
    settings = {"ECLOUD_API__HOST": "0.0.0.0"}
    settings["ECLOUD_DATABASE_URL"] = f"sqlite:///{folder}/{PASSWORD}.db"
    with watch.looking(), deployed(folder, **settings) as ecloud:
        tokens = []
        ada = remote(ecloud, folder)
        tokens.append(ada.environment["ECLOUD_TOKEN"])
        said = [ada.run("push_tasks.py", str(written(ada, {"tasks": [TASK]})), "--watch")]
        said += [
            ada.run("admin.py", *words)
            for words in (("status",), ("fetch", "job", "--to", "out"), ("doctor",), ("logs", "job:a"))
        ]
        said += [ecloud.run("admin.py", *words) for words in (("show_tokens",), ("show_context",), ("doctor",), ("audit",))]
        said.append(ecloud.run("admin.py", "create_listener", "dashboard", "--to", str(folder / "ear")))
        stranger = dict(ada.environment)
        ada.environment["ECLOUD_TOKEN"] = "ecloud_a-token-that-was-revoked-long-ago"
        tokens.append(ada.environment["ECLOUD_TOKEN"])
        said.append(ada.run("admin.py", "status"))
        ada.environment = stranger
        yield {"ecloud": ecloud, "ada": ada, "tokens": tokens, "said": said, "watch": watch, "folder": folder}


def written(who: Deployment, document: Any) -> Path:
    path = who.folder / "job.json"
    path.write_text(json.dumps(document))
    return path


def hidden(searched: dict[str, Any]) -> list[bytes]:
    """Every secret of the deployment."""
    ecloud: Deployment = searched["ecloud"]
    found = [token.encode() for token in searched["tokens"]]
    for path in [*ecloud.state.rglob("*"), *(searched["folder"] / "ear").iterdir()]:
        if path.is_file() and not path.is_symlink() and "bundles" not in path.parts and path.stat().st_size < 1 << 20:
            found += secrets_in(path)
    assert len(found) > 20
    return found


def test_no_command_line_has_a_secret(searched: dict[str, Any]) -> None:
    lines = b"\n".join(searched["watch"].seen)
    assert (
        b"mosquitto" in lines and b"push_tasks.py" in lines and b"--caller" in lines
    )  # what lives for milliseconds may be missed
    assert [secret for secret in [*hidden(searched), PASSWORD.encode()] if secret in lines] == []


def test_no_log_and_no_commands_words_have_a_secret(searched: dict[str, Any]) -> None:
    ecloud: Deployment = searched["ecloud"]
    logs = [ecloud.log, *ecloud.state.glob("*/log"), *ecloud.state.glob("workers/*/worker.log")]
    assert len(logs) >= 3
    text = b"\n".join(path.read_bytes() for path in logs)
    text += "\n".join(done.stdout + done.stderr for done in searched["said"]).encode()
    assert all(done.returncode in (0, 4) for done in searched["said"]), searched["said"]
    assert [secret for secret in hidden(searched) if secret in text] == []


def test_the_database_and_the_datastore_have_no_token_and_no_key_in_clear(searched: dict[str, Any]) -> None:
    ecloud: Deployment = searched["ecloud"]
    files = [*searched["folder"].glob("*.db*"), *(path for path in (ecloud.state / "datastore").rglob("*") if path.is_file())]
    shared = (ecloud.state / "pki" / "gate_secret").read_bytes().strip()  # the gate's half of what it shares with the boss
    secrets = [secret for secret in hidden(searched) if secret != shared]
    for path in files:
        data = path.read_bytes()
        assert [secret for secret in secrets if secret in data] == [], path
    assert any(path.name.endswith(".db") for path in files)


def test_every_file_with_a_secret_is_its_users_alone(searched: dict[str, Any]) -> None:
    ecloud: Deployment = searched["ecloud"]
    assert stat.S_IMODE(ecloud.state.stat().st_mode) == 0o700
    secrets = hidden(searched)
    kept = 0
    for path in searched["folder"].rglob("*"):
        if not path.is_file() or path.is_symlink() or "bundles" in path.parts or path.stat().st_size > 1 << 24:
            continue
        data = path.read_bytes()
        if any(secret in data for secret in secrets):
            kept += 1
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert kept >= 8


def test_a_task_sees_nothing_of_the_boss_and_of_people(searched: dict[str, Any]) -> None:
    out = searched["ada"].folder / "out"
    seen = (out / "env.txt").read_bytes() + (out / "argv.txt").read_bytes()
    assert b"ECLOUD_TASK=a" in seen
    assert PASSWORD.encode() not in seen and not re.search(rb"ECLOUD_(TOKEN|API|DATABASE|STATE)", seen)
    assert [secret for secret in hidden(searched) if secret in seen] == []


# ---- access that was given for a token that is revoked -------------------------------------------------------------------


def test_a_certificate_that_was_issued_before_its_token_was_revoked_opens_nothing_more(
    searched: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ecloud: Deployment = searched["ecloud"]
    thief = remote(ecloud, tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    connection = Connection(thief.environment["ECLOUD_API_URL"], thief.environment["ECLOUD_TOKEN"])
    access = connection.post("/certificates", {"public_key": (tmp_path / "key.pub").read_text()})
    connection.close()
    (tmp_path / "key-cert.pub").write_text(access["certificate"])
    (tmp_path / "known").write_text(access["known_hosts"])
    assert (
        b"--token tok-"
        in subprocess.run(["ssh-keygen", "-L", "-f", tmp_path / "key-cert.pub"], capture_output=True, check=True).stdout
    )

    def asked() -> str:
        """What the gate says to a request by this certificate."""
        options = [
            "-F",
            "none",
            "-i",
            str(key),
            "-o",
            f"CertificateFile={tmp_path}/key-cert.pub",
            "-o",
            f"UserKnownHostsFile={tmp_path}/known",
        ]
        options += ["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-p", str(access["port"])]
        request = b'{"op": "list", "job": "job"}\n'
        return subprocess.run(
            ["ssh", *options, f"{access['user']}@{access['host']}", "gate"],
            input=request,
            capture_output=True,
            timeout=60,
            check=False,
        ).stdout.decode()

    assert "env.txt" in asked()
    ecloud.admin("revoke_token", "some-researcher")
    until(lambda: "was revoked" in asked() or None, 20, "the gate to know of it")
    assert "env.txt" not in asked()
    assert "some-researcher" in ecloud.admin("audit", "--since", "1h")
