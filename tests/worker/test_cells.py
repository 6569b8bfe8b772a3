"""Cells: what an attempt gets, and what the next one does not."""

import resource
from typing import cast

import pytest

from worker import processes
from worker.cells import Cells
from worker.cgroups import Cgroups, Group
from worker.limits import Limits
from worker.protocol import Assignment

TASK = Assignment("u.0.1", "j", "t", ("true",))


class Spoiled(Group):
    """A group in which a task has made something, so that it cannot be made ready again."""

    def pids(self) -> list[int]:
        return []

    def renew(self) -> None:
        raise OSError(16, "Device or resource busy")


class Fresh(Group):
    """One that can."""

    def pids(self) -> list[int]:
        return []

    def renew(self) -> None:
        pass


class Groups:
    """Hands out these groups."""

    controllers = frozenset({"memory", "pids", "cpu"})

    def __init__(self, *groups: Group) -> None:
        self.groups = list(groups)

    def group(self) -> Group:
        return self.groups.pop(0)


def test_a_group_that_cannot_be_made_ready_again_costs_no_attempt_and_no_other_group() -> None:
    spoiled, fresh = Spoiled(), Fresh()
    cells = Cells(Limits(), None, cast(Cgroups, Groups(spoiled, fresh)))
    first, second = cells.take(TASK), cells.take(TASK)
    assert (first.group, second.group) == (spoiled, fresh)
    cells.give(first)
    cells.give(second)
    assert cells.take(TASK).group is fresh


def test_attempts_of_one_user_have_room_for_each_beside_what_that_user_has_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "thread_count", lambda _pids: 500)
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _what, limits: set_to.append(limits))
    monkeypatch.setattr(resource, "prlimit", lambda _pid, _what, limits: set_to.append(limits))
    cells = Cells(Limits(("processes",), 100), attempts=4)
    cells.start(cells.take(TASK), None, lambda _command: 2**22)  # type: ignore[arg-type]  # no process has this number
    assert set_to[0][0] == set_to[-1][0] == 900
