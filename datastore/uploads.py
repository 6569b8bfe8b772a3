"""What comes in: the outputs and logs of an attempt from a worker, pushed files by digest from a person.

Rules:
- Everything is written under names that nobody reads (a part folder), hashed while it is written, fsynced, and then renamed: there is
  a whole upload or none. A session has no name for, and no open handle on, anything that was accepted.
- A part folder is locked as long as its session lives, so that what a dead session left can be told from what is being written.
- A repeat with the same files changes nothing, whatever has become of the first. One with other files replaces an upload that is not
  accepted yet; after acceptance it is answered with the old record.
- Only plain files and the folders above them come in. Their one permission that counts, "executable", is kept.
- Logs are the attempt's own and final at once; results wait for the boss.

Python 3.9 syntax, standard library only.
"""

import fcntl
import hashlib
import json
import os
import stat
from contextlib import contextmanager, nullcontext
from typing import Any, Iterable, Iterator, List, Set, Tuple

from datastore import frames, layout, limits
from datastore.acceptance import digest_of, files_of, read_record
from datastore.durable import Flush, Writer
from datastore.frames import GateRefused, Items, Line
from datastore.grants import Grant
from datastore.manifest import known
from datastore.tree import Nest, NotPlain, Tree, folders_above, write_all

#: The most characters of paths in a manifest that surely travels in a message.
SHORT_NAMES = 16_000
#: After so many bytes what was pushed is made durable and named, so that a push that is cut off need not bring it again.
KEPT = 64 * 1024 * 1024
#: ``[path, size in bytes, sha256]`` of each file that came.
Files = List[List[Any]]


def receive(tree: Tree, grant: Grant, request: Line, items: Items) -> Line:
    """Take in one attempt's files (``{"item": path, "executable": bool}``) and logs (``{"item": "stdout", "log": true}``).

    The closing line ``{"end": true, "result": text}`` brings the worker's result, which is kept in the record as it is; without files there
    is a record only where it says ``"alone": true``. Answers
    ``{"files": [[path, size, sha256], ...] or null if they are more than request["most"], "result": text of the record}``.
    """
    most = frames.count(request, "most", 200)
    accepted = read_record(tree, layout.accepted_folder(grant.attempt))
    if accepted is not None:
        items.drain()
        return _answer(files_of(accepted), accepted["result"], most)
    with _part(tree, layout.part_folder(grant.attempt, _token())) as part, Flush(tree.descriptor) as flush:
        files, logs = _take(tree, part, items, flush)
        closing = items.drain()
        if closing.get("abort"):
            return {"aborted": True}
        result = frames.text(closing, "result")
        if len(result) > limits.MAX_RESULT:
            raise GateRefused("a result of %d characters: more than %d" % (len(result), limits.MAX_RESULT))
        alone = not files and closing.get("alone") is True
        if files or alone:
            _write_record(tree, grant, part, files, result, flush)
        flush.flush()
        _keep_logs(tree, grant, part, logs)
        if alone or (files and not (_short(files, most) and _stands(tree, grant.job, files))):
            _publish(tree, grant.attempt, part, files)
    return _answer(files, result, most)


def put(tree: Tree, items: Items) -> Line:
    """Take in pushed files (``{"item": sha256}``), each kept under its digest once its bytes are proven to have it.

    Answers ``{"stored": how many are new}``.
    """
    stored = size = 0
    with _part(tree, layout.part_folder("push", _token())) as part, Flush(tree.descriptor) as flush, Nest(tree, part) as nest:
        waiting: Set[str] = set()
        budget = Budget(limits.read(tree))
        for item in items:
            digest = frames.text(item, "item")
            if tree.look(layout.file_path(digest)) is not None or digest in waiting:
                continue
            come, seen = _copy(items, flush.add(nest.create(digest)), budget)
            if seen != digest:
                raise GateRefused("a file was pushed as %s, but its %d bytes have the digest %s" % (digest, come, seen))
            waiting.add(digest)
            size += come
            if size >= KEPT:
                stored += _keep(tree, part, waiting, flush)
                waiting, size = set(), 0
        stored += _keep(tree, part, waiting, flush)
    return {"stored": stored}


