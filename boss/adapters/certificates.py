"""The private certificate authority: TLS certificates for the broker, SSH certificates for the datastore's gate.

Rules:
- Everything lies in one folder of mode 0700, keys in files of mode 0600; it is made at the first start and kept.
- A TLS certificate's common name is the account at the broker: ``boss``, ``listener.NAME``, or the worker's id.
- An SSH certificate opens one thing: the gate, as one caller. The caller is in its forced command, which sshd enforces;
  it carries no extension, so there is no terminal and no forwarding.
- Certificates are backdated by an hour, for clocks that are off.
- The boss's own certificates (``server``, ``api``, ``boss``, its log-in, those of local workers) are made anew when less than a third of
  their life is left: at a start, and by whoever calls these methods again while the boss runs. What has a reader keeps its key.
"""

import ipaddress
import os
import re
import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from boss.adapters.keys import openssh, pem, public_line, read_public_key, ssh_key, ssh_private, write_private
from boss.core.tokens import ACCESS, Role, check_name
from boss.ports import Access

#: The broker account of the boss.
BOSS = "boss"
#: How the broker accounts begin that may read events and nothing else.
LISTENER = "listener"
#: The SSH principal that every certificate for a gate carries; what login it opens is the host's to say.
PRINCIPAL = "ecloud"

_HOUR = 3600.0
_YEAR = 365 * 24 * _HOUR
_BACKDATED = _HOUR
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_account(name: str) -> bool:
    """Whether an account at the broker can be called that."""
    return _ACCOUNT.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a program needs to speak mutual TLS with the broker: paths of PEM files."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class SshFiles:
    """What a program needs to log in at the gate: paths of an OpenSSH key, its certificate and a known_hosts file."""

    key: Path
    certificate: Path
    known_hosts: Path


@dataclass(frozen=True, slots=True)
class WorkerFiles:
    """All credentials of one worker."""

    tls: TlsFiles
    ssh: SshFiles


@dataclass(frozen=True, slots=True)
class Gate:
    """Where the datastore's gate is and what runs it there.

    ``host_key`` is the host's public key as ``<type> <base64>``; ``program`` the gate's bundle and ``root`` the
    datastore's folder, both as paths on that host; ``python`` what starts the bundle.
    """

    host: str
    port: int
    user: str
    host_key: str
    program: str
    root: str
    python: str = "python3"

    def command(self, caller: str, token: str = "") -> str:
        """The forced command for a caller: ``boss``, ``worker:<id>`` or ``<role>:<name>``, who may be kept out by the ``token``'s id."""
        known_by = ["--token", token] if token else []
        return shlex.join([self.python, self.program, "--root", self.root, "--caller", caller, *known_by])

    def known_hosts(self) -> str:
        """The text of a known_hosts file that pins the host's key."""
        name = self.host if self.port == 22 else f"[{self.host}]:{self.port}"
        return f"{name} {self.host_key}\n"


