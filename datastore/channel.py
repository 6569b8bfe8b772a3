"""A lasting channel to the gate, through the system's OpenSSH client.

Rules:
- Only this endpoint's key, certificate and known_hosts count: no configuration file, no agent, no password, and a host key that is not
  pinned is refused.
- Any thread may ask. Requests are written one after the other and answered in that order; the next is written while the answer to
  the last is still under way, so that many small ones cost no round trip each.
- What goes wrong in the middle closes the channel for all who ask, because the two sides are then out of step; an answer that is an
  error does not.
- Connecting is repeated with back-off and jitter (sshd refuses many log-ins at once); requests are not: their callers know how.

Python 3.9 syntax, standard library only.
"""

import io
import os
import random
import subprocess
import tempfile
import threading
from typing import Callable, List, NamedTuple, Optional, Sequence, TypeVar, cast

from datastore.frames import Items, Line, Wire, WireBroken, checked, greeted, hear, say
from datastore.landing import Stopped
from datastore.pipes import BLOCK, widen

#: The ciphers that are asked for, fastest first: GCM takes 40 % off the CPU time of OpenSSH's default.
CIPHERS = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr"
#: How often a connection is tried, and the first and the longest wait between two tries, in seconds.
TRIES = 5
FIRST_WAIT = 0.2
LONGEST_WAIT = 5.0
#: How often one who waits for its turn looks whether it was stopped, in seconds.
_LOOK = 0.25


T = TypeVar("T")


class Unreachable(Exception):
    """There is no channel, or it broke: nobody knows what the gate has done. Worth trying again; the message says what ssh said."""


class Endpoint(NamedTuple):
    """How to reach a gate: the host, the log-in, and the paths of the private key, its certificate and the pinned host key."""

    host: str
    port: int
    user: str
    key: str
    certificate: str
    known_hosts: str

    def command(self) -> List[str]:
        """The argument list of an ssh that runs the gate (the certificate's forced command takes the place of ``gate``)."""
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "IdentityFile": _quoted(self.key),
            "CertificateFile": _quoted(self.certificate),
            "UserKnownHostsFile": _quoted(self.known_hosts),
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "PreferredAuthentications": "publickey",
            "Ciphers": CIPHERS,
            "Compression": "no",
            "ConnectTimeout": "15",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "4",
            "LogLevel": "ERROR",
        }
        command = ["ssh", "-F", "none", "-T", "-p", str(self.port), "-l", self.user]
        for name, value in options.items():
            command += ["-o", "%s=%s" % (name, value)]
        return command + ["--", self.host, "gate"]


