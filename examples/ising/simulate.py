"""One temperature, one seed: simulates lattices of two sizes and writes their moments as JSON."""

import argparse
import json
from dataclasses import fields
from pathlib import Path

import numpy as np

import ising

#: The length of the lattices' sides: two, because the critical temperature is found where curves of two sizes cross.
SMALL, LARGE = 16, 48
#: Independent lattices of each size, and the sweeps that are measured after those that warm them up.
LATTICES, DISCARD = 16, 30
SWEEPS = {SMALL: 300, LARGE: 120}


def simulate(temperature: float, seed: int) -> dict[int, ising.Moments]:
    """The moments of both sizes. The same temperature and seed give the same numbers."""
    rng = np.random.default_rng([seed, round(temperature * 1e9)])
    return {size: ising.sample(LATTICES, size, temperature, DISCARD, sweeps, rng) for size, sweeps in SWEEPS.items()}


def main() -> None:
    """Write ``{"temperature", "seed", "sizes": {L: {moment: [one number for each lattice]}}}``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--T", type=float, required=True, help="temperature, in units of J/k")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    sizes = {
        size: {field.name: getattr(moments, field.name).tolist() for field in fields(moments)}
        for size, moments in simulate(options.T, options.seed).items()
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"temperature": options.T, "seed": options.seed, "sizes": sizes}))


if __name__ == "__main__":
    main()
