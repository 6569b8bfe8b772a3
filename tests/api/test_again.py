"""Why a task ran again, from its attempts."""

from boss.api.again import why_again
from boss.core.model import Attempt
from tests.api.rig import Rig


def tried(number: int, state: str, worker: str = "w-1", **facts: str) -> Attempt:
    return Attempt("u1", 0, number, worker, 0.0, state, **facts)  # type: ignore[arg-type]


def test_the_first_attempt_needs_no_reason() -> None:
    assert why_again([tried(1, "running")], 1) == []


def test_each_way_to_run_again_has_its_words() -> None:
    def said(state: str, **facts: str) -> str:
        [sentence] = why_again([tried(1, state, **facts), tried(2, "running")], 2)
        return sentence

    assert said("failed", phase="run", reason="exit code 3") == "It runs again because attempt 1 failed on w-1: exit code 3."
    assert "failed on w-1 in phase fetch: no such file" in said("failed", phase="fetch", reason="no such file")
    lost = said("lost", reason="its worker was silent for 60 s")
    assert (
        lost
        == "It runs again because attempt 1 was lost with w-1: its worker was silent for 60 s; that takes none of its retries."
    )
    assert "taken back from w-1" in said("recalled")
    assert "`retry_failed`" in said("cancelled")
    assert "`redo_task`" in said("succeeded")


def test_of_many_the_last_two_are_told_and_the_others_counted() -> None:
    attempts = [*(tried(n, "failed" if n % 2 else "lost") for n in range(1, 8)), tried(8, "running")]
    first, second, rest = why_again(attempts, 8)
    assert "attempt 7" in first and "attempt 6" in second
    assert rest == "Before that there were 5 more attempt(s): 3 failed, 2 lost."


def test_why_tells_it_behind_how_the_task_stands(rig: Rig) -> None:
    rig.push([{"id": "a", "command": "fail", "retries": 1}])
    rig.until(lambda rig: rig.get("/jobs/job")["finished"])
    said = rig.get("/why", target="job:a")["why"]
    assert said[0].startswith("Attempt 2 failed in phase run")
    assert said[1:3] == [
        "The last line that it wrote to stderr: err of it",
        "It runs again because attempt 1 failed on local-1: exit code 3.",
    ]
    assert "retry_failed" in said[-2]


def test_a_pool_is_asked_by_its_name_and_a_name_that_nobody_has_is_answered_as_a_task(rig: Rig) -> None:
    found = rig.get("/why", target="local")
    assert (found["job"], found["id"], found["state"]) == ("", "local", "open")
    assert found["why"][0].startswith("Pool local (local) has 0 of at most")
    assert "no task named 'nobody'" in rig.get("/why", 404, target="nobody")["error"]
