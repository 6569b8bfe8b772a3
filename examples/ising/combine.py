"""One temperature, all seeds: pools the lattices and writes each quantity with its standard error as JSON."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import ising


def observables(moments: ising.Moments, size: int, temperature: float) -> dict[str, list[float]]:
    """``{quantity: [value, standard error]}`` from the lattices' moments; errors by the jackknife over the lattices."""
    spins = size * size
    quantities: dict[str, Callable[..., ising.Floats]] = {
        "magnetisation": lambda m: m.m_abs,
        "energy": lambda m: m.e,
        "specific_heat": lambda m: spins * (m.e2 - m.e**2) / temperature**2,
        "binder": lambda m: 1.0 - m.m4 / (3.0 * m.m2**2),
    }
    everything = ising.Moments(**{name: np.array([values.mean()]) for name, values in columns(moments).items()})
    without_one = ising.Moments(**{name: leave_one_out(values) for name, values in columns(moments).items()})
    return {name: [float(of(everything)[0]), jackknife_error(of(without_one))] for name, of in quantities.items()}


def columns(moments: ising.Moments) -> dict[str, ising.Floats]:
    """The arrays of ``moments`` by name."""
    return {name: getattr(moments, name) for name in ising.Moments.__dataclass_fields__}


def leave_one_out(values: ising.Floats) -> ising.Floats:
    """For each value the mean of all the others."""
    return np.asarray((values.sum() - values) / (values.size - 1))


def jackknife_error(estimates: ising.Floats) -> float:
    """The standard error of an estimate from its leave-one-out estimates."""
    return float(np.sqrt((estimates.size - 1) * estimates.var()))


def pool(documents: list[dict[str, Any]], size: str) -> ising.Moments:
    """The moments of all seeds' lattices of one size, one after the other."""
    return ising.Moments(
        **{
            name: np.concatenate([document["sizes"][size][name] for document in documents])
            for name in ising.Moments.__dataclass_fields__
        }
    )


def main() -> None:
    """Write ``{"temperature", "seeds", "sizes": {L: {quantity: [value, standard error]}}}``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", type=Path, nargs="+", help="what simulate.py wrote for one temperature")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    documents = [json.loads(path.read_text()) for path in sorted(options.inputs)]
    [temperature] = {document["temperature"] for document in documents}
    sizes = {size: observables(pool(documents, size), int(size), temperature) for size in documents[0]["sizes"]}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"temperature": temperature, "seeds": len(documents), "sizes": sizes}, indent=1))


if __name__ == "__main__":
    main()
