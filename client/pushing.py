"""A push, seen from the researcher's side: read, look for the files, ask, upload, open.

Rules:
- The boss validates; here only what it cannot see is checked: the files beside the task file. All problems are told together.
- A key made up once per push (the submission) makes repeating harmless: a push whose answer was lost makes no second job.
- The inputs of a replayed trace are made here: the boss, asked first, says which.
- Nothing is uploaded before the boss has found the push good, and nothing is a job before its files are there.
"""

import hashlib
import json
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from client.access import datastore
from client.beside import lying_beside
from client.connection import Connection
from client.errors import BossTrouble, BossUnreachable, Conflict, NotFound, Problem, Refused
from client.inventory import Entry, Inventory, entries_of, given_entries, take_inventory
from client.replaying import made
from client.sheets import SheetsRead, read_sheets, sheets_named
from client.signing import VALID, SigningKey, signed_document, signing_key
from datastore.transfer import push_files, room

#: Seconds to wait for a plan or for the opening of a very large push.
PATIENCE = 900.0
#: Seconds between the tries to open a push whose answer was lost.
PAUSES = (0.5, 2.0, 5.0)
#: Bytes of a replay's inputs from which on the datastore is asked for room before they are made.
WORTH_ASKING = 10**9

#: ``(bytes sent, bytes in all)``.
Sent = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a file is to be pushed.

    ``merge`` is ``ignore``, ``keep-succeeded``, ``replace`` or ``changed``; ``replay`` the scale for a trace. ``files`` are pushed beside
    those that the text names: paths, folders or globs relative to the task file, which keep their places. With
    ``sign``, the file of a key, the job is signed, for ``valid`` seconds.
    """

    name: str | None = None
    job: str | None = None
    merge: str | None = None
    skip_existing: bool = False
    dry_run: bool = False
    replay: float | None = None
    files: tuple[str, ...] = ()
    sign: Path | None = None
    valid: float = VALID


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A task file's bytes and name; ``folder`` is where relative ``files`` are looked for, ``more`` are entries beside the text's."""

    text: bytes
    name: str
    folder: Path
    more: tuple[Entry, ...] = ()
    signed: bytes = b""  #: the job's signed document, once it is signed

    @property
    def document(self) -> Any:
        """The text as plain data; None when it is no JSON (the boss says where)."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a push: the job's name, and the boss's summary (tasks, files, bytes, unread_files, warnings, resumed, ...)."""

    job: str
    summary: dict[str, Any]


def read_task_file(connection: Connection, path: Path) -> TaskFile:
    """A task file from disk. Raises Refused for one that cannot be read or is larger than the boss takes."""
    limit = int(connection.get("/health")["max_task_file"])
    try:
        size = path.stat().st_size
        if size > limit:
            sentence = (
                f"is larger ({size / 2**20:.0f} MiB) than the boss takes ({limit / 2**20:g} MiB, setting max_task_file): "
                "use `foreach` instead of a list of like tasks, or split it with --job"
            )
            raise Refused([Problem("", "", sentence)])
        return TaskFile(path.read_bytes(), path.name, path.resolve().parent)
    except IsADirectoryError:
        raise Refused([Problem("", "", "is a folder; push the task file in it")]) from None
    except OSError as error:
        raise Refused([Problem("", "", f"cannot be read: {error.strerror}")]) from None


def push(connection: Connection, file: TaskFile, wishes: Wishes, sent: Sent | None = None) -> Pushed:
    """Push a task file. Raises Refused with everything that is wrong with it, and what ``Connection`` raises."""
    key = signing_key(wishes.sign) if wishes.sign is not None else None
    document = file.document
    given = given_entries(wishes.files, "--files {item}")
    inventory = take_inventory(file.folder, [*entries_of(document), *file.more, *given])
    sheets = _sheets(connection, file, document)
    options = {
        "file_name": file.name,
        "name": wishes.name,
        "job": wishes.job,
        "merge": wishes.merge,
        "skip_existing": wishes.skip_existing,
        "replay": wishes.replay,
        "dry_run": wishes.dry_run,
        "document_job": _own_job(document),
        "files": inventory.described(),
        "csv": list(sheets.files),
        "csv_unread": sheets.unread,
        "beside": lying_beside(file.folder, document),
        "submission": secrets.token_hex(16),
    }
    if inventory.problems:
        raise Refused([*inventory.problems, *_other_problems(connection, file, options, inventory, sheets)])
    if wishes.replay is not None and not wishes.dry_run:
        wanted = _plan(connection, file, {**options, "dry_run": True}, sheets)["makes"]
        _check_room(connection, sum(wanted.values()))
        with made(wanted) as files:
            inventory.files.update(files)
            options = {**options, "files": inventory.described()}
            return _push(connection, file, options, inventory, sheets, sent, key, wishes.valid)
    return _push(connection, file, options, inventory, sheets, sent, key, wishes.valid)


