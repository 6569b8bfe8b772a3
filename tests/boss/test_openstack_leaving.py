"""Deletions of one cloud beside each other: what one of them meets does not hold the others up."""

from collections.abc import Callable
from typing import Any

import pytest

from boss.adapters import openstack_leaving
from boss.adapters.openstack_errors import CloudError
from boss.adapters.openstack_leaving import Leaving
from boss.core.events import Event, VmDeleted, VmDeleteFailed
from boss.core.model import Refusal


class Cloud:
    """A project without servers; ``refusals`` are what is said when the floating IPs of a claim are given back."""

    def __init__(self, refusals: dict[str, CloudError]) -> None:
        self.refusals = refusals
        self.jobs: list[Callable[[], None]] = []

    def do(self, job: Callable[[], None], wait: float = 0.0) -> None:
        self.jobs.append(job)

    def concern(self, claim: str) -> bool:
        return False

    def call(self, *words: object, **more: object) -> dict[str, Any]:
        return {}

    def one(self, server: str) -> None:
        return None

    def raw(self) -> list[dict[str, Any]]:
        return []

    def release(self, claim: str) -> None:
        if claim in self.refusals:
            raise self.refusals[claim]

    def work(self) -> None:
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job()


def deleted(refusals: dict[str, CloudError], *vms: str) -> tuple[list[Event], Any]:
    """What is told when these claims are deleted and looked at once; and the cloud."""
    cloud: Any = Cloud(refusals)
    leaving = Leaving(cloud, cloud, cloud, cloud, cloud, cloud)
    told: list[Event] = []
    leaving.put = lambda event: told.append(event) or True  # type: ignore[func-returns-value]
    for vm in vms:
        leaving.begin(vm, f"server of {vm}")
    cloud.work()  # all are asked to go
    cloud.work()  # and looked at
    return told, cloud


@pytest.mark.parametrize("count", [2, 9])
def test_a_deletion_whose_floating_ip_is_refused_keeps_no_other_from_being_confirmed(count: int) -> None:
    vms = [f"lab-{number}" for number in range(count)]
    refused = CloudError(Refusal.CREDENTIAL, "our credential may not do that (403)", status=403)
    told, cloud = deleted({"lab-0": refused}, *vms)
    assert told == [VmDeleteFailed("lab-0", refused.reason), *(VmDeleted(vm) for vm in vms[1:])]
    cloud.refusals.clear()
    cloud.work()
    assert told[-1] == VmDeleted("lab-0") and not cloud.jobs


def test_a_service_that_is_away_is_asked_once_a_look_and_all_are_told() -> None:
    away = CloudError(Refusal.UNAVAILABLE, "the network service cannot be reached")
    told, cloud = deleted({"lab-0": away}, "lab-0", "lab-1")
    assert told == [VmDeleteFailed("lab-0", away.reason), VmDeleteFailed("lab-1", away.reason)]
    cloud.refusals.clear()
    cloud.work()
    assert told[2:] == [VmDeleted("lab-0"), VmDeleted("lab-1")] and not cloud.jobs


def test_what_is_refused_for_too_long_is_left_behind_and_the_server_is_known_to_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openstack_leaving, "PATIENCE", -1.0)
    told, cloud = deleted({"lab-0": CloudError(Refusal.CREDENTIAL, "our credential may not do that (403)", status=403)}, "lab-0")
    assert told == [VmDeleted("lab-0")] and not cloud.jobs
