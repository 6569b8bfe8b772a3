"""What a watcher sees on a terminal of any size."""

import time
from typing import Any

import pytest
from rich.console import Console

from client.commands.board import Pace, Seen, board

SIZES = [(24, 10), (40, 12), (60, 16), (80, 24), (160, 50)]
EVIL = "evil[red]\x1b[31m\u202e" + "x" * 60


def job(name: str, finished: float | None = None, **tasks: int) -> dict[str, Any]:
    state = "running" if finished is None else "succeeded"
    return {"name": name, "state": state, "reason": "", "finished": finished, "tasks": tasks, "total": sum(tasks.values())}


def status(*jobs: dict[str, Any]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for one in jobs:
        for state, count in one["tasks"].items():
            counts[state] = counts.get(state, 0) + count
    return {"jobs": list(jobs), "tasks": counts, "fleet": {"online": 1}, "notes": [], "vms": []}


def running(count: int) -> list[dict[str, Any]]:
    return [{"id": EVIL + str(n), "started": time.time() - 100 * n, "worker": f"cloud-{n}", "attempt": 1} for n in range(count)]


def drawn(seen: Seen, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, legacy_windows=False)
    with console.capture() as caught:
        console.print(board(seen, width, height))
    return caught.get().splitlines()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_board_never_has_more_lines_or_columns_than_the_terminal(width: int, height: int) -> None:
    causes = [{"count": 1_234_567, "phase": "run", "reason": "exit code 1", "line": EVIL, "example": "x"}] * 2
    one = status(job(EVIL, running=50, succeeded=1_000_000, failed=1_234_567))
    many = status(*(job(f"{n}-{EVIL}", None if n % 2 else 1.0, running=n, succeeded=1_000_000) for n in range(100)))
    paces = {one["name"]: Pace() for one in many["jobs"]}
    for seen in (Seen(EVIL, one, Pace(), {}, running(50), causes), Seen(None, many, Pace(), paces), Seen(None, status(), Pace())):
        for away in (None, time.monotonic() - 70):
            seen.away = away
            lines = drawn(seen, width, height)
            assert len(lines) <= height
            assert all(len(line) <= width for line in lines)
            assert "\x1b" not in "".join(lines) and "\u202e" not in "".join(lines)


def test_one_job_shows_what_runs_longest_first_and_what_failed() -> None:
    causes = [{"count": 2, "phase": "run", "reason": "exit code 1", "line": "ValueError: T", "example": "x"}]
    rows = [
        {"id": "new", "started": time.time() - 1, "worker": "cloud-1", "attempt": 1},
        {"id": "old", "started": time.time() - 700, "worker": "cloud-2", "attempt": 3},
    ]
    lines = drawn(Seen("sweep", status(job("sweep", running=2, succeeded=7, failed=2)), Pace(), {}, rows, causes), 100, 24)
    assert lines[0].split() == ["sweep", "running", "9/11"]
    assert "━" in lines[1] and "2 running · 2 failed" in lines[2]
    assert lines[4].split() == ["old", "11", "min", "40", "s", "cloud-2", "3"] and lines[5].split()[0] == "new"
    assert lines[6] == "2 failed: exit code 1: ValueError: T"


def test_all_jobs_show_those_that_go_on_first_and_count_the_others() -> None:
    jobs = [job("old", None, running=1), job("done", 5.0, succeeded=1), job("new", None, running=1)]
    lines = drawn(Seen(None, status(*jobs), Pace()), 80, 24)
    assert [line.split()[0] for line in lines[3:]] == ["new", "old", "done"]
    few = drawn(Seen(None, status(*(job(f"j{n}", None, running=1) for n in range(50))), Pace()), 40, 14)
    assert few[-1] == f"and {50 - (len(few) - 4)} more: ./admin.py show_jobs" and len(few) > 8


def test_a_boss_that_does_not_answer_is_told_below_what_was_seen_last() -> None:
    seen = Seen("a", status(job("a", running=1)), Pace(), away=time.monotonic() - 70)
    assert drawn(seen, 80, 24)[-1] == "the boss has not answered for 1 min 10 s; it is asked again"
