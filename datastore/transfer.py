"""The callers' side of the gate: what a worker and a person's program do with a channel.

Rules:
- Many files go as one stream of items, in blocks of a mebibyte; there is no round trip per file.
- What people fetch is resumed where it was cut off. What an earlier fetch has brought is renewed as long as nobody has touched it; nothing
  else that differs is overwritten unless they say so, and it keeps nothing else from coming.
- ``stopped`` ends a worker's transfer between two blocks with ``Stopped``.

Python 3.9 syntax, standard library only.
"""

import os
import random
import threading
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, TypeVar

from datastore import layout
from datastore.channel import TRIES, Channel, Endpoint, Unreachable, connect
from datastore.fetched import Record
from datastore.frames import GateError, GateMissing, GateRefused, GateTrouble, Items, Line, Wire
from datastore.landing import Damaged, Listed, Stopped, Wanted, identical, land, landed, resume, sha256_of
from datastore.pipes import Bytes
from datastore.tree import amount

__all__ = [
    "Channel",
    "Damaged",
    "Endpoint",
    "Fetched",
    "GateError",
    "GateMissing",
    "GateRefused",
    "GateTrouble",
    "Given",
    "Listed",
    "Stopped",
    "Unreachable",
    "Wanted",
    "WouldOverwrite",
    "connect",
    "deliver",
    "fetch",
    "fetch_results",
    "find",
    "list_results",
    "push_files",
    "room",
]

#: ``(bytes done, bytes in all)``, called after each block.
Progress = Callable[[int, int], None]
#: How many files one request of ``get`` and one of ``put`` carries.
FILES_PER_REQUEST = 1000
#: So many files that were left alone are named.
NAMED = 5

Answer = TypeVar("Answer")


class Fetched(NamedTuple):
    """What ``fetch_results`` did, by paths of results: ``replaced`` are those of ``fetched`` in whose place another file was;
    ``differing`` are left as they are here."""

    fetched: Tuple[str, ...]
    identical: Tuple[str, ...]
    replaced: Tuple[str, ...] = ()
    differing: Tuple[str, ...] = ()


class WouldOverwrite(Exception):
    """Files here differ from the results of the same name and were left as they are; ``done`` says what was fetched besides.

    ``forced``: they could not even be overwritten, because a folder stands where a file belongs, or a file where a folder does.
    """

    def __init__(self, done: Fetched, forced: bool) -> None:
        paths = done.differing
        shown = ", ".join(paths[:NAMED]) + (" and %d more" % (len(paths) - NAMED) if len(paths) > NAMED else "")
        many = len(paths) != 1
        files = "%d file%s here" % (len(paths), "s" * many)
        if forced:
            said = "%s cannot be put in place: %s: a folder is in the way, or a file where a folder belongs" % (files[:-5], shown)
        else:
            said = "%s %s left alone: %s" % (files, "differ and were" if many else "differs and was", shown)
        super().__init__(said)
        self.done = done
        self.forced = forced


class Given(NamedTuple):
    """A file to deliver: its path in the job's folder, how to open it for reading, whether it can be executed."""

    path: str
    open: Callable[[], int]
    executable: bool


# ---- workers -----------------------------------------------------------------------------------------------------


def find(channel: Channel, grant: Line, stopped: Optional[threading.Event] = None) -> List[Listed]:
    """The files that a granted attempt's inputs name; ``grant`` has attempt, job, task, inputs and grant. Raises GateMissing, Stopped."""
    found: List[Listed] = []
    channel.ask(dict(grant, op="find"), take=lambda items: found.extend(map(_listed, items)), stopped=stopped)
    return found


def fetch(channel: Channel, grant: Line, files: Sequence[Wanted], stopped: threading.Event) -> None:
    """Bring inputs of a granted attempt.

    Raises GateMissing or Damaged for the first that did not come as it should (the others did), Stopped, Unreachable, and OSError of
    this host.
    """
    wrong: List[Exception] = []

    def take(items: Items) -> None:
        for wanted, item in zip(files, items):
            try:
                _check_there(wanted, item)
                land(items.pieces(), wanted, stopped)
            except (GateMissing, Damaged) as error:
                wrong.append(error)

    rows = [[wanted.listed.input, wanted.listed.path] for wanted in files]
    channel.ask(dict(grant, op="send", files=rows), take=take, stopped=stopped)
    if wrong:
        raise wrong[0]


