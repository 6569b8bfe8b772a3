"""Shared data at the gate: what comes in stays as it is, goes on where it was cut off, and is read by grants alone."""

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from datastore import frames, layout, shared
from datastore.channel import Channel, Unreachable
from datastore.frames import GateMissing, GateRefused, GateTrouble, Line, Wire
from datastore.landing import Wanted
from datastore.sharing import LocalFile, _share
from datastore.transfer import fetch, find
from tests.datastore.host import CLUSTER, NEVER, SECRET, Datastore, sha256
from tests.servers import eventually

A = b"acgt" * 1000
B = b"other\n"


def local(folder: Path, path: str, data: bytes, executable: bool = False) -> LocalFile:
    """A file here that is to be put."""
    place = folder / f"local-{sha256(data)[:12]}"
    place.write_bytes(data)
    return LocalFile(str(place), path, len(data), sha256(data), executable)


def put(
    store: Datastore, name: str, files: dict[str, bytes] | bytes, caller: str = "researcher:ada", executable: bool = False
) -> bool:
    """Put a file, or a folder, as a person does; whether it was new."""
    contents = {"": files} if isinstance(files, bytes) else files
    made = [local(store.root.parent, path, data, executable) for path, data in contents.items()]
    return _share(store.gate(caller), name, made, None)


def listed(store: Datastore, prefix: str = "") -> dict[str, dict[str, Any]]:
    """What show_shared shows, by name."""
    found: list[Line] = []
    store.boss.ask({"op": "shared", "prefix": prefix}, take=found.extend)
    return {line["item"]: line for line in found}


def ask_for(store: Datastore, source: str, to: str = "x", worker: str = "w1") -> tuple[Channel, Line]:
    """A worker's session, and its grant for one input."""
    return store.gate(f"worker:{worker}"), store.grant(worker=worker, inputs=[(source, to, "", 0o644)])


def fetched(store: Datastore, source: str, folder: Path, worker: str = "w1") -> dict[str, bytes]:
    """What a worker gets for one input."""
    channel, grant = ask_for(store, source, worker=worker)
    wanted = [Wanted(item, str(folder / f"got-{number}")) for number, item in enumerate(find(channel, grant))]
    fetch(channel, grant, wanted, NEVER)
    return {each.listed.path: Path(each.target).read_bytes() for each in wanted}


def test_what_was_put_is_a_read_only_file_with_its_checksum(datastore: Datastore) -> None:
    assert put(datastore, "genomes/hg38.fa", A)
    place = datastore.root / "shared" / "genomes" / "hg38.fa"
    assert place.read_bytes() == A
    assert stat.S_IMODE(place.stat().st_mode) & 0o222 == 0
    assert (datastore.root / "shared" / "SHA256SUMS").read_text() == f"{sha256(A)}  genomes/hg38.fa\n"
    found = listed(datastore)["genomes/hg38.fa"]
    assert (found["size"], found["sha256"], found["by"]) == (len(A), sha256(A), "ada")
    assert not list((datastore.root / "parts").iterdir())


def test_the_same_again_changes_nothing_and_says_so(datastore: Datastore) -> None:
    put(datastore, "a", A)
    before = datastore.inventory()
    assert not put(datastore, "a", A, "researcher:bob")
    assert datastore.inventory() == before
    assert listed(datastore)["a"]["by"] == "ada"


def test_other_content_is_refused_with_the_remedy(datastore: Datastore) -> None:
    put(datastore, "a", A)
    put(datastore, "refs", {"x": A, "deep/y": B})
    before = datastore.inventory()
    for name, files in [
        ("a", B),
        ("a", {"x": A}),
        ("refs", A),
        ("refs", {"x": A}),
        ("refs", {"x": A, "deep/y": A}),
        ("refs", {"x": A, "deep/y": B, "z": B}),
        ("refs/x", B),
    ]:
        with pytest.raises(GateRefused, match=r"exists with other content.*never overwritten: choose another name"):
            put(datastore, name, files)
    with pytest.raises(GateRefused, match="a part of the name shared:a/b is a file already"):
        put(datastore, "a/b", B)
    assert datastore.inventory() == before


