"""What we write on servers and read from a cloud's answers. PURE: names, tags and metadata out; servers, limits and sizes in.

Rules:
- Metadata says whose a server is: ``ecloud-cluster``, ``ecloud-claim`` (the first claim of its call), ``ecloud-count`` (how many
  claims), ``ecloud-pool``, ``ecloud-epoch`` and ``ecloud-zone``. It survives renaming, which people do.
- One call for several servers gives all of them the same metadata; Nova numbers their names ``-1``, ``-2`` ... Claims of a call are
  consecutive, so the number tells the claim. Without it only the group is known.
- The server's tag, and the first tag of its ports and floating IPs, is ``ecloud-<cluster>``; these have the claim as a second one.
"""

import ipaddress
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from boss.core.events import Limit, Server
from boss.core.model import Resources

Json = Mapping[str, Any]

CLUSTER, CLAIM, COUNT = "ecloud-cluster", "ecloud-claim", "ecloud-count"
POOL, EPOCH, ZONE = "ecloud-pool", "ecloud-epoch", "ecloud-zone"
_GIB, _MIB = 2**30, 2**20


def tag(cluster: str) -> str:
    """The tag of everything that is a cluster's."""
    return f"ecloud-{cluster}"


def server_name(cluster: str, claim: str) -> str:
    """The name in the create call."""
    return f"ecloud-{cluster}-{claim}"


def metadata(cluster: str, epoch: int, pool: str, vms: Sequence[str], zone: str, extra: Mapping[str, str]) -> dict[str, str]:
    """What every server of a call carries; ``extra`` comes from the settings and never replaces ours."""
    ours = {CLUSTER: cluster, CLAIM: vms[0], COUNT: str(len(vms)), POOL: pool, EPOCH: str(epoch)}
    return dict(extra) | ours | ({ZONE: zone} if zone else {})


def is_ours(raw: Json, cluster: str) -> bool:
    """Whether a server is this cluster's."""
    return str(_metadata(raw).get(CLUSTER, "")) == cluster


def claim_of(raw: Json, cluster: str) -> tuple[str, str]:
    """The claim that a server was made for, and the first claim of its call; the first is empty where it cannot be told."""
    written = _metadata(raw)
    first = str(written.get(CLAIM, ""))
    if str(written.get(COUNT, "1")) == "1":
        return first, first
    pool, _, number = first.rpartition("-")
    name, whole = str(raw.get("name", "")), server_name(cluster, first)
    if name == whole:  # the quota allowed one of several: Nova numbers nothing then
        return first, first
    place = name.removeprefix(f"{whole}-") if name.startswith(f"{whole}-") else ""
    count = str(written.get(COUNT, ""))
    if place.isdecimal() and number.isdecimal() and count.isdecimal() and 1 <= int(place) <= int(count):
        return f"{pool}-{int(number) + int(place) - 1}", first
    return "", first


def server_of(raw: Json, cluster: str, networks: Sequence[str] = ()) -> Server | None:
    """One line of a list; None for a server that is not this cluster's, or deleted."""
    status = str(raw.get("status", "UNKNOWN")).upper()
    if not is_ours(raw, cluster) or status == "DELETED":
        return None
    vm, group = claim_of(raw, cluster)
    written = _metadata(raw)
    return Server(
        server=str(raw["id"]),
        vm=vm,
        pool=str(written.get(POOL, "")),
        status=status,
        address=address_of(raw, networks),
        group=group,
        reason=fault_of(raw),
        epoch=epoch_of(raw),
    )


def epoch_of(raw: Json) -> int:
    """The life of its boss in which a server was made; 0 where it does not say."""
    epoch = str(_metadata(raw).get(EPOCH, ""))
    return int(epoch) if epoch.isdecimal() else 0


def fault_of(raw: Json) -> str:
    """Why a server is in ERROR; empty where the cloud does not say."""
    return " ".join(str(_inner(raw, "fault").get("message", "")).split())


def address_of(raw: Json, networks: Sequence[str] = ()) -> str:
    """Its floating IPv4 address, else the first fixed one, those in networks of these names first; empty while it has none."""
    addresses = _inner(raw, "addresses")
    order = [name for name in networks if name in addresses] + [name for name in addresses if name not in networks]
    found = [entry for name in order for entry in addresses[name] if entry.get("version") == 4]
    floating = [entry for entry in found if entry.get("OS-EXT-IPS:type") == "floating"]
    return next((str(entry["addr"]) for entry in floating or found), "")


def has_floating(raw: Json) -> bool:
    """Whether the server has a floating IP."""
    return any(entry.get("OS-EXT-IPS:type") == "floating" for entries in _inner(raw, "addresses").values() for entry in entries)


def zone_of(raw: Json) -> str:
    """The availability zone that was asked for; empty: none."""
    return str(_metadata(raw).get(ZONE, ""))


def flavor_of(raw: Json) -> str:
    """The name of a server's flavor."""
    return str(_inner(raw, "flavor").get("original_name", ""))