class Authority:
    """The private CA in ``folder``; made there when it does not exist. ``clock`` tells Unix seconds.

    ``lifetime``, in seconds, is that of the boss's own certificates.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time, lifetime: float = _YEAR) -> None:
        self.folder = folder
        self._lifetime = lifetime
        self.ca = folder / "ca.pem"
        self.host_key = folder / "ssh_host_key"
        self._clock = clock
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._ca_key = self._tls_authority()
        self._ca_certificate = x509.load_pem_x509_certificate(self.ca.read_bytes())
        self._ssh_ca = ssh_key(folder / "ssh_ca")
        ssh_key(self.host_key)

    @property
    def ssh_ca_public(self) -> str:
        """The public key of the SSH user CA, as ``ssh-ed25519 <base64>``."""
        return public_line(self._ssh_ca)

    @property
    def ssh_ca_file(self) -> Path:
        """The file with that key, for sshd's TrustedUserCAKeys."""
        return self.folder / "ssh_ca.pub"

    @property
    def host_key_public(self) -> str:
        """The public host key of the private sshd, as ``ssh-ed25519 <base64>``."""
        return public_line(ssh_key(self.host_key))

    def server(self, names: Sequence[str]) -> TlsFiles:
        """The broker's own certificate for these host names and addresses; kept while it fits and is not too old."""
        return self._own("server", "broker", ExtendedKeyUsageOID.SERVER_AUTH, names)

    def api(self, names: Sequence[str]) -> TlsFiles:
        """The API's own certificate for these host names and addresses; kept while it fits and is not too old."""
        return self._own("api", "api", ExtendedKeyUsageOID.SERVER_AUTH, names)

    def issue_server(self, names: Sequence[str], folder: Path, hours: float) -> TlsFiles:
        """A new key and certificate for a broker on another host, with the CA's certificate, in ``folder``."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = TlsFiles(folder / "ca.pem", folder / "server.pem", folder / "server.key")
        write_private(files.ca, self.ca.read_bytes())
        self._issue_tls(files, "broker", ExtendedKeyUsageOID.SERVER_AUTH, hours * _HOUR, names)
        return files

    def boss(self) -> TlsFiles:
        """The boss's certificate for the broker; kept while it is not too old."""
        return self._own("boss", BOSS, ExtendedKeyUsageOID.CLIENT_AUTH)

    def boss_login(self, gate: Gate) -> SshFiles:
        """The boss's own login at the gate, made anew for each call (one per start)."""
        return self.issue_login(self.folder / "boss-login", gate, BOSS, self._lifetime)

    def renew_login(self, folder: Path, gate: Gate, caller: str) -> bool:
        """Sign the key of a login again when less than a third of its certificate's life is left; whether that was so."""
        path = folder / "key-cert.pub"
        certificate = serialization.load_ssh_public_identity(path.read_bytes())
        if not isinstance(certificate, serialization.SSHCertificate):
            raise ValueError(f"{path} is no SSH certificate")
        if self._young(certificate.valid_after, certificate.valid_before):
            return False
        public = public_line(ssh_private(folder / "key"))
        write_private(path, self.ssh_certificate(public, caller, gate.command(caller), self._lifetime).encode())
        return True

    def issue_tls(self, account: str, folder: Path, hours: float) -> TlsFiles:
        """A new key and certificate for a broker account, written to ``folder`` together with the CA's certificate.

        Raises ValueError for a name that no account may have.
        """
        if not _ACCOUNT.fullmatch(account):
            raise ValueError(f"{account!r} is no name for a broker account: letters, digits, '.', '_' and '-', at most 64")
        files = TlsFiles(folder / "ca.pem", folder / "tls.pem", folder / "tls.key")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(files.ca, self.ca.read_bytes())
        self._issue_tls(files, account, ExtendedKeyUsageOID.CLIENT_AUTH, hours * _HOUR)
        return files

    def tls_certificate(self, public_key: str, worker: str, seconds: float) -> str:
        """Sign a worker's own TLS key (ECDSA, in OpenSSH's form) for its account at the broker; PEM.

        Raises ValueError for what is no such key, and for a name that is not a worker's to have.
        """
        if is_reserved(worker) or not _ACCOUNT.fullmatch(worker):
            raise ValueError(f"{worker!r} is no name of a worker")
        key = read_public_key(public_key)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError("a TLS key of type ecdsa-sha2-nistp256 is wanted")
        certificate = self._signed(key, worker, ExtendedKeyUsageOID.CLIENT_AUTH, seconds)
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def listener_certificate(self, public_key: str, name: str, seconds: float) -> tuple[str, int, float]:
        """Sign a listener's own TLS key (ECDSA, in OpenSSH's form): the PEM, its serial number, and when it ends.

        Raises ValueError for what is no such key.
        """
        key = read_public_key(public_key)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError("a TLS key of type ecdsa-sha2-nistp256 is wanted")
        made = self._signed(key, listener_account(name), ExtendedKeyUsageOID.CLIENT_AUTH, seconds)
        return made.public_bytes(serialization.Encoding.PEM).decode(), made.serial_number, made.not_valid_after_utc.timestamp()

    def crl(self) -> Path:
        """The file with the revoked certificates, for the broker; an empty list at first."""
        path = self.folder / "crl.pem"
        if not path.exists():
            self.write_crl([])
        return path

    def write_crl(self, serials: Iterable[int]) -> None:
        """Revoke the certificates with these serial numbers, and no others. The list is valid as long as the CA: it is no news."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._ca_certificate.subject)
            .last_update(now - timedelta(seconds=_BACKDATED))
            .next_update(self._ca_certificate.not_valid_after_utc)
            .add_extension(x509.CRLNumber(int(self._clock() * 1000)), critical=False)
        )
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            builder = builder.add_revoked_certificate(revoked)
        write_private(
            self.folder / "crl.pem", builder.sign(self._ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )

    def issue_worker(self, worker: str, folder: Path, hours: float, gate: Gate) -> WorkerFiles:
        """All credentials of a worker, written to ``folder``; ``hours`` 0 means as long as the boss's own.

        The files: ``ca.pem``, ``tls.pem``, ``tls.key``; ``key``, ``key-cert.pub``, ``known_hosts``.

        Raises ValueError for a name that is not a worker's to have.
        """
        if is_reserved(worker):
            raise ValueError(f"a worker cannot be called {worker!r}: the name is taken")
        hours = hours or self._lifetime / _HOUR
        tls = self.issue_tls(worker, folder, hours)
        return WorkerFiles(tls, self.issue_login(folder, gate, f"worker:{worker}", hours * _HOUR))

    def renew_worker(self, worker: str, folder: Path, gate: Gate) -> bool:
        """Sign a worker's keys in ``folder`` again when less than a third of their certificates' life is left; whether that was so.

        Raises OSError or ValueError for files that cannot be used.
        """
        path = folder / "tls.pem"
        renewed = not self._still_good(path)
        if renewed:
            key = serialization.load_pem_private_key((folder / "tls.key").read_bytes(), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{folder / 'tls.key'} is not an elliptic curve key")
            certificate = self._signed(key.public_key(), worker, ExtendedKeyUsageOID.CLIENT_AUTH, self._lifetime)
            write_private(path, certificate.public_bytes(serialization.Encoding.PEM))
        return self.renew_login(folder, gate, f"worker:{worker}") or renewed

    def worker_again(self, worker: str, tls: str, ssh: str, gate: Gate, seconds: float) -> tuple[str, str] | None:
        """New certificates for the keys of a worker's two (TLS in PEM, SSH as in a ``-cert.pub`` file); None while half their life is left.

        They come from a host that may be anybody's by now: only a key that this CA has certified for this worker before is signed again.
        Raises ValueError for what is no such certificate.
        """
        caller = f"worker:{worker}"
        try:
            old = x509.load_pem_x509_certificate(tls.encode())
            login = serialization.load_ssh_public_identity(ssh.encode())
            key = old.public_key()
            old.verify_directly_issued_by(self._ca_certificate)
            if not isinstance(login, serialization.SSHCertificate) or not isinstance(key, ec.EllipticCurvePublicKey):
                raise ValueError("an SSH certificate and a TLS certificate of an elliptic curve key are wanted")
            login.verify_cert_signature()
            ours = login.signature_key() == self._ssh_ca.public_key()
        except (InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion, TypeError) as error:
            raise ValueError(f"these certificates are not of this CA ({type(error).__name__})") from None
        if not ours or old.subject != _name(worker) or login.key_id != caller.encode():
            raise ValueError(f"these certificates are not those that this CA has signed for {worker}")
        lives = (
            (old.not_valid_before_utc.timestamp(), old.not_valid_after_utc.timestamp()),
            (login.valid_after, login.valid_before),
        )
        if all((start + _BACKDATED + end) / 2 > self._clock() for start, end in lives):
            return None
        form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        tls_key, ssh_key = (one.public_bytes(*form).decode() for one in (key, login.public_key()))
        return (
            self.tls_certificate(tls_key, worker, seconds),
            self.ssh_certificate(ssh_key, caller, gate.command(caller), seconds),
        )

    def ssh_certificate(self, public_key: str, caller: str, command: str, seconds: float) -> str:
        """Sign an OpenSSH public key for one caller of the gate; the text of a ``-cert.pub`` file.

        ``command`` is forced by sshd, whatever the client asks for. Raises ValueError for what is no public key.
        """
        now = self._clock()
        builder = (
            serialization.SSHCertificateBuilder()
            .public_key(read_public_key(public_key))
            .serial(int.from_bytes(os.urandom(8)))
            .type(serialization.SSHCertificateType.USER)
            .key_id(caller.encode())
            .valid_principals([PRINCIPAL.encode()])
            .valid_after(int(now - _BACKDATED))
            .valid_before(int(now + seconds))
            .add_critical_option(b"force-command", command.encode())
        )
        return builder.sign(self._ssh_ca).public_bytes().decode() + "\n"

    def issue_login(self, folder: Path, gate: Gate, caller: str, seconds: float) -> SshFiles:
        """A new SSH key with its certificate for one caller of the gate (``key``, ``key-cert.pub``, ``known_hosts``) in ``folder``."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = SshFiles(folder / "key", folder / "key-cert.pub", folder / "known_hosts")
        key = ed25519.Ed25519PrivateKey.generate()
        write_private(files.key, openssh(key))
        write_private(files.certificate, self.ssh_certificate(public_line(key), caller, gate.command(caller), seconds).encode())
        write_private(files.known_hosts, gate.known_hosts().encode())
        return files

    def _tls_authority(self) -> ec.EllipticCurvePrivateKey:
        path = self.folder / "ca.key"
        if path.exists() and self.ca.exists():
            key = serialization.load_pem_private_key(path.read_bytes(), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{path} is not an elliptic curve key; this folder was not made by ecloud")
            return key
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"ecloud CA {os.urandom(4).hex()}")
        certificate = (
            self._certificate(name, name, key.public_key(), 20 * _YEAR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        write_private(path, pem(key))
        write_private(self.ca, certificate.public_bytes(serialization.Encoding.PEM))
        return key

    def _own(self, name: str, account: str, usage: x509.ObjectIdentifier, alternatives: Sequence[str] = ()) -> TlsFiles:
        """One of the boss's own, in files of this name; made anew when it does not fit any more, or is too old."""
        files = TlsFiles(self.ca, self.folder / f"{name}.pem", self.folder / f"{name}.key")
        if not self._still_good(files.certificate, alternatives):
            self._issue_tls(files, account, usage, self._lifetime, alternatives)
        return files

    def _issue_tls(
        self, files: TlsFiles, account: str, usage: x509.ObjectIdentifier, seconds: float, names: Iterable[str] = ()
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(key.public_key(), account, usage, seconds, names)
        write_private(files.key, pem(key))
        write_private(files.certificate, certificate.public_bytes(serialization.Encoding.PEM))

    def _signed(
        self,
        key: ec.EllipticCurvePublicKey,
        account: str,
        usage: x509.ObjectIdentifier,
        seconds: float,
        names: Iterable[str] = (),
    ) -> x509.Certificate:
        builder = (
            self._certificate(_name(account), self._ca_certificate.subject, key, seconds)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca_key.public_key()), critical=False)
        )
        alternatives = [_alternative(name) for name in names]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(self._ca_key, hashes.SHA256())

    def _certificate(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, seconds: float
    ) -> x509.CertificateBuilder:
        now = datetime.fromtimestamp(self._clock(), UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(seconds=_BACKDATED))
            .not_valid_after(now + timedelta(seconds=seconds))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    def _still_good(self, path: Path, names: Sequence[str] = ()) -> bool:
        """Whether a certificate exists, is of this CA, has a third of its life left, fits its key and speaks for all these names.

        The key is another one where a boss was killed after it had written the new key, and before the certificate for it.
        """
        key = path.with_suffix(".key")
        if not path.exists() or not key.exists():
            return False
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        start, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
        if certificate.issuer != self._ca_certificate.subject or not self._young(start, end):
            return False
        if serialization.load_pem_private_key(key.read_bytes(), None).public_key() != certificate.public_key():
            return False
        if not names:
            return True
        known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return all(_alternative(name) in known for name in names)

    def _young(self, start: float, end: float) -> bool:
        """Whether a third of a certificate's life is left, and no more than new ones get."""
        left = end - self._clock()
        return (end - start - _BACKDATED) / 3 <= left <= self._lifetime + _HOUR


class GateIssuer:
    """Port ``Issuer``: hour-long SSH certificates for people's own keys, each as ``<role>:<name>``."""

    def __init__(
        self,
        authority: Authority,
        gate: Gate,
        seconds: float = ACCESS,
        clock: Callable[[], float] = time.time,
        shuts_out: Callable[[], bool] = lambda: True,
    ) -> None:
        """``shuts_out()``: whether the gate knows what a token is; one of an earlier version would refuse to start."""
        self._authority = authority
        self._gate = gate
        self._seconds = seconds
        self._clock = clock
        self._shuts_out = shuts_out

    def access(self, public_key: str, name: str, role: Role, until: float | None = None, token: str = "") -> Access:
        """Sign an OpenSSH public key for the datastore's gate as ``<role>:<name>``, for an hour, but not beyond the Unix time ``until``.

        ``token`` is the id of the token that it is given for: when that is revoked the gate lets it in no more.
        Raises ValueError for what is no key or no name.
        """
        now = self._clock()
        seconds = self._seconds if until is None else max(1.0, min(self._seconds, until - now))
        caller = f"{role.value}:{check_name(name)}"
        certificate = self._authority.ssh_certificate(
            public_key, caller, self._gate.command(caller, token if self._shuts_out() else ""), seconds
        )
        return Access(
            host=self._gate.host,
            port=self._gate.port,
            user=self._gate.user,
            certificate=certificate,
            known_hosts=self._gate.known_hosts(),
            expires=now + seconds,
        )


def listener_account(name: str) -> str:
    """The broker account of a listener."""
    return f"{LISTENER}.{name}"


def is_reserved(account: str) -> bool:
    """Whether no worker may be called so: it would have another's rights at the broker."""
    return account == BOSS or account.partition(".")[0] == LISTENER


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
