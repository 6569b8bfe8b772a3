"""Keys and signed documents for tests, made with the real ssh-keygen."""

import hashlib
import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.signed import FORMAT
from worker.trust import NAMESPACE


class Key:
    """A key pair of its own. ``line`` is its line for an ``allowed_signers``."""

    def __init__(self, folder: Path, name: str, kind: str = "ed25519", passphrase: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.path = folder / f"{name}.key"
        command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", name, "-f", str(self.path)]
        subprocess.run(command, check=True)
        self.public = self.path.with_name(self.path.name + ".pub").read_text()
        self.line = f"{name} {self.public}"
        shown = subprocess.run(["ssh-keygen", "-lf", str(self.path)], check=True, capture_output=True, text=True).stdout
        self.fingerprint = shown.split()[1]

    def sign(self, message: bytes, namespace: str = NAMESPACE) -> bytes:
        """The armored signature of a message."""
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(self.path)]
        return subprocess.run(command, input=message, check=True, capture_output=True).stdout


def document(job: str = "j", cluster: str = "c1", **more: Any) -> dict[str, Any]:
    """A document of one plain task ``true`` called ``t``, with changes."""
    now = int(time.time())
    plain = {
        "format": FORMAT, "cluster": cluster, "job": job, "owner": "ada", "nonce": "00" * 16, "made": now, "expires": now + 3600,
        "files": {}, "shared": {}, "dimensions": [], "templates": [template("t", "true")],
    }  # fmt: skip
    return {**plain, **more}


def template(name: Any, *commands: Any, **more: Any) -> dict[str, Any]:
    """A template of a document."""
    return {"name": name, "commands": list(commands), "needs": {"cpus": 1}, "timeout": 60.0, **more}


def signed(key: Key, content: Mapping[str, Any], namespace: str = NAMESPACE) -> bytes:
    """A document with its signature before it."""
    message = json.dumps(content).encode()
    return key.sign(message, namespace) + message


def digest_of(data: bytes) -> str:
    """The sha256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()