def amount(name: str, number: float) -> str:
    """A limit's number for people: memory in GiB."""
    return f"{number / _GIB:g} GiB" if name == "memory" else f"{number:g}"


def resources_of(flavor: Json, boot_volume: int = 0) -> dict[str, float]:
    """What a flavor offers: ``cpus``, and ``memory`` and ``disk`` in bytes; ``boot_volume`` in GiB takes the disk's place."""
    disk = boot_volume or int(flavor.get("disk") or 0) + int(flavor.get("OS-FLV-EXT-DATA:ephemeral") or 0)
    offers = {"cpus": float(flavor["vcpus"]), "memory": float(flavor["ram"]) * _MIB, "disk": float(disk) * _GIB}
    return {name: amount for name, amount in offers.items() if amount}


def with_extras(offers: Resources, extras: Resources) -> Resources:
    """The settings add to what the cloud says (gpus, a licence), and win where they say something else."""
    return dict(offers) | dict(extras)


def compute_limits(answer: Json) -> dict[str, Limit]:
    """Nova's absolute limits: ``instances``, ``cpus`` and ``memory`` in bytes."""
    absolute = _inner(_inner(answer, "limits"), "absolute")
    names = {
        "instances": ("maxTotalInstances", "totalInstancesUsed", 1),
        "cpus": ("maxTotalCores", "totalCoresUsed", 1),
        "memory": ("maxTotalRAMSize", "totalRAMUsed", _MIB),
    }
    return _limits(absolute, names)


def quota_limit(answer: Json, name: str) -> Limit | None:
    """One limit of an answer like Neutron's ``{"quota": {"port": {"limit": 500, "used": 3, "reserved": 0}}}``."""
    entry = _inner(_inner(answer, "quota"), name)
    if "limit" not in entry:
        return None
    return Limit(_bound(entry["limit"]), float(entry.get("used") or 0) + float(entry.get("reserved") or 0))


def volume_limits(answer: Json) -> dict[str, Limit]:
    """Cinder's absolute limits: ``volumes``, and ``volume_space`` in bytes."""
    absolute = _inner(_inner(answer, "limits"), "absolute")
    names = {
        "volumes": ("maxTotalVolumes", "totalVolumesUsed", 1),
        "volume_space": ("maxTotalVolumeGigabytes", "totalGigabytesUsed", _GIB),
    }
    return _limits(absolute, names)


def _limits(absolute: Json, names: Mapping[str, tuple[str, str, int]]) -> dict[str, Limit]:
    """By our name: the total's and the used part's name in an answer, and their unit."""
    return {
        name: Limit(_bound(absolute[total]) * unit, float(absolute.get(used) or 0) * unit)
        for name, (total, used, unit) in names.items()
        if total in absolute
    }


def addresses(subnets: Iterable[Json], ports: Iterable[Json]) -> Limit:
    """The IPv4 addresses that a network's allocation pools have, and those of them that the ports take that we see."""
    pools = {str(subnet["id"]): _ranges(subnet) for subnet in subnets if subnet.get("ip_version") == 4}
    total = sum(last - first + 1 for ranges in pools.values() for first, last in ranges)
    used = 0
    for port in ports:
        for fixed in port.get("fixed_ips") or ():
            ranges = pools.get(str(fixed.get("subnet_id")), [])
            number = int(ipaddress.ip_address(str(fixed["ip_address"]))) if ranges else 0
            used += any(first <= number <= last for first, last in ranges)
    return Limit(float(total), float(used))


def availability(answer: Json) -> Limit | None:
    """The same by Neutron's own count, where we may ask for it: ``network_ip_availability``."""
    subnets = _inner(answer, "network_ip_availability").get("subnet_ip_availability")
    if not isinstance(subnets, list):
        return None
    four = [subnet for subnet in subnets if subnet.get("ip_version") == 4]
    return Limit(float(sum(subnet["total_ips"] for subnet in four)), float(sum(subnet["used_ips"] for subnet in four)))


def tightest(limits: Iterable[Limit]) -> Limit | None:
    """The limit that leaves the least."""
    return min(limits, key=lambda limit: limit.total - limit.used, default=None)


def is_uuid(text: str) -> bool:
    """Whether a text is an id of this kind and not a name."""
    return re.fullmatch(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}", text) is not None


def _ranges(subnet: Json) -> list[tuple[int, int]]:
    return [
        (int(ipaddress.ip_address(str(pool["start"]))), int(ipaddress.ip_address(str(pool["end"]))))
        for pool in subnet.get("allocation_pools") or ()
    ]


def _bound(number: Any) -> float:
    return math.inf if float(number) < 0 else float(number)


def _metadata(raw: Json) -> Json:
    return _inner(raw, "metadata")


def _inner(raw: Json, name: str) -> Json:
    value = raw.get(name)
    return value if isinstance(value, Mapping) else {}
