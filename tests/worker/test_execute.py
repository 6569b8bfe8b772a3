"""Attempts as real processes."""

import contextlib
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import eventually
from tests.subreaper import subreaper
from worker import events as ev
from worker import processes
from worker.command import Surroundings
from worker.execute import GRACE, Executor
from worker.folders import Folders
from worker.protocol import MAX_TAIL, Assignment, Output, Result


class Bench:
    """An executor with a folder of its own; ``run`` waits for an attempt's end."""

    def __init__(self, root: Path) -> None:
        self.folders = Folders(str(root))
        self.executor = Executor(self.folders, Surroundings("w", self.folders.root, os.environ), "/bin/bash")
        self._count = 0

    def start(self, *commands: str, now: float = 0.0, **more: object) -> str:
        self._count += 1
        attempt = f"u.{self._count}.1"
        event = self.executor.start(Assignment(attempt, "j", "t", commands, **more), now)  # type: ignore[arg-type]
        assert isinstance(event, ev.Began), event
        return attempt

    def end(self) -> ev.Ended:
        (ended,) = eventually(self.executor.reap)
        return ended

    def run(self, *commands: str, **more: object) -> Result:
        attempt = self.start(*commands, **more)
        ended = self.end()
        assert ended.attempt == ended.result.attempt == attempt
        return ended.result

    def path(self, attempt: str, name: str) -> Path:
        return Path(self.folders.path(attempt), name)


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    processes.seal_descriptors()
    with subreaper():
        yield


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "w")
    yield bench
    bench.executor.kill_all()
    eventually(lambda: not bench.executor.reap() and not left(bench))


