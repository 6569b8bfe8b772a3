"""The systems that are compared: how each is started, and the process of its driver.

Rules:
- A driver is a process of its own (``benchmarks/peers/driver.py`` says what it is asked). The comparison is a
  subreaper, so all that a system leaves behind is below it, and is ended.
- What another system needs is installed on demand into an environment of its own, below a folder for caches, from the pinned list in
  ``benchmarks/peers/requirements``. One that cannot be had is left out, never faked.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.private_boss import ROOT
from benchmarks.processes import descendants

_REQUIREMENTS = ROOT / "benchmarks" / "peers" / "requirements"


class Missing(Exception):
    """A system that cannot be had here, in one line."""


class LoadFailed(Exception):
    """A load that did not succeed measures nothing."""


@dataclass(frozen=True, slots=True)
class System:
    """``module`` is its driver; ``programs`` must be on PATH (with the Debian package that has each); ``peer`` has requirements."""

    name: str
    module: str
    words: tuple[str, ...] = ()
    programs: tuple[tuple[str, str], ...] = ()
    peer: bool = False


SYSTEMS = {
    system.name: system
    for system in (
        System("sqlite", "benchmarks.ecloud_driver"),
        System("mariadb", "benchmarks.ecloud_driver", ("--mariadb",), (("mariadbd", "mariadb-server"),)),
        System("make", "benchmarks.peers.on_make", programs=(("make", "make"),)),
        System("hyperqueue", "benchmarks.peers.on_hyperqueue", peer=True),
        System("ray", "benchmarks.peers.on_ray", peer=True),
        System("dask", "benchmarks.peers.on_dask", peer=True),
        System("huey", "benchmarks.peers.on_huey", programs=(("redis-server", "redis-server"),), peer=True),
    )
}
#: What is measured without being asked for, and the systems of others.
OWN = [name for name, system in SYSTEMS.items() if not system.peer]
PEERS = [name for name, system in SYSTEMS.items() if system.peer]


class Running:
    """A started system, seen from the comparison."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process, self._log = process, log
        found = self._hear()
        self.about, self.durable = str(found["about"]), str(found["durable"])

    def ask(self, do: str, **more: object) -> dict[str, Any]:
        """Have something done. Raises LoadFailed with what the system said."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says why
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LoadFailed(f"it has ended:\n{self._log.read_text(errors='replace')[-2000:]}")
        found: dict[str, Any] = json.loads(line)
        if "failed" in found:
            raise LoadFailed(str(found["failed"]))
        return found


@contextmanager
def running(system: System, python: Path) -> Iterator[Running]:
    """Start a system in a temporary folder, and end all of it afterwards. Raises LoadFailed if it does not start."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("ECLOUD_", "MAKE", "MFLAGS", "RAY_"))
    }
    environment |= {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory(prefix="ecloud-bench.", ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [str(python), "-m", system.module, folder, *system.words],
                cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        try:
            yield Running(process, log)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """Tell the driver to stop; then end what is left of the system, which is whatever runs below us, and take it in."""
    try:
        process.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    while left := [pid for pid, _ in descendants(os.getpid())]:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, 0)[0]:
                continue
        except ChildProcessError:
            continue


def python_of(system: System) -> Path:
    """The interpreter that has what a system needs; makes its environment the first time. Raises Missing."""
    for program, package in system.programs:
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin") is None:
            raise Missing(f"there is no {program} (Debian package {package})")
    if not system.peer:
        return Path(sys.executable)
    wanted = _REQUIREMENTS / f"{system.name}.txt"
    mark = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache() / f"{system.name}-{mark}"
    python = folder / "bin" / "python"
    done = folder / "complete"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        print(f"throughput: installing {system.name} into {folder}", file=sys.stderr)
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--requirement", str(wanted)])
        done.touch()
    return python


def cache() -> Path:
    """The folder of the environments; it may be removed at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecloud-benchmarks"


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        said = [line for line in ended.stderr.splitlines() if line.strip()]
        raise Missing(f"it cannot be installed: {said[-1] if said else f'exit {ended.returncode}'}")
