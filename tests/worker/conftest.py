"""A scripted boss and a running worker around a private broker."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters.certificates import Authority
from boss.adapters.daemons import Daemon
from tests.worker.scripted import ScriptedBoss, WorkerProcess


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass through (pytest's own are closed to others)."""
    with tempfile.TemporaryDirectory(prefix="ecloud-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@pytest.fixture
def boss(broker_server: Daemon, authority: Authority) -> Iterator[ScriptedBoss]:
    """The boss of worker ``w1``."""
    boss = ScriptedBoss(broker_server, authority, "w1")
    yield boss
    boss.close()


@pytest.fixture
def running(tmp_path: Path, broker_server: Daemon, authority: Authority, boss: ScriptedBoss) -> Iterator[WorkerProcess]:
    """Worker ``w1`` with two cpus, started after the boss is listening."""
    folder = tmp_path / "w1"
    folder.mkdir()
    worker = WorkerProcess(folder, broker_server, authority, "w1", {"cpus": 2, "memory": 2 << 30})
    yield worker.start()
    worker.kill()
    print(worker.log.read_text())
