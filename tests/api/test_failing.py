"""``GET /failures``: failed tasks of jobs, by cause."""

from tests.api.rig import Rig
from worker.protocol import Result


def fail(rig: Rig, task: str, stderr: str, code: int = 1, job: str = "job") -> None:
    """End a held task so."""
    [attempt] = [name for name, (_, a) in rig.workers.held.items() if (a.job, a.task) == (job, task)]
    rig.workers.tell(
        attempt,
        Result(
            attempt, "failed", "run", exit_code=code, reason=f"exit code {code}", started=1000.0, finished=1001.0, stderr=stderr
        ),
    )


def sweep(rig: Rig, count: int, job: str = "job", words: str = "bad {number}") -> None:
    """A job of ``count`` tasks that all crash with such words, the last one with another exit code."""
    rig.push({f"t{number}": "hold" for number in range(count)}, name=job)
    for number in range(count):
        rig.until(lambda rig, task=f"t{number}": any(a.task == task and a.job == job for _, a in rig.workers.held.values()))  # type: ignore[misc]
        said = words.format(number=number, letter="abcdefghijklmnopqrstuvwxyz"[number])
        fail(rig, f"t{number}", f"Traceback\n{said}\n", 1 if number < count - 1 else 7, job)
    rig.until(lambda rig: rig.get(f"/jobs/{job}")["finished"])


def test_failures_of_a_job_are_told_by_cause_with_an_example(rig: Rig) -> None:
    sweep(rig, 15)
    rig.push({"fine": "true"}, name="fine")
    found = rig.get("/failures", target="job")
    assert (found["total"], found["looked_at"], found["others"]) == (15, 15, 0)
    assert found["causes"] == [
        {
            "job": "job",
            "phase": "run",
            "exit_code": 1,
            "signal": None,
            "reason": "exit code 1",
            "line": "bad #",
            "folded": True,
            "count": 14,
            "example": "job:t0",
            "example_line": "bad 0",
        },
        {
            "job": "job",
            "phase": "run",
            "exit_code": 7,
            "signal": None,
            "reason": "exit code 7",
            "line": "bad 14",
            "folded": False,
            "count": 1,
            "example": "job:t14",
            "example_line": "",
        },
    ]
    assert rig.get("/failures", target="fine") == {"total": 0, "looked_at": 0, "causes": [], "others": 0, "inits": []}


def test_without_a_target_all_jobs_that_failed_are_told_newest_first(rig: Rig) -> None:
    sweep(rig, 2, "old")
    rig.push({"fine": "true"}, name="fine")
    sweep(rig, 1, "new")
    found = rig.get("/failures")
    assert [(cause["job"], cause["line"]) for cause in found["causes"]] == [("new", "bad 0"), ("old", "bad 0"), ("old", "bad 1")]
    assert found["total"] == 3


def test_a_glob_chooses_failures_and_an_unknown_target_is_refused(rig: Rig) -> None:
    sweep(rig, 3)
    found = rig.get("/failures", target="job:t[01]")
    assert (found["total"], [cause["line"] for cause in found["causes"]]) == (2, ["bad #"])
    assert "did you mean 'job'" in rig.get("/failures", 404, target="jop")["error"]


def test_of_very_many_failures_only_the_first_are_looked_at_and_that_is_said(rig: Rig, monkeypatch: object) -> None:
    sweep(rig, 4, words="bad {letter}")
    monkeypatch.setattr("boss.api.failing.LOOKED_AT", 2)  # type: ignore[attr-defined]
    monkeypatch.setattr("boss.api.failing.LISTED", 1)  # type: ignore[attr-defined]
    found = rig.get("/failures", target="job")
    assert (found["total"], found["looked_at"], found["others"]) == (4, 2, 1)
    assert [cause["line"] for cause in found["causes"]] == ["bad a"]
