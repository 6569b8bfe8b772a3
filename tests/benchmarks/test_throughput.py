"""The comparison itself: xargs right before and after each load, and nothing of what a run did not measure."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.figures import Line, Measured, table
from benchmarks.loads import SHORT
from benchmarks.systems import LoadFailed, System
from benchmarks.throughput import alone, heading, measure_system, told
from tests.subreaper import subreaper

PYTHON = Path(sys.executable)
ROOT = Path(__file__).resolve().parents[2]


def measured(*words: str, loads: tuple[str, ...]) -> Line:
    line = Line("idle", "")
    system = System("idle", "tests.benchmarks.idle_driver", words)
    with subreaper():
        measure_system(system, PYTHON, 1, [SHORT[name] for name in loads], True, line)
    return line


def test_a_load_is_measured_between_two_runs_of_xargs() -> None:
    line = measured(loads=("chain", "layers"))
    chain, layers = line.measured
    assert (line.title, line.durable) == ("Idle 1", "no")
    assert (chain.load, chain.tasks, layers.unable) == ("chain", 200, "no graph")
    assert len(chain.xargs) == len(chain.xargs_cpu) == 2
    assert chain.cpu > 0
    assert all(seconds > 0 for seconds in (chain.seconds, *chain.xargs, *chain.xargs_cpu))
    assert told(layers) == "layers: no graph"
    assert "1 run, " in heading({"date": "", "cores": 2, "processor": "", "system": "", "python": "", "command": ""}, [line])


def test_a_load_that_fails_measures_nothing() -> None:
    line = Line("idle", "")
    system = System("idle", "tests.benchmarks.idle_driver", ("fails",))
    with subreaper(), pytest.raises(LoadFailed):
        measure_system(system, PYTHON, 1, [SHORT["chain"]], True, line)
    assert line.measured == []


def test_two_that_take_the_same_lock_do_not_measure_at_once(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    attempt = ["flock", "--nonblock", str(lock), "true"]
    with alone(lock):
        assert subprocess.run(attempt).returncode == 1
    assert subprocess.run(attempt).returncode == 0


@pytest.mark.parametrize("words", [("--runs", "0"), ("--only", "nothing"), ("--systems", "slurm")])
def test_a_wrong_word_is_refused_before_anything_is_measured(words: tuple[str, ...]) -> None:
    command = [sys.executable, "benchmarks/throughput.py", *words]
    found = subprocess.run(command, cwd=ROOT, env={**os.environ, "COLUMNS": "100"}, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2
    assert words[0] in found.stderr


def shown(file: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "benchmarks/throughput.py", "--show", str(file)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_what_was_written_is_shown_again_as_the_same_table(tmp_path: Path) -> None:
    line = Line("ours", "all", [Measured("ours", 1, "true", 1000, 0.5, 1.0, None, (1.0, 2.0), (0.5, 0.5), 0.1)])
    about = {"date": "2026-11-28", "cores": 2, "processor": "p", "system": "s", "python": "3", "command": "c"}
    (tmp_path / "figures.json").write_text(json.dumps({"machine": about, "slots": 2, "systems": [asdict(line)]}))
    assert shown(tmp_path / "figures.json").stdout == f"{heading(about, [line])}\n\n{table([line])}\n"


def test_what_is_no_such_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[1]")
    for name in ("other.json", "missing.json"):
        found = shown(tmp_path / name)
        assert (found.returncode, found.stdout) == (2, "")
        assert name in found.stderr.splitlines()[0]
