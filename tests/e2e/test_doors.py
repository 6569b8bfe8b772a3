"""The doors of a real boss, beyond loopback: what listens there speaks TLS (or SSH), and people elsewhere need two lines."""

import json
import os
import queue
import re
import socket
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from boss.adapters import tls
from tests.contract.test_tls import Signer
from tests.e2e.deployment import Deployment, deployed, until

TASKS = {"tasks": [{"id": "a", "command": "echo 42 > a.txt", "outputs": ["a.txt"]}]}


def listening(ecloud: Deployment) -> dict[tuple[str, int], str]:
    """``(address, port) -> program`` of everything that the boss and its children listen on."""
    assert ecloud.boss is not None
    pids = [ecloud.boss.pid, ecloud.process("mosquitto"), ecloud.process("sshd")]
    owners = {}
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))
            if found:
                owners[found.group(1)] = Path(f"/proc/{pid}/comm").read_text().strip()
    ports = {}
    for file in ("tcp", "tcp6"):
        for line in Path(f"/proc/{ecloud.boss.pid}/net/{file}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in owners:
                address, _, port = words[1].partition(":")
                ports[address, int(port, 16)] = owners[words[9]]
    return ports


def remote(ecloud: Deployment, tmp_path: Path, role: str = "researcher") -> Deployment:
    """Somebody with the lines of create_token and nothing else."""
    made = ecloud.look("create_token", role, f"some-{role}")
    other = Deployment(tmp_path / f"remote-{role}")
    other.folder.mkdir()
    other.state = ecloud.state
    other.environment |= {
        "ECLOUD_STATE": str(tmp_path / "no-state"),
        "ECLOUD_API_URL": made["api_url"],
        "ECLOUD_TOKEN": made["token"],
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    return other


def test_beyond_loopback_the_api_speaks_tls_and_two_lines_are_all_that_people_need(tmp_path: Path) -> None:
    with deployed(tmp_path, ECLOUD_API__HOST="0.0.0.0") as ecloud:
        note = json.loads((ecloud.state / "api.json").read_text())
        assert note["url"].startswith("https://127.0.0.1:") and note["ca"] == str(ecloud.state / "pki" / "ca.pem")
        assert ecloud.look("status")["jobs"] == []  # on the boss's machine nothing has to be set
        ada = remote(ecloud, tmp_path)
        assert re.fullmatch(r"https://[^/#]+:\d+#sha256=[\w-]{43}", ada.environment["ECLOUD_API_URL"])
        job = ada.push(TASKS, "--watch")
        ada.admin("fetch", job, "--to", "out")
        assert (ada.folder / "out" / "a.txt").read_text() == "42\n"
        doctor = json.loads(ecloud.run("admin.py", "doctor", "--json").stdout)
        found = {one["check"]: one for one in doctor}
        for check in ("API cert", "CA", "broker cert", "broker login"):
            assert found[check]["verdict"] == "ok" and "sha256 " in found[check]["detail"], found[check]
        assert "API" not in found  # nothing is spoken in the clear
        open_doors = {port: program for (address, port), program in listening(ecloud).items() if address == "00000000"}
        assert list(open_doors) == [int(note["url"].rsplit(":", 1)[1])]  # everything else is on loopback
        with socket.create_connection(("127.0.0.1", *open_doors), timeout=5) as link:
            link.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert not link.recv(100).startswith(b"HTTP/1.1 200")


def test_plain_http_beyond_loopback_takes_a_setting_and_doctor_says_so(tmp_path: Path) -> None:
    with deployed(tmp_path, ECLOUD_API__HOST="0.0.0.0", ECLOUD_API__PLAIN_HTTP="true") as ecloud:
        assert json.loads((ecloud.state / "api.json").read_text())["url"].startswith("http://")
        found = {one["check"]: one for one in json.loads(ecloud.run("admin.py", "doctor", "--json").stdout)}
        assert found["API"]["verdict"] == "note" and "plain HTTP" in found["API"]["detail"]
        assert "#" not in ecloud.look("create_token", "viewer", "vic")["api_url"]
        assert "tokens can be read on the way" in ecloud.log.read_text()


@pytest.mark.long
def test_a_certificate_of_ones_own_is_shown_and_taken_over_when_it_changes(tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    certificate, key = signer.server("ecloud.example.org")
    settings = {
        "ECLOUD_API__HOST": "0.0.0.0",
        "ECLOUD_API__CERTIFICATE": str(certificate),
        "ECLOUD_API__KEY": str(key),
        "ECLOUD_API__CA": str(signer.ca),
        "ECLOUD_API__PUBLIC_URL": "https://ecloud.example.org",
        "ECLOUD_CERTIFICATE_LIFETIME": "60s",  # looks every three seconds
    }
    with deployed(tmp_path, **settings) as ecloud:
        port = int(json.loads((ecloud.state / "api.json").read_text())["url"].rsplit(":", 1)[1])
        made = ecloud.look("create_token", "viewer", "vic")  # by the note: another name than 127.0.0.1 is verified
        assert made["api_url"] == f"https://ecloud.example.org#{tls.pin_of(signer.ca)}"
        context = ssl.create_default_context(cafile=str(signer.ca))

        def shown() -> bytes:
            link = socket.create_connection(("127.0.0.1", port), timeout=5)
            with link, context.wrap_socket(link, server_hostname="ecloud.example.org") as secure:
                return secure.getpeercert(binary_form=True) or b""

        before = shown()
        signer.server("ecloud.example.org")
        until(lambda: shown() != before or None, 30, "the new certificate to be shown")
        assert ecloud.look("status")["jobs"] == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"ECLOUD_API__CERTIFICATE": "/nowhere/api.pem"}, "[api] certificate: /nowhere/api.pem: No such file"),
        ({"ECLOUD_API__KEY": "other.key"}, "is not the key of"),
        ({"ECLOUD_API__PUBLIC_URL": "https://other.example.org"}, "not for other.example.org"),
        ({"ECLOUD_API__CA": "stranger.pem"}, "is not signed by"),
        ({"ECLOUD_API__CERTIFICATE": "old.pem", "ECLOUD_API__KEY": "old.key"}, "expired on"),
        ({"ECLOUD_API__KEY": ""}, "certificate and key go together"),
    ],
)
def test_a_boss_with_a_certificate_that_clients_would_refuse_does_not_start(
    tmp_path: Path, wrong: dict[str, str], said: str
) -> None:
    signer = Signer(tmp_path)
    signer.server("ecloud.example.org")
    signer.server("ecloud.example.org", file="other")
    signer.server("ecloud.example.org", begins=-9, ends=-2, file="old")
    Signer(tmp_path, "stranger")
    settings = {
        "ECLOUD_API__HOST": "0.0.0.0",
        "ECLOUD_API__CERTIFICATE": "server.pem",
        "ECLOUD_API__KEY": "server.key",
        "ECLOUD_API__CA": "institute.pem",
        "ECLOUD_API__PUBLIC_URL": "https://ecloud.example.org",
        **wrong,
    }
    ecloud = Deployment(tmp_path, **settings)
    done = subprocess.run(
        [sys.executable, "-m", "boss"],
        cwd=tmp_path,
        env=ecloud.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode in (1, 2) and said in last and "Traceback" not in done.stderr, done.stderr


@pytest.mark.long
def test_a_listener_hears_what_happens_until_it_is_taken_back(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        made = ecloud.look("create_listener", "dashboard")
        folder = tmp_path / made["folder"]
        assert stat.S_IMODE((folder / "listener.key").stat().st_mode) == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert made["command"][:3] == ["mosquitto_sub", "-V", "mqttv5"] and str(made["port"]) in made["command"]
        heard: queue.Queue[str] = queue.Queue()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.tls_set(str(folder / "ca.pem"), str(folder / "listener.pem"), str(folder / "listener.key"))
        client.on_message = lambda _c, _d, message: heard.put(message.topic + " " + message.payload.decode())
        client.on_connect = lambda *_said: client.subscribe(made["topic"], 1)
        client.on_subscribe = lambda *_said: heard.put("ready")
        client.connect(made["host"], made["port"])
        client.loop_start()
        assert heard.get(timeout=20) == "ready"
        job = ecloud.push(TASKS)
        topic, _, facts = heard.get(timeout=20).partition(" ")
        assert topic.startswith(made["topic"][:-1]) and job in facts + str(heard.get(timeout=20))
        assert [one["name"] for one in ecloud.look("show_listeners")] == ["dashboard"]
        assert (
            "there is a listener dashboard already" in ecloud.run("admin.py", "create_listener", "dashboard", "--to", "x").stderr
        )
        assert not (tmp_path / "x").exists()
        ecloud.finished(job)
        ecloud.admin("revoke_listener", "dashboard")
        assert ecloud.look("show_listeners") == []
        while not heard.empty():
            heard.get()
        late = ecloud.push(TASKS, name="late")
        ecloud.finished(late)
        assert heard.empty()
        assert [line["verb"] for line in ecloud.look("audit")].count("create_listener") == 2
        client.disconnect()
        client.loop_stop()


@pytest.mark.long
def test_certificates_are_renewed_while_tasks_run_and_nothing_is_dropped(tmp_path: Path) -> None:
    with deployed(tmp_path, ECLOUD_API__HOST="0.0.0.0", ECLOUD_CERTIFICATE_LIFETIME="60s") as ecloud:
        job = ecloud.push({"tasks": [{"id": f"t{n}", "command": "sleep 75"} for n in range(2)]})
        pki = ecloud.state / "pki"
        files = [pki / "api.pem", pki / "server.pem", pki / "boss.pem", pki / "boss-login" / "key-cert.pub"]
        until(lambda: len(list((ecloud.state / "workers").glob("*/tls.pem"))) > 0 or None, 30, "a worker")
        files += (ecloud.state / "workers").glob("*/tls.pem")
        before, mosquitto = [path.read_bytes() for path in files], ecloud.process("mosquitto")
        until(lambda: all(path.read_bytes() != old for path, old in zip(files, before, strict=True)) or None, 70, "renewal")
        first_end = max(tls.look(path).ends for path in files if path.suffix == ".pem")
        until(lambda: time.time() > first_end - 15 or None, 60, "the first certificates to be over")
        assert set(ecloud.finished(job).values()) == {"succeeded"}
        assert [len(task["attempts"]) for task in (ecloud.look("show_task", f"{job}:t{n}") for n in range(2))] == [1, 1]
        assert ecloud.process("mosquitto") == mosquitto
        late = ecloud.push(TASKS, name="late")  # a new worker, or an old one over new connections
        assert ecloud.finished(late) == {"a": "succeeded"}
