"""A server that we have just made, over the system's ssh: commands and files, its host key pinned in a file of ours.

Rules:
- Nothing of the admin's own ``~/.ssh`` is written; the key of the log-in is the admin's, from a file or the agent.
- Everything has a time-out. What a command has said on stderr at last is in the error.
"""

import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

#: Seconds for a connection, and between two tries while a server boots.
_CONNECT, _AGAIN = 10, 3.0
#: Lines of what a failed command has said.
_SAID = 15


class RemoteError(Exception):
    """A command that failed there, or a server that does not answer; the message has what it said."""


class Remote:
    """One server. ``identity`` is the private key file (None: the agent's and ssh's own), ``known`` our file of host keys."""

    def __init__(self, user: str, host: str, known: Path, identity: Path | None, port: int = 22) -> None:
        self.user, self.host = user, host
        self._login = [
            *(["-p", str(port)] if port != 22 else []),
            *(["-i", str(identity)] if identity is not None else []),
            *_option("UserKnownHostsFile", str(known)),
        ]
        self._options = [
            *self._login,
            *_option("GlobalKnownHostsFile", "/dev/null"),
            *_option("StrictHostKeyChecking", "yes"),
            *_option("BatchMode", "yes"),
            *_option("ConnectTimeout", str(_CONNECT)),
            *_option("ServerAliveInterval", "15"),
            *_option("ServerAliveCountMax", "8"),
        ]

    def command(self, *options: str) -> str:
        """How a person logs in, with more options."""
        return shlex.join(["ssh", *options, *self._login, f"{self.user}@{self.host}"])

    def run(self, command: str, timeout: float, given: bytes = b"") -> str:
        """What the command prints, ``given`` on its stdin. Raises RemoteError."""
        try:
            ran = subprocess.run(
                ["ssh", "-T", *self._options, "--", f"{self.user}@{self.host}", command],
                check=False,
                input=given,
                capture_output=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            raise RemoteError(f"{self.host}: not done within {timeout:.0f} s: {_short(command)}") from None
        except OSError as error:
            raise RemoteError(f"ssh: {error.strerror}; on Debian and Ubuntu: apt install openssh-client") from None
        if ran.returncode:
            said = (ran.stderr + ran.stdout).decode(errors="replace").strip().splitlines()[-_SAID:]
            raise RemoteError(f"{self.host}: {_short(command)} ended with {ran.returncode}:\n  " + "\n  ".join(said))
        return ran.stdout.decode(errors="replace")

    def write(self, path: str, text: str) -> None:
        """A file of mode 600, its folder made when it is not there. Raises RemoteError."""
        folder, _, _ = path.rpartition("/")
        self.run(f"umask 077 && mkdir -p {folder} && cat >{path}.new && mv {path}.new {path}", 60.0, text.encode())

    def await_login(self, patience: float) -> None:
        """Try to log in until it works. Raises RemoteError with what was said at last."""
        end = time.monotonic() + patience
        while True:
            try:
                self.run("true", 60.0)
                return
            except RemoteError as error:
                if time.monotonic() > end or "REMOTE HOST IDENTIFICATION" in str(error):
                    raise
            time.sleep(_AGAIN)


def pin(known: Path, host: str, keys: Sequence[str], server: str) -> None:
    """Write the host keys of the ``server`` of this id to our file, in place of those of another that had its address before."""
    known.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = known.read_text().splitlines() if known.exists() else []
    kept = [line for line in lines if line.split()[0] != host]
    known.write_text("".join(f"{line}\n" for line in [*kept, *(f"{host} {key} {server}" for key in keys)]))


def pinned(known: Path, host: str, server: str) -> tuple[str, ...]:
    """The host keys that our file has of the ``server`` of this id."""
    lines = known.read_text().splitlines() if known.exists() else []
    found = (line.split() for line in lines)
    return tuple(" ".join(words[1:3]) for words in found if words[0] == host and words[3:] == [server])


def _option(name: str, value: str) -> list[str]:
    return ["-o", f"{name}={value}"]


def _short(command: str) -> str:
    return command if len(command) < 100 else command[:100] + " ..."
