"""``shared/``: read-only data for many jobs, as it comes in, is listed and is looked for. The gate's side.

    offer   is it there already? else: how much of each content is here from an earlier try?
    add     contents by digest, each from where it was cut off         parts/<sha256>.part -> parts/<sha256>
    share   the name, once every content is whole                      parts/<sha256> -> shared/<name>

Rules:
- A name appears by one rename, with all that is below it, fsynced and compared with its sha256, or not at all; its checksum is in
  ``shared/SHA256SUMS`` before. Nothing overwrites it and nothing deletes it: an admin removes files by hand.
- What was cut off stays for a week and is gone on with. A full disk is another matter: then the part is removed, because results that
  wait for room go before.
- Who put what, and which worker fetched it, is kept in two files beside; the second is for people only and bounded.

Python 3.9 syntax, standard library only.
"""

import difflib
import fcntl
import hashlib
import json
import os
import stat
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from datastore import frames, layout
from datastore.acceptance import digest_of
from datastore.frames import GateFull, GateRefused, GateTrouble, Items, Line, Wire
from datastore.manifest import Manifest, known_in, read
from datastore.sources import SHARED, SHARED_FOLDER, check_shared
from datastore.tree import NotPlain, Tree, amount, blocks, folders_above, write_all

PUTS = "shared-puts.jsonl"
FETCHES = "shared-fetches.jsonl"
#: How long the list of fetches may become before it is put aside, in bytes.
MAX_FETCHES = 16 * 1024 * 1024
#: How long the beginnings of contents that nobody goes on with are kept, in seconds.
KEPT = 7 * 86400.0
#: How long to wait for another session that is sending the same content, in seconds; who puts it asks again.
PATIENCE = 1.0
#: Of so many names at most the nearest is looked for.
MAX_NAMES = 100_000


class Content(NamedTuple):
    """A file of what is put: its path below the name (empty for a file that is the name itself), size, sha256, whether it can be run."""

    path: str
    size: int
    digest: str
    executable: bool


# ---- in ----------------------------------------------------------------------------------------------------------


def offer(tree: Tree, request: Line) -> Line:
    """``{"state": "same"}`` when the name is there with just these contents, else ``{"state": "new", "have": {digest: bytes here}}``.

    Raises GateRefused when other content has the name, GateFull when there is no room for what is missing.
    """
    name, contents = _read(request)
    if _stands(tree, name, contents):
        return {"state": "same"}
    have = {content.digest: _here(tree, content.digest) for content in contents}
    missing = {content.digest: content.size - have[content.digest] for content in contents}
    space = os.statvfs(tree.descriptor)
    if sum(missing.values()) > space.f_bavail * space.f_frsize:
        raise GateFull(
            "the datastore has %s free, and %s%s needs %s more: free space in %s on %s"
            % (
                amount(space.f_bavail * space.f_frsize),
                SHARED,
                name,
                amount(sum(missing.values())),
                tree.path,
                os.uname().nodename,
            )
        )
    return {"state": "new", "have": have}


def add(tree: Tree, items: Items) -> Line:
    """Take in contents, ``{"item": sha256, "size": bytes, "offset": where it goes on}``. Answers ``{"whole": how many are complete}``."""
    whole = 0
    for item in items:
        digest, size, offset = frames.text(item, "item"), frames.count(item, "size"), frames.count(item, "offset")
        layout.file_path(digest)
        if tree.look(_whole(digest)) is None:
            _append(tree, items, digest, size, offset)
        whole += 1
    return {"whole": whole}


def share(tree: Tree, caller: str, request: Line) -> Line:
    """Give contents that are all here their name: ``{"state": "new" or "same"}``.

    Raises GateRefused when other content has the name by now, GateTrouble when a content is missing (offer again).
    """
    name, contents = _read(request)
    if _stands(tree, name, contents):
        return {"state": "same"}
    with tree.locked():
        if _stands(tree, name, contents, locked=True):
            return {"state": "same"}
        for content in contents:
            found = tree.look(_whole(content.digest))
            if found is None or found.st_size != content.size:
                raise GateTrouble("%s%s is not all here any more; put it again" % (SHARED, name))
        _appear(tree, caller, name, contents)
    return {"state": "new"}


def sweep_parts(tree: Tree) -> None:
    """Remove what a dying session left half-named, and beginnings that nobody has gone on with for a week."""
    with tree.locked():
        for entry in tree.names("parts"):
            found = tree.look("parts/" + entry)
            if found is not None and (entry.startswith(".") or time.time() - found.st_mtime > KEPT):
                tree.remove("parts/" + entry)


# ---- out ---------------------------------------------------------------------------------------------------------


def shared_listing(tree: Tree, request: Line, wire: Wire) -> Line:
    """What there is whose name begins with ``request["prefix"]``, as items without bytes.

    ``{"item": name, "size": bytes, "sha256": hex or "", "when": Unix seconds, "by": who put it, if known}``.
    """
    prefix = frames.text(request, "prefix")
    digests = read(tree, SHARED_FOLDER + "/" + layout.MANIFEST)
    puts = _puts(tree)
    for name, what in _files(tree):
        if name.startswith(prefix):
            put = _put_of(puts, name)
            line = {"item": name, "size": what.st_size, "sha256": digests.get(name, "")}
            wire.write_line(dict(line, when=put.get("when", what.st_mtime), by=put.get("by", "")))
            wire.end_item()
    return {}


