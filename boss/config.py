"""What the boss runs with: made once from the settings and this machine, frozen, passed along.

Rules:
- The only module of the boss that imports ``settings``; what it makes are the core's own words (``Policy``, ``Pool``).
- Without pools in the settings there is one, ``local``: processes of this machine, in sizes of 1, 2, 4 ... slots, each with its
  share of the machine's memory and disk, together never more than the slots.
"""

import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import settings
from boss.core import hosts
from boss.core.model import Flavor, Policy, Pool, Resources
from boss.notices.notice import Severity
from boss.notices.targets import Smtp, Target, Telling
from settings import Settings, SettingsError
from settings_notify import SmtpSettings, TargetSettings
from settings_pools import FlavorSettings, PoolSettings
from worker.limits import Limits
from worker.trust import TrustError, read_signers

__all__ = [
    "BossConfig",
    "CloudPool",
    "Machine",
    "OutsideBroker",
    "OutsideDatastore",
    "OwnCertificate",
    "SettingsError",
    "gate_program",
    "in_force",
    "load",
    "make",
]

#: The part of memory and disk that local workers may have; the rest is for the boss, its servers and the system.
_SHARE = 0.9
_MIB = 2**20
#: Names of settings whose values nobody is shown.
_SECRET = re.compile(r"passw|secret|token|credential", re.IGNORECASE)
#: Seconds for the answer to a create call where a cloud is asked.
_CLOUD_CREATE_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine has: cores that we may use, bytes of memory, bytes of disk that are free at the state folder."""

    cpus: int
    memory: int
    disk: int


@dataclass(frozen=True, slots=True)
class OutsideBroker:
    """A broker that somebody else runs. ``ca``, ``certificate`` and ``key`` are None where the boss's own are used."""

    host: str
    port: int
    ca: Path | None
    certificate: Path | None
    key: Path | None


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """PEM files that somebody else signed for the API. ``ca`` is None where clients trust its signer already."""

    certificate: Path
    key: Path
    ca: Path | None


@dataclass(frozen=True, slots=True)
class OutsideDatastore:
    """A datastore on another host; ``host_key`` is its public key as ``<type> <base64>``."""

    user: str
    host: str
    port: int
    root: str
    host_key: str

    @property
    def program(self) -> str:
        """Where ``deploy datastore`` has put the gate."""
        return gate_program(self.root)


@dataclass(frozen=True, slots=True)
class VmSoftware:
    """What the VMs of a pool are given to start with: ``kind`` is ``cloud-config`` or ``script``; the rest as in the settings."""

    kind: str = "cloud-config"
    packages: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    folder: str = "/var/lib/ecloud"
    poweroff: str = "systemctl poweroff || poweroff -f"
    task_user: str = "ecloud-task"


@dataclass(frozen=True, slots=True)
class VmDoors:
    """Where VMs reach the boss: ``address`` as the settings have it (empty: to be found out), ports; times in seconds."""

    address: str = ""
    join_port: int = 8444
    broker_port: int = 8883
    gate_port: int = 2222
    certificate_lifetime: float = 4 * 86400.0
    join_allowance: float = 3600.0


