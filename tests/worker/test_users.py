"""Tasks as another user than the worker. Only root can be that worker, so for others there is one thing to see: it says so."""

import getpass
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import eventually
from worker import processes, users
from worker.command import Surroundings
from worker.execute import Executor
from worker.folders import Folders
from worker.protocol import Assignment, Result

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root can run tasks as somebody else")


class Bench:
    """An executor whose tasks are ``nobody``'s, in a folder that he can get to."""

    def __init__(self, root: Path) -> None:
        root.chmod(0o711)
        for folder in root.parents:
            if folder.name.startswith(("pytest-", "popen-")):  # pytest's own, which are closed to others
                folder.chmod(0o711)
        (root / "secret").write_text("key")
        (root / "secret").chmod(0o600)
        self.user = users.find("nobody")
        self.folders = Folders(str(root / "work"), self.user)
        surroundings = Surroundings("w", self.folders.root, self.user.environ(os.environ))
        self.executor = Executor(self.folders, surroundings, "/bin/bash", self.user)
        self._count = 0

    def run(self, *commands: str, prepare: dict[str, str] | None = None, init: bool = False) -> Result:
        self._count += 1
        assignment = Assignment(f"u.{self._count}.1", "j", "t", commands, init=init)
        self.folders.make(assignment)
        for name, text in (prepare or {}).items():
            path = Path(self.folders.work(assignment), name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        self.executor.start(assignment, 0.0)
        (ended,) = eventually(self.executor.reap)
        result: Result = ended.result
        return result


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    processes.become_subreaper()
    bench = Bench(tmp_path)
    yield bench
    bench.executor.kill_all()


@as_root
def test_a_task_is_its_user_and_owns_what_was_fetched_for_it(bench: Bench) -> None:
    result = bench.run("id -un; echo $USER; echo more >> in/a; cat in/a; touch made", prepare={"in/a": "fetched\n"})
    assert (result.outcome, result.stdout) == ("succeeded", "nobody\nnobody\nfetched\nmore\n"), result


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
    ],
)
def test_a_task_cannot_reach_what_is_the_workers(bench: Bench, tmp_path: Path, command: str) -> None:
    (tmp_path / "work" / "spool").touch(0o600)
    result = bench.run(command.format(root=tmp_path, pid=os.getpid()))
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
def test_a_link_that_a_task_left_is_handed_over_as_a_link(bench: Bench, tmp_path: Path) -> None:
    assert bench.run(f"ln -s {tmp_path}/secret link", init=True).outcome == "succeeded"
    assert bench.run("true", init=True).outcome == "succeeded"
    assert (tmp_path / "secret").stat().st_uid == 0


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
