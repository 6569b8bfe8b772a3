"""The boss is off from Friday to Monday, with leases of seconds for hours: what is finished counts, and no machine is left.

Real worker processes on machines as the user data makes them, with the watchdog of the templates; for a power-off all ends that the
machine has started. The datastore, and the broker, are gone with the boss or stay, as on hosts of their own.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from boss.adapters import processes
from tests.e2e.deployment import until
from tests.e2e.machines import running
from tests.e2e.test_machines import Cloudy, command, online, started, worker_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

#: Seconds: the lease of an idle worker and of one that holds something; what a machine has beyond that; how late a loaded one may be.
LEASE, LONGEST, MARGIN, LATE = 20.0, 45.0, 3.0, 5.0


def two_machines(folder: Path, longest: float) -> Iterator[Cloudy]:
    """A boss with two idle machines."""
    policy = f"lease = 18\nworker_lease = {LEASE}\nlist_interval = 2\nstray_grace = 2"
    workers = f'longest_lease = "{longest:.0f}s"'
    for cloudy in started(Cloudy(folder, policy=policy, workers=workers, cooldown=600)):
        cloudy.admin("instantiate_worker", "2", "--pool", "cloud")
        online(cloudy, "cloud-1")
        online(cloudy, "cloud-2")
        yield cloudy


@pytest.fixture
def friday(tmp_path: Path) -> Iterator[Cloudy]:
    """Machines that end before the boss is back."""
    yield from two_machines(tmp_path / "ecloud", LONGEST)


@pytest.fixture
def thursday(tmp_path: Path) -> Iterator[Cloudy]:
    """Machines that are there when the boss is back."""
    yield from two_machines(tmp_path / "ecloud", 600.0)


def work(name: str, **more: Any) -> dict[str, Any]:
    """A task that ends when the file ``go`` is there, and yields a file."""
    command = f"until [ -e {{go}} ]; do sleep 0.1; done; echo done >{name}.txt"
    return {"id": name, "command": command, "outputs": [f"{name}.txt"], "memory": "32M"} | more


def pushed(cloudy: Cloudy, *tasks: dict[str, Any]) -> str:
    """A job of such tasks, of which the first two run."""
    go = str(cloudy.folder / "go")
    job = cloudy.push({"job": "w", "tasks": [task | {"command": task["command"].format(go=go)} for task in tasks]})
    running = {task["id"] for task in tasks[:2]}
    until(
        lambda: {name for name, state in cloudy.states(job).items() if state == "running"} == running or None,
        90,
        "the first tasks to run",
    )
    return job


@contextmanager
def boss_off(cloudy: Cloudy, *stay: str) -> Iterator[float]:
    """From Friday to Monday: the boss dies, and its broker and its datastore's sshd with it, but for those that ``stay``; since when."""
    cloudy.kill()
    gone = time.monotonic()
    commands = {
        "sshd": [shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-f", str(cloudy.state / "sshd" / "sshd_config")],
        "mosquitto": [
            shutil.which("mosquitto") or "/usr/sbin/mosquitto",
            "-c",
            str(cloudy.state / "mosquitto" / "mosquitto.conf"),
        ],
    }
    others = [subprocess.Popen(commands[name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for name in stay]
    (cloudy.folder / "go").touch()
    try:
        yield gone
        assert all(other.poll() is None for other in others), "what should have stayed did not"
    finally:
        for other in others:
            other.kill()
            other.wait()
    cloudy.start()


def dark(cloudy: Cloudy, since: float, bound: float) -> None:
    """Wait until no machine runs. By their own words none may have meant to run beyond ``bound`` seconds."""
    until(lambda: not cloudy.there() or None, bound + 60, "the machines to end")
    for vm in cloudy.machines.glob("cloud-*/log"):
        log = vm.read_text()
        ends = [float(silent) - bound for silent in re.findall(r"no answer of the boss for (\d+) s", log)]
        ends += [float(uptime) - since - bound - MARGIN for uptime in re.findall(r"its time was over at (\d+) s of uptime", log)]
        assert ends and max(ends) < LATE, log


def attempts(cloudy: Cloudy, job: str) -> dict[str, int]:
    """Task -> the number of its last attempt."""
    return {task["id"]: task["attempt"] for task in cloudy.look("show_tasks", "--job", job)}


def nothing_left(cloudy: Cloudy) -> None:
    """No machine, no server, no claim."""
    cloudy.admin("shutdown", "--now", "--yes")
    assert cloudy.there() == [] and cloudy.look("show_vms") == []
    cloudy.admin("vm_leaks")


@pytest.mark.parametrize("stay", [("sshd",), ("sshd", "mosquitto")], ids=["broker away", "broker there"])
def test_what_was_finished_while_the_boss_was_off_counts_and_no_machine_is_left(friday: Cloudy, stay: tuple[str, ...]) -> None:
    job = pushed(friday, work("a"), work("b", outputs=[]), work("c", after=["a"]))
    with boss_off(friday, *stay) as gone:
        dark(friday, gone, LONGEST)
        assert "its time was over" not in friday.logs(), "they ended by themselves"
    assert friday.finished(job) == dict.fromkeys("abc", "succeeded")
    assert {name: attempts(friday, job)[name] for name in "ab"} == {"a": 1, "b": 1}
    nothing_left(friday)


def test_results_that_could_not_be_sent_are_kept_by_the_machine_and_taken_when_the_boss_is_back_in_time(thursday: Cloudy) -> None:
    job = pushed(thursday, work("a"), work("b", outputs=[]))
    with boss_off(thursday) as gone:
        until(lambda: time.monotonic() - gone > 1.2 * LEASE or None, 90, "more than the lease of an idle worker")
        assert sorted(thursday.there()) == ["cloud-1", "cloud-2"]
    assert thursday.finished(job) == dict.fromkeys("ab", "succeeded")
    assert attempts(thursday, job) == {"a": 1, "b": 1}
    nothing_left(thursday)


def test_workers_that_are_killed_again_and_again_meanwhile_begin_no_new_lease(friday: Cloudy) -> None:
    job = pushed(friday, work("a"), work("b"))
    with boss_off(friday, "sshd") as gone:
        stored = friday.state / "datastore" / "incoming"
        until(
            lambda: len([path for path in stored.iterdir() if path.name[0] != "."]) == 2 or None,
            60,
            "the results at the datastore",
        )
        while friday.there() and time.monotonic() < gone + 2 * LONGEST:
            for vm in friday.there():
                for process in running(friday.machines / vm):
                    if "worker-" in command(process.pid):
                        processes.end(process, 10.0, signal.SIGKILL)
            again = time.monotonic() + 5.0
            until(lambda: time.monotonic() > again or not friday.there() or None, 30, "five seconds")  # noqa: B023
        dark(friday, gone, LONGEST)
    assert friday.finished(job) == dict.fromkeys("ab", "succeeded")
    assert attempts(friday, job) == {"a": 1, "b": 1}
    nothing_left(friday)


def test_an_idle_machine_goes_after_the_short_lease_and_one_whose_worker_hangs_by_its_watchdog(friday: Cloudy) -> None:
    job = pushed(friday, work("a", command="sleep 600"))
    [busy] = [worker["id"] for worker in friday.look("show_workers") if worker["running"]]
    [idle] = {"cloud-1", "cloud-2"} - {busy}
    os.kill(worker_of(friday, busy).pid, signal.SIGSTOP)
    with boss_off(friday, "sshd") as gone:
        until(lambda: idle not in friday.there() or None, LEASE + 30, "the idle machine to end")
        [silent] = re.findall(r"no answer of the boss for (\d+) s", (friday.machines / idle / "log").read_text())
        assert LEASE - 1 < float(silent) < LEASE + LATE
        dark(friday, gone, LONGEST)
        assert "its time was over" in friday.logs()
    until(lambda: friday.states(job) == {"a": "running"} or None, 60, "the task to run again on a new machine")
    nothing_left(friday)