@dataclass(frozen=True, slots=True)
class CloudPool:
    """What a pool's servers are made of in an OpenStack project. ``cloud`` names an entry of clouds.yaml; empty: the OS_* variables.

    ``flavors`` are by name, each with what the settings add to what the cloud says of it. ``boot_volume`` in GiB, 0: none.
    Without ``networks`` the project's only one is used; ``availability_zones`` are tried in turn.
    """

    name: str
    cloud: str
    image: str
    flavors: Mapping[str, Resources]
    networks: tuple[str, ...] = ()
    key_name: str = ""
    security_groups: tuple[str, ...] = ()
    availability_zones: tuple[str, ...] = ()
    config_drive: bool = False
    boot_volume: int = 0
    volume_type: str = ""
    floating_network: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BossConfig:
    """All that the boss is told. ``broker`` and ``datastore`` are None for private ones on loopback.

    ``file`` is the settings file that was read. ``api_port`` 0 means one that is kept in the state folder. ``cache_bytes`` bounds
    each worker's cache of inputs; ``datastore_root`` is the folder of a private datastore, ``legacy_root`` one on the datastore's host
    that task files of the original may read below (empty: none). ``clouds`` has what the servers of the pools in a cloud are made of.
    ``software`` is what their VMs are given, by pool; ``task_limits`` what tasks are held to, by pool of the settings.
    ``api_plain``: plain HTTP beyond loopback, too. Times in seconds.
    ``signers`` are the texts of the ``allowed_signers`` of pools that run signed jobs only. ``log_format``: auto, json or text.
    ``telling``: who is told what.
    """

    file: Path | None
    state: Path
    database_url: str = field(repr=False)  # it may hold a password
    boss_lease: float
    local_slots: int
    api_host: str
    api_port: int
    api_public_url: str
    broker: OutsideBroker | None
    datastore: OutsideDatastore | None
    datastore_root: Path
    legacy_root: str
    max_tasks: int
    max_task_file: int
    cache_bytes: int
    max_upload: int
    transfers: int
    longest_lease: float
    policy: Policy
    clouds: tuple[CloudPool, ...] = ()
    vms: VmDoors = VmDoors()
    software: Mapping[str, VmSoftware] = field(default_factory=dict)
    api_certificate: OwnCertificate | None = None
    api_plain: bool = False
    certificate_lifetime: float = 365 * 86400.0
    audit_keep: float = 365 * 86400.0
    task_limits: Mapping[str, Limits] = field(default_factory=dict)
    signers: Mapping[str, str] = field(default_factory=dict)
    log_format: str = "auto"
    telling: Telling = field(default_factory=Telling)

    @property
    def has_vms(self) -> bool:
        """Whether any pool's workers are not processes of this machine."""
        return any(pool.provider not in ("local", hosts.PROVIDER) for pool in self.policy.pools)

    def opens_doors(self, fact: str) -> bool:
        """Whether it listens beyond loopback: for VMs, and for hosts once an address was said (here, or as a ``fact``)."""
        return self.has_vms or bool(fact or self.vms.address)

    @property
    def pki(self) -> Path:
        """The certificate authority's folder."""
        return self.state / "pki"

    @property
    def workers(self) -> Path:
        """The local workers' folders."""
        return self.state / "workers"

    @property
    def bundles(self) -> Path:
        """The worker's and the gate's bundles."""
        return self.state / "bundles"

    @property
    def consoles(self) -> Path:
        """What servers wrote to their consoles that never became workers."""
        return self.state / "consoles"

    @property
    def inbox(self) -> Path:
        """Pushed files that are being looked at."""
        return self.state / "pushes"

    @property
    def mosquitto(self) -> Path:
        """The private broker's folder."""
        return self.state / "mosquitto"

    @property
    def sshd(self) -> Path:
        """The private SSH server's folder."""
        return self.state / "sshd"

    @property
    def api_port_file(self) -> Path:
        """Where the API's port is kept from life to life."""
        return self.state / "api.port"

    @property
    def api_file(self) -> Path:
        """Where programs of this user find the API's address and token."""
        return self.state / "api.json"


def gate_program(root: str) -> str:
    """The gate's place on an outside datastore: in ecloud's folder, so that the settings need not name it."""
    return f"{root.rstrip('/')}/gate.pyz"


def load() -> BossConfig:
    """Read the settings and look at this machine. Raises SettingsError."""
    values, file = settings.load()
    state = values.state.expanduser()
    return make(values, file, look_at_machine(state))


def in_force() -> tuple[tuple[str, str], ...]:
    """The settings as they hold now, by dotted name, for people to look at: passwords and the like are left out. Raises SettingsError."""
    values, file = settings.load()
    shown = [("(file)", str(file) if file is not None else "none: all as the defaults and the environment say")]

    def walk(above: str, found: object) -> None:
        if isinstance(found, dict):
            for name, value in found.items():
                walk(f"{above}.{name}" if above else str(name), value)
        else:
            shown.append((above, _masked(above, "" if found is None else str(found))))

    walk("", values.model_dump(mode="json"))
    return tuple(shown)


def _masked(name: str, value: str) -> str:
    if value and _SECRET.search(name):
        return "(set, and not shown)"
    return re.sub(r"(://[^:/@]*):.*@", r"\1:(not shown)@", value)


