"""Private servers for tests: the same Mosquitto and sshd that local mode runs, each in a folder of its own on a free port.

The fixtures ``authority``, ``broker_server`` and ``ssh_server`` are known to every test (``tests/conftest.py``); the functions
are imported from here. No test sleeps: ``eventually`` waits on a condition.
"""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from boss.adapters.certificates import Authority, Gate, SshFiles, TlsFiles
from boss.adapters.daemons import Daemon, find_program, mosquitto, sshd

#: The cluster id that the test broker's rights are made for.
CLUSTER = "testing1"

T = TypeVar("T")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A fresh certificate authority."""
    return Authority(tmp_path / "pki")


@pytest.fixture
def broker_server(tmp_path: Path, authority: Authority) -> Iterator[Daemon]:
    """A private Mosquitto with mutual TLS, watched as in local mode; ``.host``, ``.port``, ``.pid``."""
    daemon = mosquitto(tmp_path / "mosquitto", authority, CLUSTER)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture
def ssh_server(tmp_path: Path, authority: Authority) -> Iterator[Daemon]:
    """A private sshd that trusts the authority's certificates, watched as in local mode; ``.host``, ``.port``, ``.pid``."""
    daemon = sshd(tmp_path / "sshd", authority)
    daemon.start()
    yield daemon
    daemon.stop()


def shell_sshd(folder: Path, host_key: Path, authorized: Path, *lines: str) -> Daemon:
    """A private sshd as any host has one, for shell log-ins with the keys in ``authorized``; not started yet."""

    def prepare(port: int) -> list[str]:
        config = folder / "sshd_config"
        plain = [f"ListenAddress 127.0.0.1:{port}", f"HostKey {host_key}", f"AuthorizedKeysFile {authorized}", "PidFile none"]
        plain += ["StrictModes no", "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no"]
        config.write_text("\n".join([*plain, *lines]) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        return [find_program("sshd", "openssh-server"), "-D", "-e", "-f", str(config)]

    return Daemon("sshd", folder / "sshd", prepare)


def eventually(look: Callable[[], T | None], timeout: float = 15.0) -> T:
    """What ``look`` returns as soon as that is true-like; fails the test after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    pause, never = 0.001, threading.Event()
    while not (seen := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout} s: {look}")
        never.wait(pause)
        pause = min(0.02, pause * 1.5)
    return seen


def grant_all(daemon: Daemon, account: str) -> None:
    """Give another account all rights in the cluster: two clients cannot be the boss at the same time."""
    rights = daemon.output.with_name("acl")
    rights.write_text(f"{rights.read_text()}user {account}\ntopic readwrite ecloud/{CLUSTER}/#\n")
    daemon.reload()


def mqtt_client(daemon: Daemon, tls: TlsFiles, client_id: str = "") -> mqtt.Client:
    """A plain paho client with a certificate, connected, its network loop running. Raises OSError when it is refused."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
    client.tls_set(str(tls.ca), str(tls.certificate), str(tls.key))
    client.connect(daemon.host, daemon.port)
    client.loop_start()
    eventually(client.is_connected)
    return client


def ssh(
    daemon: Daemon, gate: Gate, files: SshFiles, *command: str, options: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    """Run OpenSSH's client against the private sshd with these credentials and nothing of the user's own."""
    return subprocess.run(
        [
            "ssh", "-F", "none", "-T", "-p", str(daemon.port), "-i", str(files.key), "-l", gate.user,
            "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", f"CertificateFile={files.certificate}",
            "-o", f"UserKnownHostsFile={files.known_hosts}", "-o", "StrictHostKeyChecking=yes",
            *options, daemon.host, *command,
        ],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
