"""``python -m boss deploy``: prepares hosts that are not the boss's.

Rules:
- A datastore host is prepared with the log-in that the admin has there already. A broker's host needs root: its files are
  written to a folder, for the admin to look at and to copy.
- On a datastore host three things are made: ecloud's folder, the gate in it, and one line in the log-in's ``authorized_keys``, which lets
  certificates of the boss's CA in and nothing else. Doing it again renews the gate and adds nothing twice.
- The host key is pinned only if the admin's own ``known_hosts`` vouches for it.
"""

import json
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from boss.adapters.bundle import gate_bundle
from boss.adapters.certificates import PRINCIPAL, Authority, Gate, TlsFiles
from boss.adapters.daemons import broker_rights, broker_settings
from boss.adapters.hostdata import host_data
from boss.adapters.keys import write_private
from boss.adapters.listeners import BrokerListeners
from boss.adapters.reader import Reader
from boss.checks import try_gate
from boss.config import BossConfig, gate_program
from boss.ports import StoreError
from datastore.channel import Unreachable
from datastore.frames import GateError

_TIMEOUT = 60.0
#: How long a certificate of an outside broker is valid; nothing of ours runs there to renew it.
_BROKER_HOURS = 5 * 365 * 24.0
#: Host key types, the best first.
_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "ssh-rsa")
#: What runs on the host, with the gate's bytes on its stdin: Python 3.9, standard library.
_PREPARE = """
import glob, json, os, re, sys
if sys.version_info < (3, 9):
    sys.exit("Python 3.9 or newer is needed there, this is %d.%d" % sys.version_info[:2])
root, program, line, key = sys.argv[1:]
os.umask(0o077)
os.makedirs(root, exist_ok=True)
with open(program + ".new", "wb") as file:
    file.write(sys.stdin.buffer.read())
os.replace(program + ".new", program)
home = os.path.expanduser("~/.ssh")
os.makedirs(home, exist_ok=True)
path = os.path.join(home, "authorized_keys")
known = open(path).read() if os.path.exists(path) else ""
if key not in known:
    with open(path, "a") as file:
        file.write(("" if not known or known.endswith("\\n") else "\\n") + line + "\\n")
said = {}
for name in glob.glob("/etc/ssh/sshd_config.d/*.conf") + ["/etc/ssh/sshd_config"]:
    if os.access(name, os.R_OK):
        for found in re.findall(r"(?im)^\\s*(MaxSessions|MaxStartups)\\s+(\\S+)", open(name).read()):
            said.setdefault(found[0].lower(), found[1])
print(json.dumps({"sessions": said.get("maxsessions", "10"), "startups": said.get("maxstartups", "10:30:100")}))
"""


class DeployError(Exception):
    """A host that could not be prepared; the message says what is in the way and what helps."""


@dataclass(frozen=True, slots=True)
class Place:
    """A host as the admin's own ssh understands it: ``login`` is what was asked for, the rest what ssh makes of it."""

    login: str
    options: tuple[str, ...]
    user: str
    host: str
    port: int


def datastore(config: BossConfig, address: str, root: str) -> list[str]:
    """Make a host a datastore and check it; the lines to say. Raises DeployError."""
    if not root.startswith("/"):
        raise DeployError(f"--root {root}: give an absolute path on that host")
    place = resolve(address)
    authority = Authority(config.pki)
    limits = _prepare(place, root, authority, gate_bundle(config.bundles))
    key = host_key(place)
    gate = Gate(place.host, place.port, place.user, key, gate_program(root), root)
    try:
        seen, free = try_gate(authority, gate)
    except (Unreachable, GateError) as error:
        raise DeployError(f"{place.login} is prepared, but the boss cannot get in: {error}") from None
    return [
        f"{place.user}@{place.host}:{place.port} is a datastore now: written and read back in {seen}, {free / 2**30:.1f} GiB free.",
        f"Its sshd allows MaxSessions {limits['sessions']}, MaxStartups {limits['startups']}; for many workers: MaxStartups 100:30:1000.",
        "Put this into the settings (ecloud.toml):",
        "",
        "[datastore]",
        f'address = "{place.user}@{place.host}:{place.port}"',
        f'root = "{root}"',
        f'host_key = "{key}"',
    ]


