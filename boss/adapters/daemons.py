"""The boss's own mosquitto and sshd: private instances on loopback (and, for VMs, on its address), started and watched by it.

Rules:
- A port is chosen once and kept in the daemon's folder, so that workers of an earlier life of the boss find their broker
  again. Only if another program has it, another is chosen.
- A daemon that dies is started again: at once when it had lived a while, else with growing pauses.
- A daemon ends with its boss: the kernel sends it SIGTERM (``setpriv --pdeathsig``) when the thread that started it ends, which
  is why one lasting thread does it. What an earlier life left all the same is found by its pid file and ended first.
"""

import getpass
import logging
import os
import resource
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from boss.adapters import processes, sockets
from boss.adapters.certificates import BOSS, PRINCIPAL, Authority, TlsFiles, is_account, is_reserved
from boss.adapters.keys import write_private
from boss.adapters.sockets import LOOPBACK

#: What the private sshd allows: sessions of one connection, and log-ins under way.
SSH_MAX_SESSIONS = 1000
SSH_MAX_STARTUPS = 1000
_START_TIMEOUT = 10.0
_STOP_TIMEOUT = 5.0
#: A daemon that lived this long, in seconds, is started again without a pause.
_STABLE = 10.0
_LONGEST_PAUSE = 5.0
#: A log longer than this, in bytes, is put aside; and the seconds between two looks: strangers write into it, too.
_LONGEST_LOG = 16 * 1024 * 1024
_LOOK = 5.0
#: The largest MQTT packet: a message of 256 KiB with its topic and properties.
_MAX_PACKET = 256 * 1024 + 16 * 1024

#: What the server's certificate names on every boss.
LOOPBACK_NAMES = (LOOPBACK, "localhost", "::1")

_log = logging.getLogger(__name__)


class DaemonError(Exception):
    """A daemon that cannot be had: its program is missing, or it ends at once; the message says why and what helps."""


@dataclass(frozen=True, slots=True)
class Outer:
    """Where VMs reach a daemon: the host's ``name`` (or address) for them, the address to ``listen`` on, and the port."""

    name: str
    listen: str
    port: int

    @property
    def shown(self) -> str:
        """``address:port`` as sshd writes it."""
        return f"[{self.listen}]:{self.port}" if ":" in self.listen else f"{self.listen}:{self.port}"

    def check(self, what: str, setting: str) -> None:
        """Raises DaemonError when nobody can listen there."""
        if not sockets.is_free(self.port, self.listen):
            raise DaemonError(
                f"the {what} cannot listen for VMs on {self.shown}: another program does, or this machine has no such address; "
                f"choose another {setting} or boss_address in [vms]"
            )


class Daemon:
    """One watched child process that serves a port on loopback.

    ``prepare(port)`` writes the configuration and returns the command; ``output`` in ``folder`` gets what the daemon logs.
    ``port`` 0 means the one kept in the folder, or a new one.
    """

    def __init__(self, name: str, folder: Path, prepare: Callable[[int], Sequence[str]], port: int = 0) -> None:
        self.name = name
        self.host = LOOPBACK
        self.port = port
        self.output = folder / "log"
        self._folder = folder
        self._prepare = prepare
        self._pid_file = folder / "pid"
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """The process that runs now; 0 between two lives."""
        return self._process.pid if self._process and self._process.returncode is None else 0

    def start(self) -> None:
        """Start the daemon; returns when its port answers. Raises DaemonError when it does not within ten seconds."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        processes.end_recorded(self._pid_file, _STOP_TIMEOUT)
        self._bound_log()
        self.port = sockets.kept_port(self._folder / "port", self.port)
        command = self._prepare(self.port)
        self._stopping.clear()
        failed = threading.Event()
        self._thread = threading.Thread(target=self._keep, args=(command, failed), name=self.name, daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _START_TIMEOUT
        while not sockets.answers(self.port):
            if failed.wait(0.01) or time.monotonic() > deadline:
                self.stop()
                raise DaemonError(f"{self.name} does not start: {self._last_words()}")

    def reload(self) -> None:
        """Have the daemon read its certificates again (SIGHUP); whoever is connected stays so."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGHUP)

    def restart(self) -> None:
        """End the daemon's process; the thread that watches it starts it again. Everybody has to log in anew."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def stop(self) -> None:
        """End the daemon and the thread that watches it."""
        self._stopping.set()
        process = self._process
        if process and process.poll() is None:
            process.terminate()
        if self._thread:
            self._thread.join(_STOP_TIMEOUT)
            if self._thread.is_alive() and process:
                process.kill()
                self._thread.join()
        self._pid_file.unlink(missing_ok=True)

    def _keep(self, command: Sequence[str], failed: threading.Event) -> None:
        """Start the daemon again whenever it ends, until it shall stop. Runs in a thread that lives as long as the boss."""
        pause = 0.0
        while not self._stopping.wait(pause):
            begun = time.monotonic()
            code = self._run(command)
            if self._stopping.is_set():
                return
            lived = time.monotonic() - begun
            _log.warning("%s ended with code %d after %.1f s: %s", self.name, code, lived, self._last_words())
            if lived < 1.0 and pause == 0.0:
                failed.set()
            pause = 0.0 if lived >= _STABLE else min(_LONGEST_PAUSE, max(0.05, pause * 2))

    def _run(self, command: Sequence[str]) -> int:
        with open(self.output, "ab") as output:
            process = subprocess.Popen(
                [*_dying_with_us(), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C in the boss's terminal is the boss's alone
            )
        self._process = process
        processes.record(self._pid_file, process.pid)
        _raise_open_files(process.pid)
        if self._stopping.is_set():  # stop() came before there was a process to end
            process.terminate()
        self._watch(process)
        return process.wait()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for its end, and bound its log meanwhile."""
        ended = os.pidfd_open(process.pid)
        try:
            poll = select.poll()
            poll.register(ended, select.POLLIN)
            while not poll.poll(_LOOK * 1000):
                self._bound_log()
        finally:
            os.close(ended)

    def _bound_log(self) -> None:
        """Put a log aside that has become too long; the daemon goes on in the same file, which it only appends to."""
        try:
            if self.output.exists() and self.output.stat().st_size > _LONGEST_LOG:
                shutil.copyfile(self.output, self.output.with_suffix(".old"))
                os.truncate(self.output, 0)
        except OSError as error:
            _log.warning("the log of %s has become long, and cannot be put aside: %s", self.name, error)

    def _last_words(self) -> str:
        """The end of what the daemon logged, on one line."""
        if not self.output.exists():
            return "it said nothing"
        with open(self.output, "rb") as file:
            file.seek(max(0, self.output.stat().st_size - 2000))
            lines = file.read().decode(errors="replace").split("\n")
        return " / ".join([line.strip() for line in lines if line.strip()][-3:]) or "it said nothing"


