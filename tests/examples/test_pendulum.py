"""examples/pendulum: the sweep over its CSV file, what each task computes, and when the last one says no."""

import json
import sys
from pathlib import Path

import pytest

import gather
import swing
from boss.core.templates import params_of, rows
from boss.taskfile.context import Context
from boss.taskfile.expansion import Expansion, expand

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "pendulum"


@pytest.fixture(scope="module")
def expansion() -> Expansion:
    """The tasks of the example as it lies there."""
    document = (FOLDER / "pendulum.json").read_bytes()
    files = frozenset(json.loads(document)["files"])
    return expand(document, Context(files=files, tables={"params.csv": (FOLDER / "params.csv").read_bytes()}))


def test_each_line_of_the_file_is_a_task_and_the_last_one_waits_for_all(expansion: Expansion) -> None:
    lines = (FOLDER / "params.csv").read_text().splitlines()
    specs = list(expansion.specs())
    assert len(specs) == len(lines)  # the header's place is that of the last task
    assert [spec.name for spec in specs] == [f"swing-{row:02d}" for row in range(len(lines) - 1)] + ["gather"]
    assert specs[-1].dependencies == tuple(range(len(lines) - 1))
    assert expansion.unread_files == []
    assert all((FOLDER / name).is_file() for name in ("swing.py", "gather.py"))


def test_a_command_has_the_cells_of_its_line(expansion: Expansion) -> None:
    template = expansion.templates[0]
    command = list(rows(template.commands[0], template.grid))[10]
    assert command == "python3 swing.py --amplitude 90 --length 0.25 --steps 1000 --output period-10.json"
    assert params_of(template, 10) == {"amplitude": 90, "length": 0.25, "steps": 1000}


def test_the_exact_period_is_that_of_the_tables_and_of_small_swings() -> None:
    small = 2.0 * 3.141592653589793 * (1.0 / swing.GRAVITY) ** 0.5
    assert swing.exact(0.01, 1.0) == pytest.approx(small, rel=1e-8)
    assert swing.exact(90.0, 1.0) / small == pytest.approx(1.1803405990, rel=1e-9)  # 2 K(1/2) / pi


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of gather.py."""
    monkeypatch.setattr(sys, "argv", ["gather.py", *arguments])
    return gather.main()


def test_all_lines_of_the_file_are_swung_and_gathered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expansion: Expansion
) -> None:
    monkeypatch.chdir(tmp_path)
    template = expansion.templates[0]
    for command in rows(template.commands[0], template.grid):
        monkeypatch.setattr(sys, "argv", command.split()[1:])
        swing.main()
    periods = sorted(map(str, tmp_path.glob("period-*.json")))
    assert len(periods) == 12
    assert run(monkeypatch, *periods, "--output", "periods.csv") == 0
    lines = (tmp_path / "periods.csv").read_text().splitlines()
    assert lines[0] == "amplitude,length,period,exact"
    for line in lines[1:]:
        _, _, period, exact = map(float, line.split(","))
        assert period == pytest.approx(exact, rel=gather.ALLOWED)


def test_a_period_that_is_off_fails_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"amplitude": 90.0, "length": 1.0, "period": 2.4}))
    assert run(monkeypatch, str(wrong), "--output", str(tmp_path / "periods.csv")) == 1
    assert "more steps are needed" in capsys.readouterr().err
