"""Certificates of others: which can be used, and what is said about those that cannot. Renewal of our own, with somebody connected."""

import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from boss.adapters import tls
from boss.adapters.certificates import BOSS, Authority, Gate
from boss.adapters.daemons import broker_names, mosquitto
from boss.adapters.keys import ssh_private
from boss.adapters.tls import CertificateError
from boss.api.serving import Served
from boss.keeping import Keeping
from tests.servers import CLUSTER, eventually, mqtt_client

DAY = 86400.0
GATE = Gate("127.0.0.1", 2222, "ecloud", "ssh-ed25519 AAAA", "/gate.pyz", "/data")


class Signer:
    """A CA as an institute has it, and what it signs."""

    def __init__(self, folder: Path, name: str = "institute") -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(name, self.key.public_key(), name, (), -1, 3650, ca=True)
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(pem(self.certificate))

    def server(self, *names: str, begins: float = -1, ends: float = 90, file: str = "server") -> tuple[Path, Path]:
        """Certificate and key for these names; days from now."""
        key = rsa.generate_private_key(65537, 2048)
        made = self._sign("server", key.public_key(), None, names, begins, ends)
        paths = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        paths[0].write_bytes(pem(made))
        form = serialization.PrivateFormat.TraditionalOpenSSL
        paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        return paths

    def _sign(self, name: str, key, issuer: str | None, names, begins: float, ends: float, ca: bool = False) -> x509.Certificate:  # type: ignore[no-untyped-def]
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(
                self.certificate.subject if issuer is None else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
            )
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=begins))
            .not_valid_after(now + timedelta(days=ends))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path)


def refused(*arguments: object) -> str:
    with pytest.raises(CertificateError) as raised:
        tls.check(*arguments)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    return str(raised.value)


# ---- certificates of the settings ----------------------------------------------------------------------------------------


def test_a_certificate_that_fits_is_taken_with_and_without_its_ca(signer: Signer) -> None:
    certificate, key = signer.server("boss.example.org", "*.cloud.example.org")
    for ca in (None, signer.ca):
        for host in ("", "boss.example.org", "BOSS.example.org", "a.cloud.example.org"):
            assert tls.check(certificate, key, ca, host, "[api]").days(time.time()) == pytest.approx(90, abs=1)


def test_each_thing_that_is_wrong_is_one_sentence_with_file_and_remedy(signer: Signer, tmp_path: Path) -> None:
    certificate, key = signer.server("boss.example.org")
    other, other_key = signer.server("boss.example.org", file="other")
    missing = tmp_path / "missing.pem"
    assert refused(missing, key, None, "", "[api]").startswith(f"[api] certificate: {missing}: No such file")
    assert refused(certificate, missing, None, "", "[api]").startswith(f"[api] key: {missing}: No such file")
    assert "is no certificate in PEM form" in refused(key, key, None, "", "[api]")
    assert "is no private key in PEM form" in refused(certificate, certificate, None, "", "[api]")
    assert f"{other_key} is not the key of {certificate}" in refused(certificate, other_key, None, "", "[api]")
    said = refused(certificate, key, None, "ecloud.example.org", "[api]")
    assert "is for boss.example.org, not for ecloud.example.org" in said and "public_url" in said
    assert other.exists()


def test_expired_and_not_yet_valid_are_told_with_the_day(signer: Signer) -> None:
    certificate, key = signer.server("b", begins=-10, ends=-1)
    assert "expired on 2" in refused(certificate, key, None, "b", "[api]")
    certificate, key = signer.server("b", begins=1, ends=10)
    assert "clock" in refused(certificate, key, None, "b", "[api]")


def test_a_certificate_of_another_ca_is_refused(signer: Signer, tmp_path: Path) -> None:
    certificate, key = signer.server("b")
    stranger = Signer(tmp_path, "stranger")
    assert f"is not signed by {stranger.ca}" in refused(certificate, key, stranger.ca, "b", "[api]")
    twin = tmp_path / "twin"
    twin.mkdir()
    assert "is not signed by" in refused(certificate, key, Signer(twin).ca, "b", "[api]")  # the same name, another key