def left(bench: Bench) -> list[int]:
    """Pids of living processes of any attempt of this bench."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and processes.environment(int(name)).get("ECLOUD_WORKER_FOLDER") == bench.folders.root:
            found.append(int(name))
    return found


def test_a_command_runs_in_a_fresh_folder_with_its_own_output(bench: Bench) -> None:
    result = bench.run("pwd; ls -A; cat; echo err >&2; ls /proc/self/fd | wc -l; echo $TMPDIR")
    folder = bench.folders.path(result.attempt)
    assert result.stdout == f"{folder}/work\n4\n{folder}/temp\n"  # stdin, stdout, stderr, and ls's own look at the folder
    assert (result.stderr, result.stdout_size, result.stderr_size) == ("err\n", len(result.stdout), 4)
    assert (result.outcome, result.phase, result.exit_code, result.signal, result.reason) == ("succeeded", "", 0, None, "")
    assert 0 < result.started <= result.finished


def test_several_commands_keep_folder_and_variables_and_stop_at_the_first_failure(bench: Bench) -> None:
    result = bench.run("mkdir d", "cd d", "export X=7", "echo $X ${PWD##*/}", "false | cat", "echo not reached")
    assert (result.stdout, result.exit_code, result.reason) == ("7 d\n", 1, "exit code 1")


def test_a_task_leads_its_own_session_and_has_default_signals(bench: Bench) -> None:
    result = bench.run("ps -o pid=,sid=,pgid= $$ | tr -s ' '; grep -E 'Sig(Ign|Blk)' /proc/self/status")
    pids, *signals = result.stdout.splitlines()
    assert len(set(pids.split())) == 1
    numbered_below_32 = 0x7FFFFFFF  # above are the C library's own
    assert [int(line.split()[1], 16) & numbered_below_32 for line in signals] == [0, 0]


def test_a_program_that_is_not_found_is_127_and_one_that_may_not_run_is_126(bench: Bench) -> None:
    missing = bench.run("no-such-program --now")
    assert (missing.exit_code, missing.reason) == (127, "exit code 127: the command was not found")
    assert "no-such-program: command not found" in missing.stderr
    refused = bench.run("/etc/passwd x")
    assert (refused.exit_code, refused.reason) == (126, "exit code 126: the command cannot be executed")


def test_a_script_without_a_first_line_is_run_by_the_shell(bench: Bench) -> None:
    script = Path(bench.folders.root, "script")
    script.write_text("echo from a script $1\n")
    script.chmod(0o755)
    assert bench.run(f"{script} x").stdout == "from a script x\n"


def test_commands_that_are_too_long_for_an_argument_run_all_the_same(bench: Bench) -> None:
    long = "x" * 200_000
    said = bench.run("cd /", f"word={long}", "echo ${#word} $PWD")
    assert (said.stdout, said.exit_code) == ("200000 /\n", 0)
    words = bench.run("printf %s " + "word " * 40_000)  # many words, none of them long: no shell, no file
    assert (words.stdout_size, words.exit_code) == (160_000, 0)
    refused = bench.run(f"/bin/echo {long}")
    assert (refused.exit_code, refused.phase) == (126, "run")
    assert "Argument list too long" in refused.stderr


@pytest.mark.parametrize(
    ("output", "folder"), [("out/a b/1.json", "'out/a b'"), ("out/*.json", "out/"), ("out/deep/", "out"), ("1.json", "")]
)
def test_an_output_whose_folder_nobody_made_is_named_with_the_remedy(bench: Bench, output: str, folder: str) -> None:
    result = bench.run("echo 1 > out/1.json", outputs=(Output(output, output),))
    hint = f"; the folder of its output {output} does not exist: begin with mkdir -p {folder}" if folder else ""
    assert result.reason == f"exit code 1{hint}"
    other = bench.run("mkdir -p out/'a b'; exit 1", outputs=(Output(output, output),))
    assert other.reason == "exit code 1"


def test_death_by_a_signal_is_named(bench: Bench) -> None:
    result = bench.run("kill -SEGV $$")
    assert (result.outcome, result.exit_code, result.signal, result.reason) == ("failed", None, 11, "killed by SIGSEGV")


def test_only_the_tail_of_long_output_is_in_the_result(bench: Bench) -> None:
    result = bench.run("head -c 9000 /dev/zero | tr '\\0' x; printf '\\303\\244\\377'")
    assert (result.stdout_size, len(result.stdout)) == (9003, MAX_TAIL - 1)
    assert result.stdout.endswith("x\u00e4\ufffd")


def test_a_timeout_ends_the_attempt_and_says_after_how_long(bench: Bench) -> None:
    bench.start("sleep 1000", timeout=90.0, now=10.0)
    assert bench.executor.deadline() == 100.0
    bench.executor.expire(99.0)
    assert bench.executor.reap() == []
    bench.executor.expire(100.0)
    result = bench.end().result
    assert (result.outcome, result.phase, result.signal, result.reason) == ("failed", "run", 15, "timed out after 90s")
    assert bench.executor.deadline() == float("inf")


def test_who_ignores_sigterm_is_killed_after_the_grace(bench: Bench) -> None:
    attempt = bench.start("trap '' TERM; echo ready; sleep 1000 & wait; sleep 1000", now=0.0)
    eventually(lambda: bench.path(attempt, "stdout").read_text())
    bench.executor.stop(attempt, "cancelled", 1.0)
    bench.executor.expire(1.0 + GRACE - 0.1)
    assert bench.executor.reap() == []
    bench.executor.expire(1.0 + GRACE)
    result = bench.end().result
    assert (result.signal, result.reason) == (9, "cancelled")


def test_a_polite_end_lets_the_task_clean_up(bench: Bench) -> None:
    attempt = bench.start("trap 'echo bye; exit 5' TERM; echo ready; sleep 1000 & wait")
    eventually(lambda: bench.path(attempt, "stdout").read_text())
    bench.executor.stop(attempt, "cancelled", 0.0)
    result = bench.end().result
    assert (result.stdout, result.exit_code, result.outcome, result.reason) == ("ready\nbye\n", 5, "failed", "cancelled")


def test_nothing_outlives_its_attempt_not_even_in_another_session(bench: Bench) -> None:
    survivors = "sleep 1001 & setsid sleep 1002 & setsid sh -c 'sleep 1003 & setsid sleep 1004' & "
    daemon = "(setsid sh -c 'setsid sleep 1005 & exec sleep 1006' &) ; "
    ready = 'until [ $(ps -e -o args= | grep -c "^sleep 100[1-6]") -ge 6 ]; do :; done; exit 0'
    result = bench.run(survivors + daemon + ready)
    assert result.outcome == "succeeded"
    eventually(lambda: not bench.executor.reap() and not left(bench))


def test_an_ending_attempt_leaves_the_others_alone(bench: Bench) -> None:
    other = bench.start("setsid sleep 1000 & echo $!; wait")
    (pid,) = [int(word) for word in eventually(lambda: bench.path(other, "stdout").read_text()).split()]
    assert bench.run("setsid sleep 1000 &").outcome == "succeeded"
    assert Path(f"/proc/{pid}").exists()
    bench.executor.stop(other, "cancelled", 0.0, grace=False)
    assert bench.end().attempt == other
    eventually(lambda: not bench.executor.reap() and not left(bench))


def test_usage_is_of_the_whole_tree(bench: Bench) -> None:
    busy = "import time\nwhile time.process_time() < 0.1: bytes(50_000_000)"
    script = Path(bench.folders.root, "busy.py")
    script.write_text(busy)
    result = bench.run(f"(python3 {script}); true")
    assert result.usage["cpu"] >= 0.1
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # where the kernel's count begins
    assert 50_000_000 <= result.usage["memory"] < own + 500_000_000


def test_what_cannot_be_started_is_a_failure_of_the_infrastructure(bench: Bench) -> None:
    for more in ({"env": {"X": "a\0b"}}, {"env": {"": "x"}}):
        assignment = Assignment("u.9.1", "j", "t", ("true",), **more)  # type: ignore[arg-type]
        event = bench.executor.start(assignment, 0.0)
        assert isinstance(event, ev.Ended)
        assert (event.result.outcome, event.result.phase) == ("failed", "infrastructure")
        assert "could not be started" in event.result.reason


def test_an_init_attempt_works_in_a_lasting_folder_that_later_attempts_of_the_job_find(bench: Bench) -> None:
    assert bench.run("echo ${ECLOUD_INIT-none}").stdout == "none\n"
    result = bench.run("echo data > file; pwd", init=True)
    assert result.stdout == f"{bench.folders.root}/inits/u\n"
    assert bench.run("cat $ECLOUD_INIT/file; ls").stdout == "data\n"


def test_many_attempts_at_once_end_each_with_its_own_result(bench: Bench) -> None:
    started = {bench.start(f"exit {number}"): number for number in range(20)}
    ended: list[ev.Ended] = []
    eventually(lambda: ended.extend(bench.executor.reap()) or len(ended) == 20)
    assert {each.attempt: each.result.exit_code for each in ended} == started


def test_children_of_other_parts_of_the_process_are_not_reaped(bench: Bench) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:  # a child of this very thread that is no attempt, alive until the pipe closes
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    assert bench.run("true").outcome == "succeeded"
    os.kill(pid, 0)
    os.close(writer)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def test_children_of_other_threads_are_nobodys_also_where_the_kernel_keeps_no_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_list(pid: int, thread: str) -> list[int]:
        raise FileNotFoundError

    monkeypatch.setattr(processes, "_listed_children", no_list)
    started, done = threading.Event(), threading.Event()
    others: list[int] = []

    def elsewhere() -> None:
        with subprocess.Popen(["sleep", "1000"]) as child:
            others.append(child.pid)
            started.set()
            done.wait()
            child.kill()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    started.wait()
    own = os.posix_spawn("/bin/sh", ["sh", "-c", "sleep 1000 & wait"], os.environ)
    try:
        eventually(lambda: processes.descendants(own))
        assert own in processes.children() and others[0] not in processes.children()
    finally:
        done.set()
        thread.join()
        processes.kill_tree(own)
        os.waitpid(own, 0)


def test_the_number_of_a_stray_that_has_ended_says_nothing_of_who_has_it_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = "(env -i setsid sh -c 'echo $$; until [ -e go ]; do sleep 0.01; done' &)"
    first = bench.start(stray, "until [ -e end ]; do sleep 0.01; done")
    pid = int(eventually(lambda: bench.path(first, "stdout").read_text()))
    eventually(lambda: pid in processes.children())
    bench.run("true")  # at its end it is looked for what is left over: the stray may be the first one's
    assert os.path.exists(f"/proc/{pid}")
    bench.path(first, "work/go").touch()
    eventually(lambda: not bench.executor.reap() and not os.path.exists(f"/proc/{pid}"))
    second = bench.start("sleep 1000")
    killed: list[int] = []
    monkeypatch.setattr(processes, "children", lambda: [pid])
    monkeypatch.setattr(processes, "environment", lambda _pid: {})
    monkeypatch.setattr(processes, "kill_tree", killed.append)
    bench.path(first, "work/end").touch()
    assert bench.end().attempt == first
    assert killed == [], "it may be the second one's"
    monkeypatch.undo()
    bench.executor.stop(second, "enough", 0.0, grace=False)
    bench.end()


def test_many_short_attempts_leave_neither_processes_nor_folders(bench: Bench) -> None:
    for _ in range(200):
        result = bench.run("true")
        assert bench.folders.reuse(result.attempt)
    assert len(os.listdir(os.path.join(bench.folders.root, "attempts"))) == 1
    assert not processes.ended_child(), "somebody waits to be reaped"


def test_the_grace_of_a_stopped_attempt_is_not_extended_by_asking_again(bench: Bench) -> None:
    attempt = bench.start("trap '' TERM; echo ready; sleep 1000 & wait; sleep 1000")
    eventually(lambda: bench.path(attempt, "stdout").read_text())
    bench.executor.stop(attempt, "first", 0.0)
    bench.executor.stop(attempt, "second", GRACE - 0.1)
    bench.executor.expire(GRACE)
    result = bench.end().result
    assert (result.signal, result.reason) == (signal.SIGKILL, "first")


def test_what_this_process_had_started_before_is_nobodys_and_stays(tmp_path: Path) -> None:
    earlier = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
    bench = Bench(tmp_path / "w")
    assert bench.run("env -i setsid sleep 1234 & sleep 0.1").outcome == "succeeded"
    assert processes.started(earlier) and not bench.executor.reap()
    os.kill(earlier, signal.SIGKILL)
    os.waitpid(earlier, 0)
    bench.executor.kill_all()
