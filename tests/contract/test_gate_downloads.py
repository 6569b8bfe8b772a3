"""The gate, asked for files: a worker's inputs, people's files and results, and nonsense."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from datastore import layout
from datastore.frames import GateMissing, GateRefused, Line
from datastore.landing import Listed, Wanted
from datastore.transfer import fetch, find
from tests.contract.asking import A, B, accept, put
from tests.datastore.host import CLUSTER, NEVER, Datastore, sha256

# ---- inputs --------------------------------------------------------------------------------------------------------


def bring(store: Datastore, inputs: Any, target: Path) -> dict[str, bytes]:
    """What a worker gets for these inputs."""
    channel, grant = store.gate("worker:w1"), store.grant(inputs=inputs)
    wanted = [Wanted(listed, str(target / f"{listed.input}" / listed.path)) for listed in find(channel, grant)]
    fetch(channel, grant, wanted, NEVER)
    return {f"{one.listed.input}/{one.listed.path}": Path(one.target).read_bytes() for one in wanted}


def test_a_worker_gets_files_folders_globs_and_pushed_files(datastore: Datastore, tmp_path: Path) -> None:
    accept(datastore, datastore.upload({"a.txt": A, "x/1.dat": A, "x/2.dat": B, "x/y/3.dat": A}))
    put(datastore.gate("researcher:ada"), sha256(B), B)
    inputs = [("a.txt", "", "", 0), ("x/", "", "", 0), ("x/*.dat", "", "", 0), ("script.py", "", sha256(B), 0o755)]
    assert bring(datastore, inputs, tmp_path) == {
        "0/a.txt": A,
        "1/x/1.dat": A,
        "1/x/2.dat": B,
        "1/x/y/3.dat": A,
        "2/x/1.dat": A,
        "2/x/2.dat": B,
        "3/script.py": B,
    }


def test_inputs_are_found_with_size_digest_and_mode(datastore: Datastore) -> None:
    accept(datastore, datastore.upload({"a.txt": A, "b.txt": B}))
    (datastore.root / "jobs/j/by-hand.txt").write_bytes(A)
    found = find(datastore.gate("worker:w1"), datastore.grant(inputs=[("*.txt", "", "", 0)]))
    assert found == [
        Listed("a.txt", len(A), sha256(A), False),
        Listed("b.txt", len(B), sha256(B), False),
        Listed("by-hand.txt", len(A), "", False),
    ]


@pytest.mark.parametrize(
    ("source", "digest", "said"),
    [
        (
            "none.txt",
            "",
            "none.txt of job j is not on the datastore; what no task yields is pushed with the job: push_tasks.py FILE --files none.txt",
        ),
        ("*.none", "", "no file of job j fits"),
        ("x", "", "is a folder"),
        ("p.py", sha256(A), "pushed file p.py"),
    ],
)
def test_an_input_that_is_missing_is_named(datastore: Datastore, source: str, digest: str, said: str) -> None:
    accept(datastore, datastore.upload({"x/1.dat": A}))
    with pytest.raises(GateMissing, match=re.escape(said)):
        find(datastore.gate("worker:w1"), datastore.grant(inputs=[(source, "", digest, 0)]))


def test_a_worker_gets_nothing_but_its_inputs(datastore: Datastore) -> None:
    accept(datastore, datastore.upload({"a.txt": A, "b.txt": B}))
    grant = datastore.grant(inputs=[("a.txt", "", "", 0), ("x/*", "", "", 0)])
    channel = datastore.gate("worker:w1")
    for row in ([0, "b.txt"], [1, "x/../b.txt"], [1, "../../secret"], [2, "a.txt"], [-1, "a.txt"]):
        with pytest.raises(GateRefused):
            channel.ask(dict(grant, op="send", files=[row]))


def test_inputs_are_not_read_through_links(datastore: Datastore, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/key").write_bytes(A)
    (datastore.root / "jobs/j").mkdir()
    (datastore.root / "jobs/j/key").symlink_to(tmp_path / "outside/key")
    (datastore.root / "jobs/j/way").symlink_to(tmp_path / "outside")
    for source in ("key", "way/key", "way/", "**"):
        with pytest.raises((GateMissing, GateRefused)):
            find(datastore.gate("worker:w1"), datastore.grant(inputs=[(source, "", "", 0)]))


# ---- people --------------------------------------------------------------------------------------------------------


def test_a_pushed_file_must_have_its_digest(datastore: Datastore) -> None:
    user = datastore.gate("researcher:ada")
    with pytest.raises(GateRefused, match="digest"):
        put(user, sha256(A), B)
    assert user.ask({"op": "have", "digests": [sha256(A), sha256(B)]})["missing"] == [sha256(A), sha256(B)]
    assert put(user, sha256(A), A)["stored"] == 1
    assert put(user, sha256(A), A)["stored"] == 0
    assert user.ask({"op": "have", "digests": [sha256(A), sha256(B)]})["missing"] == [sha256(B)]
    assert datastore.tree.names("incoming") == []


def test_what_is_no_digest_is_refused(datastore: Datastore) -> None:
    with pytest.raises(GateRefused):
        put(datastore.gate("researcher:ada"), "../../evil", A)
    with pytest.raises(GateRefused):
        datastore.gate("researcher:ada").ask({"op": "have", "digests": ["../secret"]})


def test_people_cannot_get_what_is_no_result(datastore: Datastore, tmp_path: Path) -> None:
    (datastore.root / "jobs/j").mkdir()
    (datastore.root / "jobs/j/link").symlink_to(datastore.root / layout.SECRET)
    user = datastore.gate("researcher:ada")
    for path in ("../../secret", "/etc/passwd", "a/../../../secret"):
        with pytest.raises(GateRefused):
            user.ask({"op": "get", "job": "j", "files": [[path, 0]]})
    seen: list[Line] = []
    user.ask({"op": "get", "job": "j", "files": [["link", 0], ["none", 0]]}, take=seen.extend)
    assert [item["missing"] for item in seen] == [True, True]
    with pytest.raises(GateRefused):
        user.ask({"op": "list", "job": "../trash"})


def test_nonsense_is_answered_and_the_session_goes_on(datastore: Datastore) -> None:
    boss = datastore.boss
    for line in (
        {},
        {"op": 7},
        {"op": "accept"},
        {"op": "accept", "uploads": [[1, 2, 3]]},
        {"op": "record"},
        {"op": "record", "attempt": "/"},
    ):
        with pytest.raises(GateRefused):
            boss.ask(line)
    assert "root" in boss.ask({"op": "check"})


def test_check_leaves_nothing_behind(datastore: Datastore) -> None:
    before = datastore.inventory()
    answer = datastore.boss.ask({"op": "check"})
    assert (answer["root"], answer["cluster"]) == (str(datastore.root), CLUSTER)
    assert answer["free"] > 0
    assert datastore.inventory() == before


def test_records_are_json_that_holds_any_name(datastore: Datastore) -> None:
    name = "größe \\ 'x' \"y\".txt"
    manifest = datastore.upload({name: A})
    record = json.loads((datastore.root / "incoming/u.0.1/record.json").read_text())
    assert record["files"] == [[name, len(A), hashlib.sha256(A).hexdigest()]]
    accept(datastore, manifest)
    assert datastore.sums_hold()


# ---- people of each role -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["viewer", "researcher", "admin"])
def test_people_of_every_role_list_and_fetch_results(datastore: Datastore, role: str) -> None:
    accept(datastore, datastore.upload({"a.txt": A}))
    channel = datastore.gate(f"{role}:ada")
    listed: list[Line] = []
    got: list[bytes] = []
    channel.ask({"op": "list", "job": "j"}, take=listed.extend)
    channel.ask(
        {"op": "get", "job": "j", "files": [["a.txt", 0]]}, take=lambda items: got.extend(b"".join(items.chunks()) for _ in items)
    )
    assert ([item["item"] for item in listed], got) == (["a.txt"], [A])


def test_a_viewer_leaves_nothing_on_the_datastore(datastore: Datastore) -> None:
    before = datastore.inventory()
    with pytest.raises(GateRefused, match="viewer:zoe may not put"):
        put(datastore.gate("viewer:zoe"), sha256(B), B)
    assert datastore.inventory() == before


def test_what_a_researcher_sends_never_replaces_what_is_there(datastore: Datastore) -> None:
    put(datastore.gate("researcher:ada"), sha256(B), B)
    accept(datastore, datastore.upload({"a.txt": A}))
    before = datastore.inventory()
    with pytest.raises(GateRefused, match="have the digest"):
        put(datastore.gate("researcher:bob"), sha256(b"something else"), A)
    put(datastore.gate("researcher:bob"), sha256(B), B)
    for name in ("../jobs/j/a.txt", "jobs/j/a.txt", "../../escaped", "a.txt", sha256(A).upper()):
        with pytest.raises(GateRefused):
            put(datastore.gate("researcher:bob"), name, A)
    assert datastore.inventory() == before


@pytest.mark.parametrize(
    ("job", "path"),
    [("../incoming", "u.1.1/files/b.txt"), ("..", "incoming/u.1.1/files/b.txt"), ("j", "../../incoming/u.1.1/files/b.txt"),
     ("j", "/etc/passwd"), (".", "../secret"), ("j/../../incoming", "u.1.1/record.json"), ("", "x")],
)  # fmt: skip
def test_a_person_reads_results_and_nothing_beside_them(datastore: Datastore, job: str, path: str) -> None:
    accept(datastore, datastore.upload({"a.txt": A}))
    datastore.upload({"b.txt": B}, attempt="u.1.1")  # waits in incoming/
    got: list[bytes] = []

    def take(items: Any) -> None:
        got.extend(b"".join(items.chunks()) for item in items if not item.get("missing"))

    for caller in ("viewer:zoe", "researcher:ada", "admin:prof"):
        with pytest.raises(GateRefused):
            datastore.gate(caller).ask({"op": "get", "job": job, "files": [[path, 0]]}, take=take)
    assert got == []
