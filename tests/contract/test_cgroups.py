"""Control groups: what doctor expects here is what a worker finds here; and one group's life, on the kernel that runs the tests."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import eventually
from tests.subreaper import subreaper
from worker import cgroups
from worker.cgroup_places import look
from worker.limits import Bounds


@pytest.fixture
def found() -> Iterator[cgroups.Cgroups | None]:
    there, _ = cgroups.find()
    yield there
    if there is not None:
        there.close()


def assert_told_why_not() -> None:
    """Where there are no control groups that we may use, a worker says why, and its tasks run without."""
    there, reason = cgroups.find()
    assert there is None and reason


def test_doctor_expects_what_a_worker_finds(found: cgroups.Cgroups | None) -> None:
    places = look()
    assert places.controllers == (frozenset() if found is None else found.controllers)
    assert found is not None or places.lacking


def tree(folder: Path, version: int, mark: bytes) -> Path:
    """A ``/proc/self`` of a process in the group ``/user/ecloud.service`` of a hierarchy that is mounted in ``folder``."""
    own = folder / "sys" / "user" / "ecloud.service"
    own.mkdir(parents=True)
    (own / "cgroup.controllers").write_text("cpuset cpu io memory pids")
    (own / "cgroup.type").write_text("domain")
    os.setxattr(own, "user.delegate", mark)
    proc = folder / "proc"
    proc.mkdir()
    kind, options, names = ("cgroup2", "rw", "") if version == 2 else ("cgroup", "rw,memory", "memory")
    (proc / "cgroup").write_text(f"0:{names}:/user/ecloud.service\n")
    (proc / "mountinfo").write_text(f"30 23 0:26 / {folder}/sys rw,nosuid shared:4 - {kind} cgroup {options}\n")
    return proc


@pytest.mark.parametrize(("version", "mark", "there"), [(2, b"1", {"cpu", "memory", "pids"}), (1, b"", {"memory"})])
def test_both_versions_are_read(tmp_path: Path, version: int, mark: bytes, there: set[str]) -> None:
    assert look(str(tree(tmp_path, version, mark))).controllers == there


def test_a_group_that_systemd_has_not_delegated_is_left_alone_by_root(tmp_path: Path) -> None:
    """An ordinary user's own service is that user's to divide: the systemd of some can leave no mark."""
    places = look(str(tree(tmp_path, 2, b"0")))
    if os.geteuid() == 0:
        assert not places.controllers and "a systemd unit needs Delegate=yes" in places.lacking
    else:
        assert places.controllers == {"cpu", "memory", "pids"}


def test_a_group_bounds_counts_ends_and_serves_again(found: cgroups.Cgroups | None) -> None:
    if found is None:
        assert_told_why_not()
        return
    with subreaper():
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
    if found is None:
        assert_told_why_not()
        return
    home = os.path.dirname(next(folder for name, folder in found._folders.items() if name == "pids"))
    left = Path(home, "ecloud-4194304-1")  # beyond the largest pid
    (left / "1").mkdir(parents=True)
    again, _ = cgroups.find()
    assert again is not None and not left.exists()
