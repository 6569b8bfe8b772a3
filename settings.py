"""Every setting of the boss, typed, documented and checked: ``ecloud.toml``, then ``ECLOUD_*`` variables, which win.

Rules:
- One file is read: the one that ``ECLOUD_CONFIG`` names, else ``ecloud.toml`` in the working folder, else in the state folder.
- ``[broker] host`` in the file is ``ECLOUD_BROKER__HOST`` in the environment.
- An unknown setting is an error that names the nearest known one; all errors are told at once; none shows a value of a secret.
- A pool and its flavors are in ``settings_pools``, who is told what in ``settings_notify``, how durations and sizes are written in
  ``settings_types``.
- Only entry points and ``boss/config.py`` import these four. ``ECLOUD_API_URL``, ``ECLOUD_CA`` and ``ECLOUD_TOKEN`` belong to ``client/``.

``python settings.py`` prints the table of ``docs/settings.md``.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from settings_notify import NotifySettings
from settings_pools import PoolSettings
from settings_types import Duration, Port, Section, Size

_PREFIX = "ECLOUD_"
#: Variables with our prefix that are not settings of the boss: of the clients, and of the tasks that workers run.
_NOT_SETTINGS = frozenset(
    f"{_PREFIX}{name}"
    for name in (
        *("CONFIG", "API_URL", "CA", "TOKEN", "JOB", "TASK", "ATTEMPT", "ATTEMPT_ID", "CPUS", "INIT", "WORKER", "WORKER_FOLDER"),
    )
)


#: Tables whose entries have names of their own.
_NAMED = tuple(f"{_PREFIX}{table}__" for table in ("POOLS", "NOTIFY__TARGETS", "NOTIFY__PEOPLE"))


class SettingsError(Exception):
    """Settings that the boss cannot start with; one line for each thing that is wrong, with where it was written."""


class ApiSettings(Section):
    """The door for people and programs."""

    host: str = Field(
        default="127.0.0.1",
        description="Address that the API listens on. Beyond loopback it speaks HTTPS, with a certificate of the boss's own CA "
        "unless `certificate` names another.",
    )
    port: Port = Field(default=0, description="Its port; 0: a free one, chosen once and kept in the state folder.")
    public_url: str = Field(
        default="",
        description="The API's address for people on other machines (a proxy's, a tunnel's), as `create_token` prints it; "
        "default: the one that it listens on.",
        pattern=r"^$|^https?://[^/\s#]+(/[^\s#]*)?$",
    )
    certificate: Path | None = Field(
        default=None,
        description="PEM file of a certificate of your own for the API, with its intermediate ones; read again when it changes.",
    )
    key: Path | None = Field(default=None, description="PEM file of its key.")
    ca: Path | None = Field(
        default=None,
        description="PEM file of the CA that signed `certificate`, which clients are to trust; default: those that their systems trust.",
    )
    audit_keep: Duration = Field(default=365 * 86400.0, description="How long the audit (who changed what, and when) is kept.")
    plain_http: bool = Field(
        default=False,
        description="Speak plain HTTP beyond loopback, where whoever listens on the way reads tokens: only behind a proxy with TLS.",
    )

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if self.ca is not None and self.certificate is None:
            raise ValueError("ca goes with certificate and key: the boss's own CA needs no setting")
        if self.plain_http and self.certificate is not None:
            raise ValueError("plain_http and certificate exclude each other")
        return self


class BrokerSettings(Section):
    """The MQTT 5 broker."""

    host: str = Field(
        default="",
        description="Host of an outside broker; empty: a private Mosquitto on loopback, started and watched by the boss.",
    )
    port: Port = Field(default=8883, description="Its TLS port.")
    ca: Path | None = Field(
        default=None, description="PEM file of the CA that signed the outside broker's certificate; default: the boss's own CA."
    )
    certificate: Path | None = Field(
        default=None, description="PEM file of the boss's client certificate; default: one by the boss's own CA."
    )
    key: Path | None = Field(default=None, description="PEM file of its key.")

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


class DatastoreSettings(Section):
    """The host with the files."""

    address: str = Field(
        default="",
        description="user@host or user@host:port of an outside datastore; empty: a private sshd on loopback.",
        pattern=r"^$|^[^@\s:]+@[^@\s:]+(:\d{1,5})?$",
    )
    root: str = Field(
        default="",
        description="Absolute path of ecloud's folder on that host; for a private datastore: default in the state folder.",
    )
    host_key: str = Field(
        default="", description="The host's public key, '<type> <base64>', as `python -m boss deploy datastore` prints it."
    )
    max_upload: Size = Field(
        default=2**40,
        description="Bytes of the results of one attempt, or of the files of one push, that the datastore takes in at most.",
    )
    transfers: int = Field(
        default=8,
        ge=0,
        le=10_000,
        description="How many transfers of the datastore move data at once; the others wait in line, for as long as it takes. 0: no bound.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.root and not self.root.startswith("/"):
            raise ValueError("root is not an absolute path")
        if self.address and not (self.root and re.fullmatch(r"\S+ [A-Za-z0-9+/=]+", self.host_key)):
            raise ValueError(
                "an outside datastore needs root and host_key; `python -m boss deploy datastore` prints all three lines"
            )
        return self


class LimitSettings(Section):
    """How much may be asked for at once."""

    max_tasks: int = Field(default=5_000_000, gt=0, description="Tasks of one job.")
    max_task_file: Size = Field(
        default=64 * 2**20, description="Bytes of one task file, with the CSV files that its foreach names."
    )


class VmSettings(Section):
    """What the boss and its VMs need to reach each other; only with a pool of VMs, or a boss_address."""

    boss_address: str = Field(
        default="",
        description="Host name or address at which VMs and hosts reach the boss; with it the boss listens there also without a pool "
        "of VMs; default: what the cloud's metadata says of the boss's server, else the address of its default route. "
        "The fact `boss_address` in the context wins over it.",
        pattern=r"^$|^[A-Za-z0-9.:-]{1,253}$",
    )
    join_port: Port = Field(default=8444, gt=0, description="Port of the join door (HTTPS under the boss's own CA).")
    broker_port: Port = Field(default=8883, gt=0, description="Port of the private broker for VMs (mutual TLS).")
    gate_port: Port = Field(default=2222, gt=0, description="Port of the private datastore for VMs (SSH, certificates only).")
    certificate_lifetime: Duration = Field(
        default=4 * 86400.0,
        description="How long a worker's certificates last. They are renewed at half of it, so half of it should not be less than "
        "`workers.longest_lease`: a worker whose boss is away still has to deliver what it finishes.",
    )
    join_allowance: Duration = Field(
        default=3600.0,
        description="How long a join token lasts beyond the pool's boot_timeout, for servers that wait in the cloud's queue.",
    )


class PolicySettings(Section):
    """The numbers that the boss decides by. The defaults are for workers on this machine."""

    heartbeat: Duration = Field(default=2.0, description="Seconds between two heartbeats of a worker, while there are few.")
    heartbeat_rate: float = Field(
        default=250.0,
        gt=0,
        description="Heartbeats a second of all workers together, at most: in a fleet that would send more, each worker sends them less "
        "often, and `offline_after` and `lease` are longer by as many missed heartbeats. A worker whose link breaks is noticed as before.",
    )
    offline_after: Duration = Field(default=6.0, description="Silence until a worker gets no new tasks: three heartbeats.")
    lease: Duration = Field(
        default=30.0,
        description="Silence until a worker's tasks run elsewhere. A dead local process is noticed at once; "
        "this is for one that hangs, and a busy machine may well hang for ten seconds.",
    )
    worker_lease: Duration = Field(default=1800.0, description="How long a worker lives without an answer from a boss.")
    create_timeout: Duration = Field(
        default=30.0, description="Time for the answer to a create call; 120 unless set when a pool is in a cloud."
    )
    delete_timeout: Duration = Field(default=300.0, description="Time for a deletion to be confirmed.")
    drain_timeout: Duration = Field(default=86400.0, description="Time for a drained worker to finish what it holds.")
    stop_grace: Duration = Field(default=10.0, description="How long a stopping boss waits for its local workers' running tasks.")
    stray_grace: Duration = Field(default=60.0, description="How long a server that no claim knows is left alone.")
    list_interval: Duration = Field(default=30.0, description="Time between two comparisons of servers with claims.")
    retry_base: Duration = Field(default=2.0, description="Delay before a task's first retry; doubled each time, with jitter.")
    retry_limit: Duration = Field(default=300.0, description="The longest delay before a retry.")
    pool_pause: Duration = Field(
        default=60.0,
        description="After how long a pool that was paused for failures tries again; doubled at each further one, up to an hour.",
    )
    infrastructure_budget: int = Field(
        default=5, ge=0, description="Losses of one task to infrastructure that are repeated without asking."
    )
    prefetch_seconds: float = Field(
        default=0.25,
        ge=0,
        description="Seconds of work that may wait on a worker beyond what it runs; more where a worker is far away.",
    )
    prefetch_limit: int = Field(default=128, ge=0, description="Tasks per slot that may wait on a worker.")
    budget: float = Field(
        default=0.0,
        ge=0,
        description="vCPU hours of all VMs together, from the first start on; when they are used up, no VM is created and no task "
        "dealt out, and what runs finishes. 0: no bound.",
    )
    job_budget: float = Field(default=0.0, ge=0, description="The same for the tasks of each job. 0: no bound.")
    worker_failures: int = Field(default=3, gt=0, description="Infrastructure failures in a row that drain a worker.")
    check: bool = Field(default=False, description="Check the state's invariants after every turn (slow; for tests).")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.heartbeat < self.offline_after < self.lease <= self.worker_lease:
            raise ValueError("heartbeat < offline_after < lease <= worker_lease does not hold")
        return self


class WorkersSettings(Section):
    """What every worker is told."""

    cache: Size = Field(default=4 * 2**30, description="Bytes of inputs that a worker keeps for the next tasks.")
    longest_lease: Duration = Field(
        default=48 * 3600.0,
        description="How long a worker that holds work or results lives without an answer from a boss, at most.",
    )


class Settings(BaseSettings):
    """All of it. Made by ``load``, which also finds the file."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    state: Path = Field(
        default=Path("~/.local/state/ecloud"), description="The state folder: keys, SQLite database, files of local mode."
    )
    database_url: str = Field(
        default="",
        repr=False,
        description="mysql://user:password@host:port/database or sqlite:///path; default: SQLite in the state folder.",
        pattern=r"^$|^sqlite:///.|^mysql://[^/]+/.",
    )
    boss_lease: float = Field(
        default=10.0,
        ge=2.0,
        le=300.0,
        description="Seconds for which a database on a server stays a boss's after its last sign of life; a standby takes over then.",
    )
    datastore_legacy_root: str = Field(
        default="",
        description="Absolute path of a folder on the datastore's host, below which the sources of the original's task files lie "
        "that are absolute or begin with `../`; tasks only read there. Empty: such sources are refused.",
        pattern=r"^$|^/",
    )
    local_slots: int | None = Field(
        default=None, gt=0, description="Cpu slots of the local pool in all; default: the machine's cores."
    )
    certificate_lifetime: Annotated[Duration, Field(ge=60)] = Field(
        default=365 * 86400.0,
        description="How long the boss's own certificates (API, broker, log-ins, local workers) are valid; "
        "each is made anew while the boss runs when a third of it is left.",
    )
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto",
        description="Form of the boss's log on stderr: `json`, one object a line, or `text` for people; "
        "`auto`: text on a terminal, else JSON.",
    )
    api: ApiSettings = ApiSettings()
    broker: BrokerSettings = BrokerSettings()
    datastore: DatastoreSettings = DatastoreSettings()
    limits: LimitSettings = LimitSettings()
    policy: PolicySettings = PolicySettings()
    vms: VmSettings = VmSettings()
    workers: WorkersSettings = WorkersSettings()
    notify: NotifySettings = NotifySettings()
    pools: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")], PoolSettings] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables first, then the file."""
        return env_settings, TomlConfigSettingsSource(settings_cls)


