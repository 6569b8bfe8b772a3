"""The datastore's one door: runs on the datastore's host as SSH's forced command and does what its caller has the right to.

    python3 gate.pyz --root /srv/ecloud --caller worker:w17 | researcher:ada | viewer:zoe | boss

Rules:
- Who calls is said by the SSH certificate's forced command (``--caller``), never by the request. What each may do is ``RIGHTS``; a worker
  must besides show the grant of the attempt it speaks of.
- One session is a lasting stream of requests on stdin, answered in order on stdout (``datastore.frames``); it ends with its stdin.
- A request that fails is answered with one sentence; the session goes on. Only a broken stream ends it.
- Nothing is deleted here but what was never accepted. Shared data and the legacy root are only ever read by workers.

Python 3.9 syntax, standard library only: this package alone, as a zipapp, is all that a datastore's host needs.
"""

import argparse
import io
import os
import sys
from typing import IO, Callable, Dict, FrozenSet, List, NamedTuple, Optional, cast

from datastore import downloads, frames, grants, inputs, layout, limits, revoked, sessions, shared, uploads
from datastore.acceptance import Acceptance, Upload
from datastore.frames import VERSION, GateError, GateOutdated, GateRefused, GateTrouble, Items, Line, Wire, WireBroken
from datastore.pipes import BLOCK
from datastore.revoked import Revoked
from datastore.tree import Tree
from datastore.turns import Turns

#: What each kind of caller may ask for.
RIGHTS: Dict[str, FrozenSet[str]] = {
    "worker": frozenset({"receive", "find", "send"}),
    "viewer": frozenset({"list", "get"}),
    "researcher": frozenset({"have", "put", "list", "get", "offer", "add", "share"}),
    "admin": frozenset({"have", "put", "list", "get", "offer", "add", "share"}),
    "boss": frozenset(
        {
            "revoke",
            "initialise",
            "accept",
            "reject",
            "record",
            "list",
            "taken",
            "read_log",
            "read",
            "check",
            "space",
            "shared",
            "locate",
        }
    ),
}
#: The operations whose request is followed by items, and those that move files, which wait for their turn.
TAKES_ITEMS = ("receive", "put", "add")
MOVES = (*TAKES_ITEMS, "send", "get")


class Caller(NamedTuple):
    """Who is at the door: a role of ``RIGHTS`` and, but for the boss, a name."""

    role: str
    name: str

    def __str__(self) -> str:
        return "%s:%s" % self if self.name else self.role


def read_caller(text: str) -> Caller:
    """``worker:ID``, ``viewer:NAME``, ``researcher:NAME``, ``admin:NAME`` or ``boss``. Raises ValueError."""
    role, _colon, name = text.partition(":")
    if role not in RIGHTS or bool(name) == (role == "boss"):
        raise ValueError("a caller is worker:ID, viewer:NAME, researcher:NAME, admin:NAME or boss, not %r" % text)
    return Caller(role, name)


