"""A back-up as one file: a tar whose first member, ``manifest.json``, names every other one with its size and sha256.

Rules:
- It appears whole under its name or not at all, has mode 0600, and never replaces a file.
- Nothing is unpacked that the manifest does not name, and nothing is believed before its sha256 was compared.
- Names are checked here: a tar from a stranger writes nowhere but into the folder that it is given.
"""

import hashlib
import io
import json
import os
import re
import secrets
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

#: The form of the manifest.
FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
#: The longest manifest that is read, in bytes.
_LONGEST: Final = 4 * 1024 * 1024
_BLOCK: Final = 1024 * 1024
_NAME: Final = re.compile(r"(?:rows|state)(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")


class ArchiveError(Exception):
    """A back-up that cannot be written or read; the message says why and what helps."""


def pack(target: Path, folder: Path, about: Mapping[str, Any]) -> None:
    """Write all files below ``folder`` and a manifest, which also says ``about``, to the new file ``target``. Raises ArchiveError."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    odd = next((name for name in names if not _NAME.fullmatch(name)), None)
    if odd is not None:
        raise ArchiveError(f"a file called {odd} does not belong into a back-up")
    files = {name: {"size": (folder / name).stat().st_size, "sha256": digest_of(folder / name)} for name in names}
    manifest = json.dumps({"ecloud-backup": FORMAT, **about, "files": files}, indent=1).encode()
    passing = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        _write(passing, folder, names, manifest)
        os.link(passing, target)  # fails if there is one, unlike a rename
        sync_folder(target.parent)
    except FileExistsError:
        raise ArchiveError(f"{target} exists already; a back-up never replaces a file: give another name, or a folder") from None
    except OSError as error:
        raise ArchiveError(f"cannot write the back-up {target}: {error.strerror or error}") from None
    finally:
        passing.unlink(missing_ok=True)


def unpack(source: Path, folder: Path) -> dict[str, Any]:
    """Write the files of a back-up into ``folder`` (mode 0600), all compared with the manifest, which is returned. Raises ArchiveError."""
    try:
        with tarfile.open(source, "r:") as tar:
            manifest = _manifest(source, tar)
            files: dict[str, Any] = dict(manifest["files"])
            for member in tar:
                _extract(source, tar, member, files.pop(member.name, None), folder)
    except OSError as error:
        raise ArchiveError(f"cannot read the back-up {source}: {error.strerror or error}") from None
    except tarfile.TarError as error:
        raise ArchiveError(f"{source} is no back-up of ecloud, or was cut off ({error})") from None
    if files:
        raise ArchiveError(f"{source} is not whole: {min(files)} is missing; use another back-up")
    return manifest


def digest_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make durable which names a folder holds."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(passing: Path, folder: Path, names: list[str], manifest: bytes) -> None:
    descriptor = os.open(passing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            head = tarfile.TarInfo(MANIFEST)
            head.size, head.mode = len(manifest), 0o600
            tar.addfile(head, io.BytesIO(manifest))
            for name in names:
                info, found = tarfile.TarInfo(name), (folder / name).stat()
                info.size, info.mtime, info.mode = found.st_size, found.st_mtime, 0o600
                with open(folder / name, "rb") as member:
                    tar.addfile(info, member)
        file.flush()
        os.fsync(file.fileno())


def _manifest(source: Path, tar: tarfile.TarFile) -> dict[str, Any]:
    """The first member, if it is the manifest of a form that we know."""
    first = tar.next()
    file = tar.extractfile(first) if first is not None and first.name == MANIFEST and first.size <= _LONGEST else None
    if file is None:
        raise ArchiveError(f"{source} is no back-up of ecloud: it does not begin with {MANIFEST}")
    try:
        manifest = json.loads(file.read())
        known = manifest["ecloud-backup"]
        if known != FORMAT:
            raise ArchiveError(f"{source} is a back-up of form {known}, this ecloud reads form {FORMAT}: use the newer ecloud")
        for name, said in manifest["files"].items():
            if not _NAME.fullmatch(name) or not isinstance(said["size"], int) or not isinstance(said["sha256"], str):
                raise ArchiveError(f"{source}: its manifest names {name!r}, which does not belong into a back-up")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ArchiveError(
            f"{source}: its manifest cannot be read ({type(error).__name__}: {error}); use another back-up"
        ) from None
    checked: dict[str, Any] = manifest
    return checked


def _extract(source: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, said: Any, folder: Path) -> None:
    if member.name == MANIFEST:
        return
    if said is None:
        raise ArchiveError(f"{source}: {member.name!r} is not in its manifest, or there twice; use another back-up")
    file = tar.extractfile(member) if member.isreg() and member.size == said["size"] else None
    if file is None:
        raise ArchiveError(f"{source}: {member.name} is not as its manifest says; use another back-up")
    path = folder / member.name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while data := file.read(_BLOCK):
            digest.update(data)
            out.write(data)
    if digest.hexdigest() != said["sha256"]:
        raise ArchiveError(f"{source} is damaged: {member.name} has another sha256 than its manifest says; use another back-up")