class Channel:
    """One session with the gate, as a child process that speaks ``datastore.frames``."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it and hear its greeting. Raises Unreachable; GateRefused when the gate turns this caller away."""
        self._saying = threading.Lock()  # held by who writes a request
        self._sayer = 0  # the thread that does
        self._ending = threading.Lock()
        self._answered = threading.Event()  # of the last request that was written: set once its answer has been read
        self._answered.set()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed at the end)
        self._words = ""
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                bufsize=0,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to handle
            )
        except OSError as error:
            self._said.close()
            raise Unreachable("%s could not be started: %s" % (command[0], error.strerror)) from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        widen(self._process.stdin.fileno())
        widen(self._process.stdout.fileno())
        inward = self._process.stdin.fileno()
        self._writer = io.BufferedWriter(cast(io.RawIOBase, self._process.stdin), BLOCK)
        self._wire = Wire(self._process.stdout, self._writer, lambda *what: os.sendfile(inward, *what))
        self._ended = False
        try:
            self.greeting = greeted(self._wire)
        except WireBroken as error:
            raise Unreachable(self._last_words(str(error))) from None
        except BaseException:
            self._end(patience=0, silent=True)
            raise

    def ask(
        self,
        request: Line,
        give: Optional[Callable[[Wire], Line]] = None,
        take: Optional[Callable[[Items], None]] = None,
        stopped: Optional[threading.Event] = None,
    ) -> Line:
        """Ask one thing, as ``frames.converse`` does, and return the closing line of a good answer.

        Raises Unreachable when the channel breaks, the GateError that the gate answers (the channel stays of use), Stopped while it
        waits for others' requests to be written, and whatever ``give`` and ``take`` raise (the channel is closed then).
        """
        while not self._saying.acquire(timeout=_LOOK):
            if stopped is not None and stopped.is_set():
                raise Stopped
        answered = threading.Event()
        self._sayer = threading.get_ident()
        try:
            self._attempt(lambda: say(self._wire, request, give))
            before, self._answered = self._answered, answered
        finally:
            self._sayer = 0
            if self._ended:
                self._hang_up()
            self._saying.release()
        before.wait()
        try:
            return checked(self._attempt(lambda: hear(self._wire, take)))
        finally:
            answered.set()

    @property
    def alive(self) -> bool:
        """Whether it may be asked; one that sshd has dropped is not alive."""
        return not self._ended and self._process.poll() is None

    def kill(self) -> None:
        """Break it, whatever it does; who is asking gets Unreachable."""
        self._process.kill()

    def close(self) -> None:
        """End the session (after the requests that are under way)."""
        with self._saying:
            self._answered.wait()
            self._end(silent=True)

    def _attempt(self, do: Callable[[], T]) -> T:
        """Do one half of a conversation; the channel ends if that goes wrong."""
        if self._ended:
            raise Unreachable(self._last_words("the channel is closed"))
        try:
            return do()
        except (WireBroken, BrokenPipeError, ConnectionResetError) as error:
            raise Unreachable(self._last_words(str(error))) from None
        except BaseException as error:
            if self._ended and isinstance(error, ValueError):  # another who asks has closed the streams
                raise Unreachable(self._last_words("the channel is closed")) from None
            self._end(patience=0)
            raise

    def _last_words(self, otherwise: str) -> str:
        """End the session; what ssh wrote to stderr, in one line, or else the given reason."""
        self._end()
        return self._words or otherwise

    def _end(self, patience: float = 1.0, silent: bool = False) -> None:
        """Close the pipes and wait for the process; one that does not end by itself within ``patience`` seconds is killed.

        Unless it is known that nobody writes (``silent``), the pipe to the process is closed last: who writes to a process that takes
        nothing lets go of the pipe only once that is dead. Who still writes then closes it himself: a descriptor's number that was let
        go is soon another file's.
        """
        with self._ending:
            if self._ended:
                return
            self._ended = True
            assert self._process.stdout is not None
            if silent:
                self._hang_up()
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._sayer == threading.get_ident():
                self._hang_up()
            elif self._saying.acquire(blocking=False):
                self._hang_up()
                self._saying.release()
            self._process.stdout.close()
            self._said.seek(0)
            self._words = " ".join(self._said.read().decode("utf-8", "replace").split())[-500:]
            self._said.close()

    def _hang_up(self) -> None:
        try:
            self._writer.close()
        except OSError:
            pass  # what could not be flushed is lost with the channel


def connect(endpoint: Endpoint, stopped: Optional[threading.Event] = None, tries: int = TRIES) -> Channel:
    """A new channel to an endpoint. Raises Unreachable after so many tries, GateRefused at once.

    ``stopped`` ends the waiting between two tries.
    """
    wait = stopped.wait if stopped is not None else threading.Event().wait
    for tried in range(1, tries + 1):
        try:
            return Channel(endpoint.command())
        except Unreachable:
            longest = min(LONGEST_WAIT, FIRST_WAIT * 2**tried)
            if tried == tries or wait(random.uniform(0.5, 1.0) * longest):  # noqa: S311 (jitter)
                raise
    raise AssertionError("unreachable")


def _quoted(path: str) -> str:
    """A path as an ssh option's value: quoted, with ``%`` doubled because ssh expands it."""
    return '"%s"' % path.replace("%", "%%")