class Session:
    """One caller's stream of requests."""

    def __init__(self, tree: Tree, caller: Caller, wire: Wire, token: str = "", turns: Optional[Turns] = None) -> None:
        """``token`` is the id of the one that the access was given for; without ``turns`` no transfer waits for others."""
        self._tree = tree
        self._caller = caller
        self._token = token
        self._turns = turns
        self._revoked = Revoked(tree)
        self._wire = wire
        self._acceptance = Acceptance(tree)
        self._operations: Dict[str, Callable[[Line, Items], Line]] = {
            "receive": lambda line, items: uploads.receive(tree, grants.granted(tree, caller.name, line), line, items),
            "find": lambda line, items: downloads.find(tree, grants.granted(tree, caller.name, line), wire),
            "send": lambda line, items: downloads.send(tree, grants.granted(tree, caller.name, line), line, wire),
            "have": lambda line, items: self._have(line),
            "put": lambda line, items: uploads.put(tree, items),
            "list": lambda line, items: downloads.listing(tree, line, wire),
            "get": lambda line, items: downloads.get(tree, line, wire),
            "initialise": lambda line, items: self._initialise(line),
            "revoke": lambda line, items: self._revoke(line),
            "accept": lambda line, items: self._accept(line),
            "reject": lambda line, items: self._reject(line),
            "taken": lambda line, items: self._taken(line),
            "record": lambda line, items: downloads.record(tree, line),
            "read_log": lambda line, items: downloads.read_log(tree, line, wire),
            "read": lambda line, items: downloads.read_results(tree, line, wire),
            "check": lambda line, items: self._check(),
            "space": lambda line, items: self._space(),
            "offer": lambda line, items: shared.offer(tree, line),
            "add": lambda line, items: shared.add(tree, items),
            "share": lambda line, items: shared.share(tree, caller.name, line),
            "shared": lambda line, items: shared.shared_listing(tree, line, wire),
            "locate": lambda line, items: {"wrong": inputs.locate(tree, frames.texts(line, "sources"))},
        }

    def run(self) -> None:
        """Greet, then answer until the caller closes. Raises WireBroken and OSError when the stream ends in the middle."""
        cluster = read_cluster(self._tree)
        if not cluster and self._caller.role != "boss":
            self._say(frames.error_line(GateRefused("this datastore is not set up yet: its boss has not been here")))
            return
        try:
            self._revoked.check(self._token)
        except GateRefused as error:
            self._say(frames.error_line(error))
            return
        self._say({"gate": VERSION, "caller": str(self._caller), "cluster": cluster})
        while True:
            line = self._wire.read_line()
            if line is None:
                return
            if self._turns is not None and line.get("op") in MOVES:
                self._turns.begin()
            try:
                answer = self._answer(line)
            finally:
                if self._turns is not None:
                    self._turns.end()
            self._say(answer)

    def _say(self, line: Line) -> None:
        self._wire.write_line(line)
        self._wire.flush()

    def _answer(self, line: Line) -> Line:
        items = Items(self._wire)
        try:
            self._revoked.check(self._token)
            answer = self._perform(line, items)
        except GateError as error:
            answer = frames.error_line(error)
        except layout.PathRefused as error:
            answer = frames.error_line(GateRefused("a path or name %s" % error))
        except OSError as error:
            answer = frames.error_line(frames.trouble(error, self._tree.path))
        except (ValueError, TypeError, ArithmeticError, RecursionError, MemoryError) as error:
            answer = frames.error_line(GateRefused("this makes no sense here (%s: %.200s)" % (type(error).__name__, error)))
        else:
            answer["ok"] = True
        if line.get("op") in TAKES_ITEMS and items.closing is None:
            items.drain()
        return answer

    def _perform(self, line: Line, items: Items) -> Line:
        operation = frames.text(line, "op")
        if operation not in RIGHTS[self._caller.role]:
            raise GateRefused("%s may not %.40s" % (self._caller, operation))
        return self._operations[operation](line, items)

    def _revoke(self, line: Line) -> Line:
        return {"kept": revoked.write(self._tree, [(token, until) for token, until in frames.rows(line, "tokens", str, float)])}

    def _have(self, line: Line) -> Line:
        digests = frames.texts(line, "digests")
        missing = [digest for digest in digests if self._tree.look(layout.file_path(digest)) is None]
        return {"missing": missing, "free": self._free()}

    def _taken(self, line: Line) -> Line:
        jobs = frames.texts(line, "jobs")
        places = {job: (layout.job_folder(job), layout.logs_folder(job)) for job in jobs}
        return {"taken": [job for job in jobs if any(self._tree.look(place) is not None for place in places[job])]}

    def _accept(self, line: Line) -> Line:
        keep = set(frames.texts(line, "keep")) if "keep" in line else set()
        batch = [
            Upload(
                attempt,
                job,
                tuple((path, size, digest) for path, size, digest in frames.rows({"files": files}, "files", str, int, str)),
                attempt in keep,
            )
            for attempt, job, files in frames.rows(line, "uploads", str, str, list)
        ]
        return {"answers": self._acceptance.accept(batch)}

    def _reject(self, line: Line) -> Line:
        rejected = []
        for attempt in frames.texts(line, "attempts"):
            try:
                if self._acceptance.reject(attempt):
                    rejected.append(attempt)
            except layout.PathRefused:
                continue  # nothing can lie under such a name: it must not keep the others from being rejected
        return {"rejected": rejected}

    def _initialise(self, line: Line) -> Line:
        try:
            secret = bytes.fromhex(frames.text(line, "secret"))
        except ValueError:
            raise GateRefused("secret must be hexadecimal") from None
        set_up(self._tree, frames.text(line, "cluster"), secret)
        if "epoch" in line:
            enter_life(self._tree, frames.count(line, "epoch"), frames.text(line, "life"))
        limits.write(self._tree, line.get("limits"))
        inputs.write_legacy_root(self._tree, frames.text({"legacy_root": "", **line}, "legacy_root"))
        shared.sweep_parts(self._tree)
        swept = uploads.sweep(self._tree)
        self._acceptance.finish()
        return dict(self._space(), swept=swept)

    def _check(self) -> Line:
        """Write, move, read back and remove a small file."""
        proof = os.urandom(16).hex()
        folder = ".check." + proof
        try:
            self._tree.write(folder + "/written", proof.encode("ascii"))
            self._tree.rename(folder + "/written", folder + "/moved")
            if self._tree.read(folder + "/moved") != proof.encode("ascii"):
                raise GateTrouble("a file that was written to %s read differently" % self._tree.path)
        finally:
            self._tree.remove(folder)
        return dict(self._space(), cluster=read_cluster(self._tree))

    def _free(self) -> int:
        """Bytes that can still be written."""
        space = os.statvfs(self._tree.descriptor)
        return space.f_bavail * space.f_frsize

    def _space(self) -> Line:
        """The folder, and how much room there is, in bytes."""
        space = os.statvfs(self._tree.descriptor)
        return {"root": self._tree.path, "free": self._free(), "size": space.f_blocks * space.f_frsize}


