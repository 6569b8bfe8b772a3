"""What every driver of a system does: read requests from stdin, carry them out, answer. The standard library alone.

    python -m benchmarks.peers.on_ray FOLDER

A request is a line of JSON, so is its answer; the end of stdin is the request to stop. Seconds are those that a user of the system waits:
from the first call that submits until the last result is known. What the system itself prints goes to stderr.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from benchmarks.loads import HOLD, LOADS, SHORT, SLOTS, WARM_UP, Load
from benchmarks.processes import memory_of


class Unable(Exception):
    """The system has nothing for this load, in a few words."""


class Driver(Protocol):
    """One system. ``about`` is its name and version, ``durable`` what of its queue survives a power cut."""

    about: str
    durable: str

    def start(self, folder: Path) -> None:
        """Start it with ``SLOTS`` slots and everything of its own below a folder."""

    def run(self, load: Load) -> None:
        """Submit a load and wait until all of its tasks have succeeded. Raises if one did not, Unable if it has nothing for it."""

    def submit(self, load: Load) -> None:
        """Submit independent tasks, and return when the system has them all."""

    def holders(self) -> list[int]:
        """The processes that hold what waits."""

    def stop(self) -> None:
        """End it."""


def spawn(command: tuple[str, ...]) -> None:
    """Run a command as its own process, by the cheapest way that Python has. Raises RuntimeError unless it succeeds."""
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"{command} ended with status {status}")


def serve(driver: Driver) -> int:
    """Be the driver's process until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the comparison, and that ends us
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    folder = Path(sys.argv[1])
    try:
        driver.start(folder)
        _answer(answers, {"about": driver.about, "durable": driver.durable})
        for line in sys.stdin:
            try:
                found = _carry_out(driver, json.loads(line))
            except Unable as error:
                found = {"unable": str(error)}
            except Exception as error:  # whatever a foreign system raises is told, and is that load's end only
                found = {"failed": f"{type(error).__name__}: {error}"}
            _answer(answers, found)
    finally:
        driver.stop()
    return 0


def _answer(answers: Any, found: dict[str, Any]) -> None:
    answers.write(json.dumps(found) + "\n")
    answers.flush()


def _carry_out(driver: Driver, request: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "warm-up":
        driver.run(WARM_UP)
        return {}
    if request["do"] == "hold":
        driver.submit(HOLD)
        _wait_for_sleepers()
        return {}
    load = (SHORT if request["short"] else LOADS)[request["load"]]
    before = _memory(driver) if load.held else 0
    begun = time.monotonic()
    (driver.submit if load.held else driver.run)(load)
    seconds = time.monotonic() - begun
    grown = (_memory(driver) - before) / load.tasks if load.held else None
    return {"seconds": seconds, "bytes": grown}


def _memory(driver: Driver) -> int:
    return sum(memory_of(pid, "VmRSS") for pid in driver.holders())


def _wait_for_sleepers() -> None:
    """Until every slot runs one of the tasks that hold it."""
    wanted = "\0".join(HOLD.command).encode() + b"\0"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if sum(_words(entry) == wanted for entry in Path("/proc").iterdir() if entry.name.isdecimal()) >= SLOTS:
            return
        time.sleep(0.05)
    raise RuntimeError("the slots were not taken within 60 s")


def _words(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""
