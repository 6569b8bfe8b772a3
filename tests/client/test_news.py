"""What a watcher hears besides the numbers."""

from typing import Any

from client.commands.board import Pace, facts_of
from client.commands.news import AGAIN, STUCK, News, busy


def _status(state: str = "running", notes: tuple[str, ...] = (), **tasks: int) -> dict[str, Any]:
    return {
        "jobs": [{"name": "x", "state": state, "finished": None}],
        "tasks": tasks,
        "notes": list(notes),
        "fleet": {"online": 0},
    }


def test_a_pause_and_its_end_are_told_once() -> None:
    news = News(lambda: "")
    assert news.of(_status(running=1), 0) == []
    (said,) = news.of(_status("paused", running=1), 1)
    assert said.startswith("job x is paused by hand, and watched on; ./admin.py resume x")
    assert news.of(_status("paused", ready=1), 2) == []
    assert news.of(_status(ready=1), 3) == ["job x is running again"]


def test_a_note_is_told_once_even_if_it_counts_seconds() -> None:
    news = News(lambda: "")
    assert news.of(_status(notes=("Pool a waits 30 s.",)), 0) == ["note: Pool a waits 30 s."]
    assert news.of(_status(notes=("Pool a waits 29 s.",)), 1) == []
    assert news.of(_status(notes=("Pool a waits 28 s.", "The broker is gone.")), 2) == ["note: The broker is gone."]
    assert news.of(_status(), 3) == ["note: that is over"]


def test_why_nothing_runs_is_told_within_four_seconds_of_it_and_again_when_it_is_another() -> None:
    why = ["big waits: No VM of any pool can hold it."]
    news = News(lambda: why[0])
    assert STUCK < 3.5
    assert news.of(_status(ready=1, waiting=1), 0) == []
    assert news.of(_status(ready=1, running=1), 9) == []
    assert news.of(_status(ready=1), 10) == []
    assert news.of(_status(ready=1), 10 + STUCK - 0.1) == []
    assert news.of(_status(ready=1), 10 + STUCK) == ["big waits: No VM of any pool can hold it."]
    assert news.of(_status(ready=1), 90) == []
    why[0] = "big waits: 1 VM is coming up."
    assert news.of(_status(ready=1), 90 + AGAIN) == ["big waits: 1 VM is coming up."]
    why[0] = "big waits: 2 VM is coming up."
    assert news.of(_status(ready=1), 90 + 2 * AGAIN) == []
    assert news.of(_status(running=1), 200) == []
    assert news.of(_status(ready=1), 201) == []
    assert news.of(_status(ready=1), 201 + STUCK) == [why[0]], "it was stuck anew"


def test_failed_skipped_and_cancelled_tasks_are_counted_each_by_itself() -> None:
    pace = Pace()
    pace.look(0.0, 0)
    done, total, words = facts_of(_status(succeeded=1, failed=2, skipped=3, cancelled=4, running=1), pace)
    assert (done, total) == (10, 11)
    assert "1 running · 2 failed · 3 skipped · 4 cancelled · " in words


def test_there_is_an_eta_only_while_something_runs() -> None:
    pace = Pace()
    pace.look(0.0, 0)
    pace.look(10.0, 10)
    idle, working = _status("paused", succeeded=10, ready=10), _status(succeeded=10, running=10)
    assert busy(working) and not busy(idle)
    assert "ETA 10 s" in facts_of(working, pace)[2]
    assert "ETA" not in facts_of(idle, pace)[2] and facts_of(idle, pace)[2].startswith("paused · 0 running")