def mosquitto(
    folder: Path,
    authority: Authority,
    cluster: str,
    port: int = 0,
    outer: Outer | None = None,
    listeners: Callable[[], Sequence[str]] = tuple,
) -> Daemon:
    """A private Mosquitto: mutual TLS, the certificate's common name as the account, static rights by patterns.

    With ``outer`` it listens there, too; ``listeners()`` are the accounts that may read events.
    Raises DaemonError when the program is not installed.
    """
    program = find_program("mosquitto", "mosquitto")

    def prepare(port: int) -> Sequence[str]:
        if outer is not None:
            outer.check("broker", "broker_port")
        tls = authority.server(broker_names(outer))
        write_rights(folder, cluster, listeners())
        lines = broker_settings(f"{port} {LOOPBACK}", tls, folder / "acl", authority.crl())
        if outer is not None:
            lines += broker_listener(f"{outer.port} {outer.listen}", tls, authority.crl())
        lines += [
            "log_dest stderr",
            "log_type error",
            "log_type warning",
            "log_type notice",
            "log_timestamp_format %Y-%m-%dT%H:%M:%S",
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # else it becomes user mosquitto, who cannot read the keys
        config = folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        return [program, "-c", str(config)]

    return Daemon("mosquitto", folder, prepare, port)


def broker_names(outer: Outer | None) -> list[str]:
    """What the certificate of broker and join door names: loopback and, for VMs, the boss's address."""
    return [*LOOPBACK_NAMES, *((outer.name,) if outer is not None else ())]


def write_rights(folder: Path, cluster: str, listeners: Sequence[str], shut_out: Sequence[str] = ()) -> None:
    """Write the broker's ACL file; ``Daemon.reload`` makes it count, also for those who are connected."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / "acl", broker_rights(cluster, listeners, shut_out).encode())


def broker_settings(listener: str, tls: TlsFiles, rights: Path, crl: Path) -> list[str]:
    """The lines of mosquitto.conf that ecloud needs, on loopback and on a broker's own host alike; ``listener`` is port and address."""
    return [
        *broker_listener(listener, tls, crl),
        "allow_anonymous false",
        f"acl_file {rights}",
        "set_tcp_nodelay true",  # a hop takes 88 ms without
        "max_queued_messages 0",  # no limit: with one, acknowledged messages are dropped
        "max_queued_bytes 0",
        "max_inflight_messages 0",
        f"max_packet_size {_MAX_PACKET}",
        "persistence false",  # nobody relies on the broker's memory, and a stale one delivers twice
        "sys_interval 0",
    ]


def broker_listener(listener: str, tls: TlsFiles, crl: Path) -> list[str]:
    """The lines of one listener (port and address): mutual TLS, the certificate's common name as the account and as the client's id.

    Without the latter anybody with a certificate could take over the boss's session by its id, again and again.
    """
    return [
        f"listener {listener}",
        f"cafile {tls.ca}",
        f"certfile {tls.certificate}",
        f"keyfile {tls.key}",
        "require_certificate true",
        f"crlfile {crl}",
        "use_identity_as_username true",
        "use_username_as_clientid true",
    ]


class Shutter:
    """Takes workers' rights at the private broker away, until it is started again: it then drops itself what they say.

    Safe to use from several threads. ``listeners`` are the accounts that may listen, until ``write`` says which.
    """

    def __init__(self, broker: Daemon, folder: Path, cluster: str, listeners: Sequence[str] = ()) -> None:
        self._broker = broker
        self._folder = folder
        self._cluster = cluster
        self._listeners = listeners
        self._shut_out: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, worker: str) -> None:
        """Shut one worker out. Nothing happens for what is no worker's name; a disk that takes nothing is told in the log."""
        if is_reserved(worker) or not is_account(worker):
            return
        with self._lock:
            self._shut_out.add(worker)
            try:
                self._write()
            except OSError as error:  # it is asked for again while the worker goes on
                _log.error("the broker cannot be told to shut worker %s out: %s", worker, error, extra={"worker": worker})

    def write(self, listeners: Sequence[str]) -> None:
        """Let the broker know who may listen from now on. Raises OSError."""
        with self._lock:
            self._listeners = listeners
            self._write()

    def _write(self) -> None:
        write_rights(self._folder, self._cluster, self._listeners, sorted(self._shut_out))
        self._broker.reload()


