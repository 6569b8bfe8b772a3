"""The hostile world bites: with any one of these guards taken away, some seed breaks a promise."""

import pytest

from simulator.hostile.hunting import try_seeds
from tests.simulation.mutants import MUTANTS, Mutant, alive

#: The promises are worth nothing if it takes more seeds than a run of the tests has.
SEEDS = 2000


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_a_guard_that_is_taken_away_is_missed(mutant: Mutant) -> None:
    with alive(mutant):
        catch = try_seeds(range(SEEDS))
    assert catch.broken is not None, f"{SEEDS} seeds held although {mutant.name}"
