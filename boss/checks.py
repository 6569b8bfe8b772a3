"""What the boss needs of its surroundings, looked at one by one: each check ends as one finding with a remedy.

Rules:
- A check changes nothing, needs no running boss, and answers within seconds.
- ``failed`` is what the boss cannot work with, ``note`` what one should know. Each of both names what to do.
"""

import http.client
import json
import os
import resource
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from boss import absent
from boss.adapters import address, sockets
from boss.adapters.certificates import BOSS, Authority, Gate
from boss.adapters.daemons import SSH_MAX_SESSIONS, SSH_MAX_STARTUPS, DaemonError, find_program
from boss.adapters.database_url import locate
from boss.adapters.lock import is_held
from boss.adapters.reader import Reader
from boss.adapters.store import Store
from boss.config import BossConfig, OutsideDatastore
from boss.ports import StoreError
from datastore.channel import Channel, Endpoint, Unreachable
from datastore.frames import GateError, GateFull
from worker import cgroup_places

_PYTHON = (3, 11)
_MOSQUITTO = (2, 0)
_GIB = 2**30
#: A datastore with less room than this, in bytes, cannot take in results.
_FULL = 16 * 2**20
_MAKE_ROOM = "free space there; results wait on the workers and go on by themselves"
_KEYS = "bring them back from a back-up, with the boss stopped; do not remove them: others know the boss by them"
#: Open files that some hundred workers need on the boss's machine.
_OPEN_FILES = 4096
#: No machine whose clock is right is older than this software: 2026-01-01.
_EARLIEST = 1767225600.0


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"  #: as it should be
    NOTE = "note"  #: works; one should know
    FAILED = "failed"  #: the boss cannot work so


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``doctor``: what was looked at, how it is, and what to do about it."""

    check: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def examine(config: BossConfig) -> Iterator[Finding]:
    """All checks, in the order in which one would repair things."""
    for check in _CHECKS:
        finding = check(config)
        if finding is not None:
            yield finding


def python() -> Finding:
    """The interpreter that runs this."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _PYTHON:
        return Finding("Python", Verdict.FAILED, version, "install Python 3.11 or newer and run scripts/setup")
    return Finding("Python", Verdict.OK, f"{version} ({sys.executable})")


def _settings(config: BossConfig) -> Finding:
    variables = sorted(name for name in os.environ if name.startswith("ECLOUD_"))
    detail = str(config.file) if config.file else "no file: everything at its default"
    return Finding("settings", Verdict.OK, detail + (f"; and {', '.join(variables)}" if variables else ""))


def _state(config: BossConfig) -> Finding:
    folder = config.state
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK):
        return Finding("state folder", Verdict.FAILED, f"{folder} cannot be written", "set ECLOUD_STATE to a folder of your own")
    if there != folder:
        return Finding("state folder", Verdict.OK, f"{folder}: none yet, the boss makes it at its first start")
    if folder.stat().st_mode & 0o022:
        return Finding("state folder", Verdict.FAILED, f"{folder} can be written by others", f"chmod 700 {folder}")
    return Finding("state folder", Verdict.OK, str(folder))


def _account(config: BossConfig) -> Finding:
    if os.geteuid() == 0:
        advice = "start the boss as a user without rights of its own"
        return Finding("account", Verdict.NOTE, "root: local workers run their tasks as root, too", advice)
    detail = (
        "local workers run tasks as this user: a task could read the boss's keys and other tasks' files, and end their processes"
    )
    return Finding("account", Verdict.NOTE, detail, "let only people push jobs who may act as this user, or use a pool of VMs")


