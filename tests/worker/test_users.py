"""Tasks as another user than the worker. Only root can be that worker, so for others there is one thing to see: it says so."""

import getpass
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import eventually
from tests.subreaper import subreaper
from worker import cgroups, users
from worker import events as ev
from worker.cells import Cells
from worker.command import Surroundings
from worker.execute import Executor
from worker.folders import Folders
from worker.limits import Limits
from worker.protocol import Assignment, Input, Result

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root can run tasks as somebody else")


class Bench:
    """An executor whose tasks have users of their own, in a folder that they can get to; with control groups or without."""

    def __init__(self, root: Path, groups: cgroups.Cgroups | None) -> None:
        (root / "secret").write_text("key")
        (root / "secret").chmod(0o600)
        self.users = users.find("nobody", claims=str(root / "claims"))
        self.folders = Folders(str(root / "work"), self.users)
        self.cells = Cells(Limits(), self.users, groups)
        surroundings = Surroundings("w", self.folders.root, os.environ)
        self.executor = Executor(self.folders, surroundings, "/bin/bash", self.cells)
        self._count = 0
        self._ended: dict[str, Result] = {}

    def start(self, *commands: str, prepare: dict[str, str] | None = None, init: bool = False, job: str = "u") -> Assignment:
        self._count += 1
        inputs = tuple(Input(name, name) for name in prepare or {})
        assignment = Assignment(f"{job}.{self._count}.1", "j", "t", commands, init=init, inputs=inputs)
        self.folders.make(assignment)
        for name, text in (prepare or {}).items():
            path = Path(self.folders.inbox(assignment), name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        event = self.executor.start(assignment, 0.0)
        assert isinstance(event, ev.Began), event
        return assignment

    def end(self, assignment: Assignment) -> Result:
        def found() -> Result | None:
            self._ended.update({ended.attempt: ended.result for ended in self.executor.reap()})
            return self._ended.pop(assignment.attempt, None)

        return eventually(found)

    def run(self, *commands: str, prepare: dict[str, str] | None = None, init: bool = False, job: str = "u") -> Result:
        return self.end(self.start(*commands, prepare=prepare, init=init, job=job))


@pytest.fixture(scope="module")
def block() -> int:
    """Where a block of numbers begins that nobody else has on this machine, whatever claims a test makes in its own folder."""
    return users.find("nobody").numbers[0] - 1


@pytest.fixture(params=["groups", "no groups"])
def bench(open_folder: Path, request: pytest.FixtureRequest, block: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(users, "FIRST", block)
    groups, reason = cgroups.find() if request.param == "groups" else (None, "")
    assert groups is not None or request.param == "no groups", reason
    with subreaper():
        bench = Bench(open_folder, groups)
        yield bench
        bench.executor.kill_all()


@as_root
def test_a_task_is_its_user_and_owns_what_was_fetched_for_it(bench: Bench) -> None:
    result = bench.run("id -u; id -g; echo $USER; echo more >> in/a; cat in/a; touch made", prepare={"in/a": "fetched\n"})
    number = bench.users.numbers[0]
    assert (result.outcome, result.stdout) == ("succeeded", f"{number}\n{number}\nnobody-1\nfetched\nmore\n"), result


@as_root
def test_a_task_can_write_to_its_streams_by_name_and_has_no_group_of_roots(bench: Bench) -> None:
    result = bench.run("echo oops > /dev/stderr; echo out > /dev/stdout; id -G; touch $TMPDIR/x")
    assert (result.outcome, result.stderr) == ("succeeded", "oops\n"), result
    assert "0" not in result.stdout.split()


@as_root
@pytest.mark.parametrize(
    "command",
    [
        "cat {root}/secret",
        "ls {root}/work",
        "ls {root}/work/attempts",
        "cat /proc/$PPID/environ",
        "touch {root}/work/spool",
        "kill -0 {pid}",
        "kill -9 {pid}",
        "ls -l /proc/{pid}/fd",
        "cat /proc/{pid}/mem",
    ],
)
def test_a_task_cannot_reach_what_is_the_workers(bench: Bench, open_folder: Path, command: str) -> None:
    (open_folder / "work" / "spool").touch(0o600)
    result = bench.run(command.format(root=open_folder, pid=os.getpid()))
    assert (result.outcome, result.phase) == ("failed", "run"), result
    assert "ermission denied" in result.stderr or "not permitted" in result.stderr


@as_root
def test_a_task_cannot_reach_into_the_folder_of_an_attempt_that_has_not_started(bench: Bench) -> None:
    waiting = Assignment("u.99.1", "j", "t", ("true",))
    folder = bench.folders.make(waiting)
    assert bench.run(f"ln -s /etc/passwd {folder}/work/x").outcome == "failed"


@as_root
def test_an_init_task_leaves_its_folder_to_the_others(bench: Bench) -> None:
    assert bench.run("echo made > tool", init=True).outcome == "succeeded"
    assert bench.run("cat $ECLOUD_INIT/tool").stdout == "made\n"


@as_root
def test_only_its_own_job_gets_into_an_init_folder_and_only_to_read(bench: Bench) -> None:
    assert bench.run("umask 0; echo made > tool; chmod 777 . tool; id -u", init=True).outcome == "succeeded"
    folder = bench.folders.init("u.1.1")
    own = bench.run("cat $ECLOUD_INIT/tool; touch $ECLOUD_INIT/../x")
    assert own.stdout == "made\n" and "ermission denied" in own.stderr
    other = bench.run(f"cat {folder}/tool", job="other")
    assert (other.outcome, other.stdout) == ("failed", "") and "ermission denied" in other.stderr


@as_root
def test_init_attempts_of_a_job_are_one_user_and_its_number_is_never_anothers(bench: Bench) -> None:
    first = bench.run("id -u; touch mine", init=True).stdout
    assert bench.run("id -u; rm mine", init=True).stdout == first
    others = {bench.run("id -u", job=f"j{number}").stdout for number in range(3)}
    assert first not in others and len(others) == 1  # one after the other: the same number


@as_root
def test_what_an_init_task_prepared_is_kept_over_a_restart_for_its_job(bench: Bench, open_folder: Path) -> None:
    uid = bench.run("echo made > tool; id -u", init=True).stdout.strip()
    users_again = users.find("nobody", claims=str(open_folder / "claims-of-another-life"))
    again = Folders(bench.folders.root, users_again)
    assert again.init("u.7.1") == bench.folders.init("u.1.1")
    assert users_again.of_job("u").uid == int(uid) and users_again.take().uid != int(uid)


@as_root
def test_two_workers_of_a_machine_have_numbers_of_their_own(bench: Bench, open_folder: Path) -> None:
    second = users.find("nobody", claims=str(open_folder / "claims"))
    assert not set(second.numbers) & set(bench.users.numbers)


@as_root
def test_a_folder_that_others_cannot_get_to_is_named_with_the_remedy(open_folder: Path) -> None:
    (open_folder / "closed" / "w").mkdir(parents=True)
    (open_folder / "closed").chmod(0o700)
    with pytest.raises(users.NoTaskUser, match=f"chmod o.x {open_folder}/closed"):
        users.check_way(str(open_folder / "closed" / "w"))


@as_root
def test_a_program_that_only_root_may_execute_is_not_found_as_for_any_user(bench: Bench, open_folder: Path) -> None:
    program = open_folder / "program"
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o700)
    assert bench.run(str(program)).exit_code == 126
    program.chmod(0o755)
    assert bench.run(str(program)).stdout == "ran\n"


@as_root
def test_folders_of_attempts_serve_again_unless_a_task_has_left_a_mark(bench: Bench) -> None:
    clean = bench.start("true")
    bench.end(clean)
    assert bench.folders.reuse(clean.attempt)
    for trace in ("touch x", "chmod 755 .", "touch $TMPDIR/x"):
        left = bench.start(trace)
        bench.end(left)
        assert not bench.folders.reuse(left.attempt), trace
        bench.folders.remove(left.attempt)


@as_root
def test_a_link_that_a_task_left_is_handed_over_as_a_link(bench: Bench, open_folder: Path) -> None:
    assert bench.run(f"ln -s {open_folder}/secret link", init=True).outcome == "succeeded"
    assert bench.run("true", init=True).outcome == "succeeded"
    assert (open_folder / "secret").stat().st_uid == 0


@as_root
def test_commands_that_do_not_exist_or_are_very_long_end_as_they_do_elsewhere(bench: Bench) -> None:
    missing = bench.run("no-such-program")
    assert (missing.exit_code, missing.reason) == (127, "exit code 127: the command was not found")
    assert bench.run("true " + "x" * 200_000).outcome == "succeeded"


@as_root
@pytest.mark.parametrize(("name", "why"), [("no-such-user", "there is no such user"), ("root", "who is root")])
def test_a_user_that_will_not_do_is_refused(name: str, why: str) -> None:
    with pytest.raises(users.NoTaskUser, match=why):
        users.find(name)


def test_a_worker_that_is_not_root_says_that_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(users.NoTaskUser, match="takes a worker that is root"):
        users.find(pwd.getpwnam(getpass.getuser()).pw_name)
