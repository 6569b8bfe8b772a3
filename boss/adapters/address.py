"""Under which address VMs reach this boss: what somebody has said, else what the cloud says of this machine, else its way out.

The cloud says it by its metadata service, or by a config drive, whose contents cloud-init keeps.

Rules:
- The context's fact wins over the setting: it is what somebody has said last.
- The cloud's word counts only if the address is one of this machine's own.
- A boss that cannot listen on the address itself (a name, a floating IP, a port forward) listens on all of its addresses.
"""

import http.client
import ipaddress
import json
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

#: The fact in the context.
FACT = "boss_address"
METADATA = "http://169.254.169.254/latest/meta-data/local-ipv4"
#: What cloud-init was told of this server, without secrets.
INSTANCE = Path("/run/cloud-init/instance-data.json")
_TIMEOUT = 1.0
#: Nobody's address: asking for the way to it sends nothing.
_ELSEWHERE = "192.0.2.1"
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


class NoAddress(ValueError):
    """No address under which VMs would reach the boss; the message says what to do."""


@dataclass(frozen=True, slots=True)
class BossAddress:
    """``host`` is a name or address, ``listen`` the address to listen on, ``how`` a few words on where it comes from."""

    host: str
    listen: str
    how: str

    def at(self, port: int) -> str:
        """``host:port`` as a URL has it."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


def find(fact: str, setting: str, metadata: str = METADATA, instance: Path = INSTANCE) -> BossAddress:
    """The address that counts. Raises NoAddress."""
    for said, how in ((fact, f"the context's {FACT}"), (setting, "the setting boss_address")):
        if said:
            if not is_host(said):
                raise NoAddress(f"{how}: {said!r} is neither a host name nor an IP address")
            return BossAddress(said, said if is_local(said) else _everywhere(said), how)
    host = _from_metadata(metadata)
    if host:
        return BossAddress(host, host, "the cloud's metadata of this server")
    host = _from_config_drive(instance)
    if host:
        return BossAddress(host, host, "the cloud's description of this server")
    host = way_out()
    if host:
        return BossAddress(host, host, "the default route")
    raise NoAddress("no address under which VMs would reach this machine: set boss_address in [vms], or the fact boss_address")


def is_host(text: str) -> bool:
    """Whether this can be a host's name or address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True


def is_local(host: str) -> bool:
    """Whether this is an address of this machine."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        with socket.socket(family) as probe:
            probe.bind((host, 0))
    except (ValueError, OSError):
        return False
    return True


def _everywhere(host: str) -> str:
    return "::" if ":" in host else "0.0.0.0"  # noqa: S104 (mutual TLS guards what listens there)


def _from_metadata(url: str) -> str:
    """What the cloud calls this server, if that is an address of this machine; empty where there is no cloud."""
    place = urlsplit(url)
    link = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_TIMEOUT)
    try:
        link.request("GET", place.path)
        answer = link.getresponse()
        host = answer.read(100).decode("ascii").strip() if answer.status == 200 else ""
    except (OSError, http.client.HTTPException, ValueError):
        return ""
    finally:
        link.close()
    return host if is_local(host) else ""


def _from_config_drive(path: Path) -> str:
    """What cloud-init has read of this server's own address, if it is one of this machine; empty where it has not."""
    try:
        said = json.loads(path.read_text())["ds"]["ec2_metadata"]["local-ipv4"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return said if isinstance(said, str) and is_local(said) else ""


def way_out() -> str:
    """The address that this machine uses towards the world; empty where there is no way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_ELSEWHERE, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])
