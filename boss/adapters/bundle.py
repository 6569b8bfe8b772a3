"""What a VM and a datastore host need of us, each as one file that any Python from 3.9 on runs: ``worker-<hash>.pyz``, ``gate-<hash>.pyz``.

Rules:
- The files are read, never imported: the boss does not run the worker's code.
- The hash names the content (every source and this Python's bytecode version), so a bundle is built once and never replaced; a
  process that runs from an older one is not disturbed.
- Beside each source lies its bytecode for the boss's own version of Python, without which a start costs half a second; any
  other version passes it over and compiles the source. ``marshal`` version 2 makes it the same bytes each time.
"""

import hashlib
import importlib.util
import io
import marshal
import os
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_HOUSE = Path(__file__).resolve().parents[2]
_WORKER_MAIN = b"import sys\n\nfrom worker.__main__ import main\n\nsys.exit(main())\n"
_GATE_MAIN = b"import sys\n\nfrom datastore.gate import main\n\nsys.exit(main())\n"
#: Flags of a ``.pyc`` that is taken as it is, without a look at the source (PEP 552: hash-based, unchecked).
_UNCHECKED_HASH = 0b01
#: Zip files cannot name an earlier time.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


class BundleError(Exception):
    """A part of the bundle is not installed; the message says which."""


def worker_bundle(folder: Path) -> Path:
    """The worker with its side of the datastore and paho, built in ``folder`` unless it is there. Raises BundleError, OSError."""
    files = {**_package("worker"), **_package("datastore"), **_paho(), "__main__.py": _WORKER_MAIN}
    return _build(folder, "worker", files)


def gate_bundle(folder: Path) -> Path:
    """The datastore's gate, built in ``folder`` unless it is there. Raises OSError."""
    return _build(folder, "gate", {**_package("datastore"), "__main__.py": _GATE_MAIN})


def _package(name: str) -> dict[str, bytes]:
    """The sources of one of our packages by their path in the bundle."""
    root = _HOUSE / name
    return {f"{name}/{path.relative_to(root).as_posix()}": path.read_bytes() for path in root.rglob("*.py")}


def _paho() -> dict[str, bytes]:
    """paho's sources and licences, from where pip has put them."""
    try:
        installed = distribution("paho-mqtt")
    except PackageNotFoundError:
        raise BundleError("paho-mqtt is not installed: pip install -r requirements.txt") from None
    found = {}
    for file in installed.files or ():
        if file.suffix == ".py" and file.parts[0] == "paho":
            found[file.as_posix()] = file.read_binary()
        elif file.name.startswith(("LICENSE", "NOTICE", "epl-", "edl-")):
            found[f"paho/{file.name}"] = file.read_binary()
    if "paho/mqtt/client.py" not in found:
        raise BundleError("paho-mqtt is installed without its list of files: install it again with pip")
    return found


def _build(folder: Path, name: str, files: Mapping[str, bytes]) -> Path:
    target = folder / f"{name}-{_digest(files)}.pyz"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=folder, prefix=f".{name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(b"#!/usr/bin/env python3\n" + _zipped(files))
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o755)
        os.replace(unfinished, target)
    except BaseException:
        os.unlink(unfinished)
        raise
    return target


def _digest(files: Mapping[str, bytes]) -> str:
    """Twelve hex digits that change with any name, any content and the version of the bytecode."""
    whole = hashlib.sha256(importlib.util.MAGIC_NUMBER)
    for name in sorted(files):
        whole.update(b"%s %d\n" % (name.encode(), len(files[name])))
        whole.update(files[name])
    return whole.hexdigest()[:12]


def _zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _with_bytecode(files):
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def _with_bytecode(files: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for name in sorted(files):
        yield name, files[name]
        if name.endswith(".py"):
            yield f"{name}c", _bytecode(name, files[name])


def _bytecode(name: str, source: bytes) -> bytes:
    code = compile(source, name, "exec", dont_inherit=True)
    header = importlib.util.MAGIC_NUMBER + struct.pack("<L", _UNCHECKED_HASH) + importlib.util.source_hash(source)
    return header + marshal.dumps(code, 2)
