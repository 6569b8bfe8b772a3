"""Port ``Listeners``: programs that read events at the broker and nothing else, as the API gives and takes their accounts."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ListenerKnown:
    """A program that may read events at the broker. Times are Unix seconds."""

    name: str
    issued: float
    expires: float


class ListenerTaken(Exception):
    """There is a listener of this name; the message says what helps."""


class Listeners(Protocol):
    """Who may read events at the broker; calls block for milliseconds."""

    def make(self, name: str, public_key: str, seconds: float) -> tuple[str, float]:
        """The certificate (PEM) for a listener's own key, and when it ends. Raises ListenerTaken, ValueError."""
        ...

    def revoke(self, name: str) -> ListenerKnown | None:
        """Take a listener back; None when there is none of this name."""

    def known(self) -> list[ListenerKnown]:
        """All that were not taken back, by name."""
        ...
