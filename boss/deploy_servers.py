"""``python -m boss deploy servers``: makes the two servers that stay, of boss and datastore, and brings them to work.

Rules:
- What is asked for is looked up first; a mistake costs nothing. Done again it goes on with what is there and renews the program.
- The boss's server gets this very checkout over SSH, its requirements from PyPI (or from ``wheels``), the settings as they are here, and of
  ``clouds.yaml`` the one entry that they name. Settings that are there already stay.
- Host keys come from the servers' consoles and are pinned in the state folder.
- Nothing that was made is deleted when a later step fails: the reason is said, and the same command goes on.
"""

import json
import re
import shlex
import subprocess
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from boss import deploy
from boss.adapters import openstack_standing as standing
from boss.adapters.bundle import gate_bundle
from boss.adapters.hostdata import host_data
from boss.adapters.openstack_api import entry_of
from boss.adapters.openstack_errors import CloudError
from boss.adapters.openstack_standing import Plan, Servers, Standing
from boss.adapters.remote import Remote, RemoteError, pin, pinned
from boss.config import BossConfig, CloudPool
from boss.deploy import DeployError

HOUSE = Path(__file__).resolve().parents[1]
#: The log-in that the templates make, and where its things are.
USER, DATA = "ecloud", "/data/ecloud"
#: Seconds: for a server to be ACTIVE, for the rest of its boot, for packages and Python packages, for the boss to answer.
_ACTIVE, _BOOT, _SETUP, _READY = 600.0, 900.0, 3600.0, 600.0
_ENVIRONMENT = f"ECLOUD_STATE={DATA}/state ECLOUD_CONFIG={DATA}/ecloud.toml"
#: Waits for the end of the user data. What an image's own modules have failed at does not matter, so that cloud-init's verdict is no use.
_BOOTED = (
    f"cloud-init status --wait >/dev/null 2>&1; test -w {DATA} || "
    f"{{ echo 'the user data has not made {DATA}'; cloud-init status --long; exit 1; }}"
)
#: Takes the checkout from stdin and puts it in the place of an older one, whose .venv it keeps.
_TAKE = (
    f"set -e; cd {DATA}; rm -rf house.new house.old; mkdir house.new; tar -xzf - -C house.new; "
    "if [ -d house/.venv ]; then mv house/.venv house.new/.venv; fi; "
    "if [ -d house ]; then mv house house.old; fi; mv house.new house; rm -rf house.old"
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants: empty fields are taken from the pool. ``only`` is ``boss`` or ``datastore``; volumes in GiB, 0: none."""

    ssh_key: Path
    pool: str = ""
    only: str = ""
    name: str = "ecloud"
    image: str = ""
    flavor: str = ""
    security_groups: tuple[str, ...] = ()
    floating_network: str = ""
    volume: int = 0
    boss_volume: int = 0
    wheels: Path | None = None
    trust: bool = False


def deploy_servers(config: BossConfig, wish: Wish, say: Callable[[str], None]) -> list[str]:
    """Make what is not there, and bring it to work; the lines to say at the end. Raises DeployError."""
    began = time.monotonic()

    def told(text: str) -> None:
        say(f"{time.monotonic() - began:7.1f} s  {text}")

    try:
        pool, settings = _pool(config, wish.pool), _settings(config, wish)
        with standing.opened(pool.cloud) as servers:
            return _Deployment(config, wish, pool, settings, servers, told).run()
    except CloudError as error:
        raise DeployError(error.reason) from None
    except RemoteError as error:
        raise DeployError(f"{error}\nthe same command goes on from here once that is mended") from None
    except TimeoutError as error:
        raise DeployError(f"{error}; the same command goes on from here") from None


class _Deployment:
    """One run of the command."""

    def __init__(
        self, config: BossConfig, wish: Wish, pool: CloudPool, settings: str, servers: Servers, say: Callable[[str], None]
    ) -> None:
        self._config, self._wish, self._pool, self._settings = config, wish, pool, settings
        self._servers, self._say = servers, say
        self._known = config.state / "deploy" / "known_hosts"
        self._public, self._identity = _key(wish.ssh_key)

    def run(self) -> list[str]:
        """Everything."""
        kinds = [kind for kind in ("datastore", "boss") if self._wish.only in ("", kind)]
        plans = {kind: self._plan(kind) for kind in kinds}
        data = {}
        for kind, plan in plans.items():
            self._servers.check(plan)
            data[kind] = (plan, self._volume(plan))
        asked = {kind: self._ask(kind, plan, volume) for kind, (plan, volume) in data.items()}
        there = {kind: self._up(plans[kind], server) for kind, server in asked.items()}
        remotes = {kind: self._log_in(one) for kind, one in there.items()}
        store = there.get("datastore")
        if "boss" not in remotes:
            assert store is not None
            return self._next_for_datastore(store, remotes["datastore"])
        boss = remotes["boss"]
        self._bring(boss)
        lines = self._join_up(boss, remotes["datastore"], there["datastore"]) if store is not None else ""
        self._configure(boss, lines)
        return self._begin(boss, there["boss"])

    # ---- servers

    def _plan(self, kind: str) -> Plan:
        pool, wish = self._pool, self._wish
        return Plan(
            f"{wish.name}-{kind}",
            kind,
            wish.image or pool.image,
            wish.flavor or next(iter(pool.flavors)),
            pool.networks,
            wish.security_groups or pool.security_groups,
            pool.key_name,
            next(iter(pool.availability_zones), ""),
            pool.config_drive,
            wish.floating_network or pool.floating_network,
            wish.volume if kind == "datastore" else wish.boss_volume,
        )

    def _volume(self, plan: Plan) -> int:
        """How large a volume for the data there can be."""
        if plan.volume and not self._servers.has_volumes():
            self._say(f"{plan.name}: this cloud has no volumes for us (no Cinder): its data lies on the server's own disk")
            return 0
        return plan.volume

    def _ask(self, kind: str, plan: Plan, size: int) -> str:
        found = self._servers.find(plan.name)
        if found is not None:
            self._say(f"{plan.name}: there already ({found['status']})")
            return str(found["id"])
        volume = self._servers.volume(f"{plan.name}-data", size) if size else ""
        text = host_data(kind, self._public, standing.device_of(volume) if volume else "")
        server = self._servers.create(plan, text, volume)
        place = f"a volume of {size} GiB for its data" if volume else "its data on its own disk"
        self._say(f"{plan.name}: asked for ({plan.flavor}, {plan.image}, {place})")
        return server

    def _up(self, plan: Plan, server: str) -> Standing:
        one = self._servers.active(plan, server, _ACTIVE)
        keys = pinned(self._known, one.address, one.server)
        if keys:
            return Standing(one.name, one.server, one.address, keys)
        self._say(f"{one.name}: ACTIVE at {one.address}; it boots, and its host keys are awaited on its console")
        one = self._servers.keys(one, _BOOT)
        if one.keys:
            self._say(f"{one.name}: its host keys have come")
        elif self._wish.trust:
            shown = deploy.shown_keys(one.address, 22)
            one = Standing(one.name, one.server, one.address, tuple(sorted(shown)))
            self._say(f"{one.name}: its console shows no host keys; those that {one.address} shows are believed (--trust-first)")
        if not one.keys:
            raise DeployError(
                f"{one.name}: its console shows no host keys (has the image cloud-init? does the cloud show consoles?); "
                f"--trust-first believes the keys that {one.address} shows"
            )
        pin(self._known, one.address, one.keys, one.server)
        return one

    def _log_in(self, one: Standing) -> Remote:
        remote = Remote(USER, one.address, self._known, self._identity)
        try:
            remote.await_login(_BOOT)
        except RemoteError as error:
            groups = ", ".join(self._wish.security_groups or self._pool.security_groups) or "default"
            raise DeployError(
                f"{error}\n{one.name} is not reached over SSH from here: let port 22 in (security groups: {groups}), or run this where "
                f"{one.address} is reached, or give it a floating IP (--floating-network)"
            ) from None
        remote.run(_BOOTED, _SETUP)
        self._say(f"{one.name}: booted, its user data is done")
        return remote

    # ---- the boss

    def _bring(self, boss: Remote) -> None:
        """The program, and what it needs."""
        boss.run(_TAKE, 600.0, checkout(HOUSE))
        self._say("boss: this checkout is there; its Python packages are installed (some minutes)")
        given = ""
        if self._wish.wheels is not None:
            boss.run(
                f"rm -rf {DATA}/wheels && mkdir {DATA}/wheels && tar -xzf - -C {DATA}/wheels", 1200.0, _wheels(self._wish.wheels)
            )
            given = f"PIP_NO_INDEX=1 PIP_FIND_LINKS={DATA}/wheels "
        boss.run(f"cd {DATA}/house && {given}PIP_NO_COMPILE=1 scripts/setup --yes", _SETUP)
        self._say("boss: set up")

    def _join_up(self, boss: Remote, store: Remote, place: Standing) -> str:
        """Make the datastore's server the boss's datastore; the lines for the settings."""
        authority = boss.run(f"cd {DATA}/house && ECLOUD_STATE={DATA}/state .venv/bin/python -m boss deploy key", 300.0).strip()
        store.run(deploy.preparation(DATA, authority), _READY, gate_bundle(self._config.bundles).read_bytes())
        self._say(f"datastore: lets the boss's certificates in, and nobody else; results will lie in {DATA} there")
        key = deploy.best_key(place.keys)
        return f'\n[datastore]\naddress = "{USER}@{place.address}:22"\nroot = "{DATA}"\nhost_key = "{key}"\n'

    def _configure(self, boss: Remote, datastore: str) -> None:
        path = f"{DATA}/ecloud.toml"
        if boss.run(f"test -e {path} && echo there || true", 60.0).strip():
            self._say(f"boss: {path} is there already and stays as it is")
        else:
            boss.write(path, self._settings + datastore)
            self._say(f"boss: {path} is as {self._config.file}" + (", and names the datastore" if datastore else ""))
        entry = entry_of(self._pool.cloud)
        if (ca := entry.get("cacert")) and Path(ca).expanduser().exists():
            boss.write(f"/home/{USER}/.config/openstack/cacert.pem", Path(ca).expanduser().read_text())
            entry["cacert"] = f"/home/{USER}/.config/openstack/cacert.pem"
        document = json.dumps({"clouds": {self._pool.cloud: entry}}, indent=1)  # which is YAML too
        boss.write(f"/home/{USER}/.config/openstack/clouds.yaml", document + "\n")
        self._say(f"boss: has the credential of {self._pool.cloud} in its clouds.yaml, and no other")

    def _begin(self, boss: Remote, place: Standing) -> list[str]:
        boss.run("sudo -n systemctl enable ecloud.service && sudo -n systemctl restart ecloud.service", _READY)
        look = f"cd {DATA}/house && {_ENVIRONMENT} .venv/bin/python admin.py show_context --json"
        end = time.monotonic() + _READY
        while True:
            try:
                context = json.loads(boss.run(look, _READY))
                break
            except (RemoteError, ValueError) as error:
                if time.monotonic() > end:
                    log = boss.run("journalctl --no-pager -n 20 -u ecloud || true", 60.0)
                    raise DeployError(f"the boss does not answer: {error}\n{log}") from None
                time.sleep(2.0)
        self._say(f"boss: answers; VMs will reach it at {context['boss_address']}")
        command = f"cd {DATA}/house && {_ENVIRONMENT} .venv/bin/python -m boss doctor --json || true"
        findings = json.loads(boss.run(command, _READY))
        wrong = [f"  {one['check']}: {one['detail']} -> {one['remedy']}" for one in findings if one["verdict"] == "failed"]
        self._say(f"boss: its doctor finds {'something to mend, see below' if wrong else 'nothing wrong'}")
        port = context["api_url"].rpartition(":")[2]
        return [
            *wrong,
            f"The boss is a service on {place.name} ({place.address}). Next:",
            "",
            f"  {boss.command()}",
            f"  cd {DATA}/house && ./admin.py doctor --boot     # one VM, from its making to its end",
            "",
            f"Settings: {DATA}/ecloud.toml there, then `sudo systemctl restart ecloud.service`; log: `journalctl -fu ecloud`.",
            "To work from here: a token (`./admin.py create_token researcher NAME` there), and a tunnel:",
            "",
            f"  {boss.command('-N', '-L', f'{port}:127.0.0.1:{port}')}",
            f"  export ECLOUD_API_URL=http://127.0.0.1:{port} ECLOUD_TOKEN=ecloud_...",
        ]

    def _next_for_datastore(self, place: Standing, remote: Remote) -> list[str]:
        key = deploy.best_key(place.keys)
        return [
            f"{place.name} ({place.address}) is ready to be a datastore. Next, on the boss's machine:",
            "",
            f"  echo '{place.address} {key}' >>~/.ssh/known_hosts",
            f"  .venv/bin/python -m boss deploy datastore {USER}@{place.address} --root {DATA}",
            f"  ./admin.py set_datastore {USER}@{place.address}:{DATA}     # used from the boss's next start on",
            "",
            f"Log in there: {remote.command()}",
        ]


def _pool(config: BossConfig, name: str) -> CloudPool:
    """The pool by which the cloud is known."""
    if not config.clouds:
        raise DeployError("the settings have no pool of provider openstack: write one into ecloud.toml first (docs/openstack.md)")
    names = ", ".join(pool.name for pool in config.clouds)
    pool = next((pool for pool in config.clouds if name in ("", pool.name)), None)
    if pool is None:
        raise DeployError(f"--pool {name}: there is no such pool of provider openstack; there are: {names}")
    if not pool.cloud:
        raise DeployError(
            f"pool {pool.name} takes its cloud from OS_* variables, which the boss's server does not have: put the cloud into "
            "clouds.yaml, and its name into the setting `cloud` of the pool"
        )
    return pool


def _settings(config: BossConfig, wish: Wish) -> str:
    """The settings file's text, as it will be the boss's."""
    if config.file is None:
        raise DeployError("there is no settings file to give to the boss: write ecloud.toml (docs/openstack.md)")
    text = config.file.read_text()
    if not wish.only and re.search(r"^\s*\[datastore\]", text, re.M):
        raise DeployError(f"{config.file} has a [datastore] already: take it out for a new datastore, or use --only boss")
    if wish.only != "datastore" and config.vms.address:
        raise DeployError(
            f"{config.file} sets boss_address = {config.vms.address!r}, and the boss gets a server with another address: take it out "
            "(it is found out there), or set it later"
        )
    return text


def _key(path: Path) -> tuple[str, Path | None]:
    """The public key's text, and the private key's file if it lies beside it."""
    path = path.expanduser()
    try:
        public = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DeployError(f"--ssh-key {path}: {getattr(error, 'strerror', None) or 'is no public key'}") from None
    try:
        host_data("datastore", public)
    except ValueError as error:
        raise DeployError(f"--ssh-key {path}: {error}") from None
    private = path.with_suffix("")
    return public, private if path.suffix == ".pub" and private.exists() else None


def checkout(house: Path) -> bytes:
    """This project's files as a tar: what git knows, or without git everything but what is made here."""
    try:
        ran = subprocess.run(["git", "-C", house, "ls-files", "-z"], check=False, capture_output=True)
        names = [name for name in ran.stdout.decode().split("\0") if name] if ran.returncode == 0 else []
    except FileNotFoundError:  # no git on this machine
        names = []
    made = {".venv", ".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    files = [house / name for name in names] or [path for path in house.rglob("*") if not made & set(path.parts)]
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as tar:
        for path in files:
            if path.is_file():
                tar.add(path, str(path.relative_to(house)), recursive=False, filter=_anonymous)
    return packed.getvalue()


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _wheels(folder: Path) -> bytes:
    packed = BytesIO()
    found = sorted(folder.expanduser().glob("*.whl"))
    if not found:
        raise DeployError(
            f"--wheels {folder}: no wheels there; .venv/bin/pip wheel -r requirements.txt -w {shlex.quote(str(folder))}"
        )
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for path in found:
            tar.add(path, path.name)
    return packed.getvalue()
