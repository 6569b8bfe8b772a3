"""Local mode's mosquitto and sshd, for real: who gets in, what they may do, and that they come back."""

import getpass
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from boss.adapters import daemons, processes, sockets
from boss.adapters.certificates import Authority, Gate, SshFiles, TlsFiles
from boss.adapters.daemons import Daemon, DaemonError, find_program, mosquitto
from tests.servers import CLUSTER, eventually, mqtt_client, ssh
from worker.protocol import topic_events, topic_in, topic_out, topic_status


def inbox(client: mqtt.Client, topic: str) -> "queue.Queue[tuple[str, bytes]]":
    """Subscribe; the queue gets what arrives."""
    arrived: queue.Queue[tuple[str, bytes]] = queue.Queue()
    granted: queue.Queue[bool] = queue.Queue()
    client.on_message = lambda _client, _data, message: arrived.put((message.topic, bytes(message.payload)))
    client.on_subscribe = lambda *_arguments: granted.put(True)
    client.subscribe(topic, qos=1)
    granted.get(timeout=5)
    return arrived


def publish(client: mqtt.Client, topic: str, payload: bytes) -> str:
    """Publish with QoS 1; the broker's reason."""
    answered: queue.Queue[str] = queue.Queue()
    client.on_publish = lambda _client, _data, _mid, reason, _properties: answered.put(str(reason))
    client.publish(topic, payload, qos=1)
    return answered.get(timeout=5)


def account(authority: Authority, tmp_path: Path, name: str) -> TlsFiles:
    return authority.issue_tls(name, tmp_path / name, 1)


def gate(authority: Authority, daemon: Daemon) -> Gate:
    return Gate(daemon.host, daemon.port, getpass.getuser(), authority.host_key_public, "/nowhere/gate.pyz", "/nowhere", "echo")


# ---- mosquitto ---------------------------------------------------------------------------------------------------


def test_a_worker_hears_its_own_topic_and_never_anothers(authority: Authority, broker_server: Daemon, tmp_path: Path) -> None:
    boss = mqtt_client(broker_server, authority.boss())
    spy = mqtt_client(broker_server, account(authority, tmp_path, "vm-2"))
    heard = inbox(spy, "ecloud/#")
    publish(boss, topic_in(CLUSTER, "vm-1"), b"for one")
    publish(boss, topic_events(CLUSTER) + "/task", b"for listeners")
    publish(boss, topic_in(CLUSTER, "vm-2"), b"for two")
    assert heard.get(timeout=5) == (topic_in(CLUSTER, "vm-2"), b"for two")
    assert heard.empty()
    boss.disconnect(), spy.disconnect()
    boss.loop_stop(), spy.loop_stop()


def test_a_worker_writes_to_its_own_topics_only(authority: Authority, broker_server: Daemon, tmp_path: Path) -> None:
    worker = mqtt_client(broker_server, account(authority, tmp_path, "vm-2"))
    boss = mqtt_client(broker_server, authority.boss())
    heard = inbox(boss, "ecloud/#")
    for topic in (topic_out(CLUSTER, "vm-1"), topic_in(CLUSTER, "vm-2")):
        assert publish(worker, topic, b"forged") == "Not authorized"
    assert publish(worker, topic_out(CLUSTER, "vm-2"), b"mine") == "Success"
    assert publish(worker, topic_status(CLUSTER, "vm-2"), b"online") == "Success"
    assert [heard.get(timeout=5)[1] for _ in range(2)] == [b"mine", b"online"]
    assert heard.empty()
    boss.disconnect(), worker.disconnect()
    boss.loop_stop(), worker.loop_stop()


def test_nobody_gets_in_without_a_certificate_of_our_ca(authority: Authority, broker_server: Daemon, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "other").boss()
    for certificate, key in ((None, None), (str(stranger.certificate), str(stranger.key))):
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.tls_set(str(authority.ca), certificate, key)
        client.connect(broker_server.host, broker_server.port)  # TLS 1.3: the refusal comes after the handshake
        while client.loop(0.1) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            assert not client.is_connected()


def test_a_killed_broker_is_back_on_the_same_port(authority: Authority, broker_server: Daemon) -> None:
    port, first = broker_server.port, broker_server.pid
    begun = time.monotonic()
    os.kill(first, signal.SIGKILL)
    eventually(lambda: broker_server.pid not in (0, first))
    eventually(lambda: answers(broker_server))
    assert broker_server.port == port
    assert time.monotonic() - begun < 5
    client = mqtt_client(broker_server, authority.boss())
    client.disconnect()
    client.loop_stop()