def test_a_key_with_a_passphrase_is_refused_in_words(signer: Signer, tmp_path: Path) -> None:
    certificate, _ = signer.server("b")
    locked = tmp_path / "locked.key"
    best = serialization.BestAvailableEncryption(b"secret")
    locked.write_bytes(signer.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, best))
    said = refused(certificate, locked, None, "b", "[api]")
    assert "passphrase" in said and "secret" not in said


def test_a_pin_is_the_digest_of_the_ca_and_of_nothing_else(signer: Signer, tmp_path: Path) -> None:
    pin = tls.pin_of(signer.ca)
    assert pin.startswith("sha256=") and len(pin) == len("sha256=") + 43
    assert tls.pin_of(Signer(tmp_path, "stranger").ca) != pin


# ---- renewal -------------------------------------------------------------------------------------------------------------


class Past:
    """A clock that first tells a time long ago."""

    def __init__(self, days: float) -> None:
        self.ago = days * DAY

    def __call__(self) -> float:
        return time.time() - self.ago


def shown(port: int, ca: Path) -> str:
    """The fingerprint of what a TLS server shows to somebody new."""
    context = ssl.create_default_context(cafile=str(ca))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as link,
        context.wrap_socket(link, server_hostname="127.0.0.1") as secure,
    ):
        data = secure.getpeercert(binary_form=True)
    assert data is not None
    return x509.load_der_x509_certificate(data).fingerprint(hashes.SHA256()).hex()


def test_the_broker_shows_a_renewed_certificate_and_whoever_is_connected_stays(tmp_path: Path) -> None:
    clock = Past(250)
    authority = Authority(tmp_path / "pki", clock)
    daemon = mosquitto(tmp_path / "mosquitto", authority, CLUSTER)
    daemon.start()
    try:
        keeping = Keeping(authority, 365 * DAY)
        keeping.broker(daemon, broker_names(None))
        clock.ago = 0.0  # credentials of now
        worker = mqtt_client(daemon, authority.issue_tls("w1", tmp_path / "w1", 1.0))
        ends: list[object] = []
        worker.on_disconnect = lambda *said: ends.append(said)
        before, pid = shown(daemon.port, authority.ca), daemon.pid
        clock.ago = 240 * DAY
        keeping.look()
        assert shown(daemon.port, authority.ca) == before  # it was not time yet
        clock.ago = 0.0
        keeping.look()
        eventually(lambda: shown(daemon.port, authority.ca) != before)
        assert worker.is_connected() and not ends and daemon.pid == pid
        worker.disconnect()
        worker.loop_stop()
    finally:
        daemon.stop()


def test_a_server_shows_a_renewed_certificate_to_those_who_come_and_keeps_those_who_are_there(tmp_path: Path) -> None:
    clock = Past(250)
    authority = Authority(tmp_path / "pki", clock)
    files = authority.api(["127.0.0.1"])

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with Served(app, listener, files) as served:
        context = ssl.create_default_context(cafile=str(authority.ca))
        with socket.create_connection(("127.0.0.1", port)) as link, context.wrap_socket(link, server_hostname="127.0.0.1") as old:
            before = shown(port, authority.ca)
            assert not served.renew()
            clock.ago = 0.0
            authority.api(["127.0.0.1"])
            assert served.renew() and shown(port, authority.ca) != before
            old.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert old.recv(100).startswith(b"HTTP/1.1 204")


