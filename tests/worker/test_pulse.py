"""The pulse, and the watchdog that looks at it: a machine ends when its worker's time is over, whatever became of the worker."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters import processes
from boss.adapters.userdata import TEMPLATES
from tests.servers import eventually
from worker.pulse import PERIOD, Pulse, uptime

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def read(path: Path) -> int:
    boot, deadline = path.read_text().split()
    assert boot == BOOT
    return int(deadline)


def test_it_says_in_uptime_until_when_the_worker_lives_and_a_margin_more(tmp_path: Path) -> None:
    pulse = Pulse(str(tmp_path / "pulse"), 60.0, lambda: 5000.0)
    pulse.beat(deadline=1300.0, now=1000.0, heard=1000.0)
    assert read(tmp_path / "pulse") == 5000 + 300 + 60


def test_whoever_starts_a_worker_again_knows_when_the_boss_was_heard_last(tmp_path: Path) -> None:
    now, day = [5000.0], [1e9]
    pulse = Pulse(str(tmp_path / "pulse"), 60.0, lambda: now[0], lambda: day[0])
    assert pulse.heard_before(1000.0) is None
    pulse.beat(deadline=1300.0, now=1000.0, heard=990.0)
    now[0], day[0] = 5600.0, 17.0  # the clock of the day was set: it does not count within a boot
    again = Pulse(str(tmp_path / "pulse"), 60.0, lambda: now[0], lambda: day[0])
    assert again.heard_before(70.0) == pytest.approx(70.0 - 610.0)
    (tmp_path / "heard").write_text("garbage\n")
    assert again.heard_before(70.0) is None


@pytest.mark.parametrize(("later", "ago"), [(86400.0, 86410.0), (-50.0, 30.0)])
def test_after_a_reboot_the_clock_of_the_day_tells_that_and_never_less_than_the_boot(
    tmp_path: Path, later: float, ago: float
) -> None:
    Pulse(str(tmp_path / "pulse"), 60.0, lambda: 5000.0, lambda: 1e9).beat(1300.0, 1000.0, 990.0)
    text = (tmp_path / "heard").read_text().split()
    (tmp_path / "heard").write_text(" ".join(["another-boot", *text[1:]]))
    again = Pulse(str(tmp_path / "pulse"), 60.0, lambda: 30.0, lambda: 1e9 + later)
    assert again.heard_before(500.0) == pytest.approx(500.0 - ago)


def test_it_is_written_when_the_deadline_moves_and_not_all_the_time(tmp_path: Path) -> None:
    now = [5000.0]
    pulse = Pulse(str(tmp_path / "pulse"), 60.0, lambda: now[0])
    pulse.beat(1300.0, 1000.0, 1000.0)
    (tmp_path / "pulse").unlink()
    pulse.beat(1300.0, 1000.0 + 10 * PERIOD, 1000.0)
    pulse.beat(1301.0, 1000.0 + PERIOD / 2, 1000.0)
    assert not (tmp_path / "pulse").exists()
    pulse.beat(1301.0, 1000.0 + PERIOD, 1000.0)
    assert read(tmp_path / "pulse") == 5000 + 301 - PERIOD + 60


def test_a_deadline_that_has_passed_leaves_the_margin(tmp_path: Path) -> None:
    Pulse(str(tmp_path / "pulse"), 60.0, lambda: 5000.0).beat(900.0, 1000.0, 900.0)
    assert read(tmp_path / "pulse") == 5060


def test_a_pulse_that_cannot_be_written_does_not_stop_the_worker(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Pulse(str(tmp_path / "missing" / "pulse"), 60.0).beat(1300.0, 1000.0, 1000.0)
    assert "this machine may end early" in caplog.text


def test_a_pulse_that_could_not_be_written_is_written_as_soon_as_that_is_possible(tmp_path: Path) -> None:
    pulse = Pulse(str(tmp_path / "later" / "pulse"), 60.0, lambda: 5000.0)
    pulse.beat(1300.0, 1000.0, 1000.0)
    (tmp_path / "later").mkdir()
    pulse.beat(1300.0, 1000.0 + PERIOD, 1000.0)
    assert read(tmp_path / "later" / "pulse") == 5000 + 300 - PERIOD + 60


def test_uptime_is_the_kernels() -> None:
    assert uptime() == pytest.approx(float(Path("/proc/uptime").read_text().split()[0]), abs=2)


# ---- the watchdog --------------------------------------------------------------------------------------------------


class Machine:
    """A folder as the user data writes it, whose power-off leaves a file ``off``."""

    def __init__(self, folder: Path, poweroff: str | None = None, deadline: float = 1e9) -> None:
        self.folder = folder
        self.off = folder / "off"
        for script in ("watchdog.sh", "poweroff.sh", "run.sh", "setup.sh"):
            (folder / script).write_text((TEMPLATES / script).read_text())
        command = f"touch {self.off}" if poweroff is None else poweroff
        (folder / "ecloud.conf").write_text(
            f"poweroff='{command}'\njoin_deadline={int(deadline)}\ntask_user=\npackages=\nrestart_pause=0.05\n"
        )

    def pulse(self, seconds: float, boot: str = BOOT) -> None:
        (self.folder / "pulse").write_text(f"{boot} {int(uptime() + seconds)}\n")

    def look(self) -> bool:
        """Look once; whether the machine went off."""
        told = subprocess.run(
            ["sh", str(self.folder / "watchdog.sh"), str(self.folder)], capture_output=True, text=True, timeout=20
        )
        assert told.returncode == 0, told.stderr
        return self.off.exists()

    def start(self, script: str, *words: str) -> "subprocess.Popen[bytes]":
        log = (self.folder / "log").open("ab")
        with log:
            return subprocess.Popen(
                ["sh", str(self.folder / script), str(self.folder), *words],
                start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def running(self) -> list[processes.Identity]:
        work = processes.with_variable("ECLOUD_WORKER_FOLDER", f"{self.folder}/work")
        return [*processes.with_variable("ECLOUD_MACHINE", str(self.folder)), *work]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for process in machine.running():
        processes.end(process, 5.0, signal.SIGKILL)


def test_a_machine_whose_time_is_not_over_is_left_alone(machine: Machine) -> None:
    machine.pulse(60)
    assert not machine.look()


def test_a_machine_whose_time_is_over_goes_off(machine: Machine) -> None:
    machine.pulse(-2)
    assert machine.look()


@pytest.mark.parametrize("text", ["", "garbage", f"{BOOT}\n", f"{BOOT} soon\n", "other-boot 5\n"])
def test_without_a_pulse_of_this_boot_the_time_to_join_counts(tmp_path: Path, text: str) -> None:
    waiting = Machine(tmp_path, deadline=uptime() + 60)
    (tmp_path / "pulse").write_text(text)
    assert not waiting.look()
    late = Machine(tmp_path, deadline=uptime() - 2)
    assert late.look()


def test_a_worker_that_never_comes_up_ends_its_machine_in_time(tmp_path: Path) -> None:
    machine = Machine(tmp_path, deadline=uptime() + 1)
    watching = machine.start("watchdog.sh", "0.1")
    eventually(machine.off.exists)
    os.killpg(watching.pid, signal.SIGKILL)
    watching.wait()


def test_where_there_is_no_power_off_all_that_the_worker_started_ends_and_nothing_else(tmp_path: Path) -> None:
    machine = Machine(tmp_path, poweroff="")
    machine.pulse(1)
    marked = {**os.environ, "ECLOUD_MACHINE": str(tmp_path)}
    worker = subprocess.Popen(["sleep", "600"], env=marked, start_new_session=True)
    task = subprocess.Popen(
        ["sleep", "600"], env={**os.environ, "ECLOUD_WORKER_FOLDER": f"{tmp_path}/work"}, start_new_session=True
    )
    bystander = subprocess.Popen(["sleep", "600"], env={**os.environ, "ECLOUD_MACHINE": f"{tmp_path}x"}, start_new_session=True)
    watching = machine.start("watchdog.sh", "0.1")
    assert worker.wait(20) == task.wait(20) == -signal.SIGKILL
    watching.wait(20)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    assert not machine.running()
    assert "its time was over" in (tmp_path / "log").read_text()


# ---- what keeps the worker running ---------------------------------------------------------------------------------


def joins(machine: Machine, script: str) -> None:
    """Put something else in the place of the worker: its n-th start runs with ``n``."""
    (machine.folder / "join.py").write_text(
        "import os, signal, sys, time\n"
        "path = sys.argv[1] + '/starts'\n"
        "n = int(open(path).read() or 0) + 1 if os.path.exists(path) else 1\n"
        "open(path + '.new', 'w').write(str(n)); os.replace(path + '.new', path)\n" + script
    )


@pytest.mark.parametrize(
    ("code", "why"), [(0, "the worker has ended"), (3, "does not let this machine in"), (4, "was not reached in time")]
)
def test_a_worker_that_has_ended_for_good_ends_its_machine(machine: Machine, code: int, why: str) -> None:
    joins(machine, f"sys.exit({code})")
    machine.start("run.sh").wait(20)
    assert machine.off.exists() and (machine.folder / "starts").read_text() == "1"
    assert why in (machine.folder / "log").read_text()


def test_a_worker_that_dies_is_started_again(machine: Machine) -> None:
    joins(machine, "os.kill(os.getpid(), 9) if n == 1 else sys.exit(2 if n == 2 else 0)")
    machine.start("run.sh").wait(20)
    assert machine.off.exists() and (machine.folder / "starts").read_text() == "3"


def test_a_machine_that_is_told_to_stop_tells_its_worker_and_does_not_go_off(machine: Machine) -> None:
    joins(machine, "signal.signal(15, lambda *_: sys.exit(0)); open(sys.argv[1] + '/up', 'w')\nwhile True: signal.pause()")
    running = machine.start("run.sh")
    eventually((machine.folder / "up").exists)
    running.terminate()
    assert running.wait(20) == 0
    assert not machine.off.exists() and not machine.running()


def test_a_worker_whose_keeper_was_killed_still_ends_with_its_time(machine: Machine) -> None:
    joins(machine, "open(sys.argv[1] + '/up', 'w')\nwhile True: signal.pause()")
    keeper = machine.start("run.sh")
    eventually((machine.folder / "up").exists)
    keeper.kill()
    keeper.wait()
    machine.pulse(1)
    watching = machine.start("watchdog.sh", "0.1")
    eventually(machine.off.exists)
    os.killpg(watching.pid, signal.SIGKILL)
    watching.wait()
