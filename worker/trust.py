"""Whom a machine trusts with what it runs: the keys of its ``allowed_signers``, signatures in OpenSSH's form, marks of trust. Pure.

Rules:
- ``allowed_signers`` is OpenSSH's file (ssh-keygen(1)): ``NAME[,NAME] [options] ssh-ed25519 AAAA...``. Keys are Ed25519, on a disk or in a
  security key; other kinds, and authorities (``cert-authority``), are errors, so that a file never trusts more than it seems to.
- A signature is checked by ``ssh-keygen`` (``worker.verify``); here is only read whose it claims to be.
- A machine that takes signed work only says so by marks among its resources: names that begin with ``~``, which no task can ask for.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import base64
import binascii
import hashlib
import re
import struct
from typing import Dict, Iterable, List, Mapping, NamedTuple, Tuple

#: What a signature is for: one made for anything else (git, files, mail) is no signature of a job.
NAMESPACE = "ecloud-job"
#: The kinds of keys that may sign.
KEY_TYPES = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com")
#: How the names of marks begin.
MARK = "~"
#: The mark of a machine that runs nothing unsigned, and how one begins that names a key that it trusts.
VERIFIES = "~verifies"
_TRUSTS = "~trusts "
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
#: The longest signature that is looked at, in bytes.
MAX_SIGNATURE = 16 * 1024
_LINE = re.compile(
    r'(?P<names>"[^"]*"|\S+)\s+(?:(?P<options>(?:"[^"]*"|[^\s"])+)\s+)?(?P<type>(?:sk-)?(?:ssh|ecdsa)-[A-Za-z0-9@.-]+)\s+(?P<key>\S+)(?:\s.*)?'
)


class TrustError(ValueError):
    """A file of signers, or a signature, that cannot be read; the message says why."""


class TrustedKey(NamedTuple):
    """A line of ``allowed_signers``: the key's fingerprint, and the first of its names."""

    fingerprint: str
    name: str


class Claim(NamedTuple):
    """What a signature says of itself: the kind and fingerprint of its key, and what it is for."""

    key_type: str
    fingerprint: str
    namespace: str


def read_signers(text: str) -> Tuple[TrustedKey, ...]:
    """The keys of an ``allowed_signers``. Raises TrustError with the line that is wrong, or if there is no key."""
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise TrustError("line %d: is no line of allowed_signers: write NAME ssh-ed25519 AAAA..." % number)
        options = (found["options"] or "").lower()
        if "cert-authority" in options:
            raise TrustError("line %d: cert-authority is not supported: name the keys themselves" % number)
        if found["type"] not in KEY_TYPES:
            raise TrustError("line %d: a key of type %s: jobs are signed with Ed25519 keys" % (number, found["type"]))
        try:
            blob = base64.b64decode(found["key"], validate=True)
            fits = _Reader(blob).string() == found["type"].encode("ascii")
        except (binascii.Error, TrustError):
            fits = False
        if not fits:
            raise TrustError("line %d: %.20s... is no key of type %s" % (number, found["key"], found["type"]))
        keys.append(TrustedKey(fingerprint_of(blob), found["names"].strip('"').split(",")[0]))
    if not keys:
        raise TrustError("names no key: nobody could sign")
    return tuple(keys)


def marks(keys: Iterable[TrustedKey]) -> Dict[str, float]:
    """What a machine that trusts these keys, and nobody else, has among its resources."""
    return dict({trusts(key.fingerprint): 1.0 for key in keys}, **{VERIFIES: 1.0})


def trusts(fingerprint: str) -> str:
    """The mark of a machine that trusts this key."""
    return _TRUSTS + fingerprint


def without_marks(resources: Mapping[str, float]) -> Dict[str, float]:
    """What can be counted of a machine's resources."""
    return {name: count for name, count in resources.items() if not name.startswith(MARK)}


def split(data: bytes) -> Tuple[str, bytes]:
    """The signature at the beginning of a signed document, and the document. Raises TrustError."""
    head = data[:MAX_SIGNATURE]
    end = head.find(_END.encode("ascii"))
    if not head.startswith(_BEGIN.encode("ascii")) or end < 0:
        raise TrustError("does not begin with an SSH signature")
    end = data.find(b"\n", end) + 1
    if not end:
        raise TrustError("has a signature and nothing that is signed")
    try:
        return data[:end].decode("ascii"), data[end:]
    except UnicodeDecodeError:
        raise TrustError("does not begin with an SSH signature") from None


def claim_of(signature: str) -> Claim:
    """Whose a signature (armored, as ``ssh-keygen -Y sign`` writes it) says that it is. Raises TrustError."""
    lines = [line.strip() for line in signature.strip().splitlines()]
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise TrustError("is no SSH signature")
    try:
        reader = _Reader(base64.b64decode("".join(lines[1:-1]), validate=True))
        reader.magic(b"SSHSIG")
        version = reader.number()
        blob, namespace = reader.string(), reader.string()
        key_type = _Reader(blob).string().decode("ascii")
        claim = Claim(key_type, fingerprint_of(blob), namespace.decode("utf-8"))
    except (binascii.Error, UnicodeDecodeError):
        raise TrustError("is no SSH signature") from None
    if version != 1:
        raise TrustError("is an SSH signature of version %d, which is not known" % version)
    return claim


def fingerprint_of(blob: bytes) -> str:
    """``SHA256:...`` of a public key, as ``ssh-keygen -l`` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")


class _Reader:
    """Takes fields off SSH's binary form. Raises TrustError where it ends too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def magic(self, expected: bytes) -> None:
        if self._take(len(expected)) != expected:
            raise TrustError("is no SSH signature")

    def number(self) -> int:
        (value,) = struct.unpack(">I", self._take(4))
        return int(value)

    def string(self) -> bytes:
        return self._take(self.number())

    def _take(self, count: int) -> bytes:
        if count > len(self._data):
            raise TrustError("is cut off")
        taken, self._data = self._data[:count], self._data[count:]
        return taken


def names_of(keys: Iterable[TrustedKey]) -> List[str]:
    """The names of these keys, for people."""
    return sorted({key.name for key in keys})
