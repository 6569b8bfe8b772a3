"""Inputs in before an attempt runs, outputs and long logs out after it, through the datastore's gate.

Rules:
- All attempts share two lasting channels, one in and one out, opened on need and closed after a minute without use. Nobody waits for the
  answers to others' requests there. An attempt without inputs, without outputs and with short logs never touches them: ask
  ``wants_inputs`` and ``wants_delivery``.
- Inputs are compared with their sha256 and kept in a cache by it; a file which several attempts want at once is fetched by one of
  them, and the others wait and find it in the cache.
- The gate keeps the result beside the outputs (a ``Results`` message with one result, its files left out: the record has them), so
  that the boss can read it when this worker is gone.
- A worker that runs signed work only (``verifier``) holds each attempt against its signed document before anything is fetched
  for it, and what was fetched against the digests in it before anything runs.
- Trouble on the way is not final: the same call may be repeated until it succeeds, and never stores anything twice.

Python 3.9 syntax, standard library only.
"""

import logging
import os
import tempfile
import threading
from contextlib import contextmanager
from typing import Container, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from datastore import layout
from datastore.cache import Cache
from datastore.channel import Channel, Endpoint, Unreachable
from datastore.frames import GateError, GateFull, GateTrouble, Line
from datastore.landing import Damaged, Listed, Stopped, Wanted
from datastore.sources import SHARED, is_outside
from datastore.transfer import Given, deliver, fetch, find
from datastore.tree import blocks
from worker.arrivals import Arrivals
from worker.lasting import Lasting
from worker.outputs import Found, OutputRefused, expand, open_inside
from worker.protocol import DOCUMENT, MAX_TAIL, Assignment, Input, Result, Results, cache_name, encode, granted_inputs
from worker.signed import MAX_DOCUMENT, Document, NotSigned, check_shared
from worker.verify import Verifier, check_file

_LOG = logging.getLogger("worker")
#: A manifest of more files does not travel in the result: the boss reads it from the datastore's record.
MAX_FILES = 200
#: So many of the largest files of the cache are told to the boss.
MAX_CACHED = 16
#: How much of the beginning and of the end of a long log is kept, in bytes.
LOG_END = 5 * 1000 * 1000


class StageError(Exception):
    """Inputs or outputs did not get where they should.

    ``phase`` is ``verify``, ``fetch`` or ``upload``; ``final`` is False for trouble on the way, where the same call may succeed later.
    ``full``: the datastore has no room.
    """

    def __init__(self, phase: str, reason: str, final: bool, full: bool = False) -> None:
        super().__init__(reason)
        self.phase = phase
        self.reason = reason
        self.final = final
        self.full = full


def wants_inputs(assignment: Assignment) -> bool:
    """Whether ``fetch`` has anything to do."""
    return bool(assignment.inputs)


def wants_delivery(assignment: Assignment, result: Result, stdout_size: int, stderr_size: int) -> bool:
    """Whether ``deliver`` has anything to do; sizes in bytes."""
    return bool(assignment.outputs and result.outcome == "succeeded") or max(stdout_size, stderr_size) > MAX_TAIL