class Row(NamedTuple):
    """One setting, for documents: its dotted name, its variable, default and meaning."""

    name: str
    variable: str
    default: str
    meaning: str


def load() -> tuple[Settings, Path | None]:
    """The settings, and the file that was read (None: there is none). Raises SettingsError."""
    path = find_file()
    if path and not path.is_file():
        raise SettingsError(f"{path}: there is no such file")
    problems = list(_unknown_variables())
    located = type("Settings", (Settings,), {"model_config": SettingsConfigDict(toml_file=path)})
    try:
        settings: Settings = located()
    except ValidationError as error:
        problems += [_problem(dict(each), path) for each in error.errors(include_input=False, include_url=False)]
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{path}: not TOML: {error}")
    except OSError as error:
        problems.append(f"{path}: {error.strerror}")
    if problems:
        raise SettingsError("\n".join(problems))
    return settings, path


def find_file() -> Path | None:
    """The file that is (or would be) read: named by ECLOUD_CONFIG, else in the working folder, else in the state folder."""
    named = os.environ.get(f"{_PREFIX}CONFIG")
    if named:
        return Path(named)
    state = os.environ.get(f"{_PREFIX}STATE") or str(Settings.model_fields["state"].default)
    places = (Path.cwd(), Path(state).expanduser())
    return next((place / "ecloud.toml" for place in places if (place / "ecloud.toml").is_file()), None)