def test_a_folder_appears_at_once_with_all_that_is_in_it(datastore: Datastore) -> None:
    assert put(datastore, "refs", {"x": A, "deep/y": B, "same": A, "SHA256SUMS": B})
    assert sorted(listed(datastore)) == ["refs/SHA256SUMS", "refs/deep/y", "refs/same", "refs/x"]
    assert {line["by"] for line in listed(datastore).values()} == {"ada"}
    assert not put(datastore, "refs", {"x": A, "deep/y": B, "same": A, "SHA256SUMS": B})
    assert put(datastore, "refs/more", B), "a name below a folder is a name of its own"


@pytest.mark.parametrize(
    "name", ["", "/", "../x", "a/../../x", "/etc/x", "a//b", ".hidden", "a*b", "SHA256SUMS", "a\nb", "x" * 2000]
)
def test_names_that_no_shared_data_can_have_are_refused(datastore: Datastore, name: str) -> None:
    before = datastore.inventory()
    with pytest.raises(GateRefused):
        put(datastore, name, A)
    with pytest.raises(GateRefused):
        put(datastore, "ok", {f"../{name}/x": A})
    assert datastore.inventory() == before


def test_a_name_is_never_half_there_and_goes_on_where_it_was_cut_off(datastore: Datastore, tmp_path: Path) -> None:
    data = os.urandom(3 * 1024 * 1024)
    file = local(tmp_path, "", data)
    channel = datastore.gate("researcher:ada")

    def give(wire: Wire) -> Line:
        wire.write_line({"item": file.digest, "size": file.size, "offset": 0})
        for first in range(0, 2 * 1024 * 1024, 1024 * 1024):
            wire.write_chunk(data[first : first + 1024 * 1024])
        wire.flush()
        part = datastore.root / "parts" / f"{file.digest}.part"
        eventually(lambda: part.exists() and part.stat().st_size == 2 * 1024 * 1024)
        raise Unreachable("cut off")

    with pytest.raises(Unreachable):
        channel.ask({"op": "add"}, give=give)
    assert listed(datastore) == {}
    sent: list[int] = []
    assert _share(datastore.gate("researcher:ada"), "big", [file], lambda done, total: sent.append(done))
    assert sent[0] == 2 * 1024 * 1024, "what was sent counts"
    assert (datastore.root / "shared" / "big").read_bytes() == data


def test_a_damaged_beginning_is_thrown_away_and_sent_again(datastore: Datastore, tmp_path: Path) -> None:
    file = local(tmp_path, "", A)
    (datastore.root / "parts" / f"{file.digest}.part").write_bytes(b"x" * 100)
    with pytest.raises(GateTrouble, match="damaged"):
        _share(datastore.gate("researcher:ada"), "a", [file], None)
    assert _share(datastore.gate("researcher:ada"), "a", [file], None)


def test_a_file_that_changes_while_it_is_sent_is_refused(datastore: Datastore, tmp_path: Path) -> None:
    file = local(tmp_path, "", A)
    Path(file.local).write_bytes(A[:-1] + b"X")
    with pytest.raises(GateRefused, match="changed meanwhile"):
        _share(datastore.gate("researcher:ada"), "a", [file], None)
    assert listed(datastore) == {}
    assert not list((datastore.root / "parts").iterdir())


