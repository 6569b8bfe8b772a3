"""A disk that fills at every possible moment: whatever call meets it first, nothing is half there, and the repeat ends it.

From the n-th changing call on, every such call fails with ENOSPC (a write takes half of its bytes before); n counts up until all goes
through.
"""

import errno
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datastore import frames, layout, shared, uploads
from datastore.acceptance import Acceptance, Upload
from datastore.frames import GateFull, Items, Line, Wire
from datastore.grants import Grant
from tests.datastore.host import Datastore, sha256

FILES = {"a.txt": b"result of a\n" * 100, "deep/b.txt": b"result of b\n" * 5000}
GRANT = Grant("w1", "u.0.1", "j", "t", 1, ())
#: More steps than anything here takes.
STEPS = 200


class FullDisk:
    """Makes the calls of this process fail, from the ``step``-th on."""

    def __init__(self, patch: pytest.MonkeyPatch, step: int) -> None:
        self._left = step
        for name in ("mkdir", "rename", "link", "fsync"):
            patch.setattr(os, name, self._failing(getattr(os, name)))
        patch.setattr(os, "write", self._writing(os.write))
        patch.setattr(os, "open", self._opening(os.open))
        self._written_half = False

    def _is_full(self) -> bool:
        self._left -= 1
        return self._left < 0

    def _failing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            if self._is_full():
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args, **more)

        return call

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, flags: int, *args: Any, **more: Any) -> Any:
            if flags & os.O_CREAT and self._is_full():
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(path, flags, *args, **more)

        return call

    def _writing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(descriptor: int, data: Any) -> int:
            if not self._is_full():
                return int(real(descriptor, data))
            if len(data) > 1 and not self._written_half:
                self._written_half = True
                return int(real(descriptor, bytes(data)[: len(data) // 2]))
            raise OSError(errno.ENOSPC, "No space left on device")

        return call


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], bool]], Iterator[bool]]:
    """Runs an action on a disk that is full from step 0, 1, 2 ... on; yields after each whether it went through, ends when it has."""

    def run(action: Callable[[], bool]) -> Iterator[bool]:
        for step in range(STEPS):
            with monkeypatch.context() as patch:
                FullDisk(patch, step)
                through = action()
            yield through
            if through:
                return
        raise AssertionError("it never went through")

    return run


def items_of(files: dict[str, bytes], **fields: Any) -> Items:
    """What a worker would send, as the gate reads it."""
    written = io.BytesIO()
    wire = Wire(io.BytesIO(), written)
    for path, data in files.items():
        wire.write_line({"item": path, **fields})
        wire.write_chunk(data)
        wire.end_item()
    wire.write_line({"item": "stdout", "log": True} if not fields else {"end": True})
    if not fields:
        wire.write_chunk(b"log " * 2000)
        wire.end_item()
        wire.write_line({"end": True, "result": "{}"})
    return Items(Wire(io.BytesIO(written.getvalue()), io.BytesIO()))


def receive(store: Datastore, files: dict[str, bytes], grant: Grant = GRANT) -> Line:
    return uploads.receive(store.tree, grant, {"most": 100}, items_of(files))


def manifest(files: dict[str, bytes]) -> list[list[Any]]:
    return [[path, len(data), sha256(data)] for path, data in files.items()]


def whole_log(store: Datastore) -> bool:
    place = store.root / layout.log_folder("j", "t", 1) / "stdout"
    return not place.exists() or place.read_bytes() == b"log " * 2000


def no_parts(store: Datastore) -> bool:
    return not list((store.root / "incoming").glob(".*"))


def test_an_upload_is_whole_or_not_there(datastore: Datastore, steps: Any) -> None:
    def action() -> bool:
        try:
            receive(datastore, FILES)
            return True
        except OSError as error:
            assert isinstance(frames.trouble(error, "/"), GateFull)
            return False

    tries = 0
    for _through in steps(action):
        tries += 1
        assert no_parts(datastore)
        assert whole_log(datastore)
        incoming = datastore.root / "incoming" / GRANT.attempt
        if incoming.exists():
            assert {path: (incoming / "files" / path).read_bytes() for path in FILES} == FILES
    assert tries > 15, "it was tried at every step"
    assert datastore.accept(manifest(FILES))[1] == "accepted"
    assert datastore.results() == FILES and datastore.sums_hold()