def broker_rights(cluster: str, listeners: Sequence[str] = (), shut_out: Sequence[str] = ()) -> str:
    """The text of the ACL file: a worker has its own topics, the boss all of its cluster, these listeners the events and nothing else.

    Workers that are shut out have nothing.
    """
    base = f"ecloud/{cluster}"
    lines = [line for worker in shut_out for line in (f"user {worker}", f"topic deny {base}/#")]
    lines += [
        f"pattern read {base}/worker/%u/in",
        f"pattern write {base}/worker/%u/out",
        f"pattern write {base}/worker/%u/status",
        f"pattern write {base}/worker/%u/log/+",
        f"pattern read {base}/boss/status",
        f"user {BOSS}",
        f"topic readwrite {base}/#",
    ]
    for account in listeners:
        lines += [f"user {account}", f"topic deny {base}/worker/#", f"topic read {base}/events/#"]
    return "\n".join([*lines, ""])


def sshd(folder: Path, authority: Authority, port: int = 0, outer: Outer | None = None) -> Daemon:
    """A private OpenSSH server for the gate: certificates of our CA only, which force their command; log-in as this very user.

    With ``outer`` it listens there, too. Raises DaemonError when the program is not installed.
    """
    program = find_program("sshd", "openssh-server")

    def prepare(port: int) -> Sequence[str]:
        principals = folder / "principals"
        principals.write_text(f"{PRINCIPAL}\n")
        if outer is not None:
            outer.check("datastore", "gate_port")
        lines = [
            f"ListenAddress {LOOPBACK}:{port}",
            *([f"ListenAddress {outer.shown}"] if outer is not None else []),
            f"HostKey {authority.host_key}",
            "PidFile none",
            f"TrustedUserCAKeys {authority.ssh_ca_file}",
            f"AuthorizedPrincipalsFile {principals}",
            "AuthorizedKeysFile none",
            f"AllowUsers {getpass.getuser()}",
            "PermitRootLogin prohibit-password",
            "AuthenticationMethods publickey",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            f"UsePAM {'yes' if _account_is_locked(getpass.getuser()) else 'no'}",
            "StrictModes no",
            "PermitTTY no",
            "DisableForwarding yes",
            "PermitUserEnvironment no",
            "PermitUserRC no",
            "PrintMotd no",
            "SetEnv SHLVL=1",  # bash then leaves ~/.bashrc alone, whose output would mix with the gate's
            f"MaxSessions {SSH_MAX_SESSIONS}",
            f"MaxStartups {SSH_MAX_STARTUPS}",
            f"PerSourceMaxStartups {SSH_MAX_STARTUPS // 2}",
            "LoginGraceTime 30",
            "ClientAliveInterval 15",
            "ClientAliveCountMax 4",
            "UseDNS no",
            "LogLevel INFO",
        ]
        config = folder / "sshd_config"
        config.write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd as root refuses to start without
        return [program, "-D", "-e", "-f", str(config)]

    return Daemon("sshd", folder, prepare, port)


def find_program(name: str, package: str) -> str:
    """The path of a program, looked up on PATH and in the sbin folders. Raises DaemonError that names the Debian package."""
    path = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        raise DaemonError(f"the program {name!r} is not installed; on Debian and Ubuntu: apt install {package}")
    return path


def _dying_with_us() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", signal.Signals.SIGTERM.name.removeprefix("SIG"), "--"] if setpriv else []


def _raise_open_files(pid: int) -> None:
    """Let the daemon open as many files as this machine allows us: each worker is a connection."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    except ProcessLookupError:
        _log.debug("process %d ended at once", pid)


def _account_is_locked(user: str) -> bool:
    """Whether sshd without PAM would refuse this account as locked: it can see that only as root."""
    if os.geteuid() != 0:
        return False
    for line in Path("/etc/shadow").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == user:
            return rest.startswith("!")
    return False
