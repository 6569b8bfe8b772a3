"""``python -m boss doctor`` and ``deploy datastore`` as an admin runs them, with a real sshd as the other host."""

import getpass
import json
import os
import queue
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from boss import doctor
from boss.adapters.broker import MqttBroker
from boss.adapters.certificates import Authority
from boss.adapters.daemons import Daemon, find_program
from boss.adapters.lock import alone
from boss.adapters.sockets import free_port
from boss.adapters.store import Store
from boss.api.serving import address_of
from boss.core.events import BrokerConnected, Event
from tests.servers import shell_sshd
from worker.cgroup_places import Places

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh state folder, and no setting of the machine that the tests run on."""
    for name in list(os.environ):
        if name.startswith("ECLOUD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECLOUD_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def findings(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, str]]]:
    """Exit code and findings by check of ``doctor --json``."""
    code = doctor.run(["doctor", "--json"])
    return code, {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)}


def test_on_a_machine_with_everything_nothing_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = findings(capsys)
    assert code == 0, found
    wanted = {"Python", "settings", "mosquitto", "ssh", "sshd", "open files", "database", "ports", "disk", "clock"}
    assert wanted <= set(found)
    assert "MaxSessions 1000, MaxStartups 1000" in found["sshd"]["detail"]
    assert found["settings"]["detail"] == "no file: everything at its default; and ECLOUD_STATE"


def test_a_ca_that_cannot_be_read_is_not_to_be_removed_as_a_certificate_that_is_made_again(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Authority(state / "pki").boss()
    for name in ("ca.pem", "boss.pem"):
        (state / "pki" / name).write_text("scratched")
    code, found = findings(capsys)
    assert code == 1 and found["CA"]["verdict"] == found["broker login"]["verdict"] == "failed"
    assert "back-up" in found["CA"]["remedy"] and "do not remove it" in found["CA"]["remedy"]
    assert found["broker login"]["remedy"].startswith("remove the file; the boss makes another")


def test_the_help_says_that_no_argument_starts_the_boss(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["restore", "--help"]):
        with pytest.raises(SystemExit, match="0"):
            doctor.run(words)
    said = capsys.readouterr().out
    assert "usage: python -m boss [--standby | COMMAND ...]" in said and "Without a command: start the boss" in said
    assert "usage: python -m boss restore [-h] [--force] PATH" in said


def test_every_line_that_is_not_ok_has_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    doctor.run(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 10
    assert all(line.startswith("ok ") or " -> " in line for line in lines)


def test_what_local_tasks_are_not_held_to_is_said_with_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.cgroup_places.look", lambda: Places(2, {"memory": "/", "pids": "/"}, {}, ""))
    found = findings(capsys)[1]["task limits"]
    assert (
        found["verdict"] == "note"
        and "for cpu: their cpus are not bound" in found["detail"]
        and "Delegate=yes" in found["remedy"]
    )
    monkeypatch.setattr("worker.cgroup_places.look", lambda: Places(2, dict.fromkeys(("memory", "pids", "cpu"), "/"), {}, ""))
    assert findings(capsys)[1]["task limits"]["verdict"] == "ok"


def test_the_file_that_is_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ecloud.toml").write_text("local_slots = 2\n")
    assert str(tmp_path / "ecloud.toml") in findings(capsys)[1]["settings"]["detail"]


def test_wrong_settings_are_a_finding_and_not_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ecloud.toml").write_text("local_slot = 2\n")
    code, found = findings(capsys)
    assert (code, found["settings"]["verdict"]) == (1, "failed")
    assert "did you mean local_slots?" in found["settings"]["detail"]


def test_a_missing_program_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name, path=None: None)
    code, found = findings(capsys)
    assert code == 1
    assert "apt install mosquitto" in found["mosquitto"]["remedy"]
    assert "apt install openssh-server" in found["sshd"]["remedy"]
    assert "apt install openssh-client" in found["ssh"]["remedy"]


def test_a_database_that_does_not_answer_is_said_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ECLOUD_DATABASE_URL", "mysql://ada:hunter2@127.0.0.1:1/ecloud")
    code, found = findings(capsys)
    assert (code, found["database"]["verdict"]) == (1, "failed")
    assert "hunter2" not in json.dumps(found)


def test_an_outside_broker_that_does_not_answer_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ECLOUD_BROKER__HOST", "127.0.0.1")
    monkeypatch.setenv("ECLOUD_BROKER__PORT", "1")
    assert findings(capsys)[1]["broker"]["detail"] == "127.0.0.1:1 does not answer"


def test_a_taken_api_port_is_said(state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("ECLOUD_API__PORT", str(other.getsockname()[1]))
        assert findings(capsys)[1]["ports"]["verdict"] == "failed"


def api_of(state: Path, url: str) -> None:
    """What a boss's last life has left: address and port."""
    state.mkdir()
    (state / "api.json").write_text(json.dumps({"url": url, "token": "t"}))
    (state / "api.port").write_text(url.rsplit(":", 1)[1])