def test_files_that_do_not_fit_are_not_shown_and_the_old_ones_are(signer: Signer, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    files = authority.api(["127.0.0.1"])

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        """Nobody asks."""

    listener = socket.create_server(("127.0.0.1", 0))
    with Served(app, listener, files) as served:
        before = shown(listener.getsockname()[1], authority.ca)
        files.key.write_bytes(signer.server("b")[1].read_bytes())
        with pytest.raises(OSError):
            served.renew()
        assert shown(listener.getsockname()[1], authority.ca) == before


def test_logins_are_signed_again_for_the_same_keys(tmp_path: Path) -> None:
    clock = Past(250)
    authority = Authority(tmp_path / "pki", clock)
    authority.boss_login(GATE)
    worker = authority.issue_worker("w1", tmp_path / "w1", 0.0, GATE)
    login = authority.folder / "boss-login"
    kept = [worker.tls.key, worker.ssh.key, login / "key"]
    renewed = [worker.tls.certificate, worker.ssh.certificate, login / "key-cert.pub"]
    before = [path.read_bytes() for path in kept], [path.read_bytes() for path in renewed]
    clock.ago = 240 * DAY
    assert not authority.renew_login(login, GATE, BOSS) and not authority.renew_worker("w1", tmp_path / "w1", GATE)
    clock.ago = 0.0
    assert authority.renew_login(login, GATE, BOSS) and authority.renew_worker("w1", tmp_path / "w1", GATE)
    assert [path.read_bytes() for path in kept] == before[0]
    assert all(path.read_bytes() != old for path, old in zip(renewed, before[1], strict=True))
    assert tls.look(worker.tls.certificate).days(time.time()) == pytest.approx(365, abs=1)
    assert not authority.renew_worker("w1", tmp_path / "w1", GATE)


def test_a_workers_two_certificates_are_made_again_for_its_keys_from_the_half_of_their_life_on(tmp_path: Path) -> None:
    clock = Past(10)
    authority = Authority(tmp_path / "pki", clock)
    files = authority.issue_worker("w1", tmp_path / "w1", 96.0, GATE)
    old = files.tls.certificate.read_text(), files.ssh.certificate.read_text()
    clock.ago = 9 * DAY
    assert authority.worker_again("w1", *old, GATE, 3600.0) is None
    clock.ago = 0.0
    new = authority.worker_again("w1", *old, GATE, 3600.0)
    assert new is not None
    for path, text in zip((files.tls.certificate, files.ssh.certificate), new, strict=True):
        path.write_text(text)
    private = serialization.load_pem_private_key(files.tls.key.read_bytes(), None)
    assert private.public_key() == x509.load_pem_x509_certificate(new[0].encode()).public_key()
    assert new[1].split()[1] != old[1].split()[1] and 0 < tls.look(files.tls.certificate).days(time.time()) < 0.05
    login = serialization.load_ssh_public_identity(new[1].encode())
    assert isinstance(login, serialization.SSHCertificate) and login.key_id == b"worker:w1"
    assert login.public_key() == ssh_private(files.ssh.key).public_key()
    with pytest.raises(ValueError, match="PEM"):
        authority.worker_again("w1", "nothing", old[1], GATE, 3600.0)


def test_no_certificates_are_made_again_for_keys_that_this_ca_has_not_certified_for_that_worker(tmp_path: Path) -> None:
    clock = Past(10)
    authority, other = Authority(tmp_path / "pki", clock), Authority(tmp_path / "other", clock)
    ours, anothers = (authority.issue_worker(name, tmp_path / name, 96.0, GATE) for name in ("w1", "w2"))
    foreign, boss = other.issue_worker("w1", tmp_path / "foreign", 96.0, GATE), authority.boss_login(GATE)
    clock.ago = 0.0
    good = ours.tls.certificate.read_text(), ours.ssh.certificate.read_text()
    assert authority.worker_again("w1", *good, GATE, 3600.0) is not None
    for certificate in (anothers.tls.certificate, foreign.tls.certificate, authority.ca, authority.boss().certificate):
        with pytest.raises(ValueError, match="ertificate"):
            authority.worker_again("w1", certificate.read_text(), good[1], GATE, 3600.0)
    changed = good[1].split()
    changed[1] = changed[1][:-40] + ("A" if changed[1][-40] != "A" else "B") + changed[1][-39:]
    for login in (
        anothers.ssh.certificate.read_text(),
        foreign.ssh.certificate.read_text(),
        boss.certificate.read_text(),
        " ".join(changed),
    ):
        with pytest.raises(ValueError, match="certificate"):
            authority.worker_again("w1", good[0], login, GATE, 3600.0)


def test_a_short_lifetime_is_renewed_at_two_thirds_of_it_and_not_all_the_time(tmp_path: Path) -> None:
    now = [1_900_000_000.0]
    authority = Authority(tmp_path / "pki", lambda: now[0], lifetime=60.0)
    first = authority.api(["a"]).certificate.read_bytes()
    now[0] += 35
    assert authority.api(["a"]).certificate.read_bytes() == first
    now[0] += 10
    assert authority.api(["a"]).certificate.read_bytes() != first
