"""The journal of unacknowledged results."""

from pathlib import Path

import pytest

from worker.protocol import Result
from worker.spool import Spool

A = Result("a.1.1", "succeeded", exit_code=0, stdout="caf\u00e9\n", usage={"cpu": 0.5}, files=(("x", 1, "ab"),))
B = Result("b.1.1", "failed", "run", exit_code=1, reason="exit code 1")


def test_what_is_kept_is_there_after_a_crash_until_it_is_forgotten(tmp_path: Path) -> None:
    path = str(tmp_path / "spool")
    spool = Spool(path)
    spool.keep([A, B])
    assert Spool(path).held == (A, B)  # opened beside the first one, as after its sudden death
    spool = Spool(path)
    spool.forget(["a.1.1", "unknown.1.1"])
    assert Spool(path).held == (B,)


def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(str(path))
    spool.keep([A])
    spool.keep([B])
    assert len(path.read_bytes().splitlines()) == 2
    first, second = path.read_bytes().splitlines()
    path.write_bytes(first[:40] + b"\n" + b"\xff\n" + second + b"\n" + first[:20])
    assert Spool(str(path)).held == (B,)


def test_after_a_full_disk_the_next_result_is_on_a_line_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "spool"
    spool = Spool(str(path))
    with path.open("ab") as torn:
        torn.write(b'{"v":1,"kind":"res')  # what a write leaves that the disk broke off
    spool._torn = True
    spool.keep([A])
    assert Spool(str(path)).held == (A,)


def test_an_empty_journal_does_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(str(path))
    long = A._replace(stdout="x" * 4000)
    for _ in range(600):
        spool.keep([long])
        spool.forget([long.attempt])
    assert path.stat().st_size < 1 << 20
    assert Spool(str(path)).held == ()


def test_a_restart_rewrites_the_journal_without_what_was_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(str(path))
    for number in range(100):
        spool.keep([A._replace(attempt=f"{number}.1.1")])
    spool.forget([f"{number}.1.1" for number in range(99)])
    assert len(Spool(str(path)).held) == 1
    assert len(path.read_bytes().splitlines()) == 1
