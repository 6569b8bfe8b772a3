"""The two-dimensional Ising model: Swendsen-Wang dynamics of many lattices at once, and what is known exactly.

Units: coupling J = 1 and Boltzmann's constant = 1, so temperatures and energies are plain numbers. Every lattice is a square
of L x L spins of +1 and -1 with periodic borders.

Swendsen and Wang (Phys. Rev. Lett. 58, 86, 1987) join equal neighbours with probability 1 - exp(-2/T) and turn each of the
clusters that arise with probability 1/2. It needs a few sweeps where single-spin updates need thousands.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Onsager's critical temperature, 2 / ln(1 + sqrt 2) = 2.269185...
CRITICAL_TEMPERATURE = 2.0 / math.log(1.0 + math.sqrt(2.0))

Spins = NDArray[np.int8]
Floats = NDArray[np.float64]


def cold_start(lattices: int, size: int) -> Spins:
    """Lattices with all spins up, of shape (lattices, size, size)."""
    return np.ones((lattices, size, size), dtype=np.int8)


def sweep(spins: Spins, temperature: float, rng: np.random.Generator) -> None:
    """One Swendsen-Wang update of every lattice, in place."""
    count = spins.size
    sites = np.arange(count, dtype=np.int32).reshape(spins.shape)
    join = np.float32(-math.expm1(-2.0 / temperature))
    ends = []
    for axis in (1, 2):
        joined = (spins == np.roll(spins, -1, axis)) & (rng.random(spins.shape, dtype=np.float32) < join)
        ends.append((sites[joined], np.roll(sites, -1, axis)[joined]))
    cluster = clusters(count, np.concatenate([one for one, _ in ends]), np.concatenate([other for _, other in ends]))
    turn = (1 - 2 * rng.integers(0, 2, count, dtype=np.int8))[cluster]
    spins *= turn.reshape(spins.shape)


def clusters(count: int, one: NDArray[np.int32], other: NDArray[np.int32]) -> NDArray[np.int32]:
    """For each of ``count`` sites the smallest site of its cluster, where bond i joins the sites ``one[i]`` and ``other[i]``.

    Each round hangs roots below smaller roots and then shortens every path to one step; bonds inside a cluster drop out, so
    that few are left after the first round (Shiloach and Vishkin, J. Algorithms 3, 57, 1982).
    """
    root = np.arange(count, dtype=np.int32)
    while one.size:
        root[np.maximum(one, other)] = np.minimum(one, other)
        while not np.array_equal(root, upper := root[root]):
            root = upper
        one, other = root[one], root[other]
        apart = one != other
        one, other = one[apart], other[apart]
    return root


def magnetisation(spins: Spins) -> Floats:
    """The magnetisation per spin of each lattice, from -1 to 1."""
    return np.asarray(spins.mean(axis=(1, 2), dtype=np.float64))


def energy(spins: Spins) -> Floats:
    """The energy per spin of each lattice, from -2 to 2."""
    bonds = spins * np.roll(spins, -1, 1) + spins * np.roll(spins, -1, 2)
    return np.asarray(-bonds.mean(axis=(1, 2), dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Moments:
    """Time averages of each lattice, arrays of shape (lattices,): what every quantity of the plot is made of."""

    m_abs: Floats
    m2: Floats
    m4: Floats
    e: Floats
    e2: Floats


def sample(lattices: int, size: int, temperature: float, discard: int, sweeps: int, rng: np.random.Generator) -> Moments:
    """The moments over ``sweeps`` sweeps after ``discard`` sweeps from a cold start."""
    spins = cold_start(lattices, size)
    for _ in range(discard):
        sweep(spins, temperature, rng)
    total = np.zeros((5, lattices))
    for _ in range(sweeps):
        sweep(spins, temperature, rng)
        m, e = magnetisation(spins), energy(spins)
        total += (np.abs(m), m**2, m**4, e, e**2)
    return Moments(*(total / sweeps))


def exact_magnetisation(temperature: Floats) -> Floats:
    """Onsager's and Yang's spontaneous magnetisation of the infinite lattice."""
    below = np.minimum(temperature, CRITICAL_TEMPERATURE)
    return np.maximum(0.0, 1.0 - np.sinh(2.0 / below) ** -4.0) ** 0.125


def exact_energy(temperature: Floats) -> Floats:
    """Onsager's energy per spin of the infinite lattice."""
    x = 2.0 / temperature
    first, _ = elliptic(2.0 * np.sinh(x) / np.cosh(x) ** 2)
    return -(1.0 + 2.0 / np.pi * (2.0 * np.tanh(x) ** 2 - 1.0) * first) / np.tanh(x)


def exact_specific_heat(temperature: Floats) -> Floats:
    """Onsager's specific heat per spin of the infinite lattice; it grows without bound at the critical temperature."""
    x = 2.0 / temperature
    first, second = elliptic(2.0 * np.sinh(x) / np.cosh(x) ** 2)
    t2 = np.tanh(x) ** 2
    bracket = first - second - (1.0 - t2) * (np.pi / 2.0 + (2.0 * t2 - 1.0) * first)
    return (x / np.tanh(x)) ** 2 * bracket / np.pi


def elliptic(modulus: Floats) -> tuple[Floats, Floats]:
    """The complete elliptic integrals K(k) and E(k), 0 <= k < 1, by the arithmetic-geometric mean."""
    a, b, c = np.ones_like(modulus), np.sqrt(1.0 - modulus**2), modulus
    weight, deficit = 0.5, 0.5 * c**2
    while np.max(np.abs(c)) > 1e-15:
        a, b, c = (a + b) / 2.0, np.sqrt(a * b), (a - b) / 2.0
        weight *= 2.0
        deficit = deficit + weight * c**2
    first = np.pi / (2.0 * a)
    return first, first * (1.0 - deficit)
