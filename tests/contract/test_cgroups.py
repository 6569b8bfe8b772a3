"""Control groups: what doctor expects here is what a worker finds here; and one group's life, on the kernel that runs the tests."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.adapters.cgroups import controllers
from tests.servers import eventually
from worker import cgroups, processes
from worker.limits import Bounds


@pytest.fixture
def found() -> Iterator[cgroups.Cgroups | None]:
    there, _ = cgroups.find()
    yield there
    if there is not None:
        there.close()


def test_doctor_expects_what_a_worker_finds(found: cgroups.Cgroups | None) -> None:
    assert controllers() == (set() if found is None else set(found.controllers))


def tree(folder: Path, version: int, mark: bytes) -> Path:
    """A ``/proc/self`` of a process in the group ``/user/ecloud.service`` of a hierarchy that is mounted in ``folder``."""
    own = folder / "sys" / "user" / "ecloud.service"
    own.mkdir(parents=True)
    (own / "cgroup.controllers").write_text("cpuset cpu io memory pids")
    os.setxattr(own, "user.delegate", mark)
    proc = folder / "proc"
    proc.mkdir()
    kind, options, names = ("cgroup2", "rw", "") if version == 2 else ("cgroup", "rw,memory", "memory")
    (proc / "cgroup").write_text(f"0:{names}:/user/ecloud.service\n")
    (proc / "mountinfo").write_text(f"30 23 0:26 / {folder}/sys rw,nosuid shared:4 - {kind} cgroup {options}\n")
    return proc


@pytest.mark.parametrize(("version", "mark", "there"), [(2, b"1", {"cpu", "memory", "pids"}), (1, b"", {"memory"})])
def test_doctor_reads_both_versions(tmp_path: Path, version: int, mark: bytes, there: set[str]) -> None:
    assert controllers(tree(tmp_path, version, mark)) == there


@pytest.mark.skipif(os.geteuid() != 0, reason="of an ordinary user, systemd's mark is not asked for")
def test_a_group_that_systemd_has_not_delegated_is_left_alone(tmp_path: Path) -> None:
    assert controllers(tree(tmp_path, 2, b"0")) == set()


def test_a_group_bounds_counts_ends_and_serves_again(found: cgroups.Cgroups | None) -> None:
    if found is None:
        pytest.skip("no control groups here")
    processes.become_subreaper()
    group = found.group()
    for _ in range(2):
        group.enter()
        try:
            pid = os.posix_spawn("/bin/sh", ["sh", "-c", "sleep 1000 & sleep 1000"], os.environ, setsid=True)
        finally:
            group.leave()
        group.bind(Bounds(memory=64 << 20, processes=10, cpus=0.5, quota=True))
        eventually(lambda: len(group.pids()) >= 3)
        assert os.getpid() not in group.pids()
        inside = group.pids()
        group.kill()
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        for each in inside:
            with contextlib.suppress(ChildProcessError):  # the shell has reaped it before it was killed itself
                os.waitpid(each, 0)
        assert not group.pids()
        assert group.used().oom_kills == 0
        group.renew()


def test_what_a_dead_worker_has_left_is_removed_by_the_next(found: cgroups.Cgroups | None) -> None:
    if found is None or found.version != 1:
        pytest.skip("no control groups of v1 here")
    (home,) = {os.path.dirname(folder) for name, folder in found._folders.items() if name == "pids"}
    left = Path(home, "ecloud-4194304-1")  # beyond the largest pid
    (left / "1").mkdir(parents=True)
    again, _ = cgroups.find()
    assert again is not None and not left.exists()
