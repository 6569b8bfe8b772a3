"""A worker's stage: inputs in, outputs and long logs out, through a real sshd."""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from boss.adapters.results import result_of
from datastore import layout, transfer
from datastore.channel import Channel, Endpoint
from datastore.frames import GateFull, Line
from datastore.landing import Wanted
from tests.datastore.host import SECRET, Datastore, Sshd, record_of, sha256
from tests.servers import eventually
from worker import lasting
from worker import stage as stage_module
from worker.lasting import IDLE
from worker.protocol import Assignment, Input, Output, Result, cache_name
from worker.stage import MAX_CACHED, MAX_FILES, Stage, StageError, wants_delivery, wants_inputs

A, B = b"result of a\n", b"result of b\n"
SUCCEEDED = Result("u.0.1", "succeeded", exit_code=0, stdout="tail")
FAILED = Result("u.0.1", "failed", phase="run", exit_code=1)


@pytest.fixture
def endpoint(sshd: Sshd, datastore: Datastore) -> Endpoint:
    """A worker's log-in."""
    return sshd.certificate("worker:w1", datastore.root)


@pytest.fixture
def stage(endpoint: Endpoint, tmp_path: Path) -> Iterator[Stage]:
    """The stage of worker w1."""
    made = Stage(endpoint, str(tmp_path / "cache"), 10_000_000)
    yield made
    made.close()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """An attempt's folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def running() -> threading.Event:
    """Nobody stops this."""
    return threading.Event()


def assignment(inputs: tuple[Input, ...] = (), outputs: tuple[Output, ...] = (), attempt: str = "u.0.1") -> Assignment:
    proof = layout.grant(SECRET, "w1", attempt, "j", "t", inputs)
    return Assignment(attempt, "j", "t", ("true",), inputs, outputs, grant=proof)


def logs(folder: Path, stdout: bytes = b"", stderr: bytes = b"") -> tuple[str, str]:
    (folder.parent / "stdout").write_bytes(stdout)
    (folder.parent / "stderr").write_bytes(stderr)
    return str(folder.parent / "stdout"), str(folder.parent / "stderr")


def push(store: Datastore, data: bytes) -> str:
    place = store.root / layout.file_path(sha256(data))
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(data)
    return sha256(data)


def accept(store: Datastore, files: dict[str, bytes], attempt: str = "v.0.1") -> None:
    assert store.accept(store.upload(files, attempt), attempt)[1] == "accepted"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- inputs --------------------------------------------------------------------------------------------------------


def test_inputs_lie_where_they_are_asked_for(stage: Stage, datastore: Datastore, work: Path, running: threading.Event) -> None:
    accept(datastore, {"a.txt": A, "x/1.dat": A, "x/y/2.dat": B})
    inputs = (
        Input("a.txt", "renamed/a"),
        Input("x/", "all"),
        Input("x/*.dat", ""),
        Input("run.sh", "bin/run.sh", push(datastore, B), 0o755),
    )
    stage.fetch(assignment(inputs), str(work), running)
    assert contents(work) == {"renamed/a": A, "all/1.dat": A, "all/y/2.dat": B, "x/1.dat": A, "bin/run.sh": B}
    assert os.access(work / "bin/run.sh", os.X_OK)
    assert not (work / "renamed/a").stat().st_mode & 0o111


def test_a_missing_input_fails_in_phase_fetch_for_good(stage: Stage, work: Path, running: threading.Event) -> None:
    with pytest.raises(StageError, match=r"none\.txt of job j is not on the datastore") as caught:
        stage.fetch(assignment((Input("none.txt", ""),)), str(work), running)
    assert (caught.value.phase, caught.value.final) == ("fetch", True)


def test_an_input_never_leaves_the_attempts_folder(
    stage: Stage, datastore: Datastore, work: Path, running: threading.Event
) -> None:
    accept(datastore, {"a.txt": A})
    with pytest.raises(StageError, match="leaves the job's folder"):
        stage.fetch(assignment((Input("a.txt", "../evil"),)), str(work), running)
    assert not (work.parent / "evil").exists()


def test_what_a_task_does_to_its_input_does_not_reach_the_next(
    stage: Stage, datastore: Datastore, tmp_path: Path, running: threading.Event
) -> None:
    accept(datastore, {"a.txt": A})
    inputs = (Input("a.txt", ""), Input("p.txt", "", push(datastore, B)))
    for number in range(3):
        folder = tmp_path / f"work{number}"
        folder.mkdir()
        stage.fetch(assignment(inputs), str(folder), running)
        assert contents(folder) == {"a.txt": A, "p.txt": B}
        for path in folder.iterdir():
            path.write_bytes(b"spoilt")


def test_a_cached_file_needs_no_datastore(
    endpoint: Endpoint, datastore: Datastore, tmp_path: Path, running: threading.Event
) -> None:
    inputs = (Input("p.txt", "", push(datastore, B)),)
    first = Stage(endpoint, str(tmp_path / "cache"), 1000)
    first.fetch(assignment(inputs), str(tmp_path / "one"), running)
    first.close()
    later = Stage(None, str(tmp_path / "cache"), 1000)
    later.fetch(assignment(inputs), str(tmp_path / "two"), running)
    assert contents(tmp_path / "two") == {"p.txt": B}


def test_what_is_kept_is_told_by_content_or_by_the_path_it_was_asked_for_by(
    endpoint: Endpoint, datastore: Datastore, stage: Stage, tmp_path: Path, running: threading.Event
) -> None:
    assert stage.cached() == {}
    accept(datastore, {"a.txt": A * 3})
    digest = push(datastore, B)
    stage.fetch(assignment((Input("a.txt", ""), Input("p.txt", "", digest))), str(tmp_path / "one"), running)
    kept = {cache_name("j", "a.txt"): float(len(A * 3)), cache_name("j", "p.txt", digest): float(len(B))}
    assert stage.cached() == kept
    later = Stage(None, str(tmp_path / "cache"), 1000)
    assert later.cached() == {sha256(A * 3)[:16]: float(len(A * 3)), digest[:16]: float(len(B))}  # paths are not remembered
    many = {f"{number}.txt": b"x" * (100 + number) for number in range(2 * MAX_CACHED)}
    inputs = tuple(Input(name, "", push(datastore, data)) for name, data in many.items())
    stage.fetch(assignment(inputs), str(tmp_path / "two"), running)
    assert sorted(stage.cached().values()) == [100.0 + number for number in range(MAX_CACHED, 2 * MAX_CACHED)]  # the largest


def test_the_cache_stays_below_its_limit_and_drops_what_was_used_longest_ago(
    endpoint: Endpoint, datastore: Datastore, tmp_path: Path, running: threading.Event
) -> None:
    stage = Stage(endpoint, str(tmp_path / "cache"), 2500)
    files = {name: push(datastore, name.encode() * 1000) for name in "abc"}
    for number, name in enumerate("abac"):
        stage.fetch(assignment((Input(name, "", files[name]),)), str(tmp_path / f"{number}"), running)
    assert sorted(contents(tmp_path / "cache")) == sorted([files["a"], files["c"]])
    stage.fetch(assignment((Input("big", "", push(datastore, b"x" * 2000)),)), str(tmp_path / "big"), running)
    assert len(contents(tmp_path / "cache")) == 2, "a file larger than half the limit is not kept"
    assert contents(tmp_path / "big") == {"big": b"x" * 2000}
    stage.close()


def test_several_attempts_that_want_one_file_fetch_it_once(
    stage: Stage, datastore: Datastore, tmp_path: Path, running: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = push(datastore, b"y" * 3_000_000)
    brought: list[Wanted] = []

    def counted(channel: Channel, grant: Line, files: Sequence[Wanted], stopped: threading.Event) -> None:
        brought.extend(files)
        transfer.fetch(channel, grant, files, stopped)

    monkeypatch.setattr(stage_module, "fetch", counted)
    threads = [
        threading.Thread(target=stage.fetch, args=(assignment((Input("big", "", digest),)), str(tmp_path / f"{n}"), running))
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(brought) == 1
    assert all((tmp_path / f"{n}" / "big").stat().st_size == 3_000_000 for n in range(6))


def share(store: Datastore, name: str, data: bytes) -> str:
    place = store.root / "shared" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    with open(store.root / "shared/SHA256SUMS", "a") as sums:
        sums.write(f"{sha256(data)}  {name}\n")
    return sha256(data)


def fetches_of(store: Datastore) -> list[int]:
    """The bytes of each fetch of shared data, as the gate has noted it."""
    noted = store.root / "shared-fetches.jsonl"
    return [json.loads(line)["bytes"] for line in noted.read_text().splitlines()] if noted.exists() else []


def test_shared_data_is_fetched_once_however_many_attempts_read_it_and_spoil_it(
    stage: Stage, datastore: Datastore, tmp_path: Path, running: threading.Event
) -> None:
    share(datastore, "g/ref.fa", b"acgt" * 500_000)
    threads = [
        threading.Thread(
            target=stage.fetch, args=(assignment((Input("shared:g/ref.fa", "in/ref.fa"),)), str(tmp_path / f"{n}"), running)
        )
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(6):
        place = tmp_path / f"{n}/in/ref.fa"
        assert place.read_bytes() == b"acgt" * 500_000
        assert place.stat().st_mode & 0o777 == 0o444
        place.chmod(0o644)
        place.write_bytes(b"spoilt")
    stage.fetch(assignment((Input("shared:g/ref.fa", "again.fa"),)), str(tmp_path), running)
    assert (tmp_path / "again.fa").read_bytes() == b"acgt" * 500_000
    assert fetches_of(datastore) == [2_000_000]


def test_a_folder_of_shared_data_lies_where_it_is_asked_for(
    stage: Stage, datastore: Datastore, work: Path, running: threading.Event
) -> None:
    share(datastore, "refs/a", A)
    share(datastore, "refs/deep/b", B)
    stage.fetch(assignment((Input("shared:refs/", "refs/"), Input("shared:refs/a", "one/"))), str(work), running)
    assert contents(work) == {"refs/a": A, "refs/deep/b": B, "one/a": A}


def test_shared_data_that_the_cache_cannot_hold_is_fetched_each_time_and_said_once(
    endpoint: Endpoint, datastore: Datastore, tmp_path: Path, running: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(endpoint, str(tmp_path / "cache"), 1000)
    share(datastore, "big", b"x" * 2000)
    with caplog.at_level("WARNING", "worker"):
        for n in range(3):
            stage.fetch(assignment((Input("shared:big", "big"),)), str(tmp_path / f"{n}"), running)
            assert contents(tmp_path / f"{n}") == {"big": b"x" * 2000}
    assert fetches_of(datastore) == [2000] * 3
    (said,) = caplog.messages
    assert "shared:big is fetched anew for each attempt" in said and "a larger workers.cache would help" in said
    stage.close()


def test_inputs_that_are_together_more_than_the_cache_holds_come_all_the_same(
    endpoint: Endpoint, datastore: Datastore, tmp_path: Path, running: threading.Event
) -> None:
    stage = Stage(endpoint, str(tmp_path / "cache"), 1000)
    wanted = {f"refs/{n}": bytes([65 + n]) * 400 for n in range(8)}
    for name, data in wanted.items():
        share(datastore, name, data)
    for n in range(2):
        stage.fetch(assignment((Input("shared:refs/", "refs/"),)), str(tmp_path / f"{n}"), running)
        assert contents(tmp_path / f"{n}") == wanted
    stage.close()


def test_a_full_datastore_is_no_reason_to_give_up(
    stage: Stage, work: Path, running: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise GateFull("the datastore is full: free space in /srv on store")

    monkeypatch.setattr(stage_module, "deliver", full)
    (work / "x").write_bytes(A)
    with pytest.raises(StageError, match="the datastore is full") as caught:
        stage.deliver(assignment(outputs=(Output("x", "x"),)), str(work), SUCCEEDED, *logs(work), running)
    assert (caught.value.phase, caught.value.final, caught.value.full) == ("upload", False, True)


def test_a_damaged_file_is_never_given_to_a_task(
    stage: Stage, datastore: Datastore, work: Path, running: threading.Event
) -> None:
    digest = push(datastore, A)
    (datastore.root / layout.file_path(digest)).write_bytes(B)
    with pytest.raises(StageError, match="has the sha256") as caught:
        stage.fetch(assignment((Input("p.txt", "", digest),)), str(work), running)
    assert caught.value.final
    assert contents(work) == {}


def test_a_result_that_a_person_put_there_by_hand_is_fetched_too(
    stage: Stage, datastore: Datastore, work: Path, running: threading.Event
) -> None:
    (datastore.root / "jobs/j").mkdir()
    (datastore.root / "jobs/j/hand.txt").write_bytes(A)
    stage.fetch(assignment((Input("hand.txt", ""),)), str(work), running)
    assert contents(work) == {"hand.txt": A}


# ---- outputs -------------------------------------------------------------------------------------------------------


def test_a_result_alone_is_kept_for_a_boss_that_is_off(stage: Stage, datastore: Datastore, running: threading.Event) -> None:
    for _ in range(2):  # a repeat changes nothing
        stage.deposit(assignment(), SUCCEEDED, running)
    record = record_of(datastore.root, "u.0.1")
    assert record["files"] == []
    assert result_of("u.0.1", record) == SUCCEEDED


def test_outputs_and_the_result_itself_reach_the_datastore(
    stage: Stage, datastore: Datastore, work: Path, running: threading.Event
) -> None:
    (work / "out/deep").mkdir(parents=True)
    (work / "out/deep/1.dat").write_bytes(A)
    (work / "a.txt").write_bytes(B)
    outputs = (Output("a.txt", "kept/a.txt"), Output("out/", "out/"), Output("none", "none", optional=True))
    result = stage.deliver(assignment(outputs=outputs), str(work), SUCCEEDED, *logs(work), running)
    files = (("kept/a.txt", len(B), sha256(B)), ("out/deep/1.dat", len(A), sha256(A)))
    assert result == SUCCEEDED._replace(files=files)
    assert result_of("u.0.1", record_of(datastore.root, "u.0.1")) == result
    assert result_of("u.0.2", record_of(datastore.root, "u.0.1")) is None, "a record speaks for its own attempt only"
    assert datastore.accept(files)[1] == "accepted"
    assert datastore.results() == {"kept/a.txt": B, "out/deep/1.dat": A}


def test_delivering_again_changes_nothing(stage: Stage, datastore: Datastore, work: Path, running: threading.Event) -> None:
    (work / "a.txt").write_bytes(A)
    task = assignment(outputs=(Output("a.txt", "a.txt"),))
    first = stage.deliver(task, str(work), SUCCEEDED, *logs(work), running)
    assert stage.deliver(task, str(work), SUCCEEDED, *logs(work), running) == first
    datastore.accept(first.files or ())
    assert stage.deliver(task, str(work), SUCCEEDED, *logs(work), running) == first
    assert datastore.tree.names("incoming") == []


def test_an_output_that_was_not_made_fails_in_phase_upload(stage: Stage, work: Path, running: threading.Event) -> None:
    with pytest.raises(StageError, match=r"the output x/\*\.dat was not made") as caught:
        stage.deliver(assignment(outputs=(Output("x/*.dat", "x/*.dat"),)), str(work), SUCCEEDED, *logs(work), running)
    assert (caught.value.phase, caught.value.final) == ("upload", True)


def test_a_failed_attempts_outputs_are_dropped_and_its_logs_kept(
    stage: Stage, datastore: Datastore, work: Path, running: threading.Event
) -> None:
    (work / "a.txt").write_bytes(A)
    task = assignment(outputs=(Output("a.txt", "a.txt"),))
    result = stage.deliver(task, str(work), FAILED, *logs(work, stderr=b"e" * 5000), running)
    assert result == FAILED._replace(stored_logs=True)
    assert datastore.tree.names("incoming") == []
    assert (datastore.root / "logs/j/t/1/stderr").read_bytes() == b"e" * 5000
    assert not (datastore.root / "logs/j/t/1/stdout").exists()


def test_of_a_long_log_the_two_ends_are_kept(
    stage: Stage, datastore: Datastore, work: Path, running: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_module, "LOG_END", 4000)
    stage.deliver(assignment(), str(work), SUCCEEDED, *logs(work, stdout=b"b" * 5000 + b"e" * 5000), running)
    kept = (datastore.root / "logs/j/t/1/stdout").read_bytes()
    assert kept == b"b" * 4000 + b"\n--- 2000 bytes are left out here ---\n" + b"e" * 4000


def test_without_files_and_with_short_logs_the_datastore_is_not_asked(
    tmp_path: Path, work: Path, running: threading.Event
) -> None:
    nowhere = Stage(Endpoint("127.0.0.1", 1, "u", "/none", "/none", "/none"), str(tmp_path / "cache"), 1000)
    nowhere.fetch(assignment(), str(work), running)
    assert nowhere.deliver(assignment(), str(work), SUCCEEDED, *logs(work, b"short"), running) == SUCCEEDED
    assert not wants_inputs(assignment())
    assert not wants_delivery(assignment(outputs=(Output("a", "a"),)), FAILED, 4096, 0)
    assert wants_delivery(assignment(outputs=(Output("a", "a"),)), SUCCEEDED, 0, 0)
    assert wants_delivery(assignment(), FAILED, 0, 4097)


def test_a_datastore_that_is_away_is_not_final(tmp_path: Path, work: Path, running: threading.Event) -> None:
    nowhere = Stage(Endpoint("127.0.0.1", 1, "u", "/none", "/none", "/none"), str(tmp_path / "cache"), 1000)
    (work / "a").write_bytes(A)
    with pytest.raises(StageError, match=r"the datastore: .*refused") as caught:
        nowhere.deliver(assignment(outputs=(Output("a", "a"),)), str(work), SUCCEEDED, *logs(work), running)
    assert not caught.value.final


def test_a_long_manifest_stays_on_the_datastore(stage: Stage, datastore: Datastore, work: Path, running: threading.Event) -> None:
    for number in range(MAX_FILES + 1):
        (work / f"{number}.dat").write_bytes(b"%d" % number)
    result = stage.deliver(assignment(outputs=(Output("*.dat", "*.dat"),)), str(work), SUCCEEDED, *logs(work), running)
    assert result.files is None
    read = result_of("u.0.1", record_of(datastore.root, "u.0.1"))
    assert read is not None
    assert read.files is not None
    assert len(read.files) == MAX_FILES + 1


def test_after_the_connection_broke_the_same_call_succeeds(
    stage: Stage, sshd: Sshd, datastore: Datastore, work: Path, running: threading.Event
) -> None:
    (work / "a.txt").write_bytes(A)
    task = assignment(outputs=(Output("a.txt", "a.txt"),))
    stage.deliver(task, str(work), SUCCEEDED, *logs(work), running)
    sshd.stop()
    try:
        error = eventually(lambda: failed_delivery(stage, task, work, running))
        assert not error.final
    finally:
        sshd.start()
    assert stage.deliver(task, str(work), SUCCEEDED, *logs(work), running).files == (("a.txt", len(A), sha256(A)),)


def test_many_attempts_deliver_at_once_through_one_connection(
    stage: Stage, datastore: Datastore, tmp_path: Path, running: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Endpoint] = []

    def counted(endpoint: Endpoint, *more: object, **others: object) -> Channel:
        opened.append(endpoint)
        return transfer.connect(endpoint, *more, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(lasting, "connect", counted)
    results: list[Result] = []

    def deliver(number: int) -> None:
        work = tmp_path / f"{number}" / "work"
        work.mkdir(parents=True)
        (work / "a.txt").write_bytes(b"%d" % number)
        task = assignment(outputs=(Output("a.txt", f"a-{number}.txt"),), attempt=f"u.{number}.1")
        results.append(stage.deliver(task, str(work), SUCCEEDED._replace(attempt=task.attempt), *logs(work), running))

    threads = [threading.Thread(target=deliver, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
    assert {result.attempt: result.files for result in results} == {
        f"u.{number}.1": ((f"a-{number}.txt", len(b"%d" % number), sha256(b"%d" % number)),) for number in range(12)
    }


def test_what_one_attempt_cannot_open_is_no_trouble_for_the_others(
    endpoint: Endpoint, datastore: Datastore, work: Path, running: threading.Event, tmp_path: Path
) -> None:
    stage = Stage(endpoint, str(tmp_path / "cache"), 10_000_000, owners=())
    (work / "a.txt").write_bytes(A)
    task = assignment(outputs=(Output("a.txt", "a.txt"),))
    with pytest.raises(StageError, match=r"a\.txt") as caught:
        stage.deliver(task, str(work), SUCCEEDED, *logs(work), running)
    assert caught.value.final
    channel = stage._outward._channel
    assert channel is not None
    assert channel.alive
    stage.close()


def failed_delivery(stage: Stage, task: Assignment, work: Path, running: threading.Event) -> StageError | None:
    try:
        stage.deliver(task, str(work), SUCCEEDED, *logs(work), running)
    except StageError as error:
        return error
    return None


def test_a_transfer_that_is_stopped_ends_and_the_next_attempt_is_served(stage: Stage, datastore: Datastore, work: Path) -> None:
    stopped = threading.Event()
    with (work / "endless").open("wb") as file:
        file.truncate(40_000_000_000)
    task = assignment(outputs=(Output("endless", "endless"),))
    ended: list[StageError] = []

    def deliver() -> None:
        try:
            stage.deliver(task, str(work), SUCCEEDED, *logs(work), stopped)
        except StageError as error:
            ended.append(error)

    thread = threading.Thread(target=deliver)
    thread.start()
    eventually(
        lambda: [path for path in datastore.root.glob("incoming/.u.0.1.*/files/endless") if path.stat().st_size > 1_000_000]
    )
    stopped.set()
    thread.join(20)
    assert [(error.reason, error.final) for error in ended] == [("stopped", True)]
    eventually(lambda: datastore.tree.names("incoming") == [])
    (work / "a.txt").write_bytes(A)
    other = assignment(outputs=(Output("a.txt", "a.txt"),), attempt="u.1.1")
    assert stage.deliver(other, str(work), SUCCEEDED._replace(attempt="u.1.1"), *logs(work), threading.Event()).files


def test_channels_are_closed_after_a_minute_without_use(
    stage: Stage, datastore: Datastore, work: Path, running: threading.Event
) -> None:
    (work / "a.txt").write_bytes(A)
    task = assignment(outputs=(Output("a.txt", "a.txt"),))
    stage.deliver(task, str(work), SUCCEEDED, *logs(work), running)
    channel = stage._outward._channel
    assert channel is not None
    for now in (100.0, 100.0 + IDLE - 1):
        stage.close_idle(now)
        assert channel.alive
    stage.close_idle(100.0 + IDLE)
    assert not channel.alive
    assert stage.deliver(task, str(work), SUCCEEDED, *logs(work), running).files
