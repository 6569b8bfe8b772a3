"""The threads around a stage: each errand ends as one event."""

import threading
from collections.abc import Callable
from pathlib import Path

from tests.servers import eventually
from worker import events as ev
from worker.folders import Folders
from worker.protocol import Assignment, Input, Result
from worker.stage import StageError
from worker.staging import TIDY_INTERVAL, Staging

ATTEMPT = Assignment("u.1.1", "j", "t", ("true",), inputs=(Input("x", "x"),))
RESULT = Result("u.1.1", "succeeded")


class FakeStage:
    """Does what the test says, with the errand's ``stopped``."""

    def __init__(self, act: Callable[[threading.Event], None]) -> None:
        self.act = act
        self.calls: list[tuple[object, ...]] = []

    def fetch(self, assignment: Assignment, folder: str, stopped: threading.Event) -> None:
        self.calls.append(("fetch", folder))
        self.act(stopped)

    def deliver(
        self, assignment: Assignment, folder: str, result: Result, stdout: str, stderr: str, stopped: threading.Event
    ) -> Result:
        self.calls.append(("deliver", folder, stdout, stderr))
        self.act(stopped)
        return result._replace(stored_logs=True)

    def cached(self) -> dict[str, float]:
        return {}

    def close_idle(self, now: float) -> None:
        self.calls.append(("close_idle", now))

    def close(self) -> None:
        self.calls.append(("close",))


def staging(tmp_path: Path, act: Callable[[threading.Event], None]) -> tuple[Staging, FakeStage, Folders, threading.Event]:
    stage, folders, woken = FakeStage(act), Folders(str(tmp_path)), threading.Event()
    return Staging(stage, folders, woken.set), stage, folders, woken


def outcome(pool: Staging, woken: threading.Event) -> ev.Event:
    assert woken.wait(10)
    (event,) = eventually(pool.done)
    return event


def test_a_fetch_gets_the_work_folder_and_a_delivery_the_logs(tmp_path: Path) -> None:
    pool, stage, folders, woken = staging(tmp_path, lambda stopped: None)
    pool.fetch(ATTEMPT)
    assert outcome(pool, woken) == ev.Fetched("u.1.1")
    woken.clear()
    pool.deliver(ATTEMPT, RESULT)
    assert outcome(pool, woken) == ev.Delivered("u.1.1", RESULT._replace(stored_logs=True))
    folder = folders.path("u.1.1")
    assert Path(folder, "work").is_dir()
    assert stage.calls == [("fetch", f"{folder}/work"), ("deliver", f"{folder}/work", f"{folder}/stdout", f"{folder}/stderr")]


def test_a_halted_errand_ends_all_the_same(tmp_path: Path) -> None:
    def until_stopped(stopped: threading.Event) -> None:
        assert stopped.wait(10)
        raise StageError("fetch", "stopped", True)

    pool, stage, _, woken = staging(tmp_path, until_stopped)
    pool.fetch(ATTEMPT)
    eventually(lambda: stage.calls)
    pool.halt("u.1.1")
    event = outcome(pool, woken)
    assert isinstance(event, ev.StageFailed)
    assert event[:4] == ("u.1.1", "fetch", "stopped", True)


def test_trouble_that_may_pass_is_told_as_such(tmp_path: Path) -> None:
    def unreachable(stopped: threading.Event) -> None:
        raise StageError("upload", "no route", False)

    pool, _, _, woken = staging(tmp_path, unreachable)
    pool.deliver(ATTEMPT, RESULT)
    event = outcome(pool, woken)
    assert isinstance(event, ev.StageFailed)
    assert (event.phase, event.final) == ("upload", False) and 0 <= event.jitter <= 1


def test_a_fault_of_ours_fails_the_attempt_and_not_the_thread(tmp_path: Path) -> None:
    def stumble(stopped: threading.Event) -> None:
        raise ZeroDivisionError

    pool, _, _, woken = staging(tmp_path, stumble)
    for _ in range(10):  # more than there are threads
        woken.clear()
        pool.fetch(ATTEMPT)
        event = outcome(pool, woken)
        assert isinstance(event, ev.StageFailed) and event.final and event.phase == "infrastructure"


def test_folders_are_removed_and_idle_connections_looked_after(tmp_path: Path) -> None:
    pool, stage, folders, _ = staging(tmp_path, lambda stopped: None)
    folder = Path(folders.make(ATTEMPT))
    pool.remove("u.1.1")
    eventually(lambda: not folder.exists())
    pool.tidy(TIDY_INTERVAL)
    pool.tidy(TIDY_INTERVAL + 1)
    eventually(lambda: stage.calls)
    assert stage.calls == [("close_idle", TIDY_INTERVAL)]
    pool.close()
    assert stage.calls[-1] == ("close",)
