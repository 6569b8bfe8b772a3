"""The private CA: what it makes, keeps, renews and refuses."""

import stat
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from boss.adapters import tls
from boss.adapters.certificates import Authority, Gate, GateIssuer
from boss.core.tokens import Role

DAY = 86400.0
NOW = 1_700_000_000.0


def gate(authority: Authority, program: str = "/opt/gate.pyz") -> Gate:
    return Gate("127.0.0.1", 2222, "researcher", authority.host_key_public, program, "/data/my files")


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_folder_and_every_file_in_it_are_private(authority: Authority, tmp_path: Path) -> None:
    authority.server(["127.0.0.1"])
    authority.boss()
    authority.boss_login(gate(authority))
    authority.issue_worker("vm-1", tmp_path / "worker", 24, gate(authority))
    files = [*authority.folder.rglob("*"), *(tmp_path / "worker").rglob("*")]
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in files if path.is_file()} == {0o600}


def test_a_second_start_keeps_every_key(tmp_path: Path) -> None:
    first = Authority(tmp_path / "pki")
    before = first.ca.read_bytes(), first.ssh_ca_public, first.host_key_public, first.boss().certificate.read_bytes()
    second = Authority(tmp_path / "pki")
    assert before == (
        second.ca.read_bytes(),
        second.ssh_ca_public,
        second.host_key_public,
        second.boss().certificate.read_bytes(),
    )


def test_own_certificates_are_made_anew_when_less_than_a_third_of_their_life_is_left(tmp_path: Path) -> None:
    clock = [1_700_000_000.0]
    authority = Authority(tmp_path / "pki", lambda: clock[0])
    first = authority.boss().certificate.read_bytes()
    clock[0] += 240 * DAY
    assert authority.boss().certificate.read_bytes() == first
    clock[0] += 10 * DAY
    assert authority.boss().certificate.read_bytes() != first


def test_a_key_whose_certificate_was_not_written_any_more_gets_one(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    for files, made in (
        (authority.server(["127.0.0.1"]), lambda: authority.server(["127.0.0.1"])),
        (authority.api(["127.0.0.1"]), lambda: authority.api(["127.0.0.1"])),
        (authority.boss(), authority.boss),
    ):
        files.key.write_bytes(other.boss().key.read_bytes())  # the boss was killed between the two
        tls.server_context(made().certificate, files.key)  # raises for files that do not fit


def test_the_server_certificate_is_made_anew_for_a_new_name(authority: Authority) -> None:
    first = authority.server(["127.0.0.1"]).certificate.read_bytes()
    assert authority.server(["127.0.0.1"]).certificate.read_bytes() == first
    both = authority.server(["127.0.0.1", "boss.example.org"])
    assert both.certificate.read_bytes() != first
    names = read(both.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["boss.example.org"]


def test_a_workers_certificate_names_it_and_is_backdated_by_an_hour(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki", lambda: 1_700_000_000.0)
    files = authority.issue_worker("vm-7", tmp_path / "worker", 12, gate(authority))
    certificate = read(files.tls.certificate)
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "vm-7"
    assert certificate.not_valid_before_utc.timestamp() == 1_700_000_000 - 3600
    assert certificate.not_valid_after_utc.timestamp() == 1_700_000_000 + 12 * 3600
    certificate.verify_directly_issued_by(read(authority.ca))


@pytest.mark.parametrize("name", ["boss", "listener", "a/b", "+", "#", "", "x y", "a" * 65, "\n"])
def test_a_name_that_would_open_more_than_a_workers_topics_is_refused(authority: Authority, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError):
        authority.issue_worker(name, tmp_path / "worker", 1, gate(authority))
    assert not (tmp_path / "worker").exists()


def test_openssh_reads_the_certificate_with_its_forced_command_and_no_extensions(authority: Authority, tmp_path: Path) -> None:
    files = authority.issue_worker("vm-1", tmp_path / "worker", 24, gate(authority)).ssh
    shown = subprocess.run(["ssh-keygen", "-L", "-f", str(files.certificate)], capture_output=True, text=True, check=True).stdout
    assert "user certificate" in shown
    assert "force-command python3 /opt/gate.pyz --root '/data/my files' --caller worker:vm-1" in shown
    assert "Extensions: (none)" in shown
    assert files.known_hosts.read_text() == f"[127.0.0.1]:2222 {authority.host_key_public}\n"


@pytest.mark.parametrize("role", Role)
def test_a_persons_key_is_signed_for_an_hour_with_name_and_role(authority: Authority, tmp_path: Path, role: Role) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "id")], check=True)
    issuer = GateIssuer(authority, gate(authority), clock=lambda: 1000.0)
    access = issuer.access((tmp_path / "id.pub").read_text(), "ada", role)
    (tmp_path / "id-cert.pub").write_text(access.certificate)
    shown = subprocess.run(["ssh-keygen", "-L", "-f", str(tmp_path / "id-cert.pub")], capture_output=True, text=True, check=True)
    assert f"--caller {role}:ada\n" in shown.stdout
    assert f'Key ID: "{role}:ada"' in shown.stdout
    assert "Extensions: (none)" in shown.stdout
    assert (access.host, access.port, access.user, access.expires) == ("127.0.0.1", 2222, "researcher", 4600.0)


@pytest.mark.parametrize("text", ["", "nonsense", "ssh-ed25519 AAAA", "ssh-dss AAAA x", "-----BEGIN OPENSSH PRIVATE KEY-----"])
def test_what_is_no_key_is_refused_in_words(authority: Authority, text: str) -> None:
    with pytest.raises(ValueError, match="key"):
        GateIssuer(authority, gate(authority)).access(text, "ada", Role.VIEWER)


@pytest.mark.parametrize("owner", ["", "a b", "x; rm -rf /", "-o", "ada --caller boss", "ada:boss", "boss\n"])
def test_an_owner_that_is_no_name_is_refused(authority: Authority, owner: str) -> None:
    with pytest.raises(ValueError, match="owner"):
        GateIssuer(authority, gate(authority)).access(authority.host_key_public, owner, Role.VIEWER)


@pytest.mark.parametrize(("until", "expires"), [(None, 3600.0), (9999.0, 3600.0), (60.0, 60.0), (-100.0, 1.0)])
def test_a_certificate_does_not_outlive_its_token(tmp_path: Path, until: float | None, expires: float) -> None:
    authority = Authority(tmp_path / "pki", lambda: NOW)
    access = GateIssuer(authority, gate(authority), clock=lambda: NOW).access(
        authority.host_key_public, "ada", Role.VIEWER, until and NOW + until
    )
    assert access.expires == NOW + expires
    (tmp_path / "cert.pub").write_text(access.certificate)
    shown = subprocess.run(
        ["ssh-keygen", "-L", "-f", str(tmp_path / "cert.pub")], capture_output=True, text=True, check=True
    ).stdout
    end = datetime.fromtimestamp(NOW + expires).strftime("%Y-%m-%dT%H:%M:%S")
    assert f"to {end}" in shown
