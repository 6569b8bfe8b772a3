"""What the settings name, looked up in a cloud: images, flavors, networks, groups, keys and zones, by name or id.

Rules:
- What is not there is a ``CloudError`` of kind INVALID that says what was looked for and what comes nearest.
- Looked up things are kept for ten minutes; ``forget`` ends that when the cloud says that one of them is gone.
"""

import difflib
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from boss.adapters.openstack_api import Api
from boss.adapters.openstack_errors import CloudError
from boss.adapters.openstack_facts import is_uuid
from boss.core.model import Refusal

#: Seconds that a looked up thing is used for.
KEPT = 600.0
#: So many names of what is there are told, if none comes near.
FEW = 6
Json = dict[str, Any]
_T = TypeVar("_T")


class Book:
    """Look-ups in one cloud; each raises CloudError."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[tuple[str, ...], tuple[float, Any]] = {}

    def forget(self) -> None:
        """Look everything up anew."""
        self._known = {}

    def image(self, name: str) -> Json:
        """The newest usable image of this name, or the one with this id."""
        return self._kept(("image", name), lambda: self._image(name))

    def images(self) -> list[Json]:
        """All images that we may use."""
        return list(self._api.pages("image", "/images", "images", "list the images", status="active", limit=500))

    def flavors(self) -> list[Json]:
        """All flavors that we may use."""
        return self._kept(
            ("flavors",), lambda: list(self._api.pages("compute", "/flavors/detail", "flavors", "list the flavors"))
        )

    def flavor(self, name: str) -> Json:
        """The flavor of this name or id."""
        there = self.flavors()
        exact = [one for one in there if one["name"] == name] or [one for one in there if one["id"] == name]
        if not exact:
            raise no_flavor(name, there)
        return exact[0]

    def network(self, name: str) -> Json:
        """The network of this name or id."""
        return self._kept(("network", name), lambda: self._network(name))

    def networks(self, names: Iterable[str]) -> list[str]:
        """The ids of the networks that a server gets; the project's only one when none is named."""
        return [str(self.network(name)["id"]) for name in names] or [str(self.only_network()["id"])]

    def only_network(self) -> Json:
        """The one network that a server can be in when the settings name none."""
        return self._kept(("network", ""), self._only_network)

    def subnets(self, network: str) -> list[Json]:
        """The subnets of a network's id."""
        return self._kept(("subnets", network), lambda: self._subnets(network))

    def security_group(self, name: str) -> Json:
        """The project's security group of this name or id."""
        return self._kept(("security group", name), lambda: self._security_group(name))

    def key(self, name: str) -> Json:
        """The key pair of this name."""
        there = self._kept(
            ("key pairs",), lambda: self._api.get("compute", "/os-keypairs", "list the key pairs").get("keypairs", [])
        )
        pairs = [entry["keypair"] for entry in there]
        return _one("key pair", name, [one for one in pairs if one["name"] == name], (one["name"] for one in pairs))

    def zone(self, name: str) -> str:
        """The availability zone of this name."""
        there = self._kept(("zones",), self.zones)
        if name not in there:
            raise missing("availability zone", name, there)
        return name

    def zones(self) -> list[str]:
        """The availability zones that take servers now."""
        answer = self._api.get("compute", "/os-availability-zone", "list the availability zones")
        return [str(zone["zoneName"]) for zone in answer.get("availabilityZoneInfo", ()) if zone["zoneState"]["available"]]

    def volume_type(self, name: str) -> Json:
        """The volume type of this name or id."""
        there = self._api.get("volume", "/types", "list the volume types").get("volume_types", [])
        return _one(
            "volume type", name, [one for one in there if name in (one["name"], one["id"])], (one["name"] for one in there)
        )

    def _image(self, name: str) -> Json:
        if is_uuid(name):
            try:
                return self._api.get("image", f"/images/{name}", f"find the image {name}")
            except CloudError as error:
                if error.status not in (400, 404):
                    raise
        found = list(self._api.pages("image", "/images", "images", f"find the image {name!r}", name=name, status="active"))
        if not found:
            raise missing("image", name, (str(one.get("name")) for one in self.images()))
        return max(found, key=lambda one: str(one.get("created_at", "")))

    def _network(self, name: str) -> Json:
        there = self._networks()
        return _one("network", name, [one for one in there if name in (one["name"], one["id"])], (one["name"] for one in there))

    def _only_network(self) -> Json:
        inner = [one for one in self._networks() if not one.get("router:external")]
        if len(inner) == 1:
            return inner[0]
        names = ", ".join(sorted(str(one["name"]) for one in inner))
        reason = (
            f"the settings name no network, and the project has {len(inner)} of them: {names}"
            if inner
            else "the project has no network"
        )
        raise CloudError(Refusal.INVALID, reason)

    def _networks(self) -> list[Json]:
        return list(self._api.pages("network", "/networks", "networks", "list the networks"))

    def _subnets(self, network: str) -> list[Json]:
        return list(self._api.pages("network", "/subnets", "subnets", "list the subnets", network_id=network))

    def _security_group(self, name: str) -> Json:
        project = self._api.project()
        path, what = "/security-groups", "list the security groups"
        there = list(self._api.pages("network", path, "security_groups", what, **({"project_id": project} if project else {})))
        named = [one for one in there if name in (one["name"], one["id"])]
        return _one("security group", name, named, (one["name"] for one in there))

    def _kept(self, key: tuple[str, ...], look: Callable[[], _T]) -> _T:
        since, value = self._known.get(key, (0.0, None))
        if value is None or time.monotonic() - since > KEPT:
            value = look()
            self._known[key] = (time.monotonic(), value)
        found: _T = value
        return found


def no_flavor(name: str, there: Iterable[Json]) -> CloudError:
    """The error that says that a flavor is not there, and which are."""
    return missing("flavor", name, (str(one["name"]) for one in there))


def missing(kind: str, name: str, there: Iterable[object]) -> CloudError:
    """The error that says what was looked for and what comes nearest."""
    names = sorted({str(one) for one in there})
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    if len(names) <= FEW or not near:
        near += [other for other in names if other not in near][: FEW - len(near)]
    more = f", ... ({len(names)} in all)" if len(names) > len(near) else ""
    what = f"; there are: {', '.join(near)}{more}" if near else "; there is none at all"
    return CloudError(Refusal.INVALID, f"there is no {kind} {name!r}{what}")


def _one(kind: str, name: str, found: list[Json], there: Iterable[object]) -> Json:
    if not found:
        raise missing(kind, name, there)
    if len(found) > 1:
        ids = ", ".join(str(one.get("id", "?")) for one in found[:4])
        raise CloudError(
            Refusal.INVALID, f"there are {len(found)} things called {kind} {name!r}; write the id of one of them: {ids}"
        )
    return found[0]
