"""Reaching into a worker's VM over SSH, to see why something does not work there: paramiko, the host key pinned.

Rules:
- A VM says its host key when it joins, over the join door's TLS; another key at its address is not talked to. Of one that has never joined
  the key is taken from its console, where cloud-init writes it and which only its cloud can show.
- The log-in (``ecloud``, made by the user data) may run one program as root, ``debug.sh``, and nothing else.
- Nothing is sent but that; what the program prints is passed on line by line.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import paramiko

from boss.adapters.consoles import host_keys
from boss.adapters.keys import public_line, ssh_key, write_private
from boss.ports import MachineDown

#: The log-in on a VM, and its port.
LOGIN, PORT = "ecloud", 22
#: How long the parts of a log-in may take, and how long the program may say nothing, in seconds.
_LOG_IN, _SILENCE = 15.0, 120.0
#: How many host keys are kept; the oldest go first.
_KEPT = 2000
#: How a whole host key looks that is believed from a console.
_ED25519 = re.compile(r"ssh-ed25519 \S{68,}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Hosts:
    """The VMs that have joined. ``folder`` keeps their host keys, ``key`` is the boss's own (made when there is none).

    ``folders`` are the workers' folders on the VMs, by pool; pools that are not there have no log-in for the boss.
    """

    def __init__(
        self, folder: Path, key: Path, folders: Mapping[str, str], login: str = LOGIN, port: int = PORT, prefix: str = "sudo -n "
    ) -> None:
        self._folder = folder
        self._key_file = key
        self.public_key = f"{public_line(ssh_key(key))} ecloud-boss"
        self._folders = folders
        self._login, self._port, self._prefix = login, port, prefix

    def remember(self, worker: str, address: str, host_key: str) -> None:
        """Keep what a VM said of itself when it joined."""
        if not _NAME.fullmatch(worker):
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._folder / f"{worker}.json", json.dumps({"address": address, "key": host_key}).encode())
        known = list(self._folder.glob("*.json"))
        if len(known) > _KEPT:
            for path in sorted(known, key=lambda path: path.stat().st_mtime)[:-_KEPT]:
                path.unlink(missing_ok=True)

    def debug(self, worker: str, pool: str, address: str = "", console: Callable[[], str] = lambda: "") -> Iterator[str]:
        """Run ``debug.sh`` on a worker's VM: its lines as they come, at last its exit code as ``exit code N``. Raises MachineDown.

        ``console`` reads what the VM has written to its console. The log-in has happened by the time this returns.
        """
        folder = self._folders.get(pool)
        if folder is None:
            raise MachineDown(
                f"pool {pool} gives the boss no log-in on its VMs (user_data = script): run debug.sh in the worker's folder there"
            )
        said = self._known(worker) or {"address": "", "key": _key_on(console())}
        host = address or said["address"]
        if not said["key"] or not host:
            raise MachineDown(
                f"{worker} has not said its SSH host key: it has not joined, and "
                + ("its console does not show the key (yet)" if host else "it has no address yet")
                + f"; `admin.py console {worker}` shows what the console says once it is given up"
            )
        client = self._log_in(worker, host, said["key"])
        try:
            _, output, _ = client.exec_command(f"{self._prefix}/bin/sh {folder}/debug.sh 2>&1", timeout=_SILENCE)
        except (paramiko.SSHException, OSError) as error:
            client.close()
            raise MachineDown(f"{worker} at {host}: {error}") from None
        return self._lines(client, output, f"{worker} at {host}")

    def _known(self, worker: str) -> dict[str, str] | None:
        """What a VM said of itself when it joined; None for one that has not, or has no SSH server."""
        try:
            if not _NAME.fullmatch(worker):
                return None
            said: dict[str, str] = json.loads((self._folder / f"{worker}.json").read_text())
        except (OSError, ValueError):
            return None
        return said if said.get("key") else None

    def _log_in(self, worker: str, host: str, host_key: str) -> paramiko.SSHClient:
        kind, data = host_key.split()[:2]
        client = paramiko.SSHClient()
        name = host if self._port == PORT else f"[{host}]:{self._port}"
        try:
            pinned = paramiko.hostkeys.HostKeyEntry.from_line(f"{name} {kind} {data}")
            if pinned is None or pinned.key is None:
                raise MachineDown(f"{worker}: its host key cannot be read")
            client.get_host_keys().add(name, kind, pinned.key)
            client.set_missing_host_key_policy(paramiko.RejectPolicy())
            client.connect(
                host,
                self._port,
                self._login,
                pkey=paramiko.Ed25519Key.from_private_key_file(str(self._key_file)),
                timeout=_LOG_IN,
                banner_timeout=_LOG_IN,
                auth_timeout=_LOG_IN,
                allow_agent=False,
                look_for_keys=False,
            )
        except paramiko.BadHostKeyException:
            client.close()
            raise MachineDown(
                f"{worker}: what answers at {host} has another host key than the VM has said: not talked to"
            ) from None
        except paramiko.AuthenticationException:
            client.close()
            raise MachineDown(
                f"{worker}: {host} does not let the boss's key in as {self._login}; was it made by an older template?"
            ) from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            client.close()
            reason = str(error) or type(error).__name__
            raise MachineDown(
                f"{worker}: {host} port {self._port} is not reached: {reason} (does its security group let SSH in?)"
            ) from None
        return client

    @staticmethod
    def _lines(client: paramiko.SSHClient, output: paramiko.ChannelFile, where: str) -> Iterator[str]:
        try:
            for line in output:
                yield line.rstrip("\n") if isinstance(line, str) else line.decode(errors="replace").rstrip("\n")
            yield f"exit code {output.channel.recv_exit_status()}"
        except (OSError, paramiko.SSHException) as error:
            yield f"{where}: the connection broke: {error or type(error).__name__}"
        finally:
            client.close()


def _key_on(console: str) -> str:
    """The last Ed25519 host key that cloud-init wrote to a console; empty where there is none."""
    return next((key for key in reversed(host_keys(console)) if _ED25519.fullmatch(key)), "")