def deliver(
    channel: Channel,
    grant: Line,
    files: Iterable[Given],
    logs: Mapping[str, Iterable[bytes]],
    result: str,
    most: int,
    stopped: threading.Event,
    alone: bool = False,
) -> Optional[List[Tuple[str, int, str]]]:
    """Send a granted attempt's outputs and logs, with its result; returns the manifest, or None when it has more than ``most`` rows.

    With ``alone`` the result is kept also where there are no files.

    When this returns, the upload is complete and durable. Raises Stopped (nothing is kept then), GateError, Unreachable, OSError, and what
    opening a file raises: others may use the channel, so that is no reason to break it.
    """
    wrong: List[Exception] = []

    def give(wire: Wire) -> Line:
        for name, pieces in logs.items():
            wire.write_line({"item": name, "log": True})
            if not _write(wire, pieces, stopped):
                return {"abort": True}
        for given in files:
            try:
                descriptor = given.open()
            except Exception as error:
                wrong.append(error)
                return {"abort": True}
            try:
                wire.write_line({"item": given.path, "executable": given.executable})
                if not _send(wire, descriptor, stopped):
                    return {"abort": True}
            finally:
                os.close(descriptor)
        return {"end": True, "result": result, "alone": alone}

    answer = channel.ask(dict(grant, op="receive", most=most), give=give, stopped=stopped)
    if wrong:
        raise wrong[0]
    if answer.get("aborted"):
        raise Stopped
    rows = answer["files"]
    return None if rows is None else [(path, size, digest) for path, size, digest in rows]


# ---- people ------------------------------------------------------------------------------------------------------


def push_files(endpoint: Endpoint, files: Mapping[str, str], progress: Optional[Progress] = None) -> int:
    """Have ``{sha256: local path}`` on the datastore; returns how many were missing there.

    An interrupted push goes on with what is still missing. Raises GateRefused when a file does not have its digest (any more), or the
    datastore has no room for what is missing (nothing is sent then), Unreachable, GateTrouble, OSError for a file that cannot be read.
    """
    done = [0]

    def push(channel: Channel) -> int:
        answer = channel.ask({"op": "have", "digests": list(files)})
        missing: List[str] = answer["missing"]
        wanted = sum(os.path.getsize(files[digest]) for digest in missing)
        if wanted > answer.get("free", wanted):  # a gate of an earlier version does not say
            room = "%s are to be sent, and only %s are free there" % (amount(wanted), amount(answer["free"]))
            raise GateRefused(room + ": make room, or push less")
        total = done[0] + wanted
        for first in range(0, len(missing), FILES_PER_REQUEST):
            paths = {digest: files[digest] for digest in missing[first : first + FILES_PER_REQUEST]}
            _put(channel, paths, lambda size: _count(done, size, total, progress))
        return len(missing)

    return _persistently(endpoint, push)


def room(endpoint: Endpoint) -> Optional[int]:
    """Bytes that are free on the datastore; None where its gate does not say. Raises Unreachable, GateError."""
    free: Optional[int] = _persistently(endpoint, lambda channel: channel.ask({"op": "have", "digests": []}).get("free"))
    return free


def list_results(endpoint: Endpoint, job: str) -> List[Listed]:
    """All results of a job, sorted by path; none if the job has none. Raises Unreachable, GateError."""

    return _persistently(endpoint, lambda channel: _list(channel, job))


def fetch_results(
    endpoint: Endpoint,
    job: str,
    patterns: Sequence[str] = (),
    target: str = "",
    force: bool = False,
    progress: Optional[Progress] = None,
    origin: str = "",
) -> Fetched:
    """Bring those results of a job that fit a pattern (all if there is none) into the folder ``target`` (``./<job>``).

    Identical files are left alone; what was cut off is resumed; what an earlier fetch of the same ``origin`` (the job's name; the
    cluster's id should be in it, too) has written and nobody has touched is renewed. Raises WouldOverwrite or Damaged once all others have
    come; Unreachable, GateError, OSError.
    """
    work = _Fetch(job, patterns, target or job, force, progress, origin or job)
    try:
        done = _persistently(endpoint, work.run)
    finally:
        work.record.save()
    if done.differing:
        raise WouldOverwrite(done, force)
    return done


