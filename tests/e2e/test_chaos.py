"""``scripts/chaos``, small: real processes that are killed, stopped and cut off, and nothing that is left of a promise undone."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


def chaos(*words: str) -> "subprocess.CompletedProcess[str]":
    """One run; it ends by itself."""
    command = [sys.executable, "-m", "chaos", "--minutes", "0.4", "--tasks", "300", "--seconds", "0.2", "--workers", "3", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    print(done.stdout, done.stderr[-4000:])
    return done


def survived(done: "subprocess.CompletedProcess[str]") -> int:
    """How many faults there were, all of them survived."""
    assert done.returncode == 0 and done.stdout.endswith("every promise was kept\n")
    [(faults, lived)] = re.findall(r"^(\d+) faults, (\d+) survived:$", done.stdout, re.MULTILINE)
    assert faults == lived
    return int(faults)


@pytest.mark.parametrize(("database", "seed"), [("sqlite", "4"), ("mariadb", "2")])
def test_a_short_run_keeps_every_promise_and_leaves_nothing(database: str, seed: str) -> None:
    done = chaos("--database", database, "--seed", seed)
    assert survived(done) >= 2
    [folder] = re.findall(r"folder (\S+)", done.stdout)
    assert not Path(folder).exists()


def test_hosts_that_are_cut_off_keep_every_promise() -> None:
    done = chaos("--partitions", "--seed", "5")
    if os.geteuid() == 0:
        assert survived(done) >= 2
    else:  # said before anything is started
        assert (done.returncode, "--partitions needs root" in done.stderr) == (2, True)


def test_a_wrong_wish_is_refused_before_anything_is_started() -> None:
    for words in (["--minutes", "0"], ["--database", "oracle"], ["--partitions", "--database", "galera"], ["--tasks", "many"]):
        assert chaos(*words).returncode == 2