def test_another_boss_at_the_noted_port_is_not_taken_for_this_ones(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"version": "0.1.0", "max_task_file": 1}')

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        api_of(state, f"http://127.0.0.1:{server.server_port}")
        found = findings(capsys)[1]["ports"]
        assert found["verdict"] == "note" and "another boss answers there" in found["detail"]
        assert "ECLOUD_API_URL" in found["remedy"]
        with alone(state):
            assert "a boss runs" in findings(capsys)[1]["ports"]["detail"]
        server.shutdown()


def test_a_boss_that_has_other_settings_than_the_doctor_is_said_to_run(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as freed:
        port = freed.getsockname()[1]
    api_of(state, f"http://127.0.0.1:{port}")
    assert findings(capsys)[1]["ports"]["detail"] == f"{port} is free for the API; no boss runs"
    with alone(state):
        found = findings(capsys)[1]["ports"]
        assert found["detail"] == f"a boss runs here, but its API is not at 127.0.0.1:{port}"
        assert "the settings that the boss has" in found["remedy"]


def test_a_port_that_was_taken_meanwhile_is_told_with_what_it_means_for_clients(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        kept = tmp_path / "api.port"
        kept.write_text(str(other.getsockname()[1]))
        _, listener = address_of("127.0.0.1", 0, kept)
        listener.close()
    assert "is taken by another program; using" in caplog.text and "ECLOUD_API_URL" in caplog.text


def test_a_state_folder_that_others_can_write_is_said(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state.mkdir()
    state.chmod(0o777)
    assert findings(capsys)[1]["state folder"]["remedy"] == f"chmod 700 {state}"


CLOUD = """
[vms]
boss_address = "127.0.0.1"
join_port = {port}
broker_port = {other}
gate_port = {third}
[pools.cloud]
provider = "openstack"
image = "debian"
flavors = ["small"]
"""


def test_where_vms_reach_the_boss_is_said_with_the_ports_to_open(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ports = {"port": free_port(), "other": free_port(), "third": free_port()}
    Path("ecloud.toml").write_text(CLOUD.format(**ports))
    found = findings(capsys)[1]["VMs' way"]
    assert found["verdict"] == "note"
    assert found["detail"] == "127.0.0.1 (by the setting boss_address), ports " + ", ".join(map(str, ports.values()))
    with socket.create_server(("127.0.0.1", ports["port"])):
        code, all_found = findings(capsys)
    assert code == 1 and f"nobody can listen at {ports['port']}" in all_found["VMs' way"]["detail"]


def test_a_boss_without_vms_says_nothing_of_their_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert "VMs' way" not in findings(capsys)[1]


def test_wrong_usage_is_exit_code_2() -> None:
    for argv in ([], ["deploy"], ["deploy", "datastore", "me@there"], ["doctor", "--loud"]):
        with pytest.raises(SystemExit) as ended:
            doctor.run(argv)
        assert ended.value.code == 2


# ---- deploy ------------------------------------------------------------------------------------------------------


class OtherHost:
    """A host with an ordinary sshd and a home, and an admin whose ssh knows it: ``bin`` goes first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.bin = folder / "bin"
        (self.home / ".ssh").mkdir(parents=True)
        self.bin.mkdir()
        for name in ("host_key", "admin"):
            self._run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        self.authorized_keys = self.home / ".ssh" / "authorized_keys"
        self.authorized_keys.write_text((folder / "admin.pub").read_text().rstrip("\n"))  # no newline at its end
        self.daemon = shell_sshd(folder, folder / "host_key", self.authorized_keys, f"SetEnv HOME={self.home}")
        self.daemon.start()
        self.address = f"{getpass.getuser()}@127.0.0.1:{self.daemon.port}"
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.daemon.port} {(folder / 'host_key.pub').read_text()}")
        config = folder / "config"
        config.write_text(f"IdentityFile {folder / 'admin'}\nUserKnownHostsFile {self.known_hosts}\nBatchMode yes\n")
        self._wrap("ssh", f"-F {config}")
        self._wrap("ssh-keygen", f"-f {self.known_hosts}")

    def _wrap(self, name: str, options: str) -> None:
        """The admin's own configuration: OpenSSH takes the home from the password file, so it cannot be moved by HOME."""
        script = self.bin / name
        script.write_text(f'#!/bin/sh\nexec {shutil.which(name)} {options} "$@"\n')
        script.chmod(0o755)

    @staticmethod
    def _run(*command: str) -> None:
        subprocess.run(command, check=True)


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OtherHost]:
    other = OtherHost(tmp_path / "other")
    monkeypatch.setenv("PATH", f"{other.bin}{os.pathsep}{os.environ['PATH']}")
    yield other
    other.daemon.stop()


def deploy(other: OtherHost) -> int:
    return doctor.run(["deploy", "datastore", other.address, "--root", str(other.folder / "data")])


def test_a_deployed_datastore_is_checked_and_its_settings_work(
    other: OtherHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(other) == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert "is a datastore now: written and read back" in said
    (tmp_path / "ecloud.toml").write_text(said[said.index("[datastore]") :])
    code, found = findings(capsys)
    assert (code, found["datastore"]["verdict"]) == (0, "ok"), found


def test_deploying_again_adds_nothing_twice(other: OtherHost, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy(other) == 0
    once = other.authorized_keys.read_text()
    assert deploy(other) == 0
    assert other.authorized_keys.read_text() == once
    admins, ours = once.splitlines()
    assert admins == (other.folder / "admin.pub").read_text().strip()
    assert ours == f'cert-authority,principals="ecloud",restrict {Authority(state / "pki").ssh_ca_public} ecloud'


def test_the_folder_on_a_datastore_host_is_for_its_log_in_alone(other: OtherHost) -> None:
    assert deploy(other) == 0
    root = other.folder / "data"
    assert root.stat().st_mode & 0o077 == 0
    assert (root / "gate.pyz").stat().st_mode & 0o077 == 0


def test_a_host_key_that_the_admin_does_not_know_is_not_pinned(other: OtherHost, capsys: pytest.CaptureFixture[str]) -> None:
    other.known_hosts.write_text("")
    (other.folder / "config").write_text(f"IdentityFile {other.folder / 'admin'}\nStrictHostKeyChecking no\nLogLevel ERROR\n")
    assert deploy(other) == 1
    assert "log in there once with ssh and compare it" in capsys.readouterr().err


def test_a_host_without_log_in_is_one_clear_line(other: OtherHost, capsys: pytest.CaptureFixture[str]) -> None:
    other.authorized_keys.write_text("")
    assert deploy(other) == 1
    said = capsys.readouterr().err
    assert "Permission denied" in said
    assert len(said.splitlines()) == 1


def test_a_relative_root_is_refused(other: OtherHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run(["deploy", "datastore", other.address, "--root", "data"]) == 1
    assert "give an absolute path" in capsys.readouterr().err


def test_a_datastore_that_is_down_is_a_finding(other: OtherHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy(other) == 0
    said = capsys.readouterr().out
    (tmp_path / "ecloud.toml").write_text(said[said.index("[datastore]") :])
    other.daemon.stop()
    code, found = findings(capsys)
    assert (code, found["datastore"]["verdict"]) == (1, "failed")
    assert found["datastore"]["remedy"].startswith("python -m boss deploy datastore")


def test_keys_that_cannot_be_read_are_a_finding_and_are_never_to_be_removed(
    other: OtherHost, state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(other) == 0
    said = capsys.readouterr().out
    (tmp_path / "ecloud.toml").write_text(said[said.index("[datastore]") :])
    (state / "pki" / "ca.pem").write_text("cut off")
    code, found = findings(capsys)
    assert (code, found["datastore"]["verdict"]) == (1, "failed")
    assert "do not remove" in found["datastore"]["remedy"] and str(state / "pki") in found["datastore"]["detail"]


def test_room_in_the_datastore_is_looked_at_where_it_lies(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The datastore's folder may be on another disk than the state folder: each is asked for itself."""
    store = tmp_path / "elsewhere"
    monkeypatch.setenv("ECLOUD_DATASTORE__ROOT", str(store))
    real = shutil.disk_usage

    def usage(path: os.PathLike[str] | str) -> object:
        return real(path)._replace(free=room[0]) if str(path) == str(store) else real(path)._replace(free=5 * 2**30)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    store.mkdir()
    room = [0]
    for room[0], verdict in ((0, "failed"), (500 * 2**20, "note"), (2 * 2**30, "ok")):
        code, found = findings(capsys)
        assert (found["datastore"]["verdict"], code) == (verdict, int(verdict == "failed"))
        assert str(store) in found["datastore"]["detail"]
        assert found["disk"]["verdict"] == "ok" and str(store) not in found["disk"]["detail"]
        if verdict == "failed":
            assert "is full" in found["datastore"]["detail"]
            assert "results wait on the workers" in found["datastore"]["remedy"]


def test_a_deployed_brokers_files_make_a_mosquitto_that_lets_this_boss_in(
    tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state.mkdir()
    store = Store(f"sqlite:///{state / 'ecloud.db'}", cluster="c1")
    store.open()
    store.close()
    files, port = tmp_path / "broker", free_port()
    command = ["deploy", "broker", "localhost", "--port", str(port), "--to", str(files), "--at", str(files)]
    assert doctor.run(command) == 0
    assert 'host = "localhost"' in capsys.readouterr().out
    user = "user root\n" if os.geteuid() == 0 else ""
    (files / "mosquitto.conf").write_text(f"{user}persistence true\ninclude_dir {files / 'conf.d'}\n")
    (files / "conf.d").mkdir()
    (files / "ecloud.conf").rename(files / "conf.d" / "ecloud.conf")
    program = find_program("mosquitto", "mosquitto")
    server = Daemon("mosquitto", tmp_path / "run", lambda _port: [program, "-c", str(files / "mosquitto.conf")], port)
    server.start()
    events: queue.Queue[Event] = queue.Queue()

    def put(event: Event) -> bool:
        events.put(event)
        return True

    link = MqttBroker("localhost", port, Authority(state / "pki").boss(), "c1", 1, lambda _worker, _chunk: None)
    link.start(put)
    assert events.get(timeout=10) == BrokerConnected()
    link.stop()
    server.stop()


def test_a_broker_cannot_be_deployed_before_the_cluster_has_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run(["deploy", "broker", "localhost", "--to", str(tmp_path / "broker")]) == 1
    assert "start it once" in capsys.readouterr().err