def make(values: Settings, file: Path | None, machine: Machine) -> BossConfig:
    """The boss's configuration from settings and a machine; touches nothing. Raises SettingsError for files that it names."""
    signers = _signers(values, file)
    state = values.state.expanduser().absolute()
    slots = values.local_slots or machine.cpus
    outside = values.datastore.address
    return BossConfig(
        file=file,
        state=state,
        database_url=values.database_url or f"sqlite:///{state / 'ecloud.db'}",
        boss_lease=values.boss_lease if values.database_url.startswith("mysql:") else 0.0,
        local_slots=slots,
        api_host=values.api.host,
        api_port=values.api.port,
        api_public_url=values.api.public_url.rstrip("/"),
        broker=_broker(values, file) if values.broker.host else None,
        datastore=_datastore(values) if outside else None,
        datastore_root=Path(values.datastore.root) if values.datastore.root and not outside else state / "datastore",
        legacy_root=values.datastore_legacy_root,
        max_tasks=values.limits.max_tasks,
        max_task_file=values.limits.max_task_file,
        cache_bytes=values.workers.cache,
        max_upload=values.datastore.max_upload,
        transfers=values.datastore.transfers,
        longest_lease=values.workers.longest_lease,
        policy=_policy(values, slots, machine, signers),
        api_certificate=_own_certificate(values, file),
        api_plain=values.api.plain_http,
        certificate_lifetime=values.certificate_lifetime,
        audit_keep=values.api.audit_keep,
        signers=signers,
        log_format=values.log_format,
        telling=_telling(values, file),
        vms=_doors(values),
        software={name: _software(pool) for name, pool in values.pools.items()},
        task_limits={name: _task_limits(pool) for name, pool in values.pools.items()},
        clouds=tuple(_cloud_pool(name, pool) for name, pool in values.pools.items() if pool.provider == "openstack"),
    )


def look_at_machine(state: Path) -> Machine:
    """Count what this process may use; ``state`` need not exist yet."""
    there = next(folder for folder in (state.absolute(), *state.absolute().parents) if folder.exists())
    return Machine(len(os.sched_getaffinity(0)), _memory(), shutil.disk_usage(there).free)


def local_pool(slots: int, machine: Machine) -> Pool:
    """The pool of this machine's cores."""
    sizes = sorted({slots, *(2**power for power in range(slots.bit_length()))})
    flavors = tuple(Flavor(f"cpus-{cpus}", _share(cpus, slots, machine)) for cpus in sizes)
    return Pool("local", "local", flavors, maximum=slots, limits={"cpus": slots}, cooldown=10.0, boot_timeout=60.0)


