"""The settings of a pool of workers: ``[pools.NAME]``, here or in a cloud, and its flavors."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from settings_types import Amounts, Duration, Section, Span, read_size


def _flavors(value: object) -> object:
    """A flavor may be its name alone."""
    return [{"name": one} if isinstance(one, str) else one for one in value] if isinstance(value, list) else value


def _words(value: object) -> object:
    """One text where a list is wanted."""
    return [value] if isinstance(value, str) else value


def _gibibytes(value: object) -> object:
    """GiB as a number, or a size with a unit, rounded up."""
    if isinstance(value, str) and not value.strip().isdecimal():
        measured = read_size(value)
        return -(-measured // 2**30) if isinstance(measured, int) else measured
    return value


class FlavorSettings(Section):
    """A size of VM."""

    name: str = Field(description="Its name; in OpenStack the flavor's name or id.", pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/+-]*$")
    resources: Amounts = Field(
        default={},
        description="What a worker of it offers: cpus, memory, disk, gpus, or any name that tasks ask for. In OpenStack the cloud says "
        "what a flavor has, and this adds to it.",
    )
    gpus: float | None = Field(default=None, ge=0, description="Its GPUs: short for gpus among its resources.")
    price: float = Field(default=0.0, ge=0, description="Cost per hour, in any unit; the cheapest that fits is taken.")


#: What a pool in a cloud takes instead of a local one's defaults: VMs boot for minutes and are not worth ending for a short idle time.
_IN_A_CLOUD = {"cooldown": 60.0, "boot_timeout": 600.0}
#: Fields that say nothing to a local pool.
_OF_A_CLOUD = (
    *("cloud", "image", "networks", "key_name", "security_groups", "availability_zones", "config_drive", "boot_volume"),
    *("volume_type", "floating_network", "user_data", "packages", "pip", "folder", "poweroff_command", "task_user", "metadata"),
)
Words = Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_words)]
Package = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9+.:=~_/-]*$")]
Requirement = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-\[\],<>=!~+:/@#%&?]*$")]


class PoolSettings(Section):
    """A kind of VM. Without any, there is one pool `local` of this machine's cores."""

    provider: Literal["local", "openstack"] = Field(
        default="local",
        description="Where its VMs come from; `local`: processes of this machine; `openstack`: servers of a project (docs/openstack.md).",
    )
    flavors: Annotated[list[FlavorSettings], BeforeValidator(_flavors)] = Field(
        min_length=1, description='Its sizes; in OpenStack names are enough: `flavors = ["m1.small"]`.'
    )
    minimum: int = Field(default=0, ge=0, description="VMs that are kept even when nothing waits.")
    maximum: int = Field(default=4, ge=0, description="VMs at most.")
    limits: Amounts = Field(default={}, description="Bounds for sums of resources over its VMs, such as {cpus = 8}.")
    cooldown: Duration = Field(
        default=10.0,
        description="How long a worker may be idle, with nothing in sight that needs it, before it is drained; `openstack`: 60 unless set.",
    )
    haste: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Between 0, as few VM hours as there can be, and 1, results as soon as can be; see docs/scaling.md.",
    )
    head_room: Amounts = Field(
        default={},
        description="What of the project's quota is left to its people, such as {cpus = 8, instances = 2, addresses = 10}.",
    )
    boots_per_minute: float = Field(default=0.0, ge=0, description="VMs that are created within a minute at most; 0: no bound.")
    billing: Span = Field(
        default=0.0,
        description="The time that is always paid for as a whole, such as 1h: an idle VM is let go only near its end.",
    )
    quiet_hours: list[Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")]] = Field(
        default=[], description='Times of the day (of the boss\'s machine) in which no VM is created, such as ["08:00-18:00"].'
    )
    boot_timeout: Duration = Field(
        default=60.0, description="Time for a new VM's worker to be heard; `openstack`: 600 unless set."
    )
    enforce: list[Literal["memory", "processes", "cpus", "cpu_quota", "privileges"]] = Field(
        default=["memory", "processes", "cpus", "privileges"],
        description="What tasks are held to: the memory that they say they need, a number of processes, shares of the cpus (`cpu_quota`: "
        "never more cpus than they need), and no setuid programs; see docs/task-file.md.",
    )
    processes: int = Field(
        default=2048, ge=1, le=4_000_000, description="Processes and threads that one task may have at a time."
    )
    memory_slack: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="The share of its `memory` that a task may use beyond it: 0.2 lets one with 10G have 12G.",
    )
    cloud: str = Field(
        default="",
        description="OpenStack: the entry of clouds.yaml; empty: the OS_* variables.",
        pattern=r"^$|^[A-Za-z0-9][A-Za-z0-9._-]*$",
    )
    image: str = Field(default="", description="OpenStack: name or id of the image; of several of one name the newest.")
    networks: Words = Field(default=[], description="OpenStack: names or ids of its networks; empty: the project's only one.")
    key_name: str = Field(default="", description="OpenStack: key pair for people's SSH; ecloud needs none.")
    security_groups: Words = Field(default=[], description="OpenStack: names or ids; empty: the project's group `default`.")
    availability_zones: Words = Field(
        default=[], description="OpenStack: tried in turn, the next one when no host has room; empty: the cloud's choice."
    )
    config_drive: bool = Field(
        default=False, description="OpenStack: give VMs their data by config drive, for networks without a metadata service."
    )
    boot_volume: Annotated[int, BeforeValidator(_gibibytes)] = Field(
        default=0, ge=0, description="OpenStack: GiB of a volume to boot from, deleted with its VM; 0: the flavor's own disk."
    )
    volume_type: str = Field(default="", description="OpenStack: the volume's type; empty: the cloud's default.")
    floating_network: str = Field(
        default="",
        description="OpenStack: external network from which each VM gets a floating IP, released with it; empty: none.",
    )
    user_data: Literal["cloud-config", "script"] = Field(
        default="cloud-config",
        description="OpenStack: form of what a VM starts with; `script` for images without cloud-init's modules.",
    )
    packages: list[Package] = Field(default=[], description="OpenStack: packages of the image's distribution to install at boot.")
    pip: list[Requirement] = Field(default=[], description="OpenStack: Python packages to install at boot, as pip takes them.")
    folder: str = Field(
        default="/var/lib/ecloud",
        description="OpenStack: the worker's folder on a VM; with `script` one of the host's name in it.",
        pattern=r"^(/[A-Za-z0-9._-]+)+$",
    )
    poweroff_command: str = Field(
        default="systemctl poweroff || poweroff -f",
        description="OpenStack: what a VM does when its worker has ended for good; empty: only what the worker has started is ended.",
        pattern=r"^[^\r\n\x00]*$",
    )
    task_user: str = Field(
        default="ecloud-task",
        description="OpenStack: the user on its VMs in whose groups tasks run, each task as a user of its own that may neither read the "
        "worker's keys nor another task's files nor ask the cloud's metadata service; empty: the worker's own user.",
        pattern=r"^$|^[a-z_][a-z0-9_-]{0,24}$",
    )
    metadata: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,255}$")], Annotated[str, Field(max_length=255)]] = Field(
        default={}, description="OpenStack: more metadata for its servers.", max_length=64
    )

    require_signature: str = Field(
        default="",
        description="A file of keys as OpenSSH's allowed_signers: its workers run only jobs that one of them has signed "
        "(docs/signed-jobs.md); empty: any job.",
        pattern=r"^[^\r\n\x00]*$",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        in_a_cloud = isinstance(values, dict) and values.get("provider", "local") != "local"
        return _IN_A_CLOUD | values if in_a_cloud else values

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum is {self.minimum} and maximum {self.maximum}")
        if self.provider == "local":
            strange = [name for name in _OF_A_CLOUD if name in self.model_fields_set]
            if strange:
                raise ValueError(
                    f'{strange[0]} is for VMs of a cloud, and this pool is local; did you forget provider = "openstack"?'
                )
            bare = [flavor.name for flavor in self.flavors if not flavor.resources]
            if bare:
                raise ValueError(
                    f'flavor {bare[0]!r} needs resources, such as {{cpus = 2, memory = "4G"}}: no cloud says what it offers'
                )
        else:
            if not self.image:
                raise ValueError("image is missing: the name or id of the image that its VMs start from")
            if self.volume_type and not self.boot_volume:
                raise ValueError("volume_type is the type of a boot_volume, of which no size is set")
        ours = next((name for name in self.metadata if name.startswith("ecloud-")), None)
        if ours:
            raise ValueError(f"metadata {ours!r} is not yours to set: ecloud marks its servers with names that begin so")
        names = [flavor.name for flavor in self.flavors]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"flavor {twice!r} is there twice")
        return self
