"""A small network on one machine: a namespace for each host, and between them a relay of ours that delays, loses and cuts off.

Rules:
- Each namespace has one TUN device; all packets pass through one thread here, which knows for each direction what becomes of them.
  So it needs root and ``ip``, and nothing of the kernel's packet filters or schedulers.
- The boss, with its broker and datastore, is one host, a database server another, and each worker's host has an sshd of its own.
"""

import ctypes
import fcntl
import getpass
import heapq
import os
import random
import selectors
import shutil
import struct
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from boss.adapters.daemons import find_program

_NET = "10.213.0"
_TUNSETIFF, _IFF_TUN_NO_PI = 0x400454CA, 0x1001
_MTU = 9000
_CLONE_NEWNET = 0x40000000
#: Of so many delayed packets it is remembered how late they were.
_REMEMBERED = 100_000
#: What a slow link does, in seconds and shares of its packets.
_DELAY, _JITTER, _LOSS = 0.15, 0.1, 0.05
_SETTINGS = """
[vms]
boss_address = "{boss}"

[pools.none]
provider = "local"
flavors = [{{name = "one", resources = {{cpus = 1}}}}]
maximum = 0
"""


class NoNetwork(Exception):
    """Namespaces cannot be had here; the message says why."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What becomes of packets in one direction."""

    loss: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0


CLEAR = Weather()


class Relay:
    """Passes packets between TUN devices, by their IPv4 destination; ``weather`` is for (from, to) where it is not clear."""

    def __init__(self, devices: dict[int, int], chance: random.Random) -> None:
        """``devices`` has a non-blocking descriptor for the last number of each address."""
        self.weather: dict[tuple[int, int], Weather] = {}
        self.passed = self.lost = 0
        self.behind: deque[float] = deque(
            maxlen=_REMEMBERED
        )  #: by how much delayed packets were later than they should, in seconds
        self._devices = devices
        self._chance = chance
        self._late: list[tuple[float, int, int, bytes]] = []
        self._count = 0
        self._bell = os.eventfd(0, os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._serve, name="relay", daemon=True)

    def start(self) -> None:
        """Begin to pass packets."""
        self._thread.start()

    def stop(self) -> None:
        """End; the devices are closed."""
        os.eventfd_write(self._bell, 1)
        self._thread.join()
        for device in (*self._devices.values(), self._bell):
            os.close(device)

    def _serve(self) -> None:
        with suppress(OSError):  # a network does not slow down because the hosts' processors are busy
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_RR, os.sched_param(1))
        with selectors.SelectSelector() as selector:  # epoll waits for whole milliseconds: too coarse for a delay of one
            selector.register(self._bell, selectors.EVENT_READ)
            for number, device in self._devices.items():
                selector.register(device, selectors.EVENT_READ, number)
            while True:
                wait = max(0.0, self._late[0][0] - time.monotonic()) if self._late else None
                for key, _ in selector.select(wait):
                    if key.data is None:
                        return
                    self._read(key.fd, key.data)
                now = time.monotonic()
                while self._late and self._late[0][0] <= now:
                    due, _, target, packet = heapq.heappop(self._late)
                    self.behind.append(now - due)
                    self._write(target, packet)

    def _read(self, device: int, source: int) -> None:
        for _ in range(64):
            try:
                packet = os.read(device, _MTU + 100)
            except OSError:  # nothing more now
                return
            if packet[0] >> 4 == 4 and packet[19] in self._devices:
                self._judge(source, packet[19], packet)

    def _judge(self, source: int, target: int, packet: bytes) -> None:
        weather = self.weather.get((source, target), CLEAR)
        if weather.loss and self._chance.random() < weather.loss:
            self.lost += 1
        elif weather.delay:
            due = time.monotonic() + weather.delay + weather.jitter * self._chance.random()
            self._count += 1
            heapq.heappush(self._late, (due, self._count, target, packet))
        else:
            self._write(target, packet)

    def _write(self, target: int, packet: bytes) -> None:
        try:
            os.write(self._devices[target], packet)
            self.passed += 1
        except OSError:  # its queue is full, or it is down: a network loses packets
            self.lost += 1


