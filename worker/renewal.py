"""When a worker's certificates are renewed, and how: asked of the boss at half of their life, again and again. Pure.

Rules:
- Only a worker on a VM has certificates of hours; for others there is no ``Renewal``.
- The keys stay; the boss signs only those with which the worker has joined.
- When they are over the broker lets the worker in no more: then it asks at the join door, where its keys are known (``Rejoin``).

Python 3.9 syntax: this file rides in the worker's bundle.
"""

from typing import List

from worker import events as ev
from worker import protocol as wire

#: Time between two tries, in seconds; less when the certificates themselves last only for minutes.
RETRY = 60.0
#: The part of their life that is left when the join door is asked, too, if the boss was not heard.
LATE = 0.1


class Renewal:
    """One worker's certificates. ``begun`` and ``until`` on the clock of ``now``; public keys in OpenSSH's form."""

    def __init__(self, tls_key: str, ssh_key: str, begun: float, until: float) -> None:
        self._tls_key, self._ssh_key = tls_key, ssh_key
        self.lasts(begun, until)

    def lasts(self, begun: float, until: float) -> None:
        """New certificates, from when to when."""
        self._life = max(1.0, until - begun)
        self._until = until
        self._due = begun + self._life / 2

    def ask(self, session: str, connected: bool, now: float) -> List[ev.Effect]:
        """What to do about the certificates now."""
        if now < self._due:
            return []
        if connected:
            self._due = now + self._pause
            return [ev.Send(wire.Certify(session, self._tls_key, self._ssh_key))]
        if now < self._late:
            self._due = self._late
            return []
        self._due = now + self._pause
        return [ev.Rejoin()]

    def connected(self, now: float) -> None:
        """The link is up again: what is overdue is asked at once."""
        if now >= self._until - self._life / 2:
            self._due = now

    def deadline(self) -> float:
        """When to call ``ask``."""
        return self._due

    @property
    def _late(self) -> float:
        return self._until - LATE * self._life

    @property
    def _pause(self) -> float:
        return min(RETRY, self._life / 10)
