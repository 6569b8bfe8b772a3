"""The clouds of the settings' pools, opened: one for each OpenStack project that pools are in.

A boss without such a pool never loads openstacksdk, which is half of its start and a third of its memory.
"""

from collections.abc import Callable, Mapping

from boss.adapters.consoles import Consoles
from boss.config import BossConfig
from boss.ports import Cloud

#: Makes what the servers of a claim group start with: ``user_data(pool, first claim, count)``.
UserData = Callable[[str, str, int], str]


def open_clouds(settings: BossConfig, cluster: str, epoch: int, user_data: UserData) -> Mapping[str, Cloud]:
    """By provider, as the pools name it; nothing is asked of them before they are started."""
    if not settings.clouds:
        return {}
    from boss.adapters.openstack import OpenStackCloud  # noqa: PLC0415 (only where there is one)

    named = {pool.cloud: tuple(other for other in settings.clouds if other.cloud == pool.cloud) for pool in settings.clouds}
    keep = Consoles(settings.consoles).keep
    clouds = (OpenStackCloud(name, cluster, epoch, pools, user_data, keep) for name, pools in named.items())
    return {cloud.provider: cloud for cloud in clouds}
