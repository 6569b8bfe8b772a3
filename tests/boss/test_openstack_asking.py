"""Create calls that never leave this machine."""

from collections.abc import Sequence
from typing import Any

from boss.adapters.openstack_asking import Asking, Zones
from boss.adapters.userdata import UserDataError
from boss.config import CloudPool
from boss.core.events import Event, VmCreateFailed
from boss.core.model import Refusal


class Cloud:
    """A cloud that has all that is looked up, and fails the test when something is asked of it."""

    def image(self, name: str) -> dict[str, Any]:
        return {"id": name}

    def flavor(self, name: str) -> dict[str, Any]:
        return {"id": name}

    def networks(self, names: Sequence[str]) -> list[str]:
        return list(names)

    def call(self, *words: object, **more: object) -> dict[str, Any]:
        raise AssertionError(f"asked: {words}")


def test_user_data_that_cannot_be_made_is_a_refusal_of_the_settings_and_leaves_no_claim_open() -> None:
    def too_long(pool: str, group: str, count: int) -> str:
        raise UserDataError(f"pool {pool}: its user data would have 70000 bytes")

    cloud: Any = Cloud()
    told: list[Event] = []
    pools = {"lab": CloudPool("lab", "", "debian", {"one": {}})}
    asking = Asking(cloud, cloud, cloud, Zones(), "c1", 1, pools, too_long, lambda vm, server: None)
    asking.put = lambda event: told.append(event) or True  # type: ignore[func-returns-value]
    asking.expect(["lab-1", "lab-2"])
    asking.ask(("lab-1", "lab-2"), "lab", "one")
    reason = "pool lab: its user data would have 70000 bytes"
    assert told == [VmCreateFailed(vm, reason, True, Refusal.INVALID, 0.0) for vm in ("lab-1", "lab-2")]