class Stage:
    """A worker's way to the datastore. Any thread may call; ``endpoint`` None is a worker without a datastore.

    ``owners`` are the users whose files may be outputs; None: all. ``verifier``: only what is signed is fetched for.
    """

    def __init__(
        self,
        endpoint: Optional[Endpoint],
        cache_folder: str,
        cache_limit_bytes: int,
        owners: Optional[Container[int]] = None,
        verifier: Optional[Verifier] = None,
    ) -> None:
        self._owners = owners
        self._inward = Lasting(endpoint)
        self._outward = Lasting(endpoint)
        self._arrivals = Arrivals()
        self._cache = Cache(cache_folder, cache_limit_bytes)
        self._verifier = verifier
        self._told: Set[str] = set()  # contents that were said to be too large

    def fetch(self, assignment: Assignment, folder: str, stopped: threading.Event) -> None:
        """Put the attempt's inputs into its folder. Raises StageError."""
        with _errors("fetch"):
            if self._verifier is None:
                self._fill(assignment, folder, stopped, None)
                return
            document = self._verifier.verify(assignment, lambda: self._document(assignment, stopped))
            self._fill(assignment, folder, stopped, document)
            for item in assignment.inputs:
                if item.digest:
                    check_file(_target(folder, item, item.source), item.digest, item.source)

    def _fill(self, assignment: Assignment, folder: str, stopped: threading.Event, document: Optional[Document]) -> None:
        missing = self._pushed_from_cache(assignment, folder)
        if not missing and all(item.digest for item in assignment.inputs):
            return
        with self._inward.channel(stopped) as channel:
            try:
                self._bring(channel, assignment, folder, stopped, document)
            except Damaged:
                # The file may have been replaced by a newer result between being looked up and being sent.
                self._bring(channel, assignment, folder, stopped, document)

    def _document(self, assignment: Assignment, stopped: threading.Event) -> bytes:
        """The signed document of the attempt's job, with its signature."""
        listed = Listed(DOCUMENT, 0, assignment.document, False, len(assignment.inputs))
        with tempfile.TemporaryDirectory(prefix="ecloud-signed-") as folder:
            target = os.path.join(folder, DOCUMENT)
            with self._inward.channel(stopped) as channel:
                fetch(channel, _grant(assignment), [Wanted(listed, target)], stopped)
            if os.path.getsize(target) > MAX_DOCUMENT:
                raise NotSigned("the signed document is larger than %d bytes" % MAX_DOCUMENT)
            with open(target, "rb") as file:
                return file.read()

    def deliver(
        self, assignment: Assignment, folder: str, result: Result, stdout: str, stderr: str, stopped: threading.Event
    ) -> Result:
        """Send outputs (of an attempt that succeeded) and long logs; the result with ``files`` and ``stored_logs`` filled in.

        ``stdout`` and ``stderr`` are the paths of the log files. Raises StageError; after one that is final, call it again with
        the result as failed, so that the logs are kept.
        """
        with _errors("upload"):
            found = expand(folder, assignment.outputs) if result.outcome == "succeeded" else []
            logs = {name: path for name, path in zip(layout.STREAMS, (stdout, stderr)) if _size(path) > MAX_TAIL}
            result = result._replace(files=(), stored_logs=bool(logs))
            if not found and not logs:
                return result
            (kept,) = encode(Results("", (result._replace(files=None),)))
            with self._outward.channel(stopped) as channel:
                rows = deliver(
                    channel,
                    _grant(assignment),
                    [_given(folder, item, self._owners) for item in found],
                    {name: _ends(path) for name, path in logs.items()},
                    kept.decode("utf-8"),
                    MAX_FILES,
                    stopped,
                )
            return result._replace(files=None if rows is None else tuple(rows))

    def cached(self) -> Dict[str, float]:
        """The sizes in bytes of the largest inputs that are kept, by ``cache_name``."""
        return {name: float(size) for name, size in self._cache.largest(MAX_CACHED).items()}

    def deposit(self, assignment: Assignment, result: Result, stopped: threading.Event) -> None:
        """Have a result without files kept by the gate, for a boss that is off now. Raises StageError."""
        with _errors("upload"):
            (kept,) = encode(Results("", (result,)))
            with self._outward.channel(stopped) as channel:
                deliver(channel, _grant(assignment), [], {}, kept.decode("utf-8"), MAX_FILES, stopped, alone=True)

    def close_idle(self, now: float) -> None:
        """Close channels that were not used for a minute; ``now`` in seconds on any clock, always the same one."""
        self._inward.close_idle(now)
        self._outward.close_idle(now)

    def close(self) -> None:
        """Close the channels, whatever they do."""
        self._inward.close()
        self._outward.close()

    def _pushed_from_cache(self, assignment: Assignment, folder: str) -> List[Input]:
        """Copy those pushed files that the cache has; returns those that it has not."""
        return [
            item
            for item in assignment.inputs
            if item.digest and not self._cache.copy(item.digest, _target(folder, item, item.source), item.mode)
        ]

    def _bring(
        self, channel: Channel, assignment: Assignment, folder: str, stopped: threading.Event, document: Optional[Document]
    ) -> None:
        """Look up the inputs, take from the cache what it has by now, fetch the rest."""
        grant = _grant(assignment)
        through_cache: Dict[str, List[Listed]] = {}
        straight: List[Wanted] = []
        room = self._cache.limit
        found = [
            listed for listed in find(channel, grant, stopped) if listed.input != len(assignment.inputs)
        ]  # that is the document
        if document is not None:
            _check_signed(document, assignment, found)
        _check_complete(assignment, found)
        for listed in found:
            if not listed.sha256 or not self._cache.keeps(listed.size):
                straight.append(Wanted(listed, _place(folder, assignment, listed)))
                self._too_large(listed)
            elif self._from_cache(assignment, folder, listed):
                continue
            elif listed.sha256 in through_cache:
                through_cache[listed.sha256].append(listed)
            elif listed.size <= room:
                room -= listed.size
                through_cache[listed.sha256] = [listed]
            else:  # together they are more than the cache holds: the first would be gone before they are copied
                straight.append(Wanted(listed, _place(folder, assignment, listed)))
                self._too_large(listed)
        while straight or through_cache:
            with self._arrivals.claimed(through_cache) as mine:
                self._fetch(
                    channel, assignment, folder, straight, {digest: through_cache.pop(digest) for digest in mine}, stopped
                )
            straight = []
            if through_cache:  # others are fetching them
                self._arrivals.wait(through_cache, stopped)

    def _fetch(
        self,
        channel: Channel,
        assignment: Assignment,
        folder: str,
        straight: List[Wanted],
        through_cache: Dict[str, List[Listed]],
        stopped: threading.Event,
    ) -> None:
        """Fetch files to their places, and others into the cache and from there to theirs, unless they have come meanwhile."""
        missing: Dict[str, List[Listed]] = {}
        for digest, same in through_cache.items():
            left = [listed for listed in same if not self._from_cache(assignment, folder, listed)]
            if left:
                missing[digest] = left
        kept = [Wanted(same[0]._replace(executable=False), self._cache.path(digest)) for digest, same in missing.items()]
        if not straight and not kept:
            return
        fetch(channel, _grant(assignment), straight + kept, stopped)
        for wanted in straight:
            os.chmod(wanted.target, _mode(assignment, wanted.listed))
        for digest, same in missing.items():
            self._cache.add(digest)
            for listed in same:
                if not self._from_cache(assignment, folder, listed):
                    raise StageError("fetch", "the cache is too small for the inputs of one attempt", False)

    def _from_cache(self, assignment: Assignment, folder: str, listed: Listed) -> bool:
        """Copy one input to its place, if the cache has it."""
        if not self._cache.copy(listed.sha256, _place(folder, assignment, listed), _mode(assignment, listed)):
            return False
        asked = assignment.inputs[listed.input]
        self._cache.call(listed.sha256, cache_name(assignment.job, listed.path, asked.digest))
        return True

    def _too_large(self, listed: Listed) -> None:
        """Say, once for each content, that shared data is fetched anew for every task."""
        if not listed.path.startswith(SHARED) or listed.sha256 in self._told:
            return
        self._told.add(listed.sha256)
        if listed.sha256:
            sizes = "its %d bytes do not fit into the cache of %d: a larger workers.cache" % (listed.size, self._cache.limit)
        else:
            sizes = "the datastore knows no sha256 of it: `admin.py put` of the same file"
        _LOG.warning("%s is fetched anew for each attempt, because %s would help", listed.path, sizes)


