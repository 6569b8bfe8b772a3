"""Promise 1 on a virtual clock: whatever dies when, every task ends, and no result is accepted twice or from an old attempt."""

import pytest

from simulator.scenarios import hostile_job


@pytest.mark.parametrize("seed", range(40))
def test_every_task_ends_and_each_result_is_accepted_once(seed: int) -> None:
    world = hostile_job(seed)
    assert world.faults > 0, "nothing went wrong: the world was not hostile"
    assert world.accepts, "nothing was accepted at all"