def _check_room(connection: Connection, wanted: int) -> None:
    """Refuse a replay whose inputs the datastore has no room for before they are made, which takes a second for each gigabyte."""
    if wanted < WORTH_ASKING:
        return
    with datastore(connection) as endpoint:
        free = room(endpoint)
    if free is not None and wanted > free:
        sizes = f"its inputs are {wanted / 1e9:,.1f} GB at this scale, and {free / 1e9:,.1f} GB are free on the datastore"
        raise Refused([Problem("", "", f"{sizes}: make room there, or choose a smaller --replay")])


def _push(
    connection: Connection,
    file: TaskFile,
    options: dict[str, Any],
    inventory: Inventory,
    sheets: SheetsRead,
    sent: Sent | None,
    key: SigningKey | None,
    valid: float,
) -> Pushed:
    """Sign the job if that is wanted, ask for a plan, upload the files, open the job."""
    notes: list[str] = []
    if key is not None:
        first = _plan(connection, file, {**options, "dry_run": True}, sheets)  # what is wrong is told before anybody signs
        name = str(first["job"])
        signed, notes = signed_document(connection, file.text, options, name, inventory, sheets, key, valid)
        file = replace(file, signed=signed)
        options = options if first["extends"] else {**options, "name": name}
    summary = _plan(connection, file, options, sheets)
    summary["warnings"] = [*summary["warnings"], *notes]
    if options["dry_run"] or summary["opened"]:
        return Pushed(summary["job"], summary)
    if inventory.files or file.signed:
        with datastore(connection) as endpoint, _on_disk(file.signed) as more:
            push_files(endpoint, {**inventory.paths(), **more}, sent)
    opened = _open(connection, file, options, sheets, summary["push"])
    return Pushed(str(opened["job"]), summary | opened)


@contextmanager
def _on_disk(signed: bytes) -> Iterator[dict[str, str]]:
    """The signed document as one more file to upload; none without one."""
    if not signed:
        yield {}
        return
    with tempfile.NamedTemporaryFile(prefix="ecloud-signed-") as file:
        file.write(signed)
        file.flush()
        yield {hashlib.sha256(signed).hexdigest(): file.name}


def submitted(tasks: object, files: tuple[object, ...], name: str, folder: Path) -> TaskFile:
    """A task file made by a program: a list of native tasks, or a whole document; more ``files`` are looked for below ``folder``."""
    document = {"tasks": tasks} if isinstance(tasks, list) else tasks
    more = tuple(given_entries(files, "files argument [{number}]"))
    return TaskFile(json.dumps(document).encode(), f"{name}.json", folder, more)


def _own_job(document: Any) -> str | None:
    job = document.get("job") if isinstance(document, dict) else None
    return job if isinstance(job, str) else None


def _sheets(connection: Connection, file: TaskFile, document: Any) -> SheetsRead:
    """The CSV files that the text names; the boss takes text and files up to a size together."""
    names = sheets_named(document)
    if not names:
        return SheetsRead()
    limit = int(connection.get("/health")["max_task_file"])
    return read_sheets(file.folder, names, limit - len(file.text))


def _plan(connection: Connection, file: TaskFile, options: dict[str, Any], sheets: SheetsRead) -> dict[str, Any]:
    parts = [
        ("options", ("options.json", json.dumps(options).encode(), "application/json")),
        ("tasks", (file.name, file.text, "application/json")),
        *([("signature", ("signed", file.signed, "application/octet-stream"))] if file.signed else []),
        *(("csv", (f"{number}.csv", data, "text/csv")) for number, data in enumerate(sheets.files.values())),
    ]
    try:
        summary: dict[str, Any] = connection.upload("/pushes", parts, PATIENCE)
    except Conflict as error:
        raise Refused([Problem("", "", str(error))]) from None
    return summary


def _other_problems(
    connection: Connection, file: TaskFile, options: dict[str, Any], inventory: Inventory, sheets: SheetsRead
) -> list[Problem]:
    """What else the boss finds wrong, without what it says about files that were not found here."""
    told = {problem.field for problem in inventory.problems}
    try:
        _plan(connection, file, {**options, "dry_run": True}, sheets)
    except Refused as refused:
        return [problem for problem in refused.problems if problem.field not in told]
    return []


def _open(connection: Connection, file: TaskFile, options: dict[str, Any], sheets: SheetsRead, push_id: str) -> dict[str, Any]:
    """Open a push whose files are uploaded; asked again when the answer was lost, also of a boss that was started again since."""
    for wait in (*PAUSES, None):
        try:
            opened: dict[str, Any] = connection.post(f"/pushes/{push_id}/open", timeout=PATIENCE)
            return opened
        except (BossUnreachable, BossTrouble):
            if wait is None:
                raise
        except NotFound:  # another life of the boss: it may have made the job before it ended
            summary = _plan(connection, file, options, sheets)
            if summary["opened"]:
                return {"job": summary["job"]}
            if wait is None:
                raise
            push_id = summary["push"]
        time.sleep(wait)
    raise AssertionError("the last try either returns or raises")
