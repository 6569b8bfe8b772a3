"""Promise 1 on a virtual clock: whatever dies when, every task ends, and no result is accepted twice or from an old attempt."""

import pytest

from simulator.scenarios import hostile_job, hostile_jobs


@pytest.mark.parametrize("seed", range(40))
def test_every_task_ends_and_each_result_is_accepted_once(seed: int) -> None:
    world = hostile_job(seed)
    assert world.faults > 0, "nothing went wrong: the world was not hostile"
    assert world.accepts, "nothing was accepted at all"


@pytest.mark.parametrize("seed", range(20))
def test_jobs_with_inits_that_merges_change_end_too_while_clouds_fail_and_people_meddle(seed: int) -> None:
    world = hostile_jobs(seed)
    assert world.accepts, "nothing was accepted at all"
