"""What a power cut may not undo: everything is on the disk before anybody is told, in the order in which it is needed."""

import errno
import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from datastore import durable, uploads
from datastore.acceptance import Acceptance, Upload
from datastore.frames import Items, Wire
from datastore.grants import granted
from tests.datastore.host import Datastore

FILES = {"deep/a.txt": b"result of a\n", "b.txt": b"result of b\n"}


class Disk:
    """Notes, in order, what was flushed and what was renamed or removed, by the paths as they were then."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.steps: list[tuple[str, str]] = []
        fsync, rename, rmdir = os.fsync, os.rename, os.rmdir

        def place(descriptor: int | None, name: str = "") -> str:
            folder = os.readlink(f"/proc/self/fd/{descriptor}")
            return os.path.relpath(os.path.join(folder, name), root)

        def note_fsync(descriptor: int) -> None:
            fsync(descriptor)
            self.steps.append(("flushed", place(descriptor)))

        def note_rename(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
            rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            self.steps.append(("renamed", f"{place(src_dir_fd, old)} -> {place(dst_dir_fd, new)}"))

        def note_rmdir(name: str, *, dir_fd: int) -> None:
            rmdir(name, dir_fd=dir_fd)
            self.steps.append(("removed", place(dir_fd, name)))

        patch.setattr(os, "fsync", note_fsync)
        patch.setattr(os, "rename", note_rename)
        patch.setattr(os, "rmdir", note_rmdir)

    def when(self, what: str, path: str) -> int:
        """The place in the order of a step; the last one, if it happened more than once."""
        found = [number for number, (kind, where) in enumerate(self.steps) if kind == what and where.endswith(path)]
        assert found, (what, path, self.steps)
        return found[-1]


@pytest.fixture
def disk(datastore: Datastore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """The disk below the datastore, watched."""
    yield Disk(datastore.root, monkeypatch)


def receive(store: Datastore, files: dict[str, bytes]) -> Any:
    """An upload as the gate takes it in, in this process."""
    stream = BytesIO()
    writer = Wire(BytesIO(), stream)
    for path, data in files.items():
        writer.write_line({"item": path})
        writer.write_chunk(data)
        writer.end_item()
    writer.write_line({"end": True, "result": "{}"})
    writer.flush()
    grant = granted(store.tree, "w1", store.grant())
    return uploads.receive(store.tree, grant, {}, Items(Wire(BytesIO(stream.getvalue()), BytesIO())))["files"]


def test_an_upload_is_on_the_disk_before_it_gets_its_name_and_its_name_before_the_worker_is_told(
    datastore: Datastore, disk: Disk
) -> None:
    receive(datastore, FILES)
    named = disk.when("renamed", "-> incoming/u.0.1")
    for path in ("files/deep/a.txt", "files/b.txt", "record.json"):
        assert disk.when("flushed", path) < named
    assert disk.when("flushed", "incoming") > named


def test_many_files_are_on_the_disk_by_one_sync_of_all_before_their_upload_gets_its_name(
    datastore: Datastore, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = durable.sync_whole

    def note(descriptor: int) -> None:
        real(descriptor)
        disk.steps.append(("flushed", os.readlink(f"/proc/self/fd/{descriptor}")))

    monkeypatch.setattr(durable, "sync_whole", note)
    names = [f"{number // 100}/{number}" for number in range(3 * durable.FILES)]
    rows = receive(datastore, {name: name.encode() for name in names})
    assert [path for path, _size, _digest in rows] == names
    everything, named = disk.when("flushed", str(datastore.root)), disk.when("renamed", "-> incoming/u.0.1")
    assert everything < named < disk.when("flushed", "incoming")
    assert sum(kind == "flushed" for kind, _where in disk.steps) < durable.FILES, "not one by one"
    assert datastore.accept(rows)[1] == "accepted"
    assert datastore.results() == {name: name.encode() for name in names}


def test_what_the_disk_could_not_write_of_many_files_is_no_upload(datastore: Datastore, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(durable, "sync_whole", broken)
    with pytest.raises(OSError, match="Input/output"):
        receive(datastore, {str(number): b"x" for number in range(2 * durable.FILES)})
    assert datastore.tree.names("incoming") == []


def test_with_a_kernel_whose_sync_tells_no_errors_each_of_many_files_is_flushed(
    datastore: Datastore, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "WHOLE", False)
    names = [str(number) for number in range(2 * durable.FILES + 1)]
    receive(datastore, dict.fromkeys(names, b"x"))
    named = disk.when("renamed", "-> incoming/u.0.1")
    assert all(disk.when("flushed", f"files/{name}") < named for name in names)


def test_results_and_their_manifest_are_on_the_disk_before_the_upload_is_forgotten_and_the_boss_is_told(
    datastore: Datastore, disk: Disk
) -> None:
    rows = receive(datastore, FILES)
    disk.steps.clear()
    upload = Upload("u.0.1", "j", tuple((path, size, digest) for path, size, digest in rows))
    assert Acceptance(datastore.tree).accept([upload])[0][1] == "accepted"
    moved = max(disk.when("renamed", "-> jobs/j/deep/a.txt"), disk.when("renamed", "-> jobs/j/b.txt"))
    forgotten = disk.when("removed", "accepted/u.0.1")
    assert disk.when("renamed", "incoming/u.0.1 -> accepted/u.0.1") < moved
    for place in ("jobs/j/SHA256SUMS", "jobs/j", "jobs/j/deep"):
        assert moved < disk.when("flushed", place) < forgotten