def set_up(tree: Tree, cluster: str, secret: bytes) -> None:
    """Make a folder the datastore of a cluster, or find that it is. Raises GateRefused when it is another's."""
    owner = read_cluster(tree)
    if owner and owner != cluster:
        raise GateRefused("the folder %s belongs to the cluster %s, not to %s" % (tree.path, owner, cluster))
    for folder in layout.FOLDERS:
        tree.make_folder(folder)
    grants.write_secret(tree, secret)
    if not owner:
        tree.write(layout.CLUSTER, cluster.encode("utf-8", "replace") + b"\n")


def enter_life(tree: Tree, epoch: int, life: str) -> None:
    """Remember the boss's life that is here: its epoch, and a word of its own.

    Raises GateOutdated for one that does not come after the last: its database is older than the files.
    """
    try:
        number, _space, last = tree.read(layout.EPOCH).decode("ascii", "replace").strip().partition(" ")
        highest = int(number)
    except (FileNotFoundError, ValueError):
        highest, last = 0, ""
    if epoch < highest or (epoch == highest and life != last):
        raise GateOutdated(
            "the datastore %s has seen epoch %d of its boss, and this boss is at %d: its database is older than the files"
            % (tree.path, highest, epoch)
        )
    if epoch > highest:
        tree.write(layout.EPOCH, b"%d %s\n" % (epoch, life[:64].encode("ascii", "replace")))


def read_cluster(tree: Tree) -> str:
    """The id of the cluster that the folder belongs to; empty if it belongs to none yet."""
    try:
        return tree.read(layout.CLUSTER).decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return ""


def main(arguments: Optional[List[str]] = None) -> int:
    """Serve one session on stdin and stdout. 0 when the caller closed, 1 when the stream broke, 2 for a folder that cannot be used."""
    parser = argparse.ArgumentParser(prog="gate", description="The door of an ecloud datastore; started by sshd.")
    parser.add_argument("--root", required=True, help="the datastore's folder")
    parser.add_argument(
        "--caller", required=True, type=read_caller, help="worker:ID, viewer:NAME, researcher:NAME, admin:NAME or boss"
    )
    parser.add_argument("--token", default="", help="the id of the token that the access was given for; revoked ones are refused")
    parser.add_argument(
        "--patience", type=float, default=sessions.PATIENCE, help="seconds that a caller may keep the gate waiting"
    )
    options = parser.parse_args(arguments)
    try:
        return _serve(options)
    except (WireBroken, BrokenPipeError, ConnectionResetError) as error:
        print("gate: %s: %s" % (options.caller, error), file=sys.stderr)
        return 1


def _serve(options: argparse.Namespace) -> int:
    caller: Caller = options.caller
    try:
        if caller.role == "boss":
            os.makedirs(options.root, exist_ok=True)
        tree = Tree(options.root)
        if caller.role != "boss":
            sessions.take_place(tree, str(caller))
        turns = Turns(tree, lambda: limits.read(tree).transfers)
    except OSError as error:
        return _turn_away(GateTrouble("the datastore's folder %s: %s" % (options.root, error.strerror)))
    except GateTrouble as error:
        return _turn_away(error)
    if caller.role == "boss":  # it asks when it likes, and its words wait for nobody
        with open(0, "rb", 0, closefd=False) as reader, open(1, "wb", BLOCK, closefd=False) as writer:
            Session(tree, caller, Wire(reader, writer), options.token).run()
        return 0
    said, taken = (sessions.Patient(descriptor, options.patience, turns.pause) for descriptor in (0, 1))
    with io.BufferedWriter(taken, BLOCK) as writer:
        wire = Wire(cast(IO[bytes], said), cast(IO[bytes], writer), taken.sendfile, turns.moved)
        Session(tree, caller, wire, options.token, turns).run()
    return 0


def _turn_away(error: GateError) -> int:
    with open(1, "wb", BLOCK, closefd=False) as writer:
        Wire(io.BytesIO(), writer).write_line(frames.error_line(error))
    return 2


if __name__ == "__main__":
    sys.exit(main())
