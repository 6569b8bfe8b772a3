"""Talks with a worker's brain: events in, effects out. Nothing here runs, waits or writes."""

from collections.abc import Sequence

from worker import events as ev
from worker import protocol as wire
from worker.core import Core, Identity

GIB = 1 << 30


def attempt(name: str, **more: object) -> wire.Assignment:
    """An assignment of attempt ``<name>.0.1``."""
    return wire.Assignment(f"{name}.0.1", "job", name, ("true",), **more)  # type: ignore[arg-type]


def done(name: str, **more: object) -> wire.Result:
    """A result of attempt ``<name>.0.1``, a success unless ``more`` says otherwise."""
    return wire.Result(f"{name}.0.1", **{"outcome": "succeeded", "exit_code": 0, **more})  # type: ignore[arg-type]


class Conversation:
    """A core with four cpus and eight GiB, a clock that the test moves, and a boss of epoch 1."""

    def __init__(self, finished: Sequence[wire.Result] = (), lease: float = 60.0, **resources: float) -> None:
        self.now = 1000.0
        self.epoch = 1
        self.seq = 0
        offered = resources or {"cpus": 4, "memory": 8 * GIB}
        self.core = Core(Identity("s1", 42, "worker-test"), offered, 5.0, lease, self.now, finished)

    def tell(self, *events: ev.Event) -> list[ev.Effect]:
        """Tell events and end the turn; all effects in order."""
        effects = [effect for event in events for effect in self.core.handle(event, self.now)]
        return effects + self.core.handle(ev.Turned(), self.now)

    def say(self, kind: type, *rest: object) -> ev.Heard:
        """A message of the boss with the next number."""
        self.seq += 1
        return ev.Heard(kind(self.epoch, self.seq, *rest))

    def assign(self, *attempts: wire.Assignment) -> list[ev.Effect]:
        """Assign attempts."""
        return self.tell(self.say(wire.Assign, attempts))

    def connect(self) -> wire.Hello:
        """Connect; what the worker says to that, all of which is its hello."""
        (hello,) = self.tell(ev.Connected("10.0.0.7"))
        assert isinstance(hello, ev.Send) and isinstance(hello.message, wire.Hello)
        return hello.message

    def start(self, *attempts: wire.Assignment) -> None:
        """Assign attempts that fit, and have their processes begin."""
        effects = self.assign(*attempts)
        assert effects == [ev.Start(each) for each in attempts]
        assert self.tell(*(ev.Began(each.attempt, 5.0) for each in attempts)) == []

    def after(self, seconds: float) -> list[ev.Effect]:
        """Let time pass, then a turn with no event."""
        self.now += seconds
        return self.tell()


def sent(effects: Sequence[ev.Effect], kind: type) -> list[wire.ToBoss]:
    """The messages of one kind among effects."""
    return [effect.message for effect in effects if isinstance(effect, ev.Send) and isinstance(effect.message, kind)]


def results(*of: wire.Result) -> ev.Send:
    """One message with these results."""
    return ev.Send(wire.Results("s1", of))


def recalled(*names: str) -> ev.Send:
    """One message that gives these attempts back."""
    return ev.Send(wire.Recalled("s1", tuple(f"{name}.0.1" for name in names)))