@contextmanager
def _errors(phase: str) -> Iterator[None]:
    """What may go wrong with the datastore or this host's disk, as a StageError."""
    try:
        yield
    except GateFull as error:
        raise StageError(phase, str(error), False, full=True) from error
    except (Unreachable, GateTrouble) as error:
        raise StageError(phase, "the datastore: %s" % error, False) from error
    except NotSigned as error:
        raise StageError("verify", str(error), True) from error
    except (GateError, OutputRefused, Damaged, layout.PathRefused) as error:
        raise StageError(phase, str(error), True) from error
    except Stopped:
        raise StageError(phase, "stopped", True) from None
    except OSError as error:
        raise StageError(phase, "%s: %s" % (error.strerror or error, error.filename or "this worker's disk"), True) from error


def _check_complete(assignment: Assignment, found: List[Listed]) -> None:
    """What a folder or glob names must all be there: with files that were lost the task would come to a wrong result, silently."""
    for number, item in enumerate(assignment.inputs):
        least = assignment.least.get(item.source, 0)
        there = sum(1 for listed in found if listed.input == number) if least else 0
        if there < least:
            reason = "%s: %d files of job %s are on the datastore, but the tasks before have yielded %d: some were lost"
            raise StageError("fetch", reason % (item.source, there, assignment.job, least), True)