def answers(daemon: Daemon) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((daemon.host, daemon.port)) == 0


# ---- the life of a daemon ----------------------------------------------------------------------------------------


def test_a_later_life_finds_the_same_port(authority: Authority, tmp_path: Path) -> None:
    first = mosquitto(tmp_path / "m", authority, CLUSTER)
    first.start()
    first.stop()
    second = mosquitto(tmp_path / "m", authority, CLUSTER)
    second.start()
    second.stop()
    assert second.port == first.port


def test_a_taken_port_is_given_up_for_another(authority: Authority, tmp_path: Path) -> None:
    first = mosquitto(tmp_path / "m", authority, CLUSTER)
    first.start()
    first.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((first.host, first.port))
        other.listen()
        second = mosquitto(tmp_path / "m", authority, CLUSTER)
        second.start()
        second.stop()
    assert second.port != first.port


def test_what_an_earlier_life_left_is_ended_first(authority: Authority, tmp_path: Path) -> None:
    left = mosquitto(tmp_path / "m", authority, CLUSTER)
    left.start()
    abandoned = processes.identify(left.pid)
    left._stopping.set()  # its watcher shall not bring it back: the earlier boss is dead
    again = mosquitto(tmp_path / "m", authority, CLUSTER)
    again.start()
    assert abandoned is not None and not processes.is_alive(abandoned)
    assert again.port == left.port
    again.stop()


