"""What the comparison does with a system: asks, is told of failures, ends all of it, and leaves out what cannot be had."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks import systems
from benchmarks.processes import cpu_below, descendants
from benchmarks.systems import SYSTEMS, LoadFailed, Missing, System, python_of, running
from tests.servers import eventually
from tests.subreaper import subreaper

PYTHON = Path(sys.executable)


def idle(*words: str) -> System:
    return System("idle", "tests.benchmarks.idle_driver", words)


def test_a_load_is_run_and_its_processes_are_counted() -> None:
    with subreaper(), running(idle(), PYTHON) as system:
        before = cpu_below()
        found = system.ask("run", load="chain", short=True)
        assert (system.about, system.durable) == ("Idle 1", "no")
        assert found["seconds"] > 0
        assert found["bytes"] is None
        assert cpu_below() - before > 0.02  # 200 processes; each costs some half a millisecond


def test_what_a_system_cannot_do_is_told_and_is_no_failure() -> None:
    with subreaper(), running(idle(), PYTHON) as system:
        assert system.ask("run", load="layers", short=True) == {"unable": "no graph"}
        assert system.ask("run", load="queue", short=True) == {"unable": "no queue"}


def test_a_task_that_fails_fails_the_load_and_the_system_goes_on() -> None:
    with subreaper(), running(idle("fails"), PYTHON) as system:
        with pytest.raises(LoadFailed, match="false"):
            system.ask("run", load="true", short=True)
        assert system.ask("run", load="layers", short=True) == {"unable": "no graph"}


def test_a_driver_that_ends_is_reported_with_its_last_words() -> None:
    with subreaper(), pytest.raises(LoadFailed, match="no such luck"), running(idle("dies"), PYTHON):
        pytest.fail("it did not start")


def test_nothing_that_a_system_has_started_outlives_it() -> None:
    with subreaper():
        with running(idle("leaves"), PYTHON):
            eventually(lambda: "sleep" in {name for _, name in descendants(os.getpid())})
        assert not list(descendants(os.getpid()))


def test_a_system_without_its_program_is_left_out_in_one_line() -> None:
    with pytest.raises(Missing) as told:
        python_of(System("x", "x", programs=(("no-such-program", "some-package"),)))
    assert str(told.value) == "there is no no-such-program (Debian package some-package)"


@pytest.mark.long
def test_a_system_that_cannot_be_installed_is_left_out_in_one_line_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "idle.txt").write_text(f"{tmp_path}/no-such-package.whl\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(systems, "_REQUIREMENTS", tmp_path / "requirements")
    with pytest.raises(Missing) as told:
        python_of(System("idle", "x", peer=True))
    assert "cannot be installed" in str(told.value)
    assert "\n" not in str(told.value)
    (tmp_path / "requirements" / "idle.txt").write_text("")
    assert python_of(System("idle", "x", peer=True)).exists()


@pytest.mark.parametrize("name", [name for name, system in SYSTEMS.items() if system.peer])
def test_everything_that_a_peer_runs_with_is_pinned(name: str) -> None:
    lines = (systems._REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#") and "==" not in line] == []
    assert len(lines) > 1