def broker(config: BossConfig, host: str, port: int, target: Path, at: Path) -> list[str]:
    """Write to ``target`` what Mosquitto on ``host`` needs, to lie in the folder ``at`` there; the lines to say. Raises DeployError."""
    try:
        cluster = Reader(config.database_url).context()["cluster"]
    except (StoreError, KeyError):
        raise DeployError("this boss has no cluster id yet: start it once, then deploy the broker") from None
    authority = Authority(config.pki)
    authority.issue_server([host], target, _BROKER_HOURS)
    write_private(target / "crl.pem", authority.crl().read_bytes())
    (target / "acl").write_text(broker_rights(cluster, BrokerListeners(authority).accounts()))
    files = TlsFiles(at / "ca.pem", at / "server.pem", at / "server.key")
    lines = broker_settings(str(port), files, at / "acl", at / "crl.pem")
    (target / "ecloud.conf").write_text("\n".join(lines) + "\n")
    return [
        f"Copy {target} to {host} as {at}, let the user mosquitto own it, move its ecloud.conf to /etc/mosquitto/conf.d/,",
        "and restart mosquitto there. Then put this into the settings (ecloud.toml):",
        "",
        "[broker]",
        f'host = "{host}"',
        f"port = {port}",
    ]


def user_data(kind: str, ssh_key: Path, volume: str, repository: str) -> str:
    """What a server is given to start with that shall be a datastore host or the boss. Raises DeployError."""
    if kind == "boss" and not repository:
        raise DeployError(
            "--repository: say where the server shall clone this project from (`deploy servers` brings it over SSH)"
        )
    try:
        return host_data(kind, ssh_key.expanduser().read_text(), volume, repository).rstrip("\n")
    except OSError as error:
        raise DeployError(f"{ssh_key}: {error.strerror}") from None
    except ValueError as error:
        raise DeployError(str(error)) from None


def resolve(address: str) -> Place:
    """What the admin's ssh makes of an address (``~/.ssh/config`` counts)."""
    login, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        login, port = address, ""
    options = ("-p", port) if port else ()
    said = dict(line.partition(" ")[::2] for line in _run(["ssh", "-G", *options, "--", login]).splitlines())
    return Place(login, options, said["user"], said["hostname"], int(said["port"]))


def key(config: BossConfig) -> list[str]:
    """The public key of this boss's SSH authority, which is made if there is none: what a datastore host has to let in."""
    config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return [Authority(config.pki).ssh_ca_public]


def preparation(root: str, authority: str) -> str:
    """The command that makes a host a datastore, with the gate's bytes on its stdin; ``authority`` is the boss's SSH authority."""
    line = f'cert-authority,principals="{PRINCIPAL}",restrict {authority} ecloud'
    return shlex.join(["python3", "-c", _PREPARE, root, gate_program(root), line, authority])


def _prepare(place: Place, root: str, authority: Authority, bundle: Path) -> dict[str, str]:
    """Make the folder, the gate and the line in ``authorized_keys``; what the host's sshd allows."""
    program = preparation(root, authority.ssh_ca_public)
    said = _run(["ssh", "-T", *place.options, "--", place.login, program], bundle.read_bytes())
    answer: dict[str, str] = json.loads(said.splitlines()[-1])
    return answer


def host_key(place: Place) -> str:
    """The best key that the host shows and the admin's ``known_hosts`` vouches for, as ``<type> <base64>``."""
    name = place.host if place.port == 22 else f"[{place.host}]:{place.port}"
    vouched = _keys(_run(["ssh-keygen", "-F", name], may_fail=True))
    both = shown_keys(place.host, place.port) & vouched
    if not both:
        raise DeployError(f"{name} shows a key that your known_hosts does not have: log in there once with ssh and compare it")
    return best_key(both)


def shown_keys(host: str, port: int) -> set[str]:
    """The keys that a host shows, each as ``<type> <base64>``; whoever answers there."""
    return _keys(_run(["ssh-keyscan", "-p", str(port), "--", host]))


def best_key(keys: Iterable[str]) -> str:
    """Of host keys the one of the best type."""
    return min(sorted(keys), key=lambda key: _KEY_TYPES.index(key.split()[0]) if key.split()[0] in _KEY_TYPES else 99)


def _keys(text: str) -> set[str]:
    """``<type> <base64>`` of each line of a known_hosts file."""
    return {" ".join(line.split()[1:3]) for line in text.splitlines() if line and not line.startswith(("#", "@"))}


def _run(command: list[str], given: bytes = b"", may_fail: bool = False) -> str:
    try:
        ran = subprocess.run(command, check=False, input=given, capture_output=True, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise DeployError(f"{command[0]} did not end within {_TIMEOUT:.0f} s") from None
    except OSError as error:
        raise DeployError(f"{command[0]}: {error.strerror}; on Debian and Ubuntu: apt install openssh-client") from None
    if ran.returncode and not may_fail:
        words = ran.stderr.decode(errors="replace").strip().splitlines()
        raise DeployError(f"{command[0]}: {words[-1] if words else f'exit code {ran.returncode}'}")
    return ran.stdout.decode(errors="replace")
