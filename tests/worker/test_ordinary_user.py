"""A real worker that is not root, on a machine that gives it no control group: what holds there all the same."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters.certificates import Authority
from boss.adapters.daemons import Daemon
from tests.servers import eventually
from tests.worker.scripted import ScriptedBoss, WorkerProcess
from tests.worker.test_confined import HOG
from tests.worker.test_running import attempt, is_gone
from worker import processes
from worker import protocol as wire

#: Nobody else on this machine is this user, who has no more processes than that, whatever a test finds.
UID, PROCESSES = 61_999, 400


class Ordinary(WorkerProcess):
    """A worker run by an ordinary user: by a new one where the tests are root's, by whoever runs them elsewhere."""

    #: The system's interpreter: everybody may run it.
    python = "/usr/bin/python3" if os.geteuid() == 0 else sys.executable

    def through(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        return ["prlimit", f"--nproc={PROCESSES}", "setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--"]

    def prepare(self) -> None:
        for path in (self.folder, *self.folder.rglob("*")) if os.geteuid() == 0 else ():
            os.chown(path, UID, UID)


@pytest.fixture
def ordinary(open_folder: Path, broker_server: Daemon, authority: Authority, boss: ScriptedBoss) -> Iterator[Ordinary]:
    folder = open_folder / "w1"
    folder.mkdir()
    limits = {"enforce": ["memory", "processes", "cpus", "privileges"], "processes": 60}
    worker = Ordinary(folder, broker_server, authority, "w1", {"cpus": 2, "memory": 2 << 30}, limits=limits)
    (open_folder / "bundles").chmod(0o755)
    yield worker
    worker.kill()
    print(worker.log.read_text())
    for pid in worker.tasks():
        os.kill(pid, signal.SIGKILL)


def test_what_is_not_bound_is_said_and_what_is_looked_at_is_ended(boss: ScriptedBoss, ordinary: Ordinary) -> None:
    ordinary.start()
    hello = boss.wait(wire.Hello)
    assert hello.confinement["user"] == "the worker's own" and hello.confinement["cpus"].startswith("not bound: ")
    assert hello.confinement["memory"].startswith("looked at every second: ")
    boss.assign(
        attempt("hog", HOG.format(mib=200, seconds=1000), needs={"cpus": 1, "memory": 64 << 20}),
        attempt("pair", f"{HOG.format(mib=40, seconds=2)} & {HOG.format(mib=40, seconds=2)} & wait", needs={"memory": 200 << 20}),
    )
    hog = boss.result("hog.1.1")
    assert (hog.outcome, hog.phase) == ("failed", "run") and hog.reason.startswith("killed for memory: limit 64 MiB, peak "), hog
    assert boss.result("pair.1.1").outcome == "succeeded"


def test_a_fork_bomb_of_an_ordinary_user_is_ended_with_all_that_it_made(boss: ScriptedBoss, ordinary: Ordinary) -> None:
    ordinary.start()
    boss.wait(wire.Hello)
    boss.assign(attempt("bomb", "bomb() { bomb | bomb & }; bomb; sleep 1000", timeout=1.0))
    result = boss.result("bomb.1.1")
    assert result.outcome == "failed" and "fork" in result.stderr, result
    eventually(lambda: not ordinary.tasks())
    boss.assign(attempt("after", "echo fine"))
    assert boss.result("after.1.1").stdout == "fine\n"


def test_a_daemon_with_a_wiped_environment_ends_with_the_last_task_that_may_have_made_it(
    boss: ScriptedBoss, ordinary: Ordinary
) -> None:
    ordinary.start()
    boss.wait(wire.Hello)
    boss.assign(attempt("long", "until [ -e go ]; do sleep 0.01; done"))
    boss.wait(wire.Started)
    boss.assign(attempt("short", "env -i setsid sleep 1234 & echo $!; sleep 0.2"))
    pid = int(boss.result("short.1.1").stdout)
    assert not is_gone(pid)  # it may be the other one's
    Path(ordinary.folder, "work", "attempts", "1", "work", "go").touch()
    boss.result("long.1.1")
    eventually(lambda: is_gone(pid))


def test_a_task_of_an_ordinary_user_gets_no_rights_by_a_setuid_program(boss: ScriptedBoss, ordinary: Ordinary) -> None:
    ordinary.start()
    boss.wait(wire.Hello)
    boss.assign(attempt("a", "grep NoNewPrivs /proc/self/status; ulimit -c"))
    assert boss.result("a.1.1").stdout.split() == ["NoNewPrivs:", "1", "0"]


def test_killing_a_tree_leaves_nothing_of_one_that_grows_meanwhile() -> None:
    pid = os.posix_spawn(
        "/bin/sh", ["sh", "-c", "i=0; while [ $((i += 1)) -lt 2000 ]; do sleep 1000 & done; wait"], os.environ, setsid=True
    )
    eventually(lambda: len(processes.descendants(pid)) > 10)
    below = processes.descendants(pid)
    processes.kill_tree(pid)
    os.waitpid(pid, 0)
    eventually(lambda: all(is_gone(each) for each in below))