def shared_names(tree: Tree) -> List[str]:
    """What may be written as a source: the files, and the folders ``x/`` that they lie in; sorted, not more than ``MAX_NAMES`` or so."""
    names = set()
    for name, _what in _files(tree):
        names.add(SHARED + name)
        names.update(SHARED + folder + "/" for folder in folders_above([name]) if folder)
        if len(names) > MAX_NAMES:
            break
    return sorted(names)


def nearest(names: Sequence[str], source: str) -> str:
    """``" (did you mean shared:x?)"`` for a name that does not exist; empty when nothing is like it."""
    of_kind = [name for name in names if name.endswith("/") == source.endswith("/")]
    near = difflib.get_close_matches(source, of_kind, 2, 0.7)
    if not near:
        tail = source.rstrip("/").rpartition("/")[2].partition(":")[2] or source.rstrip("/").rpartition("/")[2]
        near = [name for name in names if tail and tail in name][:3]
    return " (did you mean %s?)" % " or ".join(near) if near else ""


def note_fetch(tree: Tree, worker: str, source: str, attempt: str, files: int, size: int) -> None:
    """Keep for people which worker fetched shared data for whom. Room for that is not worth a fetch that fails."""
    try:
        found = tree.look(FETCHES)
        if found is not None and found.st_size > MAX_FETCHES:
            tree.rename(FETCHES, FETCHES + ".old")
        _note(
            tree,
            FETCHES,
            {"when": time.time(), "worker": worker, "source": source, "attempt": attempt, "files": files, "bytes": size},
        )
    except OSError:
        return  # a full disk


# ---- steps -------------------------------------------------------------------------------------------------------


def _read(request: Line) -> Tuple[str, List[Content]]:
    """The name and the contents that a request speaks of. Raises PathRefused or GateRefused."""
    name = check_shared(frames.text(request, "name").rstrip("/"))
    contents = [Content(*row) for row in frames.rows(request, "files", str, int, str, bool)]
    for content in contents:
        layout.file_path(content.digest)
        if content.path or len(contents) > 1:
            layout.check_path(name + "/" + content.path)
            if layout.is_folder(content.path):
                raise GateRefused("%s is a folder; only files are put" % content.path)
    if not contents or len({content.path for content in contents}) != len(contents):
        raise GateRefused("%s%s would have no file, or one twice" % (SHARED, name))
    return name, contents


def _stands(tree: Tree, name: str, contents: Sequence[Content], locked: bool = False) -> bool:
    """Whether the name is there with just these contents. Raises GateRefused when something else is in the way."""
    place = SHARED_FOLDER + "/" + name
    try:
        found = tree.look(place)
    except NotPlain:
        raise GateRefused("a part of the name %s%s is a file already; choose another name" % (SHARED, name)) from None
    if found is None:
        return False
    if stat.S_ISDIR(found.st_mode):
        there = dict(tree.files(place))
    else:
        there = {"": found}
    wanted = {content.path: content for content in contents}
    if set(there) != set(wanted) or not all(stat.S_ISREG(there[path].st_mode) for path in there):
        raise _taken(name, sorted(set(there) ^ set(wanted))[0] if set(there) ^ set(wanted) else "")
    full = {path: name + "/" + path if path else name for path in there}
    digests = known_in(tree, SHARED_FOLDER, full.values())
    for path, content in wanted.items():
        digest = digests.get(full[path]) or digest_of(tree, SHARED_FOLDER + "/" + full[path])
        if there[path].st_size != content.size or digest != content.digest:
            raise _taken(name, path)
    unknown = {full[path]: content.digest for path, content in wanted.items() if full[path] not in digests}
    if unknown and not locked:
        with tree.locked():
            _manifest(tree).add(unknown)  # somebody copied it here by hand
    return True


def _taken(name: str, path: str) -> GateRefused:
    where = " (they differ at %s)" % path if path else ""
    return GateRefused(
        "%s%s exists with other content%s; shared data is never overwritten: choose another name" % (SHARED, name, where)
    )


def _append(tree: Tree, items: Items, digest: str, size: int, offset: int) -> None:
    """Go on with a content where an earlier try was cut off; whole, it is durable and proven.

    Raises GateTrouble when another session is at it, or when the sender is mistaken about how much is here.
    """
    path = _part(digest)
    descriptor = _open_part(tree, path)
    try:
        _lock(descriptor)
        seen, here = hashlib.sha256(), 0
        os.lseek(descriptor, 0, os.SEEK_SET)
        if os.fstat(descriptor).st_size != offset:
            raise GateTrouble("%d bytes of this content are here, not %d; put it again" % (os.fstat(descriptor).st_size, offset))
        for before in blocks(descriptor):
            seen.update(before)
            here += len(before)
        for data in items.pieces():
            seen.update(data)
            here += len(data)
            if here > size:
                break
            write_all(descriptor, data)
        if here != size or seen.hexdigest() != digest:
            tree.remove(path)
            if offset:
                raise GateTrouble("the beginning of a file that was kept here was damaged, and is removed; put it again")
            raise GateRefused("a file of %d bytes has another sha256 than %s...: it was changed meanwhile" % (size, digest[:12]))
        os.fsync(descriptor)
        tree.rename(path, _whole(digest))
    except OSError as error:
        if isinstance(frames.trouble(error, ""), GateFull):
            tree.remove(path)
        raise
    finally:
        os.close(descriptor)


