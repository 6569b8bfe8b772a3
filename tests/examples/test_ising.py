"""The physics of examples/ising: what the lattices do, what is known exactly, and when the report says no."""

import itertools
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import combine
import ising
import report
import simulate


def test_exact_specific_heat_is_the_slope_of_the_exact_energy() -> None:
    temperature, step = np.array([1.2, 1.9, 2.2, 2.35, 3.1]), 1e-5
    slope = (ising.exact_energy(temperature + step) - ising.exact_energy(temperature - step)) / (2 * step)
    assert ising.exact_specific_heat(temperature) == pytest.approx(slope, rel=1e-6)


def test_exact_magnetisation_falls_to_zero_at_the_critical_temperature() -> None:
    below, above = ising.CRITICAL_TEMPERATURE - 1e-9, ising.CRITICAL_TEMPERATURE + 1e-9
    low, just_below, just_above = ising.exact_magnetisation(np.array([0.5, below, above]))
    assert low == pytest.approx(1.0, abs=1e-6)
    assert 0.05 < just_below < 0.15
    assert just_above == 0.0


def test_elliptic_integrals_agree_with_the_tables() -> None:
    first, second = ising.elliptic(np.array([0.0, 0.5]))
    assert first == pytest.approx([math.pi / 2, 1.6857503548], rel=1e-9)
    assert second == pytest.approx([math.pi / 2, 1.4674622093], rel=1e-9)


@pytest.mark.parametrize("bonds", [0, 1, 100, 400, 1000])
def test_sites_share_a_cluster_exactly_when_bonds_join_them(bonds: int) -> None:
    count = 400
    one, other = np.random.default_rng(bonds).integers(0, count, (2, bonds), dtype=np.int32)
    expected = list(range(count))
    for a, b in zip(one, other, strict=True):
        keep, gone = sorted((expected[a], expected[b]))
        expected = [keep if site == gone else site for site in expected]
    assert ising.clusters(count, one, other).tolist() == expected


def test_many_sweeps_visit_states_as_often_as_boltzmann_says() -> None:
    size, temperature, lattices = 3, 2.5, 20_000
    states = np.array(list(itertools.product((-1, 1), repeat=size * size)), dtype=np.int8).reshape(-1, size, size)
    weight = np.exp(-ising.energy(states) * size * size / temperature)
    expected = [np.average(values, weights=weight) for values in (np.abs(ising.magnetisation(states)), ising.energy(states))]
    spins, rng = ising.cold_start(lattices, size), np.random.default_rng(7)
    for _ in range(25):
        ising.sweep(spins, temperature, rng)
    for values, exact in zip((np.abs(ising.magnetisation(spins)), ising.energy(spins)), expected, strict=True):
        assert values.mean() == pytest.approx(exact, abs=4.0 * values.std() / math.sqrt(lattices))


def test_same_seed_gives_the_same_moments() -> None:
    once, again = (ising.sample(4, 8, 2.0, 2, 5, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(once.e, again.e) and np.array_equal(once.m4, again.m4)


def test_jackknife_error_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(size=50)
    assert combine.jackknife_error(combine.leave_one_out(values)) == pytest.approx(values.std(ddof=1) / math.sqrt(50))


def document(temperature: float, critical: float) -> dict[str, object]:
    """What combine.py would write for a model whose critical temperature is ``critical``."""

    def quantities(size: int) -> dict[str, list[float]]:
        binder = 1.0 / (3.0 * (1.0 + math.exp(1.5 + 0.9 * (temperature - critical) * size))) + 0.3
        return {"magnetisation": [0.5, 0.01], "energy": [-1.0, 0.01], "specific_heat": [1.0, 0.1], "binder": [binder, 1e-4]}

    return {"temperature": temperature, "seeds": 4, "sizes": {str(size): quantities(size) for size in (16, 48)}}


def run_report(folder: Path, monkeypatch: pytest.MonkeyPatch, temperatures: list[float], critical: float) -> int:
    """The exit code of report.py over curves of a model with that critical temperature."""
    inputs = []
    for temperature in temperatures:
        inputs.append(folder / f"T{temperature}.json")
        inputs[-1].write_text(json.dumps(document(temperature, critical)))
    outputs = ["--picture", str(folder / "ising.png"), "--summary", str(folder / "summary.json")]
    monkeypatch.setattr(sys, "argv", ["report.py", *map(str, inputs), *outputs])
    return report.main()


TEMPERATURES = [2.1, 2.17, 2.2, 2.22, 2.24, 2.26, 2.28, 2.3, 2.32, 2.35, 2.4, 2.46, 2.5, 2.55]


def test_report_finds_the_crossing_and_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_report(tmp_path, monkeypatch, TEMPERATURES, 2.27) == 0
    found = json.loads((tmp_path / "summary.json").read_text())["critical_temperature"]
    assert found["found"] == pytest.approx(2.27, abs=0.005)
    assert (tmp_path / "ising.png").read_bytes().startswith(b"\x89PNG")
    assert "critical temperature 2.2" in capsys.readouterr().out


def test_report_fails_when_the_critical_temperature_is_off_by_more_than_three_percent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_report(tmp_path, monkeypatch, TEMPERATURES, 2.40) == 1
    assert "off by more than 3%" in capsys.readouterr().err


def test_curves_that_never_cross_are_refused() -> None:
    temperature, error = np.array(TEMPERATURES), np.full(len(TEMPERATURES), 0.01)
    with pytest.raises(ValueError, match="do not cross"):
        report.crossing(temperature, -np.ones_like(temperature), error)


def test_simulated_task_agrees_with_onsager_and_combines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "SWEEPS", {16: 40, 48: 40})
    for seed in (0, 1):
        target = str(tmp_path / "raw" / f"seed{seed}.json")
        monkeypatch.setattr(sys, "argv", ["simulate.py", "--T", "1.8", "--seed", str(seed), "--output", target])
        simulate.main()
    inputs = [str(path) for path in (tmp_path / "raw").iterdir()]
    monkeypatch.setattr(sys, "argv", ["combine.py", *inputs, "--output", str(tmp_path / "curves" / "T1.8.json")])
    combine.main()
    found = json.loads((tmp_path / "curves" / "T1.8.json").read_text())["sizes"]["48"]
    for quantity, exact in (("magnetisation", ising.exact_magnetisation), ("energy", ising.exact_energy)):
        value, error = found[quantity]
        assert value == pytest.approx(float(exact(np.array([1.8]))[0]), abs=5.0 * error)
