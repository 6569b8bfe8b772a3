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
from typing import Iterator, List, Tuple

from datastore import frames, layout
from datastore.acceptance import read_record
from datastore.frames import GateMissing, GateRefused, Line, Wire
from datastore.grants import Grant, Source
from datastore.manifest import known, read
from datastore.tree import NotPlain, Tree, blocks

#: The largest part of a log that one request may ask for, in bytes.
MAX_LOG = 16 * 1024 * 1024


def find(tree: Tree, grant: Grant, wire: Wire) -> Line:
    """Every file that the attempt's inputs name.

    Items without bytes: ``{"item": path, "input": its index in the grant, "size": bytes, "sha256": hex or "", "executable": bool}``.
    Raises GateMissing for an input that does not exist, or a folder or glob that holds nothing.
    """
    found: List[Tuple[int, str, os.stat_result]] = []
    for index, source in enumerate(grant.inputs):
        before = len(found)
        found.extend((index, path, what) for path, what in _sources(tree, grant.job, source))
        if len(found) == before:
            raise _missing(tree, grant.job, source)
    digests = known(tree, grant.job, [path for index, path, _what in found if not grant.inputs[index].digest])
    for index, path, what in found:
        source = grant.inputs[index]
        wire.write_line(
            {
                "item": path,
                "input": index,
                "size": what.st_size,
                "sha256": source.digest or digests.get(path, ""),
                "executable": bool((source.mode if source.digest else what.st_mode) & stat.S_IXUSR),
            }
        )
        wire.end_item()
    return {}


def send(tree: Tree, grant: Grant, request: Line, wire: Wire) -> Line:
    """Bring files, ``request["files"] = [[index of the input, path], ...]``, as items ``{"item": path, "size": bytes}`` with their bytes.

    A file that is gone by now is an item with ``"missing": true``.
    """
    for index, path in frames.rows(request, "files", int, str):
        if not 0 <= index < len(grant.inputs) or not _covers(grant.inputs[index], path):
            raise GateRefused("%s is not an input of attempt %s" % (path, grant.attempt))
        source = grant.inputs[index]
        place = layout.file_path(source.digest) if source.digest else layout.job_folder(grant.job) + "/" + layout.check_path(path)
        _send_file(tree, place, path, 0, wire)
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
    for path, offset in frames.rows(request, "files", str, int):
        _send_file(tree, folder + layout.check_path(path), path, max(0, offset), wire)
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


def record(tree: Tree, request: Line) -> Line:
    """``{"record": the record of an attempt's complete upload, or null}``."""
    attempt = frames.text(request, "attempt")
    found = read_record(tree, layout.incoming_folder(attempt)) or read_record(tree, layout.accepted_folder(attempt))
    return {"record": found}


def _sources(tree: Tree, job: str, source: Source) -> Iterator[Tuple[str, os.stat_result]]:
    """The files that one input names: their path in the job's folder (a pushed file keeps the name it was pushed with)."""
    if source.digest:
        what = tree.look(layout.file_path(source.digest))
        if what is not None:
            yield source.source, what
        return
    base = layout.job_folder(job)
    path = layout.check_path(source.source)
    if not layout.is_pattern(path) and not layout.is_folder(path):
        what = tree.look(base + "/" + path)
        if what is not None and stat.S_ISREG(what.st_mode):
            yield path, what
        return
    fixed = layout.fixed_folder(path)
    for below, what in tree.files((base + "/" + fixed).rstrip("/")):
        if layout.matches(path, fixed + below) and fixed + below != layout.MANIFEST:
            yield fixed + below, what


def _covers(source: Source, path: str) -> bool:
    if source.digest or not (layout.is_pattern(source.source) or layout.is_folder(source.source)):
        return source.source == path
    return layout.matches(source.source, path)


def _missing(tree: Tree, job: str, source: Source) -> GateMissing:
    """Why an input names no file."""
    if source.digest:
        return GateMissing("the pushed file %s (sha256 %s...) is not on the datastore" % (source.source, source.digest[:12]))
    if layout.is_pattern(source.source):
        return GateMissing("no file of job %s fits %s" % (job, source.source))
    what = tree.look(layout.job_folder(job) + "/" + source.source.rstrip("/"))
    if what is not None and stat.S_ISDIR(what.st_mode) and not layout.is_folder(source.source):
        return GateMissing("%s of job %s is a folder; an input that is a folder ends in '/'" % (source.source, job))
    return GateMissing("%s of job %s is not on the datastore" % (source.source, job))


def _send_file(tree: Tree, place: str, name: str, offset: int, wire: Wire, limit: int = -1) -> None:
    try:
        descriptor, what = tree.open(place)
    except (FileNotFoundError, NotPlain):
        wire.write_line({"item": name, "size": 0, "missing": True})
        wire.end_item()
        return
    wire.write_line({"item": name, "size": what.st_size})
    try:
        os.lseek(descriptor, offset, os.SEEK_SET)
        for data in blocks(descriptor, None if limit < 0 else limit):
            wire.write_chunk(data)
    finally:
        os.close(descriptor)
        wire.end_item()
