"""What ``deploy servers`` does before and beside the cloud: refusals that cost nothing, host keys, the checkout, the way over ssh."""

import os
import subprocess
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from boss import doctor
from boss.adapters.consoles import host_keys
from boss.adapters.hostdata import host_data
from boss.adapters.remote import Remote, RemoteError, pin, pinned
from boss.deploy import best_key
from boss.deploy_servers import HOUSE, checkout
from tests.boss.test_doctor import OtherHost

POOL = '[pools.cloud]\nprovider = "openstack"\ncloud = "nowhere"\nimage = "debian"\nflavors = ["one"]\n'


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("ECLOUD_", "OS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECLOUD_STATE", str(tmp_path / "state"))
    (tmp_path / "clouds.yaml").write_text("clouds: {}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    (tmp_path / "id.pub").write_text("ssh-ed25519 AAAA eva@here\n")


@pytest.mark.parametrize(
    ("settings", "words", "why"),
    [
        ("", [], "have no pool of provider openstack: write one"),
        (POOL, ["--pool", "other"], "--pool other: there is no such pool of provider openstack; there are: cloud"),
        (POOL.replace('"nowhere"', '""'), [], "takes its cloud from OS_* variables, which the boss's server does not have"),
        (POOL + '[datastore]\naddress = "a@b"\nroot = "/d"\nhost_key = "ssh-ed25519 AAAA"\n', [], "has a [datastore] already"),
        (POOL + '[vms]\nboss_address = "10.0.0.9"\n', [], "sets boss_address = '10.0.0.9'"),
        (POOL, ["--ssh-key", "none.pub"], "--ssh-key none.pub: No such file"),
        (POOL, ["--ssh-key", "ecloud.toml"], "the SSH key is none"),
        (POOL, [], "there is no cloud 'nowhere'; "),
    ],
)
def test_what_cannot_be_deployed_is_told_before_anything_is_made(
    settings: str, words: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ecloud.toml").write_text(settings)
    assert doctor.run(["deploy", "servers", *(["--ssh-key", "id.pub"] if "--ssh-key" not in words else []), *words]) == 1
    assert why in capsys.readouterr().err


def test_the_key_of_a_boss_is_the_same_each_time_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert [doctor.run(["deploy", "key"]), doctor.run(["deploy", "key"])] == [0, 0]
    first, second = capsys.readouterr().out.splitlines()
    assert first == second and first.startswith("ssh-")


def test_host_keys_are_those_of_the_last_boot_on_the_console() -> None:
    def block(key: str) -> str:
        keys = f"ecdsa-sha2-nistp256 AAAA{key}= root@x\r\nssh-ed25519 AAAA{key} root@x\r\n"
        return f"-----BEGIN SSH HOST KEY KEYS-----\r\n{keys}-----END SSH HOST KEY KEYS-----\r\n"

    assert host_keys(f"[ 1.0] boot\n{block('old')}[ 2.0] boot\n{block('new')}login:") == (
        "ecdsa-sha2-nistp256 AAAAnew=",
        "ssh-ed25519 AAAAnew",
    )
    assert host_keys("-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 AAAA") == host_keys("") == ()
    assert best_key(host_keys(block("k"))) == "ssh-ed25519 AAAAk"


def test_the_checkout_holds_what_git_knows_with_its_changes_and_nothing_that_was_made_here() -> None:
    with tarfile.open(fileobj=BytesIO(checkout(HOUSE))) as tar:
        names = set(tar.getnames())
        owners = {(member.uid, member.uname) for member in tar.getmembers()}
    assert {"admin.py", "boss/__main__.py", "scripts/setup", "templates/run.sh", "requirements.txt"} <= names
    assert not [name for name in names if name.startswith((".venv", ".git/")) or "__pycache__" in name]
    assert owners == {(0, "")}


@pytest.mark.parametrize("path", [os.environ["PATH"], ""], ids=["no repository", "no program"])
def test_a_checkout_without_git_is_what_lies_there(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path)
    house = tmp_path / "house"
    for name in ("admin.py", ".venv/bin/python", "boss/__pycache__/x.pyc", "boss/loop.py"):
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).write_text("x")
    with tarfile.open(fileobj=BytesIO(checkout(house))) as tar:
        assert set(tar.getnames()) == {"admin.py", "boss/loop.py"}


def test_a_boss_that_is_brought_its_program_clones_nothing_and_waits_to_be_started() -> None:
    alone = host_data("boss", "ssh-ed25519 AAAA")
    assert "git" not in alone and "enable, --now" not in alone
    assert "git clone" in host_data("boss", "ssh-ed25519 AAAA", "", "https://example.org/e.git")


def test_user_data_for_a_boss_that_nobody_brings_its_program_needs_a_repository(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run(["deploy", "user-data", "boss", "--ssh-key", "id.pub"]) == 1
    assert "--repository: say where the server shall clone this project from" in capsys.readouterr().err


class There:
    """A server that we have made: an ordinary sshd, and our file of host keys."""

    def __init__(self, other: OtherHost, folder: Path) -> None:
        self.other, self.known = other, folder / "deploy" / "known_hosts"
        self.name = f"[127.0.0.1]:{other.daemon.port}"
        self.key = " ".join((other.folder / "host_key.pub").read_text().split()[:2])
        user = other.address.partition("@")[0]
        self.remote = Remote(user, "127.0.0.1", self.known, other.folder / "admin", other.daemon.port)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[There]:
    other = OtherHost(tmp_path / "other")
    yield There(other, tmp_path)
    other.daemon.stop()


def test_commands_and_files_go_to_a_server_whose_pinned_key_answers(there: There) -> None:
    pin(there.known, "elsewhere", ["ssh-ed25519 AAAAelse"], "s0")
    pin(there.known, there.name, ["ssh-ed25519 AAAAolder"], "s1")
    assert pinned(there.known, there.name, "s2") == ()  # a new server at the address of one that is gone
    pin(there.known, there.name, [there.key], "s2")
    assert pinned(there.known, there.name, "s2") == (there.key,) and pinned(there.known, there.name, "s1") == ()
    assert pinned(there.known, "elsewhere", "s0") == ("ssh-ed25519 AAAAelse",)
    there.remote.await_login(10.0)
    assert there.remote.run("cat; echo done", 20.0, b"given ") == "given done\n"
    target = there.other.folder / "new" / "secret.toml"
    there.remote.write(str(target), "a = 1\n")
    assert target.read_text() == "a = 1\n" and target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(RemoteError, match=r"(?s)ended with 3:.*what went wrong"):
        there.remote.run("echo what went wrong >&2; exit 3", 20.0)
    with pytest.raises(RemoteError, match="not done within 1 s"):
        there.remote.run("exec sleep 60", 1.0)
    assert "UserKnownHostsFile" in there.remote.command("-N")


def test_a_server_that_answers_with_another_key_is_not_spoken_to(there: There, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "another")], check=True)
    pin(there.known, there.name, [" ".join((tmp_path / "another.pub").read_text().split()[:2])], "s1")
    with pytest.raises(RemoteError, match=r"HOST IDENTIFICATION HAS CHANGED|Host key verification failed"):
        there.remote.await_login(60.0)