def rows(model: type[BaseModel] = Settings, above: str = "") -> Iterator[Row]:
    """Every setting, in order. A pool is shown as ``pools.<name>``, its flavors as ``flavors[]``."""
    for name, field in model.model_fields.items():
        dotted = f"{above}{name}"
        inner, mark = _inner(field)
        if field.description:
            variable = f"{_PREFIX}{dotted.upper().replace('.', '__')}" if "<" not in dotted else ""
            yield Row(dotted, variable, _shown(field), field.description)
        if inner:
            yield from rows(inner, f"{dotted}{mark}.")


def table() -> str:
    """``rows`` as a Markdown table."""
    lines = ["| setting | variable | default | meaning |", "| --- | --- | --- | --- |"]
    for row in rows():
        default = f"`{row.default}`" if row.default else ""
        lines.append(f"| `{row.name}` | {f'`{row.variable}`' if row.variable else ''} | {default} | {row.meaning} |")
    return "\n".join(lines) + "\n"


def _inner(field: FieldInfo) -> tuple[type[BaseModel] | None, str]:
    """The section that a field holds, if any, and how its place is written: itself, by name, or in a list."""
    kind = field.annotation
    for candidate, mark in ((kind, ""), *((argument, ".<name>" if "dict" in str(kind) else "[]") for argument in get_args(kind))):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate, mark
    return None, ""


