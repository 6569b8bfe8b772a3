"""``admin.py doctor --boot`` against machines that boot, join, work and go; and against some that do not."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.deployment import ROOT, until
from tests.e2e.machines import STILLBORN
from tests.e2e.test_machines import Cloudy, started

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def cloudy(tmp_path: Path) -> Iterator[Cloudy]:
    yield from started(Cloudy(tmp_path / "ecloud", policy="list_interval = 1"))


def doctor(cloudy: Cloudy, *words: str, code: int = 0) -> str:
    ran = cloudy.run("admin.py", "doctor", "--boot", *words)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout


def spawn(cloudy: Cloudy, *words: str) -> "subprocess.Popen[str]":
    """The doctor, while he works."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "admin.py"), "doctor", "--boot", *words],
        cwd=cloudy.folder,
        env=cloudy.environment,
        stdout=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def gone(cloudy: Cloudy) -> bool | None:
    return True if not cloudy.there() and not cloudy.look("show_vms") else None


def test_a_pool_is_tried_step_by_step_with_times_and_nothing_is_left(cloudy: Cloudy) -> None:
    said = doctor(cloudy)
    times = [float(time) for time in re.findall(r"^ *([\d.]+) s  ", said, re.M)]
    assert len(times) >= 6 and times == sorted(times)
    words = [
        "given a server",
        "join door",
        "over the broker",
        "its task has run",
        "deletion was asked for",
        "no such server any more",
    ]
    assert [word for word in words if word in said] == words
    assert said.splitlines()[-1] == "ok      VMs of pool cloud reach the boss and its datastore, and work"
    assert not cloudy.there() and not cloudy.look("show_vms")
    assert cloudy.finished("trial-cloud-1", 10) == {"trial": "succeeded"}
    cloudy.admin("fetch", "trial-cloud-1")
    assert (cloudy.folder / "trial-cloud-1" / "trial.txt").read_text().startswith("cloud-1")


def test_a_boss_that_is_killed_in_the_middle_of_a_trial_leaves_no_vm_behind(cloudy: Cloudy) -> None:
    with spawn(cloudy) as watching:
        until(lambda: cloudy.there() or None, 30, "the trial's machine")
        cloudy.kill()
        watching.kill()
    cloudy.start()
    until(lambda: gone(cloudy), 60, "the machine to go")


def test_ctrl_c_ends_a_trial_early_and_its_vm_goes(cloudy: Cloudy) -> None:
    with spawn(cloudy) as watching:
        until(lambda: cloudy.there() or None, 30, "the trial's machine")
        os.kill(watching.pid, signal.SIGINT)
        assert watching.wait(30) == 130
    until(lambda: gone(cloudy), 60, "the machine to go")


def test_a_vm_that_dies_before_it_joins_is_told_with_where_to_look(cloudy: Cloudy) -> None:
    (cloudy.machines / STILLBORN).touch()
    watching = spawn(cloudy, "--json")
    out, _ = watching.communicate(timeout=90)
    told = json.loads(out)
    assert watching.returncode == 1 and not told["worked"] and told["reason"] and told["left"] == []
    assert told["stage"] in ("active", "called", "joined") and told["advice"]


def test_what_cannot_be_tried_is_one_clear_line(cloudy: Cloudy) -> None:
    ran = cloudy.run("admin.py", "doctor", "--boot", "--pool", "local")
    assert ran.returncode == 2
    assert ran.stderr.strip() == "there is no pool of VMs named 'local'; there are: cloud"
    ran = cloudy.run("admin.py", "doctor", "--pool", "cloud")
    assert ran.returncode == 2 and "go with --boot" in ran.stderr
