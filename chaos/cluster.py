"""The deployment that chaos is done to: boss, its broker, sshd and workers, and a database, all in one folder and of our own.

Rules:
- The boss is watched as its service would: it is started again a second after it has ended. A database server likewise.
- Mosquitto and sshd are found through programs of these names in ``bin/``, which end at once while ``<name>.refuse`` is there.
- Processes are known by pid and start time; none is ever signalled by its name.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from boss.adapters import processes as recorded
from boss.adapters.daemons import find_program
from boss.adapters.processes import Identity, identify
from chaos import processes, workload
from chaos.databases import Databases
from chaos.network import Network

ROOT = Path(__file__).resolve().parents[1]
_RESTART = 1.0
_START = 90.0
_STOP = 90.0
_POOLS = """
[pools.local]
provider = "local"
minimum = {workers}
maximum = {workers}
flavors = [{{name = "one", resources = {{cpus = 1, memory = "64M", disk = "256M"}}}}]
"""


class Cluster:
    """Start it, hit its ``parts``, ``keep`` it going, ``stop`` it; ``network`` puts each worker on a host of its own."""

    def __init__(self, folder: Path, database: str, workers: int, network: Network | None) -> None:
        self.folder = folder
        self.workers = workers
        self.state = folder / "state"
        self.store = self.state / "datastore"
        self.journals = folder / "journals"
        self.journals.mkdir(mode=0o777)
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name, package in (("mosquitto", "mosquitto"), ("sshd", "openssh-server")):
            self._refusing(name, find_program(name, package))
        self.network = network
        self.database = Databases(database, folder, network.through("database") if network else ())
        self.ends: list[int] = []  #: exit codes of bosses that ended without a signal of ours
        self._boss: subprocess.Popen[bytes] | None = None
        self._question: subprocess.Popen[str] | None = None
        self._ended = 0.0
        self._hit = False
        self._said = folder / "boss.said"
        self._log = folder / "boss.log"
        config = _POOLS.format(workers=workers) if network is None else network.settings()
        (folder / "ecloud.toml").write_text(config)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")},
            "ECLOUD_STATE": str(self.state),
            "ECLOUD_CONFIG": str(folder / "ecloud.toml"),
            "ECLOUD_POLICY__CHECK": "false",
            "PYTHONPATH": str(ROOT),
            "PATH": f"{self.bin}:{network.bin}:{os.environ['PATH']}" if network else f"{self.bin}:{os.environ['PATH']}",
        }
        self._through = network.through("boss") if network else ()

    # ---- its life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the database and the boss. Raises RuntimeError when they do not."""
        self._environment["ECLOUD_DATABASE_URL"] = self.database.start(
            self.state,
            "127.0.0.1" if self.network is None else self.network.address("database" if self.database.server else "boss"),
        )
        self._begin()
        deadline = time.monotonic() + _START
        while not self.ready():
            if not self.alive() or time.monotonic() > deadline:
                raise RuntimeError(f"the boss did not start:\n{self._log.read_text()[-4000:]}")
            time.sleep(0.1)
        if self.network is not None:
            for login in self.network.start_hosts():
                self.run("admin.py", "add_host", login, "--cpus", "1")

    def push(self, count: int, seconds: float) -> None:
        """Push the job as a user does."""
        path = self.folder / "chaos.json"
        path.write_text(json.dumps(workload.document(count, self.journals, seconds)))
        self.run("push_tasks.py", str(path))

    def keep(self) -> None:
        """Start again what has ended; called often."""
        known = {child.pid for child in (self._boss, self._question) if child is not None}
        processes.bury(known | self.database.pids() | (self.network.pids() if self.network else set()))
        self.database.keep()
        if self._boss is None or self.alive():
            return
        if not self._ended:
            self._ended = time.monotonic()
            if not self._hit:
                self.ends.append(self._boss.returncode)
        elif time.monotonic() - self._ended > _RESTART:
            self._begin()

    def finish(self) -> list[str]:
        """End the boss, which ends its workers of this machine; what was wrong with that. The database goes on.

        A boss that was killed last is started again first, to tidy up. Workers on hosts outlive it: the hosts are removed, as by a user.
        """
        self._await_boss()
        wrong = self._leave_hosts() if self.network is not None else []
        boss, self._boss = self._boss, None
        if boss is None:
            return wrong
        if boss.poll() is None:
            boss.terminate()
        try:
            code = boss.wait(_STOP)
        except subprocess.TimeoutExpired:
            boss.kill()
            boss.wait()
            return [*wrong, f"the boss did not end within {_STOP:.0f} s"]
        return wrong if code == 0 else [*wrong, f"the boss ended with code {code}"]

    def close(self) -> list[str]:
        """End what is ours and still there; what should not have been, a line for each."""
        if self._question is not None:
            self._question.kill()
            self._question.communicate()
        if self._boss is not None and self._boss.poll() is None:
            self._boss.send_signal(signal.SIGCONT)
            self._boss.terminate()
            try:
                self._boss.wait(_STOP)
            except subprocess.TimeoutExpired:
                self._boss.kill()
        self.database.stop()
        if self.network is not None:
            self.network.stop_hosts()
        deadline = time.monotonic() + 10
        while (left := processes.below(os.getpid())) and time.monotonic() < deadline:
            processes.bury(set())
            time.sleep(0.1)
        told = [f"process {process.pid} is left: {processes.words(process)}" for process in left]
        for process in left:
            processes.send(process, signal.SIGKILL)
        return told

    def alive(self) -> bool:
        """Whether the boss's process runs."""
        return self._boss is not None and self._boss.poll() is None

    def ready(self) -> bool:
        """Whether the boss's present life has said that it is ready."""
        return self.alive() and self._said.read_text().startswith("ready: ")

    def _begin(self) -> None:
        self._ended, self._hit = 0.0, False
        with open(self._log, "ab") as log, open(self._said, "wb") as said:
            self._boss = subprocess.Popen(
                [*self._through, sys.executable, "-m", "boss"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=log,
            )

    def run(self, program: str, *arguments: str, timeout: float = 120) -> str:
        """Run one of the commands; what it printed. Raises RuntimeError with what it said when it failed."""
        done = subprocess.run(
            [*self._through, sys.executable, str(ROOT / program), *arguments],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"{program} {' '.join(arguments)} ended with code {done.returncode}: {done.stderr.strip()[-1000:]}"
            )
        return done.stdout

    # ---- its parts -------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Callable[[], Sequence[Identity]]]:
        """What can be hit: a name, and the processes that it is now."""
        mine = {
            "boss": self._boss_now,
            "worker": self._workers,
            "mosquitto": self._daemon("mosquitto"),
            "sshd": self._daemon("sshd"),
        }
        database = {"database": self.database.processes} if self.database.server else {}
        return {**mine, "session": self._sessions, **database}

    def hitting(self, part: str) -> None:
        """Told before a part is killed, so that its end surprises nobody."""
        if part == "boss":
            self._hit = True

    def refuse(self, name: str, refused: bool) -> None:
        """Whether ``mosquitto`` or ``sshd`` end at once when they are started."""
        mark = self.bin / f"{name}.refuse"
        if refused:
            mark.touch()
        else:
            mark.unlink(missing_ok=True)

    def is_back(self, part: str) -> bool:
        """Whether it runs, as far as that can be seen from outside."""
        if part == "boss":
            return self.ready()
        return len(self.parts()[part]()) >= (self.workers if part == "worker" else 0 if part == "session" else 1)

    def progress(self) -> int:
        """Grows with every accepted result, whoever is away."""
        try:
            return (self.store / "jobs" / workload.JOB / "SHA256SUMS").stat().st_size
        except OSError:
            return 0

    def accepted(self) -> int:
        """How many results there are."""
        try:
            return len(set((self.store / "jobs" / workload.JOB / "SHA256SUMS").read_text().splitlines()))
        except OSError:
            return 0

    def ask(self) -> None:
        """Ask how the job stands; nobody waits for the answer, for the boss may be stopped."""
        if self._question is None and self.ready():
            command = [*self._through, sys.executable, str(ROOT / "admin.py"), "show_jobs", "--json"]
            self._question = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )

    def ended(self) -> dict[str, Any] | None:
        """The job, if the last answer said that nothing can happen to it any more."""
        if self._question is None or self._question.poll() is None:
            return None
        said, _ = self._question.communicate()
        answered, self._question = self._question.returncode == 0, None
        jobs = json.loads(said) if answered else []
        return next((job for job in jobs if job["state"] in ("succeeded", "failed", "cancelled")), None)

    def _await_boss(self) -> None:
        deadline = time.monotonic() + _START
        while not self.ready() and time.monotonic() < deadline:
            self.keep()
            time.sleep(0.1)

    def _leave_hosts(self) -> list[str]:
        assert self.network is not None
        deadline = time.monotonic() + _START + _STOP
        try:
            for login in self.network.logins():
                self.run("admin.py", "remove_host", login)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            return [str(error)]
        while (left := self._workers()) and time.monotonic() < deadline:
            self.keep()
            time.sleep(0.1)
        return [f"{len(left)} workers did not leave their hosts"] if left else []

    def _boss_now(self) -> list[Identity]:
        found = identify(self._boss.pid) if self._boss is not None and self.alive() else None
        return [found] if found else []

    def _workers(self) -> list[Identity]:
        pattern = "hosts/*/home/.ecloud/*/*/pid" if self.network else "state/workers/*/pid"
        return [process for path in self.folder.glob(pattern) if (process := _recorded(path)) is not None]

    def _daemon(self, name: str) -> Callable[[], list[Identity]]:
        def look() -> list[Identity]:
            process = _recorded(self.state / name / "pid")
            return [process] if process else []

        return look

    def _sessions(self) -> list[Identity]:
        """What serves one connection of sshd each: its processes, and the gates that they run."""
        return [process for listener in self._daemon("sshd")() for process in processes.below(listener.pid)]

    def _refusing(self, name: str, real: str) -> None:
        wrapper = self.bin / name
        wrapper.write_text(
            f'#!/bin/sh\n[ -e "$0.refuse" ] && echo "refused by chaos" >&2 && exit 1\nexec {shutil.which(real)} "$@"\n'
        )
        wrapper.chmod(0o755)


def _recorded(path: Path) -> Identity | None:
    try:
        return recorded.recorded(path)
    except OSError:  # its folder went just now
        return None