def _shown(field: FieldInfo) -> str:
    if field.is_required() or field.default in (None, ""):
        return ""
    default = field.default
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


def _problem(error: dict[str, Any], path: Path | None) -> str:
    place = [str(part) for part in error["loc"]]
    variable = f"{_PREFIX}{'__'.join(place).upper()}"
    where = variable if variable in os.environ else f"{path or 'the environment'}: {'.'.join(place)}"
    if error["type"] == "extra_forbidden":
        known = {re.sub(r"<name>|\[\]", "*", row.name) for row in rows()}
        return f"{where}: unknown setting{_nearest('.'.join(place), known)}"
    if error["type"] == "string_pattern_mismatch" and place == ["database_url"]:
        return f"{where}: write it like mysql://user:password@host:port/database or sqlite:///path"
    return f"{where}: {str(error['msg']).removeprefix('Value error, ')}"


def _unknown_variables() -> Iterator[str]:
    known = {row.variable for row in rows()} | {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields} | _NOT_SETTINGS
    for name in sorted(os.environ):
        if name.startswith(_PREFIX) and name not in known and not name.startswith(_NAMED):
            yield f"{name}: unknown setting{_nearest(name, known)}"


def _nearest(name: str, known: set[str]) -> str:
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


if __name__ == "__main__":
    print(table(), end="")