def test_a_part_that_another_session_writes_is_waited_for(datastore: Datastore, tmp_path: Path) -> None:
    file = local(tmp_path, "", A)
    first = datastore.gate("researcher:ada")
    refused: list[Exception] = []

    def give(wire: Wire) -> Line:
        wire.write_line({"item": file.digest, "size": file.size, "offset": 0})
        wire.write_chunk(A[:100])
        wire.flush()
        eventually((datastore.root / "parts" / f"{file.digest}.part").exists)
        try:
            _share(datastore.gate("researcher:bob"), "a", [file], None)
        except GateTrouble as error:
            refused.append(error)
        wire.write_chunk(A[100:])
        wire.end_item()
        return {"end": True}

    first.ask({"op": "add"}, give=give)
    assert "another upload of the same content is under way" in str(refused[0])
    assert _share(datastore.gate("researcher:bob"), "a", [file], None)
    assert listed(datastore)["a"]["by"] == "bob"


def test_only_researchers_put_and_nobody_deletes(datastore: Datastore) -> None:
    for caller in ("worker:w1", "boss", "viewer:eve"):
        for operation in ("offer", "share", "add"):
            give = (lambda wire: {"end": True}) if operation == "add" else None
            with pytest.raises(GateRefused, match="may not"):
                datastore.gate(caller).ask({"op": operation, "name": "a", "files": []}, give=give)
    with pytest.raises(GateRefused, match="may not"):
        datastore.gate("researcher:ada").ask({"op": "locate", "sources": []})


@pytest.mark.parametrize(
    "rows", [[], [["a", 1, "x", False]], [["a", -1, "0" * 64]], [["", 1, "0" * 64, False]] * 2, "x", [["a/", 1, "0" * 64, False]]]
)
def test_an_offer_that_makes_no_sense_is_refused(datastore: Datastore, rows: Any) -> None:
    for operation in ("offer", "share"):
        with pytest.raises(GateRefused):
            datastore.gate("researcher:ada").ask({"op": operation, "name": "a", "files": rows})


def test_what_was_not_sent_cannot_be_named(datastore: Datastore) -> None:
    with pytest.raises(GateTrouble, match="not all here"):
        datastore.gate("researcher:ada").ask({"op": "share", "name": "a", "files": [["", 3, "0" * 64, False]]})


def test_data_that_an_admin_copied_there_is_taken_as_it_is(datastore: Datastore) -> None:
    (datastore.root / "shared" / "by-hand").write_bytes(A)
    assert listed(datastore)["by-hand"]["sha256"] == ""
    assert not put(datastore, "by-hand", A)
    assert listed(datastore)["by-hand"]["sha256"] == sha256(A)
    (datastore.root / "shared" / "by-hand").unlink()
    assert put(datastore, "by-hand", B), "what an admin removes by hand is gone, and its name is free"
    assert listed(datastore)["by-hand"]["sha256"] == sha256(B)


def test_a_worker_gets_what_its_grant_names_and_nothing_else(datastore: Datastore, tmp_path: Path) -> None:
    put(datastore, "genomes/hg38.fa", A)
    put(datastore, "refs", {"x": B, "deep/y": A})
    assert fetched(datastore, "shared:genomes/hg38.fa", tmp_path) == {"shared:genomes/hg38.fa": A}
    assert fetched(datastore, "shared:refs/", tmp_path) == {"shared:refs/deep/y": A, "shared:refs/x": B}
    channel, grant = ask_for(datastore, "shared:refs/")
    for other in ("shared:genomes/hg38.fa", "shared:refs", "shared:refs/../genomes/hg38.fa", "refs/x", "legacy:x"):
        with pytest.raises(GateRefused):
            channel.ask(dict(grant, op="send", files=[[0, other]]))
    with pytest.raises(GateRefused, match="this grant is not for"):
        channel.ask(dict(grant, op="find", inputs=[["shared:genomes/hg38.fa", "x", "", 0o644]]))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("shared:refs", "shared:refs is a folder; write shared:refs/"),
        ("shared:a/", "shared:a/ is a file; write shared:a"),
        ("shared:a/b", "there is no shared data shared:a/b"),
        ("shared:nothing", "there is no shared data shared:nothing"),
        ("legacy:x", "datastore_legacy_root"),
    ],
)
def test_an_input_that_is_not_there_says_what_is(datastore: Datastore, source: str, reason: str) -> None:
    put(datastore, "a", A)
    put(datastore, "refs", {"x": B})
    channel, grant = ask_for(datastore, source)
    with pytest.raises((GateMissing, GateRefused), match=reason):
        find(channel, grant)
    ((named, said),) = datastore.boss.ask({"op": "locate", "sources": [source]})["wrong"]
    assert named == source
    assert reason in said


