"""The boss's lasting channel to the datastore's gate: accepts uploads in batches, reads records; and a second one for the API.

Rules:
- What the loop wishes for waits in one ordered table until the gate has answered it: a broken connection, a full disk or a restarted
  sshd delay a wish and never lose it. Each may be performed twice without harm, so nothing is remembered beyond that.
- Everything that waits goes in one request, up to a bound: the cost per task falls as load rises.
- The API's calls use a connection of their own, so that a listing does not wait behind a large acceptance.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import uniform
from typing import Any

from boss.adapters.gate_link import GateLink, LinkDown
from boss.core.events import DatastoreEvent, DatastoreSeen, RecordRead, ResultAccepted, ResultRefused
from boss.ports import DatastoreDown, Put
from datastore import layout
from datastore.acceptance import ACCEPTED, FULL, REFUSED
from datastore.channel import Endpoint
from datastore.frames import GateError, GateFull, GateOutdated, GateRefused, Items, Line
from worker.protocol import ProtocolError, Result, Results, decode

#: The most uploads, and about the most files, that one request has accepted.
BATCH_UPLOADS = 500
BATCH_FILES = 20_000
#: The first and the longest wait before the datastore is tried again, in seconds.
FIRST_WAIT = 0.2
LONGEST_WAIT = 15.0
#: How often an idle connection is looked at, and how long the loop's wishes and the API's calls wait for an answer, in seconds.
LOOK = 10.0
PATIENCE = 300.0
API_PATIENCE = 15.0
#: A datastore with less room than this, in bytes, counts as full before anybody has failed to write.
MIN_FREE = 1024 * 1024
#: The most files that one attempt may upload.
UPLOAD_FILES = 1_000_000
#: How many sources from outside jobs one request asks for.
SOURCES_PER_REQUEST = 2000
Files = Sequence[tuple[str, int, str]]
Wish = tuple[str, str]  # ("accept" | "reject" | "record", attempt)
Upload = tuple[str, Files, bool]  # job, files, whether to keep what they would replace

log = logging.getLogger(__name__)


class DatastoreGate:
    """The ports ``Results`` (for the loop) and ``Datastore`` (for the API) over SSH."""

    def __init__(
        self,
        endpoint: Endpoint,
        cluster: str,
        secret: bytes,
        epoch: int = 0,
        outdated: Callable[[str], None] = lambda reason: None,
        legacy_root: str = "",
        max_upload: int = 0,
        transfers: int = 8,
    ) -> None:
        """``epoch`` is this boss's (0: not told). ``outdated`` is told, once, when the datastore has seen a later life than it: nothing
        is done there then."""
        self._cluster = cluster
        self._legacy_root = legacy_root
        self._limits = {"upload_bytes": max_upload, "upload_files": UPLOAD_FILES, "transfers": transfers}
        self._epoch, self._life = epoch, secrets.token_hex(8)
        self._outdated = outdated
        self._secret = secret
        self._changed = threading.Condition()
        self._wishes: dict[Wish, Upload] = {}
        self._revoked: dict[str, float] = {}
        self._untold = False
        self.shuts_out = True  #: False when the gate there is of an earlier version, which knows no revoked tokens
        self._stopping = False
        self._seen_last: DatastoreSeen | None = None
        self._host = endpoint.host
        self._place = ""
        self._full = False
        self._put: Put = lambda event: False
        self._link = GateLink(endpoint, PATIENCE)
        self._thread = threading.Thread(target=self._run, name="datastore", daemon=True)
        self._api_link = GateLink(endpoint, API_PATIENCE)
        self._api_turn = threading.Lock()

    # ---- Results: for the loop ---------------------------------------------------------------------------------

    def start(self, put: Put) -> None:
        """Connect, and keep connecting; puts DatastoreSeen when that changes."""
        self._put = put
        self._thread.start()

    def accept(self, attempt: str, job: str, files: Files, keep: bool = False) -> None:
        """Ends as ResultAccepted or ResultRefused; with ``keep`` a file that differs is put aside instead of being replaced."""
        self._wish(("accept", attempt), job, files, keep)

    def reject(self, attempt: str) -> None:
        """Move an upload to the trash, if it is there."""
        self._wish(("reject", attempt))

    def read_record(self, attempt: str) -> None:
        """Ends as RecordRead."""
        self._wish(("record", attempt))

    def shut_out(self, tokens: Mapping[str, float]) -> None:
        """Have the gate refuse whoever was given access for these tokens; said again at each connection."""
        with self._changed:
            self._revoked, self._untold = dict(tokens), True
            self._changed.notify()

    def grant(self, worker: str, attempt: str, job: str, task: str, inputs: Sequence[Sequence[object]]) -> str:
        """The proof that goes with an assignment."""
        return layout.grant(self._secret, worker, attempt, job, task, inputs)

    def stop(self) -> None:
        """Close both channels and end the thread; what still waits is derived again by the next boss."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._link.close()
        if self._thread.is_alive():
            self._thread.join()
        self._link.close()  # the thread may just have opened it
        with self._api_turn:
            self._api_link.close()

    # ---- Datastore: for the API --------------------------------------------------------------------------------

    def listing(self, job: str) -> list[tuple[str, int, str]]:
        """``(path, size in bytes, sha256)`` of every accepted result of a job. Raises DatastoreDown."""
        found: list[tuple[str, int, str]] = []

        def take(items: Items) -> None:
            found.extend((item["item"], item["size"], item["sha256"]) for item in items)

        self._ask({"op": "list", "job": job}, take)
        return sorted(found)

    def read_log(self, job: str, task: str, number: int, stream: str, offset: int, limit: int) -> bytes:
        """A part of an attempt's stored log; empty when nothing is stored there. Raises DatastoreDown."""
        found: list[bytes] = []

        def take(items: Items) -> None:
            for _item in items:
                found.extend(items.chunks())

        request = {
            "op": "read_log",
            "job": job,
            "task": task,
            "number": number,
            "stream": stream,
            "offset": offset,
            "limit": limit,
        }
        self._ask(request, take)
        return b"".join(found)

    def read_results(self, job: str, files: Sequence[tuple[str, int, int]]) -> list[bytes | None]:
        """Parts of a job's results: ``(path, offset, limit)``; None for a file that is not there. Raises DatastoreDown."""
        found: list[bytes | None] = []

        def take(items: Items) -> None:
            for item in items:
                data = b"".join(items.chunks())
                found.append(None if item.get("missing") else data)

        self._ask({"op": "read", "job": job, "files": [list(row) for row in files]}, take)
        return found

    def taken(self, jobs: Sequence[str]) -> list[str]:
        """Which of these names have a folder of results or logs already. Raises DatastoreDown."""
        found: list[str] = self._ask({"op": "taken", "jobs": list(jobs)}, None)["taken"]
        return found

    def shared(self, prefix: str) -> list[tuple[str, int, str, float, str]]:
        """``(name, size, sha256, when, by whom)`` of shared data whose name begins with this. Raises DatastoreDown."""
        found: list[tuple[str, int, str, float, str]] = []

        def take(items: Items) -> None:
            found.extend((item["item"], item["size"], item["sha256"], item["when"], item["by"]) for item in items)

        self._ask({"op": "shared", "prefix": prefix}, take)
        return sorted(found)

    def locate(self, sources: Sequence[str]) -> list[tuple[str, str]]:
        """Those sources from outside a job that are not there, each with a sentence. Raises DatastoreDown."""
        wrong: list[tuple[str, str]] = []
        for first in range(0, len(sources), SOURCES_PER_REQUEST):
            answer = self._ask({"op": "locate", "sources": list(sources[first : first + SOURCES_PER_REQUEST])}, None)
            wrong.extend((source, reason) for source, reason in answer["wrong"])
        return wrong

    def space(self) -> tuple[str, int, int]:
        """Where the datastore is, its free bytes, and all (0 from a gate of an earlier version). Raises DatastoreDown."""
        answer = self._ask({"op": "space"}, None)
        return "{}:{}".format(self._host, answer.get("root", "")), int(answer["free"]), int(answer.get("size", 0))

    def check(self) -> str:
        """Log in, write, read back and remove a small file; returns one sentence. Raises DatastoreDown."""
        answer = self._ask({"op": "check"}, None)
        if answer["cluster"] not in ("", self._cluster):
            raise DatastoreDown(
                "{}: {} belongs to another cluster, {}".format(self._api_link.name, answer["root"], answer["cluster"])
            )
        return "{}: a file was written, read back and removed in {}; {:.1f} GB are free".format(
            self._api_link.name,
            answer["root"],
            answer["free"] / 1e9,
        )

    def _ask(self, request: Line, take: Callable[[Items], None] | None) -> Line:
        """One request of the API, on a fresh connection if the old one is gone."""
        with self._api_turn:
            for again in (True, False):
                fresh = not self._api_link.connected
                try:
                    if fresh:
                        self._api_link.connect()
                    return self._api_link.ask(request, take)
                except GateError as error:
                    raise DatastoreDown(f"{self._api_link.name}: {error}") from error
                except LinkDown as error:
                    self._api_link.close()
                    if fresh or not again:
                        raise DatastoreDown(f"{self._api_link.name}: {error}") from error
        raise AssertionError("unreachable")

    # ---- the thread --------------------------------------------------------------------------------------------

    def _wish(self, wish: Wish, job: str = "", files: Files = (), keep: bool = False) -> None:
        with self._changed:
            self._wishes[wish] = (job, files, keep)
            self._changed.notify()

    def _run(self) -> None:
        wait = 0.0
        while not self._pause(wait):
            try:
                if not self._link.connected:
                    self._link.connect()
                    self._look_around(self._set_up())
                delayed = self._work()
            except GateOutdated as error:
                self._link.close()
                self._seen(False, f"{self._link.name}: {error}")
                self._outdated(f"{self._link.name}: {error}")
                return  # nothing may be done there by this boss
            except GateFull as error:
                log.warning("%s: %s", self._link.name, error)
                self._seen(True, full=True)
                delayed = True
            except (LinkDown, GateError) as error:
                self._link.close()
                self._seen(False, f"{self._link.name}: {error}")
                delayed = True
            except Exception as error:  # a fault of ours, or an answer that no gate gives: said loudly, and the wishes wait
                log.exception("the datastore's thread stumbled")
                self._link.close()
                self._seen(False, f"{self._link.name}: internal error: {error}")
                delayed = True
            wait = min(LONGEST_WAIT, max(FIRST_WAIT, wait * 2) * uniform(0.8, 1.2)) if delayed else 0.0  # noqa: S311 (jitter)

    def _set_up(self) -> Line:
        request: Line = {
            "op": "initialise",
            "cluster": self._cluster,
            "secret": self._secret.hex(),
            "legacy_root": self._legacy_root,
            "limits": self._limits,
        }
        if self._epoch:
            request |= {"epoch": self._epoch, "life": self._life}
        said = self._link.ask(request)
        with self._changed:
            self._untold = True  # this may be another folder, or another gate
        self._tell_revoked()
        return said

    def _tell_revoked(self) -> None:
        """Bring the gate's list of revoked tokens up to date."""
        with self._changed:
            if not self._untold:
                return
            rows, self._untold = [[token, until] for token, until in sorted(self._revoked.items())], False
        try:
            self._link.ask({"op": "revoke", "tokens": rows})
            self.shuts_out = True
        except GateRefused as error:
            self.shuts_out = False
            log.warning(
                "%s does not take the list of revoked tokens (%s): access that was given for them holds for up to an hour; "
                "`python -m boss deploy datastore` renews the gate there",
                self._link.name,
                error,
            )
        except BaseException:
            with self._changed:
                self._untold = True
            raise

    def _pause(self, wait: float) -> bool:
        """Wait until there is something to do (or for ``wait`` seconds after trouble); True when it is time to end."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._stopping, wait)
            elif self._link.connected:
                self._changed.wait_for(lambda: self._stopping or self._untold or bool(self._wishes), LOOK)
            return self._stopping

    def _work(self) -> bool:
        """Perform what waits, once around; True when some of it ran into trouble and should wait a little."""
        with self._changed:
            wishes = dict(self._wishes)
        self._full = False
        self._tell_revoked()
        if not wishes:
            self._look_for_room()
            return False
        trouble = self._accept_all({attempt: wish for (kind, attempt), wish in wishes.items() if kind == "accept"})
        rejected = [attempt for kind, attempt in wishes if kind == "reject"]
        if rejected:
            self._link.ask({"op": "reject", "attempts": rejected})
            self._granted(("reject", attempt) for attempt in rejected)
        for kind, attempt in wishes:
            if kind == "record":
                answer = self._link.ask({"op": "record", "attempt": attempt})
                self._granted([("record", attempt)])
                self._put(RecordRead(attempt, result_of(attempt, answer["record"])))
        if self._full:
            self._seen(True, full=True)
        elif self._seen_last is not None and self._seen_last.full:
            self._look_for_room()
        return trouble

    def _look_for_room(self) -> None:
        try:
            self._look_around(self._link.ask({"op": "space"}))
        except GateRefused:
            self._seen(True)  # a gate of an earlier version: it says nothing of room, and works

    def _look_around(self, space: Line) -> None:
        """What the gate says of its folder: where it is, and whether there is room."""
        self._place = f"{self._host}:{space['root']}" if "root" in space else ""
        self._seen(True, full=space.get("free", MIN_FREE) < MIN_FREE)

    def _accept_all(self, uploads: dict[str, Upload]) -> bool:
        trouble = False
        for batch in _batches(uploads):
            rows = [[attempt, job, [list(row) for row in files]] for attempt, (job, files, _keep) in batch.items()]
            keep = [attempt for attempt, upload in batch.items() if upload[2]]
            for attempt, verdict, reason in self._link.ask({"op": "accept", "uploads": rows, "keep": keep})["answers"]:
                event: DatastoreEvent
                if verdict == ACCEPTED:
                    event = ResultAccepted(attempt)
                    if reason:
                        log.warning("accepted attempt %s: %s", attempt, reason, extra={"attempt": attempt})
                elif verdict == REFUSED:
                    event = ResultRefused(attempt, reason)
                else:
                    log.warning("the datastore cannot accept attempt %s yet: %s", attempt, reason, extra={"attempt": attempt})
                    trouble, self._full = True, self._full or verdict == FULL
                    continue
                self._granted([("accept", attempt)])
                self._put(event)
        return trouble

    def _granted(self, wishes: Iterable[Wish]) -> None:
        """Forget wishes that came true."""
        with self._changed:
            for wish in wishes:
                self._wishes.pop(wish, None)

    def _seen(self, up: bool, reason: str = "", full: bool = False) -> None:
        seen, last = DatastoreSeen(up, reason, full, self._place), self._seen_last
        if last is None or (seen.up, seen.full, seen.place) != (last.up, last.full, last.place):
            self._seen_last = seen
            self._put(seen)


def result_of(attempt: str, record: dict[str, Any] | None) -> Result | None:
    """The result in a datastore's record, with its files; None if there is no record, or none that can be an attempt's success."""
    if record is None:
        return None
    try:
        message = decode(str(record["result"]).encode("utf-8"))
        files = tuple((str(path), int(size), str(digest)) for path, size, digest in record["files"])
    except (ProtocolError, ValueError, TypeError, KeyError) as error:
        log.warning("the record of attempt %s cannot be read: %s", attempt, error, extra={"attempt": attempt})
        return None
    if not isinstance(message, Results) or len(message.results) != 1 or message.results[0].attempt != attempt:
        log.warning("the record of attempt %s is another's", attempt, extra={"attempt": attempt})
        return None
    return message.results[0]._replace(files=files)


def _batches(uploads: dict[str, Upload]) -> Iterator[dict[str, Upload]]:
    """Parts that one request can carry."""
    batch: dict[str, Upload] = {}
    files = 0
    for attempt, upload in uploads.items():
        if batch and (len(batch) >= BATCH_UPLOADS or files + len(upload[1]) > BATCH_FILES):
            yield batch
            batch, files = {}, 0
        batch[attempt] = upload
        files += len(upload[1])
    if batch:
        yield batch
