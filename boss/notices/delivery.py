"""What becomes of a message, in words that whoever sends and whoever waits for it share."""

from dataclasses import dataclass


class NotSent(Exception):
    """It did not arrive, for all that is known. ``for_good``: it never will; ``wait``: the seconds that the other side asks for."""

    def __init__(self, reason: str, for_good: bool = False, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.for_good, self.wait = for_good, wait


@dataclass(frozen=True, slots=True)
class Message:
    """What one receiver gets at once. ``id`` is the same when it is sent again; ``payload`` is a webhook's JSON."""

    id: str
    subject: str
    text: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Tried:
    """How a test message went: to which target and receiver (empty for a webhook), whether it was taken, and what was said."""

    target: str
    to: str
    sent: bool
    said: str


class UnknownTarget(KeyError):
    """The settings have no such target."""
