"""TLS certificates that are looked at: what one says, whether one that somebody else signed can be used, how a CA is named.

Rules:
- What is wrong with a certificate of the settings is one sentence that names the file and the remedy; no key is ever in it.
- A CA is named by the SHA-256 of its certificate (DER), in base64url: short enough for an address, and whoever has it needs nothing else
  to know the boss.
"""

import base64
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

#: How a CA is written in the fragment of an address.
FRAGMENT = "sha256="


class CertificateError(ValueError):
    """A certificate, key or CA of the settings that cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a certificate says. Times are Unix seconds; ``fingerprint`` is the SHA-256 of it in hex, in pairs."""

    subject: str
    names: tuple[str, ...]
    begins: float
    ends: float
    fingerprint: str

    def days(self, now: float) -> float:
        """Days that are left."""
        return (self.ends - now) / 86400.0


def look(path: Path) -> Seen:
    """The first certificate in a PEM file. Raises CertificateError."""
    return _seen(_read(path, "certificate")[0])


def pin_of(ca: Path) -> str:
    """The fragment that names a CA: ``sha256=<base64url>``. Raises CertificateError."""
    data = _read(ca, "ca")[0].public_bytes(serialization.Encoding.DER)
    return FRAGMENT + base64.urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()


def check(certificate: Path, key: Path, ca: Path | None, host: str, setting: str, now: float | None = None) -> Seen:
    """Whether these files make a server that ``host`` (empty: any) can be; what the certificate says.

    ``setting`` is their table in the settings, such as ``[api]``. Raises CertificateError.
    """
    chain = _read(certificate, f"{setting} certificate")
    _check_key(chain[0], certificate, key, setting)
    seen = _check_times(chain[0], certificate, setting, time.time() if now is None else now)
    if host and not _covers(seen.names, host):
        known = ", ".join(seen.names) or "nobody (it has no subject alternative names)"
        raise CertificateError(
            f"{setting} certificate: {certificate} is for {known}, not for {host}: "
            f"have one made for {host}, or set public_url to an address that it names"
        )
    if ca is not None:
        _check_signer(chain, certificate, ca, seen, setting)
    return seen


def check_client(certificate: Path, key: Path, setting: str, now: float | None = None) -> Seen:
    """Whether these files make a client. Raises CertificateError."""
    first = _read(certificate, f"{setting} certificate")[0]
    _check_key(first, certificate, key, setting)
    return _check_times(first, certificate, setting, time.time() if now is None else now)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """How a server presents itself: TLS 1.2 or newer."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def _read(path: Path, what: str) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise CertificateError(f"{what}: {path}: {error.strerror}; correct the path, or let the boss's user read it") from None
    except ValueError:
        raise CertificateError(f"{what}: {path} is no certificate in PEM form (-----BEGIN CERTIFICATE-----)") from None
    return found


def _check_key(certificate: x509.Certificate, path: Path, key: Path, setting: str) -> None:
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except OSError as error:
        raise CertificateError(
            f"{setting} key: {key}: {error.strerror}; correct the path, or let the boss's user read it"
        ) from None
    except TypeError:
        raise CertificateError(
            f"{setting} key: {key} is protected by a passphrase, which the boss has not: store it without"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{setting} key: {key} is no private key in PEM form (-----BEGIN PRIVATE KEY-----)") from None
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise CertificateError(f"{setting} key: {key} is not the key of {path}: name the one with which that was requested")


def _check_times(certificate: x509.Certificate, path: Path, setting: str, now: float) -> Seen:
    seen = _seen(certificate)
    if now >= seen.ends:
        raise CertificateError(f"{setting} certificate: {path} expired on {_day(seen.ends)}: renew it")
    if now < seen.begins:
        raise CertificateError(
            f"{setting} certificate: {path} is valid from {_day(seen.begins)} on only: is this machine's clock right?"
        )
    return seen


def _check_signer(chain: list[x509.Certificate], path: Path, ca: Path, seen: Seen, setting: str) -> None:
    roots = _read(ca, f"{setting} ca")
    name = next(iter(seen.names), "")
    try:
        subject = x509.IPAddress(ip_address(name))
    except ValueError:
        subject = x509.DNSName(name.replace("*", "any"))  # type: ignore[assignment]
    try:
        PolicyBuilder().store(Store(roots)).build_server_verifier(subject).verify(chain[0], chain[1:])
    except VerificationError:
        if not _issued_by(chain, roots):
            raise CertificateError(
                f"{setting} ca: {path} is not signed by {ca}: name the CA that signed it, "
                "and put the intermediate certificates, if there are any, behind it in its file"
            ) from None


def _issued_by(chain: list[x509.Certificate], roots: list[x509.Certificate]) -> bool:
    """Signatures alone: private CAs often lack what the public web's rules want of them."""
    certificate = chain[0]
    for _ in range(len(chain) + 1):
        for root in roots:
            if certificate == root or _signed(certificate, root):
                return True
        above = next((one for one in chain[1:] if one != certificate and _signed(certificate, one)), None)
        if above is None:
            return False
        certificate = above
    return False


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):  # another's, or by a kind of key that signs nothing
        return False
    return True


def _seen(certificate: x509.Certificate) -> Seen:
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = (*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress)))
    except x509.ExtensionNotFound:
        names = ()
    digest = sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest().upper()
    return Seen(
        str(common[0].value) if common else certificate.subject.rfc4514_string(),
        names,
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
        ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)),
    )


def _covers(names: Sequence[str], host: str) -> bool:
    host = host.lower().rstrip(".")
    above = host.partition(".")[2]
    return any(name.lower() == host or (name.startswith("*.") and above and name[2:].lower() == above) for name in names)


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