def test_the_nearest_names_are_told(datastore: Datastore) -> None:
    put(datastore, "genomes/hg38.fa", A)
    sources = ["shared:genomes/hg83.fa", "shared:hg38.fa", "shared:genome/", "shared:genomes/hg38.fa", "shared:genomes/"]
    wrong = dict(datastore.boss.ask({"op": "locate", "sources": sources})["wrong"])
    assert sorted(wrong) == ["shared:genome/", "shared:genomes/hg83.fa", "shared:hg38.fa"]
    assert "did you mean shared:genomes/hg38.fa" in wrong["shared:genomes/hg83.fa"]
    assert "shared:genomes/hg38.fa" in wrong["shared:hg38.fa"]
    assert "shared:genomes/" in wrong["shared:genome/"]


def test_each_fetch_is_noted_by_worker(datastore: Datastore, tmp_path: Path) -> None:
    put(datastore, "a", A)
    for worker in ("w1", "w2"):
        fetched(datastore, "shared:a", tmp_path, worker)
    noted = [json.loads(line) for line in (datastore.root / shared.FETCHES).read_text().splitlines()]
    assert [(line["worker"], line["source"], line["bytes"]) for line in noted] == [
        ("w1", "shared:a", len(A)),
        ("w2", "shared:a", len(A)),
    ]


