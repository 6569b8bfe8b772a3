"""All temperatures: finds the critical temperature, draws the curves beside Onsager's, and fails if the physics is wrong.

Binder's cumulants U = 1 - <m^4> / 3<m^2>^2 of lattices of different sizes meet at the critical temperature (K. Binder,
Z. Phys. B 43, 119, 1981): below it the larger lattice has the larger U, above it the smaller one. A cubic through the
difference of the two U around its change of sign gives the crossing; repeating that with the points shifted within their
errors gives its error.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

import ising

#: The largest relative deviation from the exact critical temperature that passes.
TOLERANCE = 0.03
#: How many temperatures nearest to the change of sign count for the fit, and how often it is repeated for its error.
FIT_POINTS, RESAMPLES = 7, 500

INK, MUTED = "#1f2933", "#9aa5b1"
COLOURS = ("#e07a1f", "#1769aa")
MARKERS = ("s", "o")


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity of one lattice size: value and standard error at each temperature."""

    temperature: ising.Floats
    value: ising.Floats
    error: ising.Floats


def curve(documents: list[dict[str, Any]], size: str, quantity: str) -> Curve:
    """The quantity against temperature, from what combine.py wrote."""
    rows = sorted((document["temperature"], *document["sizes"][size][quantity]) for document in documents)
    return Curve(*np.array(rows).T)


def critical_temperature(small: Curve, large: Curve) -> tuple[float, float]:
    """Where Binder's cumulants of two lattice sizes cross, and the standard error. Raises ValueError if they do not."""
    difference, error = large.value - small.value, np.hypot(large.error, small.error)
    rng = np.random.default_rng(1944)
    shifted = difference + error * rng.standard_normal((RESAMPLES, error.size))
    found = [crossing(small.temperature, each, error) for each in shifted]
    return crossing(small.temperature, difference, error), float(np.std(found))


def crossing(temperature: ising.Floats, difference: ising.Floats, error: ising.Floats) -> float:
    """Where ``difference`` falls through zero. Raises ValueError if it never does."""
    sums = np.cumsum(difference)
    last_above = int(np.argmax(sums))
    if sums[last_above] <= 0.0 or last_above + 1 == sums.size:
        raise ValueError("the curves of the two lattice sizes do not cross")
    middle = temperature[last_above : last_above + 2].mean()
    near = np.argsort(np.abs(temperature - middle))[:FIT_POINTS]
    roots = np.roots(np.polyfit(temperature[near] - middle, difference[near], 3, w=1.0 / error[near]))
    real = roots.real[np.abs(roots.imag) < 1e-9]
    return float(middle + real[np.argmin(np.abs(real))])


def draw(documents: list[dict[str, Any]], sizes: list[str], found: float, error: float, target: Path) -> None:
    """The picture: magnetisation above specific heat, both against temperature."""
    plt.rcParams.update(
        {"font.size": 10.5, "axes.edgecolor": MUTED, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}
    )
    figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(7.2, 7.0), layout="constrained")
    temperature = curve(documents, sizes[0], "energy").temperature
    fine = np.unique(
        np.concatenate(
            [np.linspace(temperature[0], temperature[-1], 700), ising.CRITICAL_TEMPERATURE + np.linspace(-0.05, 0.05, 400)]
        )
    )
    top.plot(fine, ising.exact_magnetisation(fine), color=INK, lw=1.4, label="Onsager, infinite lattice")
    bottom.plot(fine, ising.exact_specific_heat(fine), color=INK, lw=1.4, label="Onsager, infinite lattice")
    for axes, quantity in ((top, "magnetisation"), (bottom, "specific_heat")):
        for size, colour, marker in zip(sizes, COLOURS, MARKERS, strict=True):
            points(axes, curve(documents, size, quantity), f"Monte Carlo, {size} × {size} spins", colour, marker)
        axes.axvspan(found - error, found + error, color=COLOURS[1], alpha=0.25, lw=0)
        axes.axvline(found, color=COLOURS[1], lw=1.0, ls="--")
        axes.grid(color=MUTED, alpha=0.25, lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    top.set_ylabel("magnetisation per spin  $|m|$")
    bottom.set_ylabel("specific heat per spin  $C/k$")
    bottom.set_xlabel("temperature  $kT/J$")
    bottom.set_ylim(0.0, 2.9)
    top.set_ylim(-0.02, 1.05)
    top.legend(frameon=False, loc="upper right")
    top.set_title("The two-dimensional Ising model", loc="left", color=INK, fontsize=13, fontweight="bold")
    exact = ising.CRITICAL_TEMPERATURE
    bottom.annotate(
        f"cumulants cross at\n$T_c$ = {found:.4f} ± {error:.4f}\nexact: {exact:.6f}",
        (found, 2.35),
        (found + 0.14, 2.15),
        color=COLOURS[1],
    )
    figure.savefig(target, dpi=130)
    plt.close(figure)


def points(axes: Axes, data: Curve, label: str, colour: str, marker: str) -> None:
    """One curve's points with error bars of one standard error."""
    axes.errorbar(data.temperature, data.value, data.error, fmt=marker, ms=4.5, lw=1.0, capsize=2.5, color=colour, label=label)


def main() -> int:
    """Write the picture and the summary, print the critical temperature, return 1 if it is off by more than TOLERANCE."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", type=Path, nargs="+", help="what combine.py wrote, one file for each temperature")
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--summary", type=Path, required=True)
    options = parser.parse_args()
    documents = sorted((json.loads(path.read_text()) for path in options.inputs), key=lambda document: document["temperature"])
    sizes = sorted(documents[0]["sizes"], key=int)
    found, error = critical_temperature(*(curve(documents, size, "binder") for size in sizes))
    exact = ising.CRITICAL_TEMPERATURE
    deviation = abs(found - exact) / exact
    draw(documents, sizes, found, error, options.picture)
    result = {"found": found, "error": error, "exact": exact, "relative_deviation": deviation, "tolerance": TOLERANCE}
    options.summary.write_text(json.dumps({"critical_temperature": result, "temperatures": documents}, indent=1))
    print(f"critical temperature {found:.4f} +- {error:.4f} (exact {exact:.6f}, off by {deviation:.2%})")
    if deviation > TOLERANCE:
        print(f"off by more than {TOLERANCE:.0%}: the simulation is wrong", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