def sweep(tree: Tree) -> int:
    """Remove the parts of sessions that died; returns how many."""
    removed = 0
    for name in tree.names("incoming"):
        found = tree.look("incoming/" + name)
        if not name.startswith(".") or found is None or not stat.S_ISDIR(found.st_mode):
            continue
        descriptor = tree.open_folder("incoming/" + name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
        tree.remove("incoming/" + name)
        removed += 1
    return removed


@contextmanager
def _part(tree: Tree, path: str) -> Iterator[str]:
    """A fresh, locked part folder, removed at the end unless it was renamed."""
    tree.make_folder(path)
    descriptor = tree.open_folder(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(descriptor)
        tree.remove(path)


def _take(tree: Tree, part: str, items: Items, flush: Flush) -> Tuple[Files, Set[str]]:
    """Write all items into the part folder; the files, and which logs came."""
    files: Files = []
    logs: Set[str] = set()
    budget = Budget(limits.read(tree))
    try:
        with Nest(tree, part + "/files") as nest:
            for item in items:
                name = frames.text(item, "item")
                if item.get("log"):
                    if name not in layout.STREAMS:
                        raise GateRefused("there is no log called %.40r" % name)
                    _copy(items, flush.add(tree.create(part + "/" + name)), budget)
                    logs.add(name)
                    continue
                if layout.check_path(name).endswith("/"):
                    raise GateRefused("%s is a folder; only files are sent" % name)
                mode = 0o777 if item.get("executable") else 0o666
                size, digest = _copy(items, flush.add(nest.create(name, mode)), budget)
                files.append([name, size, digest])
    except FileExistsError as error:
        raise GateRefused("%s was sent twice" % error.filename) from None
    return files, logs


class Budget:
    """What one request has brought so far, and how much it may."""

    def __init__(self, most: limits.Limits) -> None:
        self._most = most
        self._files = self._bytes = 0

    def file(self) -> None:
        """One more file. Raises GateRefused when there are too many."""
        self._files += 1
        self._most.check(self._bytes, self._files)

    def data(self, size: int) -> None:
        """So many more bytes. Raises GateRefused when there are too many."""
        self._bytes += size
        self._most.check(self._bytes, self._files)


def _copy(items: Items, descriptor: int, budget: Budget) -> Tuple[int, str]:
    """Write the current item's bytes; their size and sha256. Raises GateRefused when the request brings too much."""
    budget.file()
    writer, digest = Writer(descriptor), hashlib.sha256()
    for data in items.pieces():
        budget.data(len(data))
        digest.update(data)
        writer.write(data)
    return writer.size, digest.hexdigest()


def _keep_logs(tree: Tree, grant: Grant, part: str, logs: Iterable[str]) -> None:
    folder = layout.log_folder(grant.job, grant.task, grant.number)
    for name in sorted(logs):
        tree.rename(part + "/" + name, folder + "/" + name, create=True)
    if logs:
        tree.sync_folder(folder)


def _short(files: Files, most: int) -> bool:
    """Whether a message can carry this manifest; the boss reads a longer one from the record, so there must be one."""
    return len(files) <= most and sum(len(path) for path, _size, _digest in files) <= SHORT_NAMES


def _stands(tree: Tree, job: str, files: Files) -> bool:
    """Whether all these files are results of the job already, the same ones: then there is nothing to keep.

    They are read: a file that a disk has damaged since is to be replaced by the same one made anew.
    """
    base = layout.job_folder(job) + "/"
    try:
        for path, size, _digest in files:
            found = tree.look(base + path)
            if found is None or not stat.S_ISREG(found.st_mode) or found.st_size != size:
                return False
        digests = known(tree, job, [path for path, _size, _digest in files])
        if any(digests.get(path) != digest for path, _size, digest in files):
            return False
        return all(digest_of(tree, base + path) == digest for path, _size, digest in files)
    except (NotPlain, FileNotFoundError):
        return False  # acceptance will say what is in the way


def _write_record(tree: Tree, grant: Grant, part: str, files: Files, result: str, flush: Flush) -> None:
    record = {
        "attempt": grant.attempt,
        "job": grant.job,
        "task": grant.task,
        "worker": grant.worker,
        "files": files,
        "result": result,
    }
    text = json.dumps(record, separators=(",", ":")).encode("ascii")
    if len(text) > limits.MAX_RECORD:
        raise GateRefused("the names of these %d files are too long for the upload's record; pack them" % len(files))
    descriptor = flush.add(tree.create(part + "/" + layout.RECORD))
    write_all(descriptor, text)


def _publish(tree: Tree, attempt: str, part: str, files: Files) -> None:
    """Make the part folder, whose files are durable, the attempt's upload.

    One that waits already and has the same files stays; another is put aside while nothing can be accepted.
    """
    incoming = layout.incoming_folder(attempt)
    waiting = read_record(tree, incoming)
    if waiting is not None and waiting["files"] == files:
        return
    with tree.locked() if waiting is not None else nullcontext():
        aside = part + ".old"
        try:
            tree.rename(incoming, aside)
        except FileNotFoundError:
            pass  # the usual case; or it was accepted or rejected since
        tree.rename(part, incoming)
        tree.sync_folder("incoming")
    tree.remove(aside)


def _keep(tree: Tree, part: str, digests: Set[str], flush: Flush) -> int:
    """Make pushed files durable and give them their names."""
    flush.flush()
    for digest in digests:
        tree.rename(part + "/" + digest, layout.file_path(digest), create=True)
    for folder in folders_above(layout.file_path(digest) for digest in digests):
        tree.sync_folder(folder)
    return len(digests)


def _answer(files: Iterable[Any], result: str, most: int) -> Line:
    listed: List[Any] = [list(row) for row in files]
    return {"files": listed if len(listed) <= most else None, "result": result}


def _token() -> str:
    return "%d-%s" % (os.getpid(), os.urandom(4).hex())