def test_a_pid_file_of_a_process_that_is_not_ours_ends_nothing(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    bystander = subprocess.Popen(["sleep", "60"])
    (tmp_path / "m" / "pid").write_text(f"{bystander.pid}:1\n")
    daemon = mosquitto(tmp_path / "m", authority, CLUSTER)
    daemon.start()
    daemon.stop()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_daemons_end_when_the_boss_is_killed(authority: Authority, tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from boss.adapters.certificates import Authority\n"
        "from boss.adapters.daemons import mosquitto\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "daemon = mosquitto(folder / 'm', Authority(folder / 'pki'), 'c')\n"
        "daemon.start()\n"
        "print(daemon.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    boss = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert boss.stdout and boss.stdin
    child = processes.identify(int(boss.stdout.readline()))
    boss.kill()
    boss.wait()
    boss.stdout.close(), boss.stdin.close()
    assert child is not None
    eventually(lambda: not processes.is_alive(child))


def test_a_daemon_that_cannot_start_says_why(tmp_path: Path) -> None:
    daemon = Daemon("breaker", tmp_path / "b", lambda _port: ["/bin/sh", "-c", "echo no such luck >&2; exit 3"])
    with pytest.raises(DaemonError, match="breaker does not start: no such luck"):
        daemon.start()


def test_a_log_that_strangers_fill_is_put_aside_while_the_daemon_runs_and_it_goes_on_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemons, "_LONGEST_LOG", 1000)
    monkeypatch.setattr(daemons, "_LOOK", 0.05)
    folder = tmp_path / "b"
    program = (
        "import os, socket, sys; s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "while s.accept(): os.write(2, b'x' * 99 + b';')"
    )
    daemon = Daemon("babbler", folder, lambda port: [sys.executable, "-c", program, str(port)])
    daemon.start()
    try:
        pid = daemon.pid
        for _ in range(30):
            assert sockets.answers(daemon.port)
        eventually(lambda: (folder / "log.old").exists() and daemon.output.stat().st_size < 1000)
        assert sockets.answers(daemon.port)
        eventually(lambda: daemon.output.read_bytes().endswith(b"x;"))
        assert b"\0" not in daemon.output.read_bytes() and daemon.pid == pid
    finally:
        daemon.stop()


def test_a_missing_program_names_its_debian_package() -> None:
    with pytest.raises(DaemonError, match="apt install mosquitto"):
        find_program("no-such-mosquitto", "mosquitto")


# ---- sshd --------------------------------------------------------------------------------------------------------


def login(authority: Authority, where: Gate, tmp_path: Path, name: str) -> SshFiles:
    return authority.issue_worker(name, tmp_path / name, 1, where).ssh


def test_sshd_runs_the_certificates_command_and_no_other(authority: Authority, ssh_server: Daemon, tmp_path: Path) -> None:
    where = gate(authority, ssh_server)
    ran = ssh(ssh_server, where, login(authority, where, tmp_path, "vm-1"), "cat", "/etc/passwd")
    assert ran.stdout == "/nowhere/gate.pyz --root /nowhere --caller worker:vm-1\n", ran.stderr
    assert ran.returncode == 0


def test_a_certificate_opens_no_forwarding_and_no_terminal(authority: Authority, ssh_server: Daemon, tmp_path: Path) -> None:
    where = gate(authority, ssh_server)
    files = login(authority, where, tmp_path, "vm-1")
    forwarded = ssh(ssh_server, where, files, options=("-W", "127.0.0.1:22"))
    assert forwarded.returncode != 0
    assert "administratively prohibited" in forwarded.stderr
    assert "PTY allocation request failed" in ssh(ssh_server, where, files, options=("-tt",)).stderr


def test_a_key_without_certificate_and_a_foreign_certificate_are_refused(
    authority: Authority, ssh_server: Daemon, tmp_path: Path
) -> None:
    where = gate(authority, ssh_server)
    files = login(authority, where, tmp_path, "vm-1")
    files.certificate.unlink()
    assert "Permission denied" in ssh(ssh_server, where, files).stderr
    foreign = login(Authority(tmp_path / "other"), where, tmp_path, "vm-2")
    assert "Permission denied" in ssh(ssh_server, where, foreign).stderr


def test_an_expired_certificate_is_refused(authority: Authority, ssh_server: Daemon, tmp_path: Path) -> None:
    where = gate(authority, ssh_server)
    past = Authority(authority.folder, lambda: time.time() - 7300)
    files = past.issue_worker("vm-1", tmp_path / "vm-1", 1, where).ssh
    assert "Permission denied" in ssh(ssh_server, where, files).stderr


def test_another_host_key_is_noticed(authority: Authority, ssh_server: Daemon, tmp_path: Path) -> None:
    where = gate(authority, ssh_server)
    files = login(authority, where, tmp_path, "vm-1")
    files.known_hosts.write_text(f"[{where.host}]:{where.port} {Authority(tmp_path / 'other').host_key_public}\n")
    assert "Host key verification failed" in ssh(ssh_server, where, files).stderr


def test_a_shells_start_file_cannot_speak_into_the_gates_stream(authority: Authority, ssh_server: Daemon) -> None:
    where = gate(authority, ssh_server)
    files = authority.boss_login(where)
    public = subprocess.run(["ssh-keygen", "-y", "-f", str(files.key)], capture_output=True, text=True, check=True).stdout
    files.certificate.write_text(authority.ssh_certificate(public, "boss", "echo $SHLVL", 600))
    # bash reads ~/.bashrc for a command that comes by SSH only where it believes to be the first shell
    assert int(ssh(ssh_server, where, files).stdout) >= 2


def test_a_killed_sshd_is_back_on_the_same_port(authority: Authority, ssh_server: Daemon, tmp_path: Path) -> None:
    where = gate(authority, ssh_server)
    files = login(authority, where, tmp_path, "vm-1")
    first = ssh_server.pid
    os.kill(first, signal.SIGKILL)
    eventually(lambda: ssh_server.pid not in (0, first))
    assert eventually(lambda: ssh(ssh_server, where, files).returncode == 0)


def test_both_servers_work_as_an_ordinary_user() -> None:
    home = Path("/var/tmp") / f"ecloud-test-{os.getpid()}"
    home.mkdir(mode=0o700)
    become: list[str] = []  # without root we are an ordinary user already
    if os.geteuid() == 0:
        shutil.chown(home, "nobody", "nogroup")
        become = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    program = (
        "import pathlib, sys\n"
        "from boss.adapters.certificates import Authority\n"
        "from boss.adapters.daemons import mosquitto, sshd\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "authority = Authority(folder / 'pki')\n"
        "servers = [mosquitto(folder / 'm', authority, 'c'), sshd(folder / 's', authority)]\n"
        "for server in servers: server.start()\n"
        "print(*(server.port > 0 for server in servers), flush=True)\n"
        "for server in servers: server.stop()\n"
    )
    try:
        ran = subprocess.run(
            [*become, sys.executable, "-c", program, str(home)],
            capture_output=True,
            text=True,
            timeout=30,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert ran.stdout == "True True\n", ran.stderr
    finally:
        shutil.rmtree(home)
