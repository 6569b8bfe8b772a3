"""What a VM is given to start with: a template of ``templates/``, filled with the pool's software and one claim group's join token.

Rules:
- The scripts of ``templates/`` and ``worker/join.py`` ride along as they are; what differs from VM to VM is in ``join.json`` (secret: the
  token) and ``ecloud.conf`` (shell variables).
- Nova takes no more than 65,535 bytes, as it is sent (base64); what is longer is an error that names the pool.
- Everything from the settings is quoted for the language that it is put into.
"""

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import jinja2

from boss.adapters.worker_config import SIGNERS, machine_part
from boss.config import VmSoftware
from boss.core.model import Pool
from worker.terms import PulseConfig

#: Nova's bound for user data, in bytes of its base64.
LONGEST = 65_535
TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
_JOIN = Path(__file__).resolve().parents[2] / "worker" / "join.py"
_SCRIPTS = ("run.sh", "setup.sh", "watchdog.sh", "poweroff.sh", "debug.sh")
#: Where a VM may find out the cloud's id of itself. A plain script may run in a guest that shares files and firmware with others.
_IDENTIFY = {"cloud-config": ("cloud-init", "metadata", "firmware"), "script": ("metadata",)}


class UserDataError(ValueError):
    """User data that no cloud would take; the message names the pool."""


@dataclass(frozen=True, slots=True)
class MachineTerms:
    """What all VMs are told alike. ``boss`` is the join door's URL, ``ca`` the PEM text of its CA; times in seconds.

    A token lasts for the pool's boot time-out and the ``allowance``; a machine waits for its boss for the ``lease`` at least.
    ``margin`` is the time that a worker has between its own deadline and the machine's end; ``watch`` how often the watchdog looks.
    ``ssh_key`` is the public key by which the boss gets in to look (empty: none), ``bundle`` the sha256 of the worker's bundle.
    """

    boss: str
    ca: str
    allowance: float
    lease: float
    ssh_key: str = ""
    margin: float = 60.0
    watch: float = 15.0
    restart_pause: float = 5.0
    bundle: str = ""


def templates() -> jinja2.Environment:
    """The templates; ``sh`` quotes for shells."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 (shell and YAML, quoted by the filters that fit them)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["sh"] = shlex.quote
    return found


def sent(text: str) -> int:
    """How many bytes user data has when it is sent."""
    return 4 * -(-len(text.encode()) // 3)


class UserData:
    """Renders user data. ``token(group, uses, seconds)`` makes join tokens; pools and their software by name."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        software: Mapping[str, VmSoftware],
        token: Callable[[str, int, float], str],
        terms: MachineTerms,
        signers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``signers`` are the texts of the ``allowed_signers`` of pools that run signed jobs only."""
        self._signers = dict(signers)
        self._pools = pools
        self._software = software
        self._token = token
        self._terms = terms
        self._templates = templates()

    def render(self, pool: str, group: str, count: int) -> str:
        """The user data for ``count`` servers of a claim group. Raises UserDataError."""
        software = self._software.get(pool, VmSoftware())
        boot = self._pools[pool].boot_timeout
        patience = max(boot, self._terms.lease)
        name = {"cloud-config": "worker.cloud-config.j2", "script": "worker.sh.j2"}[software.kind]
        deadline = int(patience + self._terms.margin)
        packages = [*software.packages, *(["python3-venv"] if software.pip else [])]
        token = self._token(group, count, boot + self._terms.allowance)
        signers = self._signers.get(pool, "")
        files = self._files(software, packages, token, patience, deadline, signers)
        end = next(
            mark for mark in (f"ECLOUD_END_{number}" for number in range(1000)) if not any(mark in file["text"] for file in files)
        )
        text = self._templates.get_template(name).render(
            pool=pool,
            group=group,
            folder=software.folder,
            files=files,
            end=end,
            mark=hashlib.sha256(token.encode()).hexdigest()[:16],
            packages=packages,
            poweroff=software.poweroff or "true",
            ssh_key="" if signers else self._terms.ssh_key,  # a boss that was broken into must not get in that way
            join_deadline=deadline,
            watch_period=f"{self._terms.watch:g}",
        )
        size = sent(text)
        if size > LONGEST:
            raise UserDataError(
                f"pool {pool}: its user data would have {size} bytes, and clouds take {LONGEST}: shorten its `packages` and `pip`, "
                "or put them into its image"
            )
        return text

    def _files(
        self, software: VmSoftware, packages: list[str], token: str, patience: float, deadline: int, signers: str
    ) -> list[dict[str, str]]:
        """Names and texts of the files of the worker's folder."""
        told = {
            "boss": self._terms.boss,
            "ca": self._terms.ca,
            "token": token,
            "patience": patience,
            "identify": _IDENTIFY[software.kind],
            "host_key": software.kind == "cloud-config",
            "worker": machine_part(software.task_user, PulseConfig("pulse", self._terms.margin), bool(signers)),
            **({"bundle": self._terms.bundle} if signers else {}),
        }
        variables = {
            "poweroff": software.poweroff,
            "task_user": software.task_user,
            "packages": " ".join(packages) if software.kind == "script" else "",
            "join_deadline": str(deadline),
            "restart_pause": f"{self._terms.restart_pause:g}",
        }
        texts = {
            "join.json": json.dumps(told, indent=1) + "\n",
            "ecloud.conf": "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()),
            **({SIGNERS: signers.rstrip("\n") + "\n"} if signers else {}),
            **({"requirements.txt": "".join(f"{line}\n" for line in software.pip)} if software.pip else {}),
            "join.py": _JOIN.read_text(),
            **{script: (TEMPLATES / script).read_text() for script in _SCRIPTS},
        }
        return [{"name": name, "text": text} for name, text in texts.items()]