class Network:
    """The namespaces, as a context; ``through`` is how a command is run on one of the hosts."""

    def __init__(self, folder: Path, workers: int, seed: int, database: bool) -> None:
        if os.geteuid() != 0:
            raise NoNetwork("--partitions needs root, for network namespaces")
        if shutil.which("ip") is None or not Path("/dev/net/tun").exists():
            raise NoNetwork("--partitions needs the program ip (package iproute2) and /dev/net/tun")
        self.bin = folder / "hosts"
        self.bin.mkdir()
        self._workers = [f"w{number}" for number in range(workers)]
        names = ["boss", *self._workers, *(["database"] if database else [])]
        self._numbers = {name: number for number, name in enumerate(names, 1)}
        self._chance = random.Random(seed)
        self._mark = f"ec{os.getpid()}"
        self._made: list[str] = []
        self._hosts: list[subprocess.Popen[bytes]] = []
        self.relay: Relay | None = None

    def __enter__(self) -> "Network":
        devices: dict[int, int] = {}
        try:
            for name, number in self._numbers.items():
                devices[number] = self._plug(name, number)
        except (OSError, subprocess.CalledProcessError) as error:
            for device in devices.values():
                os.close(device)
            self._unplug()
            raise NoNetwork(f"no network namespaces here: {error}") from error
        self.relay = Relay(devices, self._chance)
        self.relay.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.relay is not None:
            self.relay.stop()
        self._unplug()

    # ---- hosts -----------------------------------------------------------------------------------------------------

    def address(self, name: str) -> str:
        """A host's address."""
        return f"{_NET}.{self._numbers[name]}"

    def through(self, name: str) -> tuple[str, ...]:
        """A command that runs what follows it on a host."""
        return ("nsenter", f"--net=/run/netns/{self._mark}-{name}", "--")

    def settings(self) -> str:
        """What the boss's settings say: no worker of its own."""
        return _SETTINGS.format(boss=self.address("boss"))

    def start_hosts(self) -> list[str]:
        """Start an sshd on each worker's host; the log-ins for ``add_host``."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.bin / "key")], check=True)
        config = [self._host(name) for name in self._workers]
        (self.bin / "config").write_text("".join(config))
        wrapper = self.bin / "ssh"
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.bin}/config "$@"\n')
        wrapper.chmod(0o755)
        return self.logins()

    def logins(self) -> list[str]:
        """How the boss logs in to each worker's host."""
        return [f"{getpass.getuser()}@{name}" for name in self._workers]

    def stop_hosts(self) -> None:
        """End their sshds."""
        for host in self._hosts:
            host.terminate()
        for host in self._hosts:
            host.wait()
        self._hosts = []

    def pids(self) -> set[int]:
        """Of their sshds."""
        return {host.pid for host in self._hosts}

    def _host(self, name: str) -> str:
        """One host with a home of its own; its lines for ssh's config."""
        folder = self.bin / name
        home = folder / "home"
        home.mkdir(parents=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host")], check=True)
        enter = folder / "enter"
        enter.write_text(f'#!/bin/sh\nHOME={home} exec sh -c "$SSH_ORIGINAL_COMMAND"\n')
        enter.chmod(0o755)
        Path("/run/sshd").mkdir(exist_ok=True)
        (folder / "sshd.conf").write_text(
            f"Port 22\nListenAddress {self.address(name)}\nHostKey {folder}/host\nAuthorizedKeysFile {self.bin}/key.pub\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nUseDNS no\n"
            f"PidFile none\nForceCommand {enter}\n"
        )
        (folder / "known_hosts").write_text(f"{self.address(name)} {(folder / 'host.pub').read_text()}")
        with open(folder / "sshd.log", "ab") as log:
            command = [*self.through(name), find_program("sshd", "openssh-server"), "-D", "-e", "-f", str(folder / "sshd.conf")]
            self._hosts.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        return (
            f"Host {name}\n  HostName {self.address(name)}\n  IdentityFile {self.bin}/key\n"
            f"  UserKnownHostsFile {folder}/known_hosts\n  GlobalKnownHostsFile none\n"
        )

    # ---- weather ---------------------------------------------------------------------------------------------------

    def links(self) -> list[str]:
        """What can be disturbed: the way between the boss and a worker, or its database."""
        return ["way to a worker", *(["way to the database"] if "database" in self._numbers else [])]

    def disturb(self, kind: str, link: str, pick: float) -> Callable[[], None]:
        """``cut`` both ways, ``deaf`` one of the ways, ``slow`` both; how it is ended."""
        assert self.relay is not None
        other = "database" if link == "way to the database" else self._workers[int(pick * len(self._workers))]
        ways = [(self._numbers["boss"], self._numbers[other]), (self._numbers[other], self._numbers["boss"])]
        if kind == "deaf":
            ways = [self._chance.choice(ways)]
        weather = Weather(_LOSS, _DELAY, _JITTER) if kind == "slow" else Weather(loss=1.0)
        self.relay.weather.update(dict.fromkeys(ways, weather))
        return lambda: self._clear(ways)

    def _clear(self, ways: Sequence[tuple[int, int]]) -> None:
        assert self.relay is not None
        for way in ways:
            self.relay.weather.pop(way, None)

    def delay(self, one_way: float, loss: float = 0.0) -> None:
        """From now on every packet between the boss and a worker takes so many seconds, in each direction, if it is not lost."""
        assert self.relay is not None
        boss = self._numbers["boss"]
        others = [self._numbers[name] for name in self._workers]
        ways = [way for other in others for way in ((boss, other), (other, boss))]
        self.relay.weather.update(dict.fromkeys(ways, Weather(loss, one_way)))

    def enter(self, name: str) -> None:
        """Have the calling thread, and what it starts from now on, live on a host. There is no way back."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{self._mark}-{name}", "rb") as space:
            if libc.setns(space.fileno(), _CLONE_NEWNET) != 0:
                raise NoNetwork(f"the namespace of {name} cannot be entered: {os.strerror(ctypes.get_errno())}")

    # ---- namespaces ------------------------------------------------------------------------------------------------

    def _plug(self, name: str, number: int) -> int:
        """Make a namespace with one device, whose packets we get; the device's descriptor."""
        space, device = f"{self._mark}-{name}", f"{self._mark}-{number}"
        _ip("netns", "add", space)
        self._made.append(space)
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        try:
            fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN_NO_PI))
            _ip("link", "set", device, "netns", space)
            _ip("-n", space, "link", "set", "lo", "up")
            _ip("-n", space, "addr", "add", f"{_NET}.{number}/24", "dev", device)
            _ip("-n", space, "link", "set", device, "mtu", str(_MTU), "up")
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _unplug(self) -> None:
        for space in self._made:
            _ip("netns", "delete", space)
        self._made = []


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
