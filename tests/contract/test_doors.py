"""What a boss with VMs opens at its address besides loopback, and under which names its certificates are good."""

import getpass
import socket
import ssl
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

import settings
from boss import config
from boss.adapters.certificates import Authority, Gate
from boss.adapters.certifier import WorkerCertifier
from boss.adapters.daemons import DaemonError, Outer, mosquitto, sshd
from boss.adapters.sockets import free_port
from boss.adapters.worker_config import WorkerTerms
from boss.config import BossConfig, Machine, OutsideBroker, VmDoors
from boss.vms import Doors
from tests.servers import CLUSTER, mqtt_client, ssh

#: Another address of every Linux machine.
OTHER = "127.0.0.2"


def made(folder: Path, **doors: object) -> BossConfig:
    made = config.make(settings.Settings(), None, Machine(2, 1 << 30, 1 << 30))
    ports = {"join_port": free_port(OTHER), "broker_port": free_port(OTHER), "gate_port": free_port(OTHER)}
    return replace(made, state=folder, vms=VmDoors(**{"address": OTHER, **ports, **doors}))  # type: ignore[arg-type]


def own_terms(authority: Authority) -> WorkerTerms:
    """What workers of this machine are told."""
    return WorkerTerms(CLUSTER, "127.0.0.1", 18883, authority.ca.read_text(), 2.0, 60.0, 3600.0, 1 << 30)


def test_the_broker_is_reached_at_the_outer_address_with_a_certificate_that_names_it(
    tmp_path: Path, authority: Authority
) -> None:
    outer = Outer(OTHER, OTHER, free_port(OTHER))
    daemon = mosquitto(tmp_path / "mosquitto", authority, CLUSTER, outer=outer)
    daemon.start()
    try:
        tls = authority.issue_tls("w1", tmp_path / "w1", 1)
        inside = mqtt_client(daemon, authority.boss(), "inside")
        daemon_port, daemon.host, daemon.port = daemon.port, outer.name, outer.port
        outside = mqtt_client(daemon, tls, "outside")
        with pytest.raises(OSError), socket.create_connection((OTHER, daemon_port), 1):
            pass
        with pytest.raises((ssl.SSLError, OSError)):
            context = ssl.create_default_context(cafile=str(tls.ca))
            with context.wrap_socket(socket.create_connection((OTHER, outer.port), 5), server_hostname=OTHER) as link:
                link.sendall(b"\x10")  # whoever has no certificate is not talked to
                assert link.recv(1)
        for client in (inside, outside):
            client.disconnect()
            client.loop_stop()
    finally:
        daemon.stop()


def test_the_gate_is_reached_at_the_outer_address_with_its_pinned_key(tmp_path: Path, authority: Authority) -> None:
    outer = Outer(OTHER, OTHER, free_port(OTHER))
    daemon = sshd(tmp_path / "sshd", authority, outer=outer)
    daemon.start()
    try:
        gate = Gate(outer.name, outer.port, getpass.getuser(), authority.host_key_public, "/nowhere.pyz", "/data", "echo")
        files = authority.issue_login(tmp_path / "login", gate, "worker:w1", 3600)
        daemon.host, daemon.port = outer.name, outer.port
        told = ssh(daemon, gate, files)
        assert told.stdout == "/nowhere.pyz --root /data --caller worker:w1\n", told.stderr
    finally:
        daemon.stop()


@pytest.mark.parametrize("start", ["broker", "gate"])
def test_a_port_that_another_program_has_is_named_with_its_setting(tmp_path: Path, authority: Authority, start: str) -> None:
    with socket.create_server((OTHER, 0)) as taken:
        outer = Outer(OTHER, OTHER, taken.getsockname()[1])
        daemon = (
            mosquitto(tmp_path, authority, CLUSTER, outer=outer) if start == "broker" else sshd(tmp_path, authority, outer=outer)
        )
        with pytest.raises(DaemonError, match=f"cannot listen for VMs on {OTHER}:.*choose another {start}_port"):
            daemon.start()
        daemon.stop()


def test_an_address_of_version_6_is_written_as_sshd_reads_it() -> None:
    assert Outer("::1", "::1", 2222).shown == "[::1]:2222"


def test_doors_say_where_everything_is_for_vms(tmp_path: Path, authority: Authority) -> None:
    settings = made(tmp_path)
    doors = Doors(settings, {})
    assert (doors.broker, doors.sshd) == (
        Outer(OTHER, OTHER, settings.vms.broker_port),
        Outer(OTHER, OTHER, settings.vms.gate_port),
    )
    own = Gate("127.0.0.1", 22022, "eva", authority.host_key_public, "/gate.pyz", "/data")
    assert doors.gate(own) == replace(own, host=OTHER, port=settings.vms.gate_port)
    outside = replace(own, host="store.example.org")
    assert doors.gate(outside) == outside
    terms = own_terms(authority)
    assert doors.terms(terms) == replace(terms, broker_host=OTHER, broker_port=settings.vms.broker_port)
    outside_broker = replace(settings, broker=OutsideBroker("mqtt.example.org", 8883, None, None, None))
    assert Doors(outside_broker, {}).terms(terms) == terms
    assert Doors(settings, {"boss_address": "127.0.0.3"}).address.host == "127.0.0.3"


def test_the_join_door_speaks_https_under_the_boss_own_ca_and_closes_with_the_stack(tmp_path: Path, authority: Authority) -> None:
    settings = made(tmp_path)
    doors = Doors(settings, {})
    bundle = tmp_path / "worker-0.pyz"
    bundle.write_bytes(b"bundle")
    gate = Gate("127.0.0.1", 1, "eva", authority.host_key_public, "/gate.pyz", "/data")
    certifier = WorkerCertifier(authority, lambda: gate, 60.0)
    with ExitStack() as stack:
        doors.open(None, authority, certifier, lambda: gate, doors.terms(own_terms(authority)), bundle, stack)  # type: ignore[arg-type]
        context = ssl.create_default_context(cafile=str(authority.ca))
        with context.wrap_socket(socket.create_connection((OTHER, settings.vms.join_port), 5), server_hostname=OTHER) as link:
            link.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert link.recv(12) == b"HTTP/1.1 404"
    with pytest.raises(OSError):
        socket.create_connection((OTHER, settings.vms.join_port), 1)


def test_a_join_port_that_is_taken_is_one_sentence(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "bundle").write_bytes(b"bundle")
    with socket.create_server((OTHER, 0)) as taken, ExitStack() as stack:
        doors = Doors(made(tmp_path, join_port=taken.getsockname()[1]), {})
        with pytest.raises(DaemonError, match="choose another join_port"):
            doors.open(None, authority, None, None, own_terms(authority), tmp_path / "bundle", stack)  # type: ignore[arg-type]


def test_a_boss_whose_pools_are_all_of_this_machine_has_no_doors(tmp_path: Path) -> None:
    assert not made(tmp_path).has_vms


def test_an_address_that_somebody_has_said_opens_doors_for_hosts_without_any_pool_of_vms(tmp_path: Path) -> None:
    silent = made(tmp_path, address="")
    assert not silent.opens_doors("") and silent.opens_doors("boss.example.org")
    assert made(tmp_path).opens_doors("")