def _check_signed(document: Document, assignment: Assignment, found: List[Listed]) -> None:
    """Raise NotSigned unless what the datastore would send is what the signed inputs name, and no file takes another one's place."""
    outside: Dict[int, List[Tuple[str, str]]] = {}
    places: Dict[str, str] = {}
    for listed in found:
        item = assignment.inputs[listed.input] if 0 <= listed.input < len(assignment.inputs) else None
        fits = item is not None and (listed.path == item.source or layout.matches(item.source, listed.path))
        if item is None or not fits or (item.digest and listed.sha256 != item.digest):
            raise NotSigned("the datastore sends %.200s, which no signed input names" % listed.path)
        if is_outside(item.source):
            outside.setdefault(listed.input, []).append((listed.path, listed.sha256))
        place = _target("", item, listed.path)
        other = places.setdefault(place, listed.path)
        if other != listed.path:
            raise NotSigned("its inputs %.200s and %.200s would both lie at %.200s" % (other, listed.path, place))
    for number, item in enumerate(assignment.inputs):
        if is_outside(item.source):
            check_shared(document, item.source, outside.get(number, []))


def _grant(assignment: Assignment) -> Line:
    return {
        "attempt": assignment.attempt,
        "job": assignment.job,
        "task": assignment.task,
        "inputs": [list(item) for item in granted_inputs(assignment)],
        "grant": assignment.grant,
    }


def _target(folder: str, item: Input, path: str) -> str:
    """The absolute place of one input's file in the attempt's folder."""
    place = layout.check_path(layout.destination(item.source, item.to, path))
    return os.path.join(folder, *place.split("/"))


def _place(folder: str, assignment: Assignment, listed: Listed) -> str:
    """The absolute place of one file of the inputs."""
    return _target(folder, assignment.inputs[listed.input], listed.path)


def _mode(assignment: Assignment, listed: Listed) -> int:
    item = assignment.inputs[listed.input]
    if item.digest:
        return item.mode & 0o777
    if item.source.startswith(SHARED):
        return 0o555 if listed.executable else 0o444  # its own copy, but what it is meant to be: read-only
    return 0o755 if listed.executable else 0o644


def _given(folder: str, found: Found, owners: Optional[Container[int]]) -> Given:
    return Given(found.path, lambda: open_inside(folder, found.local, owners), bool(os.stat(found.local).st_mode & 0o100))


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


def _ends(path: str) -> Iterable[bytes]:
    """A log in pieces; of a long one the first and the last five megabytes, with a line between that says what was left out."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= 2 * LOG_END:
            yield from blocks(file.fileno(), size)
            return
        yield from blocks(file.fileno(), LOG_END)
        yield b"\n--- %d bytes are left out here ---\n" % (size - 2 * LOG_END)
        file.seek(size - LOG_END)
        yield from blocks(file.fileno(), LOG_END)
