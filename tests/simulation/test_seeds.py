"""Two thousand hostile worlds: whatever dies, lies or comes late, every promise holds."""

import pytest

from simulator.hostile.faults import CHANCES, INCIDENTS
from simulator.hostile.hunting import Catch, hunt, story

#: Seeds of one test, and tests: together they take less than a minute on two cores.
EACH, PIECES = 250, 8


def search(first: int) -> Catch:
    """Play a piece; the story of what does not hold is the failure's text."""
    catch = hunt(range(first, first + EACH))
    if catch.broken is not None:
        pytest.fail(story(catch.broken), pytrace=False)
    return catch


@pytest.mark.parametrize("piece", range(PIECES))
def test_every_promise_holds(piece: int) -> None:
    catch = search(piece * EACH)
    assert catch.accepted > EACH, "hardly anything was accepted: these worlds do no work"
    assert catch.faults > 5 * EACH, "hardly anything went wrong: these worlds are not hostile"
    never = [kind for kind in (*CHANCES, *INCIDENTS) if kind not in catch.kinds]
    assert not never, f"in {EACH} seeds these never happened: {', '.join(never)}"
