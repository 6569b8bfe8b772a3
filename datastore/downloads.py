"""What goes out: an attempt's inputs to its worker, a job's results to people, stored logs to the boss.

Rules:
- A worker gets the inputs that its grant names and nothing else: ``find`` says which files they are, ``send`` brings them. Between the
  two it leaves out what it has already, by digest.
- Results are sent from where they lie; the receiver compares with the digest of the manifest. A person's ``get`` may start at an offset.
- Symlinks are not results: they are neither listed nor followed.

Python 3.9 syntax, standard library only.
"""

import os
import stat
from typing import Dict, List, Union

from datastore import frames, layout
from datastore.acceptance import read_record
from datastore.frames import GateRefused, Line, Wire
from datastore.grants import Grant
from datastore.inputs import Inputs
from datastore.manifest import read
from datastore.shared import note_fetch
from datastore.sources import SHARED
from datastore.tree import Nest, NotPlain, Tree

#: The largest part of a log that one request may ask for, in bytes.
MAX_LOG = 16 * 1024 * 1024


def find(tree: Tree, grant: Grant, wire: Wire) -> Line:
    """Every file that the attempt's inputs name.

    Items without bytes: ``{"item": path, "input": its index in the grant, "size": bytes, "sha256": hex or "", "executable": bool}``.
    Raises GateMissing for an input that does not exist, or a folder or glob that holds nothing.
    """
    with Inputs(tree, grant.job) as inputs:
        for index, (source, files) in enumerate(zip(grant.inputs, inputs.files(grant.inputs))):
            for file in files:
                wire.write_line(
                    {
                        "item": file.name,
                        "input": index,
                        "size": file.what.st_size,
                        "sha256": file.digest,
                        "executable": bool((source.mode if source.digest else file.what.st_mode) & stat.S_IXUSR),
                    }
                )
                wire.end_item()
    return {}


def send(tree: Tree, grant: Grant, request: Line, wire: Wire) -> Line:
    """Bring files, ``request["files"] = [[index of the input, path], ...]``, as items ``{"item": path, "size": bytes}`` with their bytes.

    A file that is gone by now is an item with ``"missing": true``.
    """
    sent: Dict[int, List[int]] = {}
    with Inputs(tree, grant.job) as inputs, Nest(tree, "") as nest:
        for index, name in frames.rows(request, "files", int, str):
            if not 0 <= index < len(grant.inputs):
                raise GateRefused("%s is not an input of attempt %s" % (name, grant.attempt))
            place = inputs.place(grant.inputs[index], name)
            sent.setdefault(index, []).append(_send_file(nest if place.tree is tree else place.tree, place.path, name, 0, wire))
    for index, sizes in sent.items():
        source = grant.inputs[index].source
        if source.startswith(SHARED):
            note_fetch(tree, grant.worker, source, grant.attempt, len(sizes), sum(sizes))
    return {}


def listing(tree: Tree, request: Line, wire: Wire) -> Line:
    """All results of a job, as items without bytes: ``{"item": path, "size": bytes, "sha256": hex or "", "executable": bool}``."""
    folder = layout.job_folder(frames.text(request, "job"))
    digests = read(tree, folder + "/" + layout.MANIFEST)
    for path, what in tree.files(folder):
        if path != layout.MANIFEST:
            executable = bool(what.st_mode & stat.S_IXUSR)
            wire.write_line({"item": path, "size": what.st_size, "sha256": digests.get(path, ""), "executable": executable})
            wire.end_item()
    return {}


def get(tree: Tree, request: Line, wire: Wire) -> Line:
    """Bring results, ``request["files"] = [[path, offset in bytes], ...]``, as items like those of ``send``."""
    folder = layout.job_folder(frames.text(request, "job")) + "/"
    with Nest(tree, "") as nest:
        for path, offset in frames.rows(request, "files", str, int):
            _send_file(nest, folder + layout.check_path(path), path, max(0, offset), wire)
    return {}


def read_log(tree: Tree, request: Line, wire: Wire) -> Line:
    """Bring a part (``offset``, ``limit`` in bytes) of a stored log as one item; nothing if no log is stored."""
    stream = frames.text(request, "stream")
    if stream not in layout.STREAMS:
        raise GateRefused("there is no log called %.40r" % stream)
    folder = layout.log_folder(frames.text(request, "job"), frames.text(request, "task"), frames.count(request, "number"))
    limit = min(frames.count(request, "limit", MAX_LOG), MAX_LOG)
    _send_file(tree, folder + "/" + stream, stream, frames.count(request, "offset", 0), wire, limit)
    return {}


def read_results(tree: Tree, request: Line, wire: Wire) -> Line:
    """Bring parts of results, ``request["files"] = [[path, offset, limit in bytes], ...]``, as items like those of ``send``.

    What goes beyond ``MAX_LOG`` bytes in all is left out.
    """
    folder, left = layout.job_folder(frames.text(request, "job")) + "/", MAX_LOG
    for path, offset, limit in frames.rows(request, "files", str, int, int):
        left -= _send_file(tree, folder + layout.check_path(path), path, max(0, offset), wire, max(0, min(limit, left)))
    return {}


def record(tree: Tree, request: Line) -> Line:
    """``{"record": the record of an attempt's complete upload, or null}``."""
    attempt = frames.text(request, "attempt")
    found = read_record(tree, layout.incoming_folder(attempt)) or read_record(tree, layout.accepted_folder(attempt))
    return {"record": found}


def _send_file(tree: Union[Tree, Nest], place: str, name: str, offset: int, wire: Wire, limit: int = -1) -> int:
    """Bring a file, or a part of it, as an item; the bytes that were sent."""
    try:
        descriptor, what = tree.open(place)
    except (FileNotFoundError, NotPlain):
        wire.write_line({"item": name, "size": 0, "missing": True})
        wire.end_item()
        return 0
    wire.write_line({"item": name, "size": what.st_size})
    sent = 0
    try:
        os.lseek(descriptor, offset, os.SEEK_SET)
        for size in wire.write_file(descriptor, None if limit < 0 else limit):
            sent += size
    finally:
        os.close(descriptor)
        wire.end_item()
    return sent
