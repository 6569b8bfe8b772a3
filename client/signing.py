"""Signing a job on the machine of whoever pushes it: the document is made here, from the files that are here, and signed by ``ssh-keygen``.

Rules:
- The private key is read by ``ssh-keygen`` alone, which asks for its passphrase at the terminal; it may lie in an agent (name the ``.pub``
  file then) or in a security key.
- The boss is asked for the job's name, the cluster's id, the owner's name and the digests of shared data, and for nothing that is run. All
  of it is shown or checked: what it says wrongly makes a document that no honest worker takes.
- What the document says of tasks is made by the code that the boss reads task files with, in a process of this machine.
"""

import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.connection import Connection
from client.errors import ClientError, Problem, Refused
from client.inventory import Inventory
from client.sheets import SheetsRead
from datastore.sources import SHARED
from worker.signed import FORMAT, listing_digest
from worker.trust import NAMESPACE

#: The project's folder, where the reader of task files is found.
PROJECT = Path(__file__).resolve().parents[1]
#: How long a signature is good, in seconds, if nobody says.
VALID = 30 * 86400.0
_KINDS = ("ED25519", "ED25519-SK")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class NotSigned(ClientError):
    """Nothing was signed; the sentence says why."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that can sign: its file, and its fingerprint."""

    path: Path
    fingerprint: str


def signing_key(path: Path) -> SigningKey:
    """The key in a file. Raises NotSigned for one that is missing, open to others, or of another kind than Ed25519."""
    path = path.expanduser()
    try:
        mode = path.stat().st_mode
        if path.is_dir():
            raise NotSigned(f"--sign {path}: is a folder; name the file of a private key, such as ~/.ssh/id_ed25519")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise NotSigned(f"--sign {path}: there is no such file (`ssh-keygen -t ed25519 -f {path}` makes a key)") from None
    except OSError as error:
        raise NotSigned(f"--sign {path}: cannot be read: {error.strerror}") from None
    if mode & 0o077 and path.suffix != ".pub":
        raise NotSigned(f"--sign {path}: others may read this private key: chmod 600 {path}")
    shown = _run(["ssh-keygen", "-l", "-f", str(path)])
    found = re.fullmatch(
        r"\d+ (SHA256:\S+) .*\(([A-Z0-9-]+)\)", shown.stdout.strip().splitlines()[0] if shown.stdout.strip() else ""
    )
    if shown.returncode or found is None:
        raise NotSigned(f"--sign {path}: is no key of OpenSSH's")
    if found[2] not in _KINDS:
        raise NotSigned(f"--sign {path}: a key of type {found[2]}; jobs are signed with Ed25519 keys (ssh-keygen -t ed25519)")
    return SigningKey(path, found[1])


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise NotSigned(f"{command[0]} could not be started: {error.strerror}; signing needs OpenSSH's client") from None


def signed_document(
    connection: Connection,
    text: bytes,
    options: dict[str, Any],
    job: str,
    inventory: Inventory,
    sheets: SheetsRead,
    key: SigningKey,
    valid: float,
) -> tuple[bytes, list[str]]:
    """The signed document of a push, and notes about what it does not cover. ``valid`` in seconds. Raises Refused, NotSigned."""
    if not _NAME.fullmatch(job):
        raise NotSigned(f"the boss calls the job {job[:100]!r}, which is no name: nothing is signed")
    found = _signable(text, options, inventory, sheets)
    if found["legacy"]:
        raise Refused([Problem("", "", f"{found['legacy'][0]!r} lies outside the job and has no digest that could be signed")])
    now = int(time.time())
    document = {
        "format": FORMAT,
        "cluster": str(connection.get("/context")["cluster"]),
        "job": job,
        "owner": str(connection.get("/me")["name"]),
        "nonce": secrets.token_hex(16),
        "made": now,
        "expires": now + int(valid),
        "files": {to: [file.digest, file.mode] for to, file in inventory.files.items()},
        "shared": {source[len(SHARED) :]: _shared(connection, source) for source in found["shared"]},
        "dimensions": found["dimensions"],
        "templates": found["templates"],
    }
    message = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return _sign(message, key) + message, list(found["notes"])


def _signable(text: bytes, options: dict[str, Any], inventory: Inventory, sheets: SheetsRead) -> dict[str, Any]:
    """What this machine's reader of task files makes of the file. Raises Refused."""
    with tempfile.TemporaryDirectory(prefix="ecloud-sign-") as name:
        folder = Path(name)
        (folder / "tasks").write_bytes(text)
        tables = {}
        for number, (table, data) in enumerate(sheets.files.items()):
            (folder / f"{number}.csv").write_bytes(data)
            tables[table] = str(folder / f"{number}.csv")
        question = {
            "text": str(folder / "tasks"),
            "file_name": options["file_name"],
            "replay": options["replay"],
            "files": sorted(inventory.files),
            "tables": tables,
            "unread_tables": sheets.unread,
        }
        (folder / "question.json").write_text(json.dumps(question))
        command = [sys.executable, "-m", "boss.signing", str(folder / "question.json")]
        told = subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True)
    if told.returncode:
        raise NotSigned(
            f"the file could not be read for signing: {(told.stderr.strip().splitlines() or ['no reason was given'])[-1]}"
        )
    found: dict[str, Any] = json.loads(told.stdout)
    if "problems" in found:
        raise Refused([Problem(*problem) for problem in found["problems"]])
    return found


def _shared(connection: Connection, source: str) -> str:
    """The digest of shared data as it is there now. Raises Refused where nobody knows it."""
    name = source[len(SHARED) :]
    digests = {
        str(item["name"]).removeprefix(SHARED): str(item["sha256"]) for item in connection.get("/shared", {"prefix": name})
    }
    files = {path: digest for path, digest in digests.items() if path == name or (name.endswith("/") and path.startswith(name))}
    unknown = next((path for path, digest in files.items() if not digest), None)
    if unknown is not None or not files:
        what = (
            f"has no sha256 that could be signed: `admin.py put LOCAL shared:{unknown}` once more" if unknown else "is not there"
        )
        raise Refused([Problem("", "", f"shared:{unknown or name} {what}")])
    return listing_digest((SHARED + path, digest) for path, digest in files.items()) if name.endswith("/") else files[name]


def _sign(message: bytes, key: SigningKey) -> bytes:
    """The armored signature; ``ssh-keygen`` may ask for a passphrase, or for a touch. Raises NotSigned."""
    asks = sys.stdin is not None and sys.stdin.isatty()
    with tempfile.TemporaryDirectory(prefix="ecloud-sign-") as name:
        path = Path(name) / "document"
        path.write_bytes(message)  # not by standard input: a passphrase might be read from there
        command = ["ssh-keygen", "-Y", "sign", "-n", NAMESPACE, "-f", str(key.path), str(path)]
        try:
            done = subprocess.run(
                command,
                check=False,
                stdin=None if asks else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if asks else subprocess.PIPE,
                start_new_session=not asks and "SSH_ASKPASS" not in os.environ,
            )
            if not done.returncode:
                return path.with_name("document.sig").read_bytes()
        except OSError as error:
            raise NotSigned(f"--sign {key.path}: {error.strerror}") from None
    said = (done.stderr or b"").decode(errors="replace").strip().splitlines()
    reason = f": {said[-1]}" if said else ""
    hint = "" if asks else " (a passphrase is asked for at a terminal, or lend the key to ssh-agent)"
    raise NotSigned(f"--sign {key.path}: ssh-keygen did not sign{reason}{hint}")
