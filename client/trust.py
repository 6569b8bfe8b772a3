"""Why a program believes that it speaks with its boss: the CA that the HTTPS connection is verified with.

Rules:
- ``ECLOUD_CA`` names a PEM file: that CA and no other. Without it, an address that ends with ``#sha256=...`` (``create_token`` prints it)
  names its boss's CA by its SHA-256: the boss is asked for the CA, on a connection of its own that carries no token, and what comes is
  compared; a copy is kept in the cache folder. On the boss's machine the note in the state folder names the file. Else the
  CAs count that this system trusts.
- Whatever is wrong is one sentence with the remedy. No token is ever sent to a boss that could not be verified.
"""

import base64
import hmac
import json
import os
import ssl
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

import httpx

from client.errors import InvalidRequest, NobodyThere, NotTrusted

#: How a CA is written behind the address.
MARK = "sha256="
#: The longest CA that is looked at, in bytes, and how long its boss may take, in seconds.
_LONGEST = 64 * 1024
_PATIENCE = 10.0
_COPY = "copy the line that create_token has printed as it is"


@dataclass(frozen=True, slots=True)
class Trust:
    """``url`` without a fragment; what verifies it (True: what this system trusts); the name that the certificate must have, if another."""

    url: str
    verify: ssl.SSLContext | bool = True
    name: str = ""


def trust(address: str, noted: Mapping[str, str]) -> Trust:
    """What an address is verified with. ``noted`` is what the boss of this machine has written down.

    Raises InvalidRequest, NotTrusted, NobodyThere.
    """
    url, fragment = urldefrag(address)
    url = url.rstrip("/")
    if fragment and not fragment.startswith(MARK):
        raise InvalidRequest(
            f"{address!r}: what follows the # is not sha256=...: copy the line that create_token has printed as it is"
        )
    if urlsplit(url).scheme != "https":
        if fragment:
            raise InvalidRequest(
                f"{address!r} names a CA, so it begins with https://: copy the line that create_token has printed as it is"
            )
        return Trust(url)
    if named := os.environ.get("ECLOUD_CA"):
        return Trust(url, _context_of(Path(named).expanduser(), "ECLOUD_CA"))
    if fragment:
        return Trust(url, _pinned(url, fragment.removeprefix(MARK)))
    if noted.get("ca") and url == noted.get("url", "").rstrip("/"):
        return Trust(url, _context_of(Path(noted["ca"]), "the CA of the boss of this machine"), noted.get("name", ""))
    return Trust(url)


def is_loopback(host: str | None) -> bool:
    """Whether a host means the machine that says it: from elsewhere it is not reached by that, and no proxy leads there."""
    host = host or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def distrusted(url: str, reason: str) -> NotTrusted:
    """The error for a boss whose certificate does not hold. ``reason`` is OpenSSL's."""
    said = reason.partition("certificate verify failed: ")[2].partition(" (_ssl")[0] or reason
    if "mismatch" in said:
        remedy = (
            "its certificate is for other names: take the address that create_token prints, which the admin's public_url decides"
        )
        return NotTrusted(f"the boss at {url} could not be verified ({said.rstrip('.')}), and got no token; {remedy}")
    remedy = (
        "ECLOUD_CA names another boss's CA, or an old one: ask the admin for it"
        if os.environ.get("ECLOUD_CA")
        else "take ECLOUD_API_URL as create_token prints it (with #sha256=...), or name the CA's file in ECLOUD_CA"
    )
    return NotTrusted(f"the boss at {url} could not be verified ({said}), and got no token; {remedy}")


def _context_of(path: Path, what: str) -> ssl.SSLContext:
    try:
        return _context(path.read_text(encoding="ascii"))
    except (ssl.SSLError, ValueError):
        raise InvalidRequest(f"{what}: {path} holds no certificate in PEM form; ask the boss's admin for the file") from None
    except OSError as error:
        raise InvalidRequest(f"{what}: {path}: {error.strerror}; it names a PEM file, which the boss's admin has") from None


def _context(pem: str) -> ssl.SSLContext:
    """Trust in these certificates alone, be they a CA's or the boss's own."""
    if not pem.strip():
        raise ValueError("no certificate")  # without any, the system's would count
    context = ssl.create_default_context(cadata=pem)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _pinned(url: str, pin: str) -> ssl.SSLContext:
    """Trust in the CA with this digest."""
    try:
        wanted = base64.urlsafe_b64decode(pin + "=" * (-len(pin) % 4))
    except ValueError:
        wanted = b""
    if len(wanted) != sha256().digest_size:
        raise InvalidRequest(
            f"{url}#sha256={pin}: the end is cut off or changed: copy the line that create_token has printed as it is"
        )
    kept = _cache() / f"{wanted.hex()}.pem"
    with suppress(OSError, ValueError, ssl.SSLError):
        pem = kept.read_text(encoding="ascii")
        if _is(pem, wanted):
            return _context(pem)
    pem = _ask(url)
    if not _is(pem, wanted):
        raise NotTrusted(
            f"the boss at {url} shows another CA than ECLOUD_API_URL names, and got no token: either its keys are new (ask its admin for "
            "the lines of create_token), or something between here and there answers in its place"
        )
    _keep(kept, pem)
    return _context(pem)


def _ask(url: str) -> str:
    """The CA that the boss says it has: believed only if its digest is the one that is known."""
    try:
        proxied = not is_loopback(urlsplit(url).hostname)
        with (
            httpx.Client(verify=False, timeout=_PATIENCE, trust_env=proxied) as http,  # noqa: S501 (what comes is compared with its digest)
            http.stream("GET", f"{url}/api/v1/ca") as answer,
        ):
            data = b""
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > _LONGEST:
                    break
        if answer.status_code == 200:
            return str(json.loads(data)["pem"])
    except (ValueError, TypeError, KeyError):
        raise NotTrusted(f"{url} answers, but not as a boss does; is the address (ECLOUD_API_URL) right?") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NobodyThere(
            f"no boss answers at {url} ({error or type(error).__name__}); is the address (ECLOUD_API_URL) right?"
        ) from None
    raise NotTrusted(
        f"{url} answers ({answer.status_code}), but shows no CA as a boss with an address of this form does; ask its admin"
    )


def _is(pem: str, wanted: bytes) -> bool:
    try:
        return hmac.compare_digest(sha256(ssl.PEM_cert_to_DER_cert(pem)).digest(), wanted)
    except ValueError:
        return False


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecloud" / "ca"


def _keep(path: Path, pem: str) -> None:
    """Without a copy it is asked for each time: nothing worse."""
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, beside = tempfile.mkstemp(dir=path.parent)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(pem)
        os.replace(beside, path)
