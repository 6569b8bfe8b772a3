"""Private keys and the files that hold them: made, read, written with mode 0600 and all at once."""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 at once or not at all; an existing one is replaced."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read_public_key(text: str) -> ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey:
    """An Ed25519 or ECDSA public key in OpenSSH's form. Raises ValueError for anything else."""
    try:
        key = serialization.load_ssh_public_key(text.strip().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"not an OpenSSH public key: {error}") from None
    if not isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        raise ValueError("an OpenSSH key of type ssh-ed25519 or ecdsa is wanted")
    return key


def public_line(key: ed25519.Ed25519PrivateKey) -> str:
    """The public half as ``ssh-ed25519 <base64>``."""
    form = serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, form).decode()


def ssh_key(path: Path) -> ed25519.Ed25519PrivateKey:
    """The SSH key in this file, made (with its ``.pub``) when there is none."""
    public = path.with_name(path.name + ".pub")
    if path.exists() and public.exists():
        return ssh_private(path)
    key = ed25519.Ed25519PrivateKey.generate()
    write_private(path, openssh(key))
    write_private(public, (public_line(key) + "\n").encode())
    return key


def ssh_private(path: Path) -> ed25519.Ed25519PrivateKey:
    """The SSH key in this file. Raises ValueError when it is none of ours."""
    key = serialization.load_ssh_private_key(path.read_bytes(), None)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ValueError(f"{path} is not an Ed25519 key; this folder was not made by ecloud")
    return key


def openssh(key: ed25519.Ed25519PrivateKey) -> bytes:
    """The private key as ``ssh`` reads it from a file."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The private key as TLS libraries read it from a file."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
