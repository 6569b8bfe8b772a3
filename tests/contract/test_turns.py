"""The governor of transfers: so many move data at once, the others wait in line, and whoever dies holds nobody up."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datastore import layout, limits
from datastore.channel import connect
from datastore.landing import Wanted
from datastore.transfer import deliver, fetch, find
from datastore.turns import FREE, TURNS
from tests.contract.asking import accept
from tests.datastore.host import NEVER, REPOSITORY, Datastore, Sshd, given_bytes, sha256
from tests.servers import eventually

MANY = FREE + 1
PROGRAM = f"""
import sys
sys.path.insert(0, {str(REPOSITORY)!r})
from datastore.tree import Tree
from datastore.turns import Turns
turns = Turns(Tree(sys.argv[1]), lambda: int(sys.argv[2]), float(sys.argv[3]))
for line in sys.stdin:
    word, _space, size = line.strip().partition(" ")
    getattr(turns, word)(*([int(size)] if size else []))
    print(word, flush=True)
"""


class Mover:
    """A process that takes turns as a session of the gate does."""

    def __init__(self, store: Datastore, most: int = 1, quantum: float = 1000.0) -> None:
        self._locks = Locks(store)
        command = [sys.executable, "-S", "-c", PROGRAM, str(store.root), str(most), str(quantum)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.say("begin")
        self.hear("begin")

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")

    def hear(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == word + "\n"

    def moves(self) -> "Mover":
        """It has moved so much that it needs a turn, and has it."""
        self.say(f"moved {MANY}")
        self.hear("moved")
        return self

    def waits(self) -> "Mover":
        """The same, but it is in the line now, behind all that were there."""
        before = self._locks.waiting()
        self.say(f"moved {MANY}")
        eventually(lambda: self._locks.waiting() > before)
        return self

    def end(self) -> None:
        self.say("end")
        self.hear("end")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Locks:
    """What the kernel says of turns that are taken and places in the line."""

    def __init__(self, store: Datastore) -> None:
        self._file = store.root / TURNS

    def _offsets(self) -> list[int]:
        inode = str(self._file.stat().st_ino) if self._file.exists() else "none"
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        # "1: POSIX ADVISORY WRITE pid major:minor:inode first last"; who is held up has an arrow in the second place
        held = [line for line in lines if line[1] != "->" and line[3] == "WRITE" and line[5].rpartition(":")[2] == inode]
        return [int(line[6]) for line in held]

    def taken(self) -> int:
        return sum(offset < 1 << 60 for offset in self._offsets())

    def waiting(self) -> int:
        return sum(offset >= 1 << 60 for offset in self._offsets())


@pytest.fixture
def movers(datastore: Datastore) -> Iterator[list[Mover]]:
    """Processes to be ended."""
    found: list[Mover] = []
    yield found
    for mover in found:
        mover.kill()
        assert mover.process.stdin is not None
        assert mover.process.stdout is not None
        mover.process.stdin.close()
        mover.process.stdout.close()


def test_who_came_first_goes_first_and_the_others_wait(datastore: Datastore, movers: list[Mover]) -> None:
    first, second, third = movers[:] = [Mover(datastore) for _ in range(3)]
    first.moves()
    second.waits()
    third.waits()
    first.end()
    second.hear("moved")
    assert (Locks(datastore).taken(), Locks(datastore).waiting()) == (1, 1)
    second.end()
    third.hear("moved")


def test_as_many_move_at_once_as_there_are_turns(datastore: Datastore, movers: list[Mover]) -> None:
    movers[:] = [Mover(datastore, most=2) for _ in range(3)]
    movers[0].moves()
    movers[1].moves()
    movers[2].waits()
    movers[1].end()
    movers[2].hear("moved")
    assert Locks(datastore).taken() == 2


def test_killed_holders_and_killed_waiters_hold_nobody_up(datastore: Datastore, movers: list[Mover]) -> None:
    holder, waiter, last = movers[:] = [Mover(datastore) for _ in range(3)]
    holder.moves()
    waiter.waits()
    last.waits()
    waiter.kill()
    assert Locks(datastore).taken() == 1, "the holder's"
    holder.kill()
    last.hear("moved")


def test_a_long_transfer_lets_those_go_first_who_wait_and_goes_on_then(datastore: Datastore, movers: list[Mover]) -> None:
    long, short = movers[:] = [Mover(datastore, quantum=0.0), Mover(datastore)]
    long.moves().moves()  # nobody waits
    short.waits()
    long.say(f"moved {MANY}")
    short.hear("moved")
    eventually(lambda: Locks(datastore).waiting() == 1)
    short.end()
    long.hear("moved")


def test_what_is_small_never_waits(datastore: Datastore, movers: list[Mover]) -> None:
    movers[:] = [Mover(datastore)]
    limits.write(datastore.tree, limits.Limits(transfers=1)._asdict())
    movers[0].moves()
    data = b"x" * FREE
    assert datastore.upload({"small": data}) == [("small", FREE, sha256(data))]


def test_without_a_bound_nobody_waits(datastore: Datastore, movers: list[Mover]) -> None:
    movers[:] = [Mover(datastore), Mover(datastore, most=0)]
    movers[0].moves()
    movers[1].moves()


def test_a_bound_that_is_taken_away_lets_go_who_waits(datastore: Datastore, movers: list[Mover]) -> None:
    movers[:] = [Mover(datastore)]
    limits.write(datastore.tree, limits.Limits(transfers=1)._asdict())
    movers[0].moves()
    locks, data = Locks(datastore), b"x" * (4 * FREE)
    with ThreadPoolExecutor() as pool:
        upload = pool.submit(datastore.upload, {"a": data})
        eventually(lambda: locks.waiting() == 1)
        limits.write(datastore.tree, limits.Limits(transfers=0)._asdict())
        assert upload.result(30) == [("a", len(data), sha256(data))]


def test_who_lets_the_gate_wait_gives_its_turn_to_others_and_goes_on_later(datastore: Datastore) -> None:
    limits.write(datastore.tree, limits.Limits(transfers=1)._asdict())
    locks, data, go_on = Locks(datastore), b"x" * (4 * FREE), threading.Event()

    def dripping() -> Iterator[bytes]:
        yield data
        assert go_on.wait(60)
        yield data

    slow, quick = datastore.gate("worker:w1"), datastore.gate("worker:w1")
    with ThreadPoolExecutor() as pool:
        grant = datastore.grant("u.0.1")
        dripped = pool.submit(deliver, slow, grant, [], {"stdout": dripping()}, "{}", 10, NEVER)
        eventually(lambda: locks.taken() == 1)
        eventually(lambda: locks.taken() == 0)
        assert datastore.upload({"b": data}, "u.0.2", channel=quick) == [("b", len(data), sha256(data))]
        go_on.set()
        assert dripped.result(60) == []
    assert (datastore.root / layout.log_folder("j", "t", 1) / "stdout").read_bytes() == 2 * data


def test_over_ssh_more_uploads_and_downloads_than_turns_all_end_and_never_more_than_those_move(
    datastore: Datastore, sshd: Sshd, tmp_path: Path
) -> None:
    limits.write(datastore.tree, limits.Limits(transfers=2)._asdict())
    data = [bytes([number]) * (16 * FREE) for number in range(8)]
    givens = [given_bytes(tmp_path, "out", piece) for piece in data]
    results = {f"out{number}": piece for number, piece in enumerate(data)}
    accept(datastore, datastore.upload(results, "u.0.99"), "u.0.99")
    locks, over, most = Locks(datastore), threading.Event(), [0]

    def work(number: int) -> None:
        channel = connect(sshd.certificate(f"worker:w{number}", datastore.root))
        try:
            grant = datastore.grant(f"u.{number}.1", worker=f"w{number}", inputs=[(f"out{number}", "", "", 0)])
            rows = deliver(channel, grant, [givens[number]], {}, "{}", 10, NEVER)
            assert rows == [("out", len(data[number]), sha256(data[number]))]
            target = str(tmp_path / f"in{number}")
            fetch(channel, grant, [Wanted(listed, target) for listed in find(channel, grant)], NEVER)
            assert Path(target).read_bytes() == data[number]
        finally:
            channel.close()

    def watch() -> None:
        while not over.wait(0.005):
            most[0] = max(most[0], locks.taken())

    with ThreadPoolExecutor() as pool:
        watching = pool.submit(watch)
        try:
            for done in [pool.submit(work, number) for number in range(len(data))]:
                done.result(120)
        finally:
            over.set()
        watching.result()
    assert 1 <= most[0] <= 2


def test_an_earlier_boss_that_says_no_bound_has_the_usual_one(datastore: Datastore) -> None:
    limits.write(datastore.tree, {"upload_bytes": 5, "upload_files": 6})
    assert limits.read(datastore.tree) == limits.Limits(5, 6, limits.Limits().transfers)
    datastore.tree.write(limits.LIMITS, b'{"upload_bytes": 7, "upload_files": 8}\n')
    assert limits.read(datastore.tree) == limits.Limits(7, 8, limits.Limits().transfers)