@pytest.mark.parametrize("again", [False, True], ids=["new results", "results that replace others"])
def test_an_acceptance_is_repeated_until_it_is_whole(datastore: Datastore, steps: Any, again: bool) -> None:
    if again:
        old = dict.fromkeys(FILES, b"of an earlier attempt\n")
        receive(datastore, old, GRANT._replace(attempt="u.0.0"))
        assert datastore.accept(manifest(old), "u.0.0")[1] == "accepted"
    receive(datastore, FILES)
    upload = Upload(GRANT.attempt, "j", tuple((path, len(data), sha256(data)) for path, data in FILES.items()))
    acceptance = Acceptance(datastore.tree)

    def action() -> bool:
        (answer,) = acceptance.accept([upload])
        assert answer[1] in ("accepted", "full"), answer
        if answer[1] == "full":
            assert f"free space in {datastore.root} on " in answer[2]
        return answer[1] == "accepted"

    tries = 0
    for _through in steps(action):
        tries += 1
        folder = datastore.root / "jobs/j"
        sums = folder / "SHA256SUMS"
        if sums.exists():
            for line in sums.read_text().splitlines(keepends=True):
                assert line.endswith("\n")
                layout.parse_manifest_line(line)
        for path in folder.rglob("*.txt"):
            assert path.read_bytes() in (FILES[str(path.relative_to(folder))], b"of an earlier attempt\n"), "a truncated file"
        assert not list(folder.glob(".*")), "what a full disk left"
    assert tries > 4
    assert datastore.results() == FILES and datastore.sums_hold()
    assert not list((datastore.root / "accepted").iterdir())


def test_pushed_files_are_whole_or_not_there(datastore: Datastore, steps: Any) -> None:
    data = b"pushed\n" * 10_000

    def action() -> bool:
        try:
            uploads.put(datastore.tree, items_of({sha256(data): data}, pushed=True))
            return True
        except OSError:
            return False

    place = datastore.root / layout.file_path(sha256(data))
    for through in steps(action):
        assert no_parts(datastore)
        assert not place.exists() or place.read_bytes() == data
        assert place.exists() or not through


def test_shared_data_is_whole_or_not_there_and_makes_room_again(datastore: Datastore, steps: Any) -> None:
    rows = [[path, len(data), sha256(data), False] for path, data in FILES.items()]

    def action() -> bool:
        try:
            for path, data in FILES.items():
                shared.add(datastore.tree, items_of({sha256(data): data}, size=len(data), offset=0))
                assert path
            shared.share(datastore.tree, "ada", {"name": "refs", "files": rows})
            return True
        except OSError:
            return False

    place = datastore.root / "shared/refs"
    for through in steps(action):
        assert not list((datastore.root / "parts").glob("*.part")), "the room is needed for results"
        there = {path: (place / path).read_bytes() for path in FILES if (place / path).exists()}
        assert there in ({}, FILES)
        assert bool(there) or not through
        assert not list((datastore.root / "shared").glob(".*"))


def test_an_offer_of_more_than_there_is_room_for_is_refused_before_anything_is_sent(datastore: Datastore) -> None:
    with pytest.raises(GateFull, match=f"free, and shared:big needs .* more: free space in {datastore.root} on"):
        datastore.gate("researcher:ada").ask({"op": "offer", "name": "big", "files": [["", 10**17, "0" * 64, False]]})


def test_the_gate_says_how_much_room_there_is(datastore: Datastore) -> None:
    for operation in ("space", "check"):
        said = datastore.boss.ask({"op": operation})
        assert said["root"] == str(datastore.root)
        assert 0 < said["free"] <= said["size"]
    assert Path(said["root"]).is_dir()