def _task_limits(config: BossConfig) -> Finding | None:
    """What local workers can hold tasks to. Each worker says in its hello what it does: admin.py show_workers."""
    if not any(pool.provider == "local" for pool in config.policy.pools):
        return None
    missing = sorted(set(cgroup_places.BOUNDS) - cgroup_places.look().controllers)
    if not missing:
        return Finding("task limits", Verdict.OK, "local workers bound memory, processes and cpus of each task by control groups")
    without = {
        "cpu": "their cpus are not bound",
        "memory": "their memory is looked at every second, so that a task may have more in between",
        "pids": "their processes are counted every second",
    }
    detail = f"local tasks have no control group for {', '.join(missing)}: {'; '.join(without[name] for name in missing)}"
    return Finding(
        "task limits", Verdict.NOTE, detail, "start the boss as a service (scripts/setup --service), which has Delegate=yes"
    )


def _mosquitto(config: BossConfig) -> Finding:
    if config.broker:
        where = f"{config.broker.host}:{config.broker.port}"
        if sockets.answers(config.broker.port, config.broker.host, timeout=5.0):
            return Finding("broker", Verdict.OK, f"{where} answers")
        return Finding("broker", Verdict.FAILED, f"{where} does not answer", "start it, or correct [broker] in the settings")
    try:
        program = find_program("mosquitto", "mosquitto")
    except DaemonError as error:
        return Finding("mosquitto", Verdict.FAILED, "not installed", str(error))
    said = _said([program, "-h"]).split()
    version = said[2] if len(said) > 2 else "?"
    if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < _MOSQUITTO:
        return Finding("mosquitto", Verdict.FAILED, f"version {version}", "version 2.0 or newer is needed")
    return Finding("mosquitto", Verdict.OK, f"{version} ({program})")


def _ssh(config: BossConfig) -> Finding:
    if not shutil.which("ssh"):
        return Finding("ssh", Verdict.FAILED, "not installed", "on Debian and Ubuntu: apt install openssh-client")
    return Finding("ssh", Verdict.OK, _said(["ssh", "-V"]).strip())


def _sshd(config: BossConfig) -> Finding:
    if config.datastore:
        return _gate(config, config.datastore)
    try:
        program = find_program("sshd", "openssh-server")
    except DaemonError as error:
        return Finding("sshd", Verdict.FAILED, "not installed", str(error))
    detail = f"{program}, private: MaxSessions {SSH_MAX_SESSIONS}, MaxStartups {SSH_MAX_STARTUPS}"
    return Finding("sshd", Verdict.OK, detail)


def _gate(config: BossConfig, there: OutsideDatastore) -> Finding:
    """Log in at the outside datastore as the boss does, and write through its gate."""
    where = f"{there.user}@{there.host}:{there.port}"
    again = f"python -m boss deploy datastore {there.user}@{there.host}:{there.port} --root {there.root}"
    if not (config.pki / "ca.pem").exists():  # a check makes no keys
        return Finding("datastore", Verdict.FAILED, f"{where} cannot know this boss: it has no keys yet", again)
    gate = Gate(there.host, there.port, there.user, there.host_key, there.program, there.root)
    try:
        root, free = try_gate(Authority(config.pki), gate)
    except GateFull as error:
        return Finding("datastore", Verdict.FAILED, f"{where}: {error}", _MAKE_ROOM)
    except (Unreachable, GateError) as error:
        return Finding("datastore", Verdict.FAILED, f"{where}: {error}", again)
    except ValueError as error:
        return Finding("datastore", Verdict.FAILED, f"the boss's own keys in {config.pki} cannot be read: {error}", _KEYS)
    if free < _GIB:
        return Finding("datastore", Verdict.NOTE, f"{where}: {_amount(free)} free in {root}", "make room there")
    return Finding("datastore", Verdict.OK, f"{where}: written and read back in {root}, {_amount(free)} free")


def try_gate(authority: Authority, gate: Gate) -> tuple[str, int]:
    """Log in as the boss, write a small file, read it back and remove it; the folder and its free bytes.

    Raises Unreachable when there is no log-in, GateError when the gate cannot write.
    """
    with tempfile.TemporaryDirectory(prefix="ecloud-") as folder:
        files = authority.issue_login(Path(folder), gate, BOSS, 600.0)
        key, certificate, known_hosts = str(files.key), str(files.certificate), str(files.known_hosts)
        channel = Channel(Endpoint(gate.host, gate.port, gate.user, key, certificate, known_hosts).command())
        try:
            answer = channel.ask({"op": "check"})
        finally:
            channel.close()
    return str(answer["root"]), int(answer["free"])


