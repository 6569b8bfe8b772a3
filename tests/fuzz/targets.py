"""What is fuzzed: each target reads bytes and either takes them, or refuses them with the one error that it is allowed to raise.

Anything else that goes up is a finding. ``TARGETS`` has them by name; ``corpus/<name>/`` begins with an input of each kind that it knows.
"""

import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from boss.adapters.database_url import locate
from boss.core.credible import attempt_name, wrong_file
from boss.ports import StoreError
from boss.taskfile.context import Context
from boss.taskfile.expansion import expand, job_of
from boss.taskfile.problems import LIMIT, Refused
from boss.taskfile.sheet import read_sheet
from datastore import gate, layout
from datastore.frames import Wire, WireBroken
from datastore.tree import Tree
from worker.protocol import MAX_MESSAGE, ProtocolError, decode_with_version, encode

#: What the gate of the target ``frames`` serves, once a process.
_root = tempfile.TemporaryDirectory(prefix="ecloud-fuzz.", ignore_cleanup_errors=True)
_SECRET = b"s" * 32


def messages(data: bytes) -> None:
    """A message is read or refused; what was read is written so that it reads the same."""
    try:
        message, version = decode_with_version(data)
    except ProtocolError as error:
        assert len(str(error)) < 1000, "an error that nobody can read"
        return
    with suppress(ProtocolError):  # as JSON of ours it may be longer than a message
        pieces = encode(message, version)
        assert all(len(piece) <= MAX_MESSAGE for piece in pieces)
        again = [decode_with_version(piece)[0] for piece in pieces]
        if len(again) == 1:
            assert encode(again[0], version) == pieces


def task_files(data: bytes) -> None:
    """A file of any dialect is expanded or refused with problems."""
    for context in (
        Context(),
        Context(job="j", files=frozenset({"a.dat", "d/b.dat"}), tables={"p.csv": b"x,y\n1,2\n"}, max_tasks=1000),
    ):
        try:
            expansion = expand(data, context)
        except Refused as refused:
            assert 0 < len(refused.problems) <= LIMIT + 1
            assert all(len(str(problem)) < 5000 for problem in refused.problems)
            continue
        assert sum(1 for _ in expansion.specs()) == expansion.tasks
    with suppress(Refused):
        job_of(data, 1 << 20)


def traces(data: bytes) -> None:
    """A trace of a workflow is read or refused."""
    try:
        expand(data, Context(replay=1.0))
    except Refused as refused:
        assert refused.problems


def sheets(data: bytes) -> None:
    """A sheet of parameters is read, or what is wrong is told."""
    told: list[object] = []
    sheet = read_sheet("p.csv", data, 10_000, lambda *what: told.append(what))
    assert sheet is not None or told


def paths(data: bytes) -> None:
    """A path is refused, or stays inside its folder; patterns and manifests agree with themselves."""
    text = data.decode("utf-8", "surrogatepass") if _is_text(data) else data.decode("latin-1")
    one, _, other = text.partition("\n")
    with suppress(layout.PathRefused):
        path = layout.check_path(one)
        inside = os.path.normpath("/root/" + path)
        assert inside.startswith("/root/") and "\0" not in path
        os.fsencode(path)
        assert wrong_file([(path, 1, "ab")]) == "" or path.endswith("/")
        assert layout.parse_manifest_line(layout.manifest_line(path, "ab" * 32)) == (path, "ab" * 32)
        if not layout.is_pattern(path) and not path.endswith("/"):
            assert layout.matches(path, path)
        with suppress(layout.PathRefused):
            layout.overlap(path, layout.check_path(other))
            assert layout.overlap(path, other) == layout.overlap(other, path)
    for name in (layout.job_folder, layout.incoming_folder, layout.accepted_folder, layout.trash_folder):
        with suppress(layout.PathRefused):
            assert os.path.normpath(name(one)).count("/") == 1
    assert layout.log_folder("j", one, 1).count("/") == 3
    assert ".." not in layout.log_folder("j", one, 1).split("/")
    if attempt_name(one):
        layout.incoming_folder(one)
        layout.attempt_number(one)


def frames(data: bytes) -> None:
    """A stream at the gate is answered line by line, or ends with one sentence; nothing is written but below its own folders."""
    tree = Tree(_root.name)
    gate.set_up(tree, "c1", _SECRET)
    caller = gate.read_caller(("worker:w1", "researcher:ada", "viewer:zoe")[data[0] % 3 if data else 0])
    inputs: list[object] = []
    grant = layout.grant(_SECRET, "w1", "u.0.1", "j", "t", [])
    own = json.dumps({"attempt": "u.0.1", "job": "j", "task": "t", "inputs": inputs, "grant": grant})[1:-1].encode()
    out = io.BytesIO()
    try:
        gate.Session(tree, caller, Wire(io.BytesIO(data[1:].replace(b"$grant", own)), out)).run()
    except WireBroken as error:
        assert "\n" not in str(error) and len(str(error)) < 500
    finally:
        assert not [name for name in tree.names("incoming") if name.startswith(".")], "a part was left behind"
        assert set(os.listdir(_root.name)) <= {*layout.FOLDERS, "cluster", "secret", "shared-puts.jsonl"}
        os.close(tree.descriptor)


def database_addresses(data: bytes) -> None:
    """An address of a database is understood or refused, and a password in it is never said."""
    text = data.decode("utf-8", "replace")
    try:
        location = locate(text)
    except StoreError as error:
        assert "geheim" not in str(error)
        return
    in_password = re.match(r"\w+://[^:]*:.*geheim.*@", text.partition("?")[0], re.DOTALL) and text.count("geheim") == 1
    assert not in_password or text.startswith("sqlite") or "geheim" not in location.shown


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "messages": messages,
    "task_files": task_files,
    "traces": traces,
    "sheets": sheets,
    "paths": paths,
    "frames": frames,
    "database_addresses": database_addresses,
}
CORPUS = Path(__file__).resolve().with_name("corpus")
