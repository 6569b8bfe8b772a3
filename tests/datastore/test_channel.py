"""Several who ask at once through one channel, and gates that misbehave meanwhile."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from datastore.channel import Channel, Unreachable
from datastore.frames import GateMissing, Items, Line, Wire
from datastore.landing import Stopped
from datastore.transfer import Given, deliver
from tests.datastore.host import NEVER, Datastore
from tests.servers import eventually

GREETING = 'import json, sys\nprint(json.dumps({"gate": 1, "caller": "worker:w1", "cluster": "c"}), flush=True)\n'
#: More than the pipes between hold.
MUCH = bytes(1 << 20)


def gate(script: str) -> Channel:
    """A gate that greets and then does as it is told."""
    return Channel([sys.executable, "-c", GREETING + script])


class Asking:
    """Somebody who asks in a thread of its own."""

    def __init__(self, ask: Callable[[], object]) -> None:
        self.said: list[object] = []
        self._ask = ask
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> object:
        """What came of it."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.said[0]

    def _run(self) -> None:
        try:
            self.said.append(self._ask())
        except BaseException as error:  # told to whom it may concern
            self.said.append(error)


def numbers(items: Items, into: list[int]) -> None:
    into.extend(item["item"] for item in items)


def refuse(items: Items) -> None:
    raise KeyError("not what was asked for")


def test_the_next_request_is_written_before_the_last_is_answered() -> None:
    channel = gate(
        "asked = [json.loads(sys.stdin.readline()) for _ in range(3)]\n"
        'for one in asked:\n    sys.stdout.write(json.dumps({"ok": True, "echo": one["op"]}) + "\\n")\n'
        "sys.stdout.flush()\nsys.stdin.read()\n"
    )
    asking = {name: Asking(lambda name=name: channel.ask({"op": name})["echo"]) for name in "abc"}  # type: ignore[misc]
    assert {name: one.end() for name, one in asking.items()} == {"a": "a", "b": "b", "c": "c"}
    channel.close()


def test_an_error_is_told_to_whom_it_is_for_and_the_others_go_on() -> None:
    channel = gate(
        "for line in sys.stdin:\n"
        '    bad = json.loads(line)["op"] == "bad"\n'
        '    print(json.dumps({"error": "gone", "kind": "missing"} if bad else {"ok": True}), flush=True)\n'
    )
    asking = [Asking(lambda op=op: channel.ask({"op": op})) for op in ("good", "bad") * 10]  # type: ignore[misc]
    said = [one.end() for one in asking]
    assert [answer == {"ok": True} for answer in said] == [True, False] * 10
    assert all(isinstance(answer, GateMissing) for answer in said[1::2])
    channel.close()


def test_a_channel_that_breaks_is_of_no_use_to_all_who_wait_for_an_answer() -> None:
    channel = gate("[sys.stdin.readline() for _ in range(3)]\nsys.exit('the disk has caught fire')\n")
    asking = [Asking(lambda: channel.ask({"op": "a"})) for _ in range(3)]
    said = [one.end() for one in asking]
    assert all(isinstance(error, Unreachable) and "caught fire" in str(error) for error in said), said
    assert not channel.alive


def test_who_breaks_it_while_another_writes_to_a_gate_that_takes_nothing_frees_both() -> None:
    channel = gate(
        'sys.stdin.readline()\nprint(json.dumps({"item": 1}), flush=True)\nsys.stdin.buffer.read(1)\nimport time\ntime.sleep(600)\n'
    )
    begun = threading.Event()

    def take(items: Items) -> None:
        begun.wait(30)
        refuse(items)

    def give(wire: Wire) -> Line:
        begun.set()
        while True:
            wire.write_chunk(MUCH)

    first = Asking(lambda: channel.ask({"op": "a"}, take=take))
    second = Asking(lambda: channel.ask({"op": "b"}, give=give))
    assert isinstance(first.end(), KeyError)
    assert isinstance(second.end(), Unreachable)


def test_who_waits_for_a_long_request_of_another_can_be_stopped() -> None:
    channel = gate("import time\ntime.sleep(600)\n")
    begun, stopped = threading.Event(), threading.Event()

    def give(wire: Wire) -> Line:
        begun.set()
        while True:
            wire.write_chunk(MUCH)

    long = Asking(lambda: channel.ask({"op": "a"}, give=give))
    assert begun.wait(30)
    short = Asking(lambda: channel.ask({"op": "b"}, stopped=stopped))
    stopped.set()
    assert isinstance(short.end(), Stopped)
    channel.kill()
    assert isinstance(long.end(), Unreachable)


def test_closing_waits_for_the_answers_that_are_under_way(tmp_path: Path) -> None:
    asked, go = tmp_path / "asked", tmp_path / "go"
    os.mkfifo(go)
    channel = gate(
        f"sys.stdin.readline()\nopen({str(asked)!r}, 'w').close()\nopen({str(go)!r}).read()\n"
        "for number in range(3):\n"
        '    sys.stdout.buffer.write(json.dumps({"item": number}).encode() + b"\\n" + bytes(4))\n'
        'sys.stdout.buffer.write(json.dumps({"ok": True}).encode() + b"\\n")\n'
        "sys.stdout.buffer.flush()\nsys.stdin.read()\n"
    )
    got: list[int] = []
    asking = Asking(lambda: channel.ask({"op": "a"}, take=lambda items: numbers(items, got)))
    eventually(asked.exists)
    closing = Asking(channel.close)
    go.write_text("go")
    closing.end()
    assert asking.end() == {"ok": True}
    assert got == [0, 1, 2]
    with pytest.raises(Unreachable, match="closed"):
        channel.ask({"op": "b"})


def test_a_file_that_cannot_be_opened_leaves_nothing_there_and_breaks_no_channel(datastore: Datastore) -> None:
    channel = datastore.gate("worker:w1")

    def refused() -> int:
        raise PermissionError("it belongs to another user")

    given = [Given("first", lambda: os.open(os.devnull, os.O_RDONLY), False), Given("second", refused, False)]
    with pytest.raises(PermissionError, match="another user"):
        deliver(channel, datastore.grant(), given, {}, "{}", 200, NEVER)
    assert datastore.tree.names("incoming") == []
    assert datastore.upload({"a": b"a"}, channel=channel)
