"""A boss of the benchmark's own, in a temporary state folder, and what its processes have cost so far."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.loads import SLOTS
from benchmarks.processes import cpu_of_tree, memory_of
from client import Client

ROOT = Path(__file__).resolve().parents[1]
_STOP_TIMEOUT = 60.0


class BossDidNotStart(Exception):
    """The end of the boss's log."""


@dataclass(frozen=True, slots=True)
class PrivateBoss:
    """A running boss: its process, its state folder, and a client that talks to it."""

    pid: int
    state: Path
    client: Client

    def cpu(self) -> float:
        """Cpu seconds, user and system, of the boss and of all its descendants, those that have ended included."""
        return cpu_of_tree(self.pid)

    def peak_memory(self) -> int:
        """The largest resident size of the boss itself so far, in bytes."""
        return memory_of(self.pid, "VmHWM")


@contextmanager
def private_boss(database: str | None) -> Iterator[PrivateBoss]:
    """Start a boss with SLOTS local slots, and stop it afterwards. Raises BossDidNotStart with its last words."""
    settings = {"ECLOUD_LOCAL_SLOTS": str(SLOTS)} | ({"ECLOUD_DATABASE_URL": database} if database else {})
    with tempfile.TemporaryDirectory(prefix="ecloud-bench.") as folder:
        process = start(Path(folder), settings)
        try:
            access = json.loads((Path(folder) / "api.json").read_text())
            with Client(access["url"], access["token"]) as client:
                yield PrivateBoss(process.pid, Path(folder), client)
        finally:
            stop(process)


def start(state: Path, settings: Mapping[str, str], program: str = "boss") -> subprocess.Popen[str]:
    """Start a boss on a state folder, with settings from the environment alone, until it is ready. Raises BossDidNotStart."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")}
    environment |= {"ECLOUD_STATE": str(state), "PYTHONPATH": str(ROOT), **settings}
    with open(state / "boss.log", "ab") as log:
        boss = subprocess.Popen(
            [sys.executable, "-m", program], cwd=state, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert boss.stdout is not None
    if not boss.stdout.readline().startswith("ready: "):
        stop(boss)
        raise BossDidNotStart((state / "boss.log").read_text(errors="replace")[-2000:])
    return boss


def stop(boss: subprocess.Popen[str]) -> None:
    """End it as a user would; by force when that takes too long."""
    boss.terminate()
    try:
        boss.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        boss.kill()
        boss.wait()
    if boss.stdout is not None:
        boss.stdout.close()