def test_a_put_may_be_killed_between_any_two_steps(datastore: Datastore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever call fails first, the name is not there, or there whole; the next try ends it."""
    files: Sequence[LocalFile] = [local(tmp_path, "x", A), local(tmp_path, "deep/y", B)]
    rows = [[file.path, file.size, file.digest, file.executable] for file in files]
    tree = datastore.tree
    for step in range(40):
        name = f"refs-{step}"
        _send_contents(datastore, files)
        with monkeypatch.context() as patch:
            _fail_at(patch, step)
            try:
                shared.share(tree, "ada", {"name": name, "files": rows})
                whole = True
            except OSError:
                whole = False
        there = {
            path: data.read_bytes() for path in ("x", "deep/y") if (data := datastore.root / "shared" / name / path).exists()
        }
        assert there in ({}, {"x": A, "deep/y": B})
        assert put(datastore, name, {"x": A, "deep/y": B}) is (not there)
        if whole:
            return
    raise AssertionError("it never came to its end")


def _send_contents(store: Datastore, files: Sequence[LocalFile]) -> None:
    def give(wire: Wire) -> Line:
        for file in files:
            wire.write_line({"item": file.digest, "size": file.size, "offset": 0})
            wire.write_chunk(Path(file.local).read_bytes())
            wire.end_item()
        return {"end": True}

    if any(not (store.root / "parts" / file.digest).exists() for file in files):
        store.gate("researcher:ada").ask({"op": "add"}, give=give)


def _fail_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """The step-th call that changes something fails, and all after it, as on a disk that has died."""
    count = [0]

    def failing(real: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            count[0] += 1
            if count[0] > step:
                raise OSError(5, "Input/output error")
            return real(*args, **more)

        return call

    for name in ("link", "rename", "mkdir", "fsync", "write", "fchmod"):
        patch.setattr(os, name, failing(getattr(os, name)))


def test_a_sweep_keeps_what_may_be_gone_on_with(datastore: Datastore) -> None:
    parts = datastore.root / "parts"
    (parts / "new.part").write_bytes(A)
    (parts / "old.part").write_bytes(A)
    os.utime(parts / "old.part", (1e9, 1e9))
    (parts / ".1-x").mkdir()
    datastore.boss.ask({"op": "initialise", "cluster": CLUSTER, "secret": SECRET.hex()})
    assert [path.name for path in parts.iterdir()] == ["new.part"]


# ---- the legacy root -----------------------------------------------------------------------------------------------


@pytest.fixture
def legacy(datastore: Datastore, tmp_path: Path) -> Path:
    """A legacy root beside the datastore, with a file, a link inside, and links that lead out."""
    root = tmp_path / "legacy"
    (root / "data").mkdir(parents=True)
    (root / "data" / "a.dat").write_bytes(A)
    (root / "current").symlink_to("data")
    (tmp_path / "secret").write_bytes(B)
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to("..")
    (root / "store").symlink_to(datastore.root)
    initialise(datastore, str(root))
    return root


def initialise(store: Datastore, root: str) -> None:
    store.boss.ask({"op": "initialise", "cluster": CLUSTER, "secret": SECRET.hex(), "legacy_root": root})


def test_what_lies_below_the_legacy_root_is_read(datastore: Datastore, legacy: Path, tmp_path: Path) -> None:
    assert fetched(datastore, "legacy:data/a.dat", tmp_path) == {"legacy:data/a.dat": A}
    assert fetched(datastore, "legacy:current/a.dat", tmp_path) == {"legacy:current/a.dat": A}
    assert fetched(datastore, "legacy:data/", tmp_path) == {"legacy:data/a.dat": A}
    assert fetched(datastore, "legacy:*/*.dat", tmp_path) == {"legacy:data/a.dat": A}


@pytest.mark.parametrize(
    "source",
    [
        "legacy:out",
        "legacy:up/secret",
        "legacy:up/",
        "legacy:../secret",
        "legacy:data/../../secret",
        "legacy:store/secret",
        "legacy:store/",
        "legacy:/etc/passwd",
    ],
)
def test_nothing_outside_the_legacy_root_is_read(datastore: Datastore, legacy: Path, source: str) -> None:
    channel, grant = ask_for(datastore, source)
    with pytest.raises((GateRefused, GateMissing)):
        find(channel, grant)
    with pytest.raises(GateRefused):
        channel.ask(dict(grant, op="send", files=[[0, source + "secret" if source.endswith("/") else source]]))
    assert datastore.boss.ask({"op": "locate", "sources": [source]})["wrong"]


def test_the_datastores_own_files_are_not_read_through_a_root_above_it(datastore: Datastore, tmp_path: Path) -> None:
    initialise(datastore, str(tmp_path))
    (tmp_path / "x").write_bytes(A)
    channel, grant = ask_for(datastore, "legacy:root/secret")
    with pytest.raises(GateRefused, match="leads out of"):
        find(channel, grant)
    assert fetched(datastore, "legacy:**", tmp_path / "got") == {"legacy:x": A}


def test_without_a_legacy_root_nothing_is_read(datastore: Datastore, legacy: Path) -> None:
    initialise(datastore, "")
    channel, grant = ask_for(datastore, "legacy:data/a.dat")
    with pytest.raises(GateRefused, match="datastore_legacy_root"):
        find(channel, grant)
    assert not (datastore.root / "legacy_root").exists()


def test_errors_of_a_full_disk_are_told_from_others() -> None:
    assert isinstance(frames.trouble(OSError(28, "No space left on device"), "/srv"), frames.GateFull)
    line = frames.error_line(frames.trouble(OSError(122, "Disk quota exceeded"), "/srv"))
    assert (line["kind"], line["full"]) == ("trouble", True)
    with pytest.raises(frames.GateFull, match="free space in /srv on"):
        frames.checked(line)
    assert not isinstance(frames.trouble(OSError(5, "Input/output error"), "/srv"), frames.GateFull)
    assert layout.MANIFEST == "SHA256SUMS"
