"""Servers that stay: those of the boss and the datastore, made once, found again by their names. Not the fleet's: no claim knows them.

Rules:
- A server of the name that is there already is taken as it is; one in ERROR is named, and left to the admin.
- What it is made of is looked up before, so that what is missing is named and nothing was made.
- A volume for the data has a life of its own: it is found again by its name, and stays when the server goes.
- The host key is taken from the console, over the cloud's API: whoever answers at the address later has to have it.
"""

import base64
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from boss.adapters import openstack_facts as facts
from boss.adapters.consoles import host_keys
from boss.adapters.openstack_api import Api
from boss.adapters.openstack_book import Book
from boss.adapters.openstack_errors import CloudError
from boss.adapters.openstack_servers import console_of
from boss.core.model import Refusal

#: Seconds between two looks.
_LOOK = 2.0
#: Lines of a console's end that are looked through.
_LINES = 400
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a server is made of: names or ids as the settings have them; ``volume`` in GiB, 0: none; ``mark`` says what it is for."""

    name: str
    mark: str
    image: str
    flavor: str
    networks: tuple[str, ...]
    security_groups: tuple[str, ...] = ()
    key_name: str = ""
    zone: str = ""
    config_drive: bool = False
    floating_network: str = ""
    volume: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """A server that is there: ``keys`` are its SSH host keys as its console has shown them (none: it has shown none)."""

    name: str
    server: str
    address: str
    keys: tuple[str, ...] = ()


class Servers:
    """Those of one project. Every method raises CloudError."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._book = Book(api)

    def has_volumes(self) -> bool:
        """Whether the cloud has a volume service for us."""
        return self._api.has("volume")

    def check(self, plan: Plan) -> None:
        """Look everything up that the plan names."""
        self._wish(plan, "", "")

    def find(self, name: str) -> Json | None:
        """The server of this very name; None when there is none."""
        named = self._api.pages("compute", "/servers/detail", "servers", "list the servers", name=f"^{re.escape(name)}$")
        found = [one for one in named if one.get("name") == name and one.get("status") != "DELETED"]
        if len(found) > 1:
            raise CloudError(Refusal.INVALID, f"there are {len(found)} servers called {name!r}: delete those that are not meant")
        return found[0] if found else None

    def volume(self, name: str, size: int) -> str:
        """The id of the volume of this name, which is made when there is none; it is free when this returns."""
        found = list(self._api.pages("volume", "/volumes/detail", "volumes", "list the volumes", name=name))
        if not found:
            wish = {"volume": {"name": name, "size": size}}
            found = [self._api.call("POST", "volume", "/volumes", "make a volume", json=wish)["volume"]]
        volume = str(found[0]["id"])
        for _ in _looks(300.0, f"the volume {name} to be available"):
            status = str(self._api.get("volume", f"/volumes/{volume}", "look at a volume")["volume"]["status"])
            if status == "available":
                return volume
            if status.startswith("error") or status == "in-use":
                raise CloudError(Refusal.INVALID, f"the volume {name} is {status}")
        raise AssertionError("unreachable")

    def create(self, plan: Plan, user_data: str, volume: str = "") -> str:
        """Ask for the server; its id. ``volume`` is that of the data."""
        body = {"server": self._wish(plan, user_data, volume)}
        answer = self._api.call("POST", "compute", "/servers", f"create the server {plan.name}", json=body, read=100.0)
        return str(answer["server"]["id"])

    def active(self, plan: Plan, server: str, patience: float) -> Standing:
        """Wait until the server is ACTIVE and has its address."""
        for _ in _looks(patience, f"{plan.name} to be ACTIVE"):
            raw = self._api.get("compute", f"/servers/{server}", "look at a server")["server"]
            status = str(raw["status"])
            if status == "ERROR":
                raise CloudError(
                    Refusal.BROKEN, f"{plan.name} is in ERROR: {facts.fault_of(raw) or 'the cloud does not say why'}"
                )
            if status == "ACTIVE" and plan.floating_network and not facts.has_floating(raw):
                self._give_floating(plan, server)
            elif status == "ACTIVE" and (address := facts.address_of(raw, plan.networks)):
                return Standing(plan.name, server, address)
        raise AssertionError("unreachable")

    def keys(self, standing: Standing, patience: float) -> Standing:
        """Wait until its console shows its host keys; as it was when it has not within ``patience`` seconds."""
        try:
            for _ in _looks(patience, ""):
                found = host_keys(self.console(standing.server))
                if found:
                    return Standing(standing.name, standing.server, standing.address, found)
        except TimeoutError:
            pass
        return standing

    def console(self, server: str) -> str:
        """The end of a server's console; empty where the cloud has none."""
        try:
            return console_of(self._api, server, _LINES)
        except CloudError as error:
            if error.kind in (Refusal.UNAVAILABLE, Refusal.CREDENTIAL):
                raise
            return ""

    def _wish(self, plan: Plan, user_data: str, volume: str) -> Json:
        book = self._book
        image = str(book.image(plan.image)["id"])
        wish: Json = {
            "name": plan.name,
            "imageRef": image,
            "flavorRef": book.flavor(plan.flavor)["id"],
            "networks": [{"uuid": network} for network in book.networks(plan.networks)],
            "metadata": {"ecloud-standing": plan.mark},
            "user_data": base64.b64encode(user_data.encode()).decode(),
        }
        if plan.security_groups:
            wish["security_groups"] = [{"name": book.security_group(name)["id"]} for name in plan.security_groups]
        if plan.key_name:
            wish["key_name"] = book.key(plan.key_name)["name"]
        if plan.zone:
            wish["availability_zone"] = book.zone(plan.zone)
        if plan.config_drive:
            wish["config_drive"] = True
        if plan.floating_network:
            book.network(plan.floating_network)
        if volume:
            root = {
                "uuid": image,
                "source_type": "image",
                "destination_type": "local",
                "boot_index": 0,
                "delete_on_termination": True,
            }
            data = {"uuid": volume, "source_type": "volume", "destination_type": "volume", "boot_index": -1}
            wish["block_device_mapping_v2"] = [root, data | {"delete_on_termination": False}]
        return wish

    def _give_floating(self, plan: Plan, server: str) -> None:
        ports = list(self._api.pages("network", "/ports", "ports", "list the ports", device_id=server))
        if not ports:
            return
        external = self._book.network(plan.floating_network)["id"]
        wish = {"floating_network_id": external, "port_id": ports[0]["id"], "description": plan.name}
        taken = list(self._api.pages("network", "/floatingips", "floatingips", "list the floating IPs", port_id=ports[0]["id"]))
        if not taken:
            self._api.call("POST", "network", "/floatingips", "get a floating IP", json={"floatingip": wish})


def device_of(volume: str) -> str:
    """Where a server finds an attached volume, whatever its kind of disk: a pattern of one path."""
    return f"/dev/disk/by-id/*{volume[:20]}*"


@contextmanager
def opened(cloud: str) -> Iterator[Servers]:
    """The servers of a cloud of clouds.yaml."""
    api = Api(cloud)
    try:
        yield Servers(api)
    finally:
        api.close()


def _looks(patience: float, what: str) -> Iterator[None]:
    """Again and again, until the patience is over. Raises TimeoutError."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        yield
        time.sleep(_LOOK)
    raise TimeoutError(f"waited {patience:.0f} s for {what}")
