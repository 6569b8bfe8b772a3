"""The relay between the hosts of a chaos run does to packets what its weather says, and to no others."""

import random
import socket
import time
from collections.abc import Iterator

import pytest

from chaos.network import Relay, Weather
from tests.servers import eventually


class Wires:
    """A relay between two devices, of which we have the other ends."""

    def __init__(self) -> None:
        pairs = {number: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for number in (1, 2)}
        self.ends = {number: near for number, (near, _) in pairs.items()}
        for near, far in pairs.values():
            near.settimeout(10)
            far.setblocking(False)
        self.relay = Relay({number: far.detach() for number, (_, far) in pairs.items()}, random.Random(1))
        self.relay.start()

    def send(self, source: int, target: int, word: bytes) -> None:
        """One IPv4 packet."""
        self.ends[source].send(bytes([0x45, *[0] * 18, target]) + word)

    def got(self, target: int) -> bytes:
        """The next packet's word."""
        return self.ends[target].recv(100)[20:]


@pytest.fixture
def wires() -> Iterator[Wires]:
    made = Wires()
    yield made
    made.relay.stop()
    for end in made.ends.values():
        end.close()


def test_clear_weather_passes_everything_but_what_is_for_nobody(wires: Wires) -> None:
    wires.send(1, 9, b"nobody")
    wires.ends[1].send(b"\x60" + bytes(30))
    wires.send(1, 2, b"there")
    wires.send(2, 1, b"back")
    assert (wires.got(2), wires.got(1)) == (b"there", b"back")


def test_one_way_can_be_cut_while_the_other_is_open(wires: Wires) -> None:
    wires.relay.weather[1, 2] = Weather(loss=1.0)
    wires.send(1, 2, b"lost")
    wires.send(2, 1, b"back")
    assert wires.got(1) == b"back"
    eventually(lambda: wires.relay.lost)
    wires.relay.weather.clear()
    wires.send(1, 2, b"again")
    assert wires.got(2) == b"again"


def test_a_slow_way_is_late_and_its_packets_may_pass_one_another(wires: Wires) -> None:
    wires.relay.weather[1, 2] = Weather(delay=0.2, jitter=0.05)
    begun = time.monotonic()
    for number in range(20):
        wires.send(1, 2, b"%d" % number)
    got = [int(wires.got(2)) for _ in range(20)]
    assert time.monotonic() - begun >= 0.2 and sorted(got) == list(range(20)) and got != sorted(got)


def test_how_late_packets_were_is_told(wires: Wires) -> None:
    wires.relay.weather[1, 2] = Weather(delay=0.01)
    for number in range(5):
        wires.send(1, 2, b"%d" % number)
        assert wires.got(2) == b"%d" % number
    assert len(wires.relay.behind) == 5 and all(late >= 0 for late in wires.relay.behind)