class _Fetch:
    """One fetch of results; it may take several channels, when they break."""

    def __init__(
        self, job: str, patterns: Sequence[str], folder: str, force: bool, progress: Optional[Progress], origin: str
    ) -> None:
        self._job = job
        self._patterns = patterns
        self._folder = folder
        self._force = force
        self._progress = progress
        self._done = Fetched((), ())
        self._left: Optional[List[Wanted]] = None
        self._damaged: List[str] = []
        self._folders: Dict[str, bool] = {}
        self.record = Record(folder, origin)

    def run(self, channel: Channel) -> Fetched:
        """Do what is left."""
        if self._left is None:
            self._left = self._plan(_list(channel, self._job))
        done, total = [0], sum(wanted.listed.size for wanted in self._left)
        while self._left:
            _get(
                channel, self._job, self._left, self._damaged, lambda size: _count(done, size, total, self._progress), self._come
            )
        if self._damaged:
            others = "" if len(self._damaged) == 1 else "; %d more are damaged, too" % (len(self._damaged) - 1)
            differing = len(self._done.differing)
            kept = " except %d that differ%s and %s left alone" % (differing, *(("s", "was") if differing == 1 else ("", "were")))
            raise Damaged(self._damaged[0] + others + "; all other files are here" + (kept if differing else ""))
        return self._done

    def _come(self, wanted: Wanted, sha256: str) -> None:
        self.record.note(wanted.listed.path, wanted.listed.size, sha256, written=True)

    def _plan(self, results: Sequence[Listed]) -> List[Wanted]:
        """What is to be fetched."""
        chosen = [
            Wanted(listed, os.path.join(self._folder, *layout.check_path(listed.path).split("/")))
            for listed in results
            if listed.path != layout.FETCHED
            and (not self._patterns or any(layout.matches(pattern, listed.path) for pattern in self._patterns))
        ]
        left: List[Wanted] = []
        same: List[str] = []
        replaced: List[str] = []
        differing: List[str] = []
        for wanted in chosen:
            path = wanted.listed.path
            if self._obstructed(wanted):
                differing.append(path)
            elif not os.path.lexists(wanted.target):
                left.append(wanted)
            elif identical(wanted):
                same.append(path)
                self.record.note(path, wanted.listed.size, wanted.listed.sha256 or sha256_of(wanted.target), written=False)
            elif self._force or self.record.untouched(path):
                replaced.append(path)
                left.append(wanted)
            else:
                differing.append(path)
        self._done = Fetched(tuple(wanted.listed.path for wanted in left), tuple(same), tuple(replaced), tuple(differing))
        return left

    def _obstructed(self, wanted: Wanted) -> bool:
        """Whether a folder stands where the file belongs, or a file where one of its folders does."""
        place = self._folder
        for part in wanted.listed.path.split("/")[:-1]:
            place = os.path.join(place, part)
            if place not in self._folders:
                self._folders[place] = os.path.lexists(place) and not os.path.isdir(place)
            if self._folders[place]:
                return True
        return os.path.isdir(wanted.target) and not os.path.islink(wanted.target)


def _list(channel: Channel, job: str) -> List[Listed]:
    found: List[Listed] = []
    channel.ask({"op": "list", "job": job}, take=lambda items: found.extend(map(_listed, items)))
    return sorted(found)


def _put(channel: Channel, paths: Mapping[str, str], count: Callable[[int], None]) -> None:
    """Send files under their digests."""

    def give(wire: Wire) -> Line:
        for digest, path in paths.items():
            wire.write_line({"item": digest})
            with open(path, "rb", buffering=0) as file:
                for size in wire.write_file(file.fileno()):
                    count(size)
            wire.end_item()
        return {"end": True}

    channel.ask({"op": "put"}, give=give)


def _get(
    channel: Channel,
    job: str,
    left: List[Wanted],
    damaged: List[str],
    count: Callable[[int], None],
    landed_as: Callable[[Wanted, str], None],
) -> None:
    """Bring the first of the files that are left, and take off the list what has come; what came damaged is said in ``damaged``.

    ``landed_as`` is told each file that is here now, with its sha256.
    """
    part = left[:FILES_PER_REQUEST]
    offsets = [landed(wanted) for wanted in part]
    come = [0]

    def take(items: Items) -> None:
        for wanted, offset, item in zip(part, offsets, items):
            _check_there(wanted, item)
            count(offset)
            try:
                landed_as(wanted, resume(items.pieces(), wanted, offset, count))
            except Damaged as error:
                damaged.append(str(error))
            come[0] += 1

    rows = [[wanted.listed.path, offset] for wanted, offset in zip(part, offsets)]
    try:
        channel.ask({"op": "get", "job": job, "files": rows}, take=take)
    finally:
        del left[: come[0]]


def _persistently(endpoint: Endpoint, work: Callable[[Channel], Answer]) -> Answer:
    """Do the work on a fresh channel, and again on another when that one breaks."""
    tried = 0
    while True:
        channel = connect(endpoint)
        tried += 1
        try:
            return work(channel)
        except Unreachable:
            if tried == TRIES:
                raise
        finally:
            channel.close()
        threading.Event().wait(random.uniform(0.2, 1.0))  # noqa: S311 (jitter)


def _listed(item: Line) -> Listed:
    return Listed(item["item"], item["size"], item["sha256"], item["executable"], item.get("input", 0))


def _check_there(wanted: Wanted, item: Line) -> None:
    if item.get("missing"):
        raise GateMissing("%s is not on the datastore any more" % wanted.listed.path)


def _write(wire: Wire, pieces: Iterable[Bytes], stopped: threading.Event) -> bool:
    """Write one item's chunks and their end; False when it was stopped on the way."""
    for data in pieces:
        if stopped.is_set():
            break
        wire.write_chunk(data)
    wire.end_item()
    return not stopped.is_set()


def _send(wire: Wire, descriptor: int, stopped: threading.Event) -> bool:
    """Write an open file as one item's chunks and their end; False when it was stopped on the way."""
    for _size in wire.write_file(descriptor):
        if stopped.is_set():
            break
    wire.end_item()
    return not stopped.is_set()


def _count(done: List[int], size: int, total: int, progress: Optional[Progress]) -> None:
    done[0] += size
    if progress is not None:
        progress(done[0], total)