def _share(cpus: int, slots: int, machine: Machine) -> dict[str, float]:
    part = _SHARE * cpus / slots
    return {"cpus": cpus, "memory": machine.memory * part // _MIB * _MIB, "disk": machine.disk * part // _MIB * _MIB}


def _memory() -> int:
    """Bytes of memory: the machine's, or our control group's limit where that is less."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:"))
    for limit in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        if limit.is_file() and limit.read_text().strip().isdecimal():
            total = min(total, int(limit.read_text()))
    return total


def _signers(values: Settings, file: Path | None) -> dict[str, str]:
    """The texts of the ``allowed_signers`` that pools name, by pool."""
    found = {}
    for name, pool in values.pools.items():
        path = _beside(file, Path(pool.require_signature) if pool.require_signature else None)
        if path is None:
            continue
        try:
            found[name] = path.read_text("utf-8", "replace")
            read_signers(found[name])
        except OSError as error:
            raise SettingsError(f"[pools.{name}] require_signature: {path}: {error.strerror}") from None
        except TrustError as error:
            raise SettingsError(f"[pools.{name}] require_signature: {path}: {error}") from None
    return found


def _policy(values: Settings, slots: int, machine: Machine, signers: Mapping[str, str]) -> Policy:
    pools = tuple(_pool(name, pool, signers.get(name, "")) for name, pool in values.pools.items())
    numbers = values.policy.model_dump()
    if any(pool.provider != "local" for pool in values.pools.values()) and "create_timeout" not in values.policy.model_fields_set:
        numbers["create_timeout"] = _CLOUD_CREATE_TIMEOUT
    zone = local_time(time.time()) if any(pool.quiet for pool in pools) else ()
    return Policy(pools=(*(pools or (local_pool(slots, machine),)), hosts.POOL), zone=zone, **numbers)


def _pool(name: str, values: PoolSettings, signers: str) -> Pool:
    return Pool(
        name=name,
        provider=_provider(values),
        flavors=tuple(Flavor(flavor.name, _resources(values, flavor), flavor.price) for flavor in values.flavors),
        minimum=values.minimum,
        maximum=values.maximum,
        limits=values.limits,
        cooldown=values.cooldown,
        boot_timeout=values.boot_timeout,
        haste=values.haste,
        head_room=values.head_room,
        boots_per_minute=values.boots_per_minute,
        billing=values.billing,
        quiet=tuple(_times(text) for text in values.quiet_hours),
        takes=_takes(values),
        signers=read_signers(signers) if signers else (),
    )


def _takes(values: PoolSettings) -> Resources:
    """What a VM takes of its project that its flavor does not say."""
    volume = {"volumes": 1.0, "volume_space": values.boot_volume * 2.0**30} if values.boot_volume else {}
    return volume | ({"floating_ips": 1.0} if values.floating_network else {})


def _doors(values: Settings) -> VmDoors:
    vms = values.vms
    ports = vms.join_port, vms.broker_port, vms.gate_port
    return VmDoors(vms.boss_address, *ports, vms.certificate_lifetime, vms.join_allowance)


def _software(values: PoolSettings) -> VmSoftware:
    lists = tuple(values.packages), tuple(values.pip)
    return VmSoftware(values.user_data, *lists, values.folder, values.poweroff_command, values.task_user)


def _task_limits(values: PoolSettings) -> Limits:
    return Limits(tuple(dict.fromkeys(values.enforce)), values.processes, values.memory_slack)


def _provider(values: PoolSettings) -> str:
    """Pools of one project share it: ``openstack:<cloud>``, or ``openstack`` alone for the one of the OS_* variables."""
    return f"{values.provider}:{values.cloud}" if values.cloud else values.provider


def _resources(values: PoolSettings, flavor: FlavorSettings) -> Resources:
    """What a flavor offers by the settings; nothing where the cloud has to say it first."""
    return _extras(flavor) if values.provider == "local" else {}


def _extras(flavor: FlavorSettings) -> Resources:
    return flavor.resources | ({} if flavor.gpus is None else {"gpus": flavor.gpus})


def _cloud_pool(name: str, values: PoolSettings) -> CloudPool:
    return CloudPool(
        name=name,
        cloud=values.cloud,
        image=values.image,
        flavors={flavor.name: _extras(flavor) for flavor in values.flavors},
        networks=tuple(values.networks),
        key_name=values.key_name,
        security_groups=tuple(values.security_groups),
        availability_zones=tuple(values.availability_zones),
        config_drive=values.config_drive,
        boot_volume=values.boot_volume,
        volume_type=values.volume_type,
        floating_network=values.floating_network,
        metadata=values.metadata,
    )


def _times(text: str) -> tuple[float, float]:
    """``22:00-07:30`` as seconds of the day."""
    begin, _, end = text.partition("-")
    hours = [moment.partition(":") for moment in (begin, end)]
    first, last = (int(hour) * 3600.0 + int(minute) * 60.0 for hour, _, minute in hours)
    return first, last


def local_time(now: float, years: int = 2) -> tuple[tuple[float, float], ...]:
    """From when on (Unix seconds) which offset from UTC holds on this machine, from now on for some years: the core knows no clock."""
    found: list[tuple[float, float]] = []
    for hour in range(years * 366 * 24):
        moment = (now // 3600 + hour) * 3600
        offset = float(time.localtime(moment).tm_gmtoff)
        if not found or found[-1][1] != offset:
            found.append((moment, offset))
    return tuple(found)


def _broker(values: Settings, file: Path | None) -> OutsideBroker:
    broker = values.broker
    return OutsideBroker(
        broker.host, broker.port, _beside(file, broker.ca), _beside(file, broker.certificate), _beside(file, broker.key)
    )


def _telling(values: Settings, file: Path | None) -> Telling:
    notify = values.notify
    return Telling(
        targets=tuple(_target(name, target, file) for name, target in notify.targets.items()),
        people=notify.people,
        smtp=_smtp(notify.smtp, file) if notify.smtp.host else None,
        gather=notify.gather,
        retry_for=notify.retry_for,
        burst=notify.burst_failures,
        window=notify.burst_window,
        disk=notify.disk,
        templates=_beside(file, notify.templates),
    )


def _target(name: str, values: TargetSettings, file: Path | None) -> Target:
    return Target(
        name=name,
        webhook=values.webhook.get_secret_value(),
        mail=tuple(values.mail),
        kinds=frozenset(values.kinds),
        severity=Severity(values.severity),
        owners=frozenset(values.owners),
        secret=values.secret.get_secret_value(),
        ca=_beside(file, values.ca),
        template=values.template,
    )


def _smtp(values: SmtpSettings, file: Path | None) -> Smtp:
    password = values.password.get_secret_value()
    return Smtp(values.host, values.port, values.security, values.sender, values.user, password, _beside(file, values.ca))


def _own_certificate(values: Settings, file: Path | None) -> OwnCertificate | None:
    certificate, key = _beside(file, values.api.certificate), _beside(file, values.api.key)
    return OwnCertificate(certificate, key, _beside(file, values.api.ca)) if certificate and key else None


def _beside(file: Path | None, path: Path | None) -> Path | None:
    """A path of the settings: a relative one lies beside the settings file."""
    return (file.parent if file else Path()).absolute() / path.expanduser() if path else None


def _datastore(values: Settings) -> OutsideDatastore:
    user, _, place = values.datastore.address.rpartition("@")
    host, _, port = place.partition(":")
    return OutsideDatastore(user, host, int(port or 22), values.datastore.root, values.datastore.host_key)