def _open_files(config: BossConfig) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < _OPEN_FILES:
        remedy = "raise 'nofile' in /etc/security/limits.conf, or LimitNOFILE in the service"
        return Finding("open files", Verdict.NOTE, f"at most {hard}: enough for about {hard // 4} workers", remedy)
    return Finding("open files", Verdict.OK, f"{soft}, may be raised to {hard}")


def _database(config: BossConfig) -> Finding:
    if not config.state.exists() and str(config.state) in config.database_url:
        return Finding("database", Verdict.OK, "SQLite in the state folder: none yet, the boss makes it at its first start")
    try:
        store = Store(config.database_url)
        try:
            return Finding("database", Verdict.OK, store.integrity())
        finally:
            store.close()
    except (StoreError, ValueError) as error:
        return Finding("database", Verdict.FAILED, str(error), "correct ECLOUD_DATABASE_URL, or start the database")


def _ports(config: BossConfig) -> Finding:
    kept = config.api_port_file
    port = config.api_port or (int(kept.read_text()) if kept.exists() else 0)
    if not port:
        return Finding("ports", Verdict.OK, "chosen at the first start")
    if sockets.is_free(port, config.api_host):
        if is_held(config.state):
            remedy = "give doctor the settings that the boss has: the same ecloud.toml and ECLOUD_* variables"
            return Finding("ports", Verdict.NOTE, f"a boss runs here, but its API is not at {config.api_host}:{port}", remedy)
        return Finding("ports", Verdict.OK, f"{port} is free for the API; no boss runs")
    where = f"{config.api_host}:{port}"
    if is_held(config.state) and sockets.answers(port, config.api_host):
        return Finding("ports", Verdict.OK, f"the API answers at {where}: a boss runs")
    other = (
        "another boss answers there: not that of this state folder"
        if _is_boss(config.api_host, port)
        else "another program has it"
    )
    remedy = (
        "end that one, or set another [api] port"
        if config.api_port
        else "another port will be chosen: whoever has set ECLOUD_API_URL must be told the new address; or end that one"
    )
    return Finding("ports", Verdict.FAILED if config.api_port else Verdict.NOTE, f"{where}: {other}", remedy)


def _is_boss(host: str, port: int) -> bool:
    """Whether the API of some boss answers there, over TLS or not."""
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE  # nothing is said there, and nothing believed
    secure = http.client.HTTPSConnection(host, port, timeout=2.0, context=anybody)
    for link in (secure, http.client.HTTPConnection(host, port, timeout=2.0)):
        try:
            link.request("GET", "/api/v1/health")
            return "max_task_file" in json.loads(link.getresponse().read(65536))
        except (OSError, http.client.HTTPException, ValueError, TypeError):
            continue
        finally:
            link.close()
    return False