def _open_part(tree: Tree, path: str) -> int:
    with tree.parent(path, create=True) as (folder, name):
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)


def _lock(descriptor: int) -> None:
    """Be the only one that writes to a part. A session whose connection broke holds it until its host has noticed."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise GateTrouble("another upload of the same content is under way; it goes on when that one has ended") from None
            time.sleep(0.1)
            continue
        if os.fstat(descriptor).st_nlink:
            return
        raise GateTrouble("another upload of the same content has just ended; put it again")


def _appear(tree: Tree, caller: str, name: str, contents: Sequence[Content]) -> None:
    """Name contents that are whole. Called under the lock."""
    place = SHARED_FOLDER + "/" + name
    source = _whole(contents[0].digest)
    if contents[0].path:
        source = "parts/.%d-%s" % (os.getpid(), os.urandom(4).hex())
        _assemble(tree, source, contents)
    else:
        _set_mode(tree, source, contents[0].executable)
    put = {"when": time.time(), "by": caller, "name": name, "files": len(contents), "bytes": sum(one.size for one in contents)}
    _note(tree, PUTS, put)
    _manifest(tree).add({name + "/" + one.path if one.path else name: one.digest for one in contents})
    tree.rename(source, place, create=True)
    for folder in folders_above([place]):
        tree.sync_folder(folder)
    for content in contents:
        tree.remove(_whole(content.digest))


def _assemble(tree: Tree, folder: str, contents: Sequence[Content]) -> None:
    """Make a folder of contents: links, so that what was sent stays until the folder has its name."""
    try:
        for content in contents:
            with (
                tree.parent(_whole(content.digest)) as (source, name),
                tree.parent(folder + "/" + content.path, create=True) as (to, last),
            ):
                os.link(name, last, src_dir_fd=source, dst_dir_fd=to, follow_symlinks=False)
            _set_mode(tree, folder + "/" + content.path, content.executable)
        for above in folders_above(content.path for content in contents):
            tree.sync_folder((folder + "/" + above).rstrip("/"))
    except OSError:
        tree.remove(folder)
        raise


def _set_mode(tree: Tree, path: str, executable: bool) -> None:
    """Read-only for everybody who may read new files here; the owner may still remove it, which is the folder's business."""
    descriptor, found = tree.open(path)
    try:
        readable = found.st_mode & 0o444
        os.fchmod(descriptor, readable | (readable >> 2 if executable or found.st_mode & 0o100 else 0))
    finally:
        os.close(descriptor)


def _manifest(tree: Tree) -> Manifest:
    return Manifest(tree, "", SHARED_FOLDER)


def _here(tree: Tree, digest: str) -> int:
    """How much of a content is here, in bytes."""
    found = tree.look(_whole(digest)) or tree.look(_part(digest))
    return 0 if found is None else found.st_size


def _whole(digest: str) -> str:
    return "parts/" + digest


def _part(digest: str) -> str:
    return "parts/%s.part" % digest


def _files(tree: Tree) -> Iterator[Tuple[str, os.stat_result]]:
    """Every file of shared data by its name, but what is ecloud's own."""
    for name, what in tree.files(SHARED_FOLDER):
        if name != layout.MANIFEST and not name.startswith("."):
            yield name, what


def _note(tree: Tree, path: str, facts: Dict[str, Any]) -> None:
    """Append one line to a file at the root, whole or not at all."""
    data = json.dumps(facts, separators=(",", ":")).encode("ascii") + b"\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644, dir_fd=tree.descriptor)
    try:
        before = os.fstat(descriptor).st_size
        written = os.write(descriptor, data)
        if written != len(data):
            os.ftruncate(descriptor, before)
            raise OSError(28, "No space left on device")
    finally:
        os.close(descriptor)


def _puts(tree: Tree) -> Dict[str, Dict[str, Any]]:
    """The newest put of each name."""
    try:
        lines = tree.read(PUTS).splitlines()
    except FileNotFoundError:
        return {}
    found: Dict[str, Dict[str, Any]] = {}
    for line in lines:
        try:
            put = json.loads(line)
            found[put["name"]] = put
        except (ValueError, TypeError, KeyError):
            continue  # cut off by a power cut
    return found


def _put_of(puts: Dict[str, Dict[str, Any]], name: str) -> Dict[str, Any]:
    """The put that brought a file: of its own name or of a folder that it lies in."""
    found: Optional[Dict[str, Any]] = puts.get(name)
    while found is None and "/" in name:
        name = name.rpartition("/")[0]
        found = puts.get(name)
    return found or {}