def _disk(config: BossConfig) -> Finding:
    there = next(path for path in (config.state, *config.state.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < _GIB:
        return Finding("disk", Verdict.FAILED, f"{_amount(free)} free at {there}", "make room, or set ECLOUD_STATE elsewhere")
    return Finding("disk", Verdict.OK, f"{_amount(free)} free at {there}")


def _private_datastore(config: BossConfig) -> Finding | None:
    """Room in the private datastore's folder, which may lie on another disk than the state folder."""
    if config.datastore:
        return None
    root = config.datastore_root
    there = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < _FULL:
        return Finding("datastore", Verdict.FAILED, f"{root} is full: {_amount(free)} free", _MAKE_ROOM)
    if free < _GIB:
        return Finding("datastore", Verdict.NOTE, f"{_amount(free)} free in {root}", "make room there")
    return Finding("datastore", Verdict.OK, f"{_amount(free)} free in {root}")


def _results(config: BossConfig) -> Finding | None:
    """Results that the database knows and a private datastore does not have: after a restore they may still be elsewhere."""
    location = locate(config.database_url)
    if config.datastore or (location.dialect == "sqlite" and not Path(location.database).exists()):
        return None
    try:
        reader = Reader(config.database_url)
        try:
            if reader.context().get("datastore_address"):
                return None  # another host, which the boss asks at its start
            missing = absent.below_root(config, reader.jobs_with_results(absent.LOOKED_FOR))
        finally:
            reader.close()
    except (StoreError, ValueError):
        return None  # told by the check of the database
    if not missing:
        return Finding("results", Verdict.OK, f"every job with results has a folder in {config.datastore_root}")
    remedy = f"bring the datastore's files to {config.datastore_root}, unless they were removed on purpose"
    return Finding("results", Verdict.NOTE, absent.sentence(missing, str(config.datastore_root)), remedy)


def _doors(config: BossConfig) -> Finding | None:
    """Where VMs reach this boss. Whether they do, only a VM can say."""
    fact = known_facts(config).get(address.FACT, "")
    if not config.opens_doors(fact):
        return None
    try:
        found = address.find(fact, config.vms.address)
    except address.NoAddress as error:
        return Finding("VMs' way", Verdict.FAILED, str(error), "set boss_address in [vms]")
    doors = config.vms
    ports = [doors.join_port, *([] if config.broker else [doors.broker_port]), *([] if config.datastore else [doors.gate_port])]
    detail = f"{found.host} (by {found.how}), ports {', '.join(map(str, ports))}"
    if is_held(config.state):
        silent = [port for port in ports if not sockets.answers(port, found.listen)]
        if silent:
            return Finding(
                "VMs' way", Verdict.FAILED, f"{detail}: nothing answers at {silent[0]}", "restart the boss; its log says why"
            )
    else:
        taken = [port for port in ports if not sockets.is_free(port, found.listen)]
        if taken:
            remedy = "choose other ports in [vms], or end the program that has it"
            return Finding("VMs' way", Verdict.FAILED, f"{detail}: nobody can listen at {taken[0]}", remedy)
    return Finding("VMs' way", Verdict.NOTE, detail, "let these ports in from the VMs' network (security groups, firewall)")


def known_facts(config: BossConfig) -> Mapping[str, str]:
    """The facts of the context; none while there is no database, or none that answers."""
    location = locate(config.database_url)
    if location.dialect == "sqlite" and not Path(location.database).exists():
        return {}
    try:
        reader = Reader(config.database_url)
        try:
            return reader.context()
        finally:
            reader.close()
    except (StoreError, ValueError):
        return {}


def _clock(config: BossConfig) -> Finding:
    if time.time() < _EARLIEST:
        return Finding("clock", Verdict.FAILED, time.strftime("%F"), "set the clock: certificates would not be valid")
    if shutil.which("timedatectl") and _said(["timedatectl", "show", "-p", "NTPSynchronized", "--value"]).strip() == "no":
        return Finding("clock", Verdict.NOTE, "not synchronized", "timedatectl set-ntp true")
    return Finding("clock", Verdict.OK, time.strftime("%F %T %Z"))


def _said(command: list[str]) -> str:
    """What a program prints within five seconds, on either stream."""
    try:
        ran = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5.0)
    except subprocess.TimeoutExpired:
        return ""
    return ran.stdout + ran.stderr


def _amount(size: int) -> str:
    return f"{size / _GIB:.1f} GiB" if size >= _GIB // 10 else f"{size / 2**20:.1f} MiB"


_CHECKS: tuple[Callable[[BossConfig], Finding | None], ...] = (
    lambda _config: python(),
    *(
        _settings,
        _state,
        _account,
        _task_limits,
        _mosquitto,
        _ssh,
        _sshd,
        _open_files,
        _database,
        _ports,
        _disk,
        _private_datastore,
        _results,
        _doors,
        _clock,
    ),
)
