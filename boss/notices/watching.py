"""What stands for a while and is worth telling when it begins: pools that are paused, disks that fill up, things that nobody owns. Pure.

Rules:
- What stands is told once. It counts as over when it has not been so for an hour: a disk that swings around the bound, a pool that is
  tried again and fails again, is one thing and not twenty.
- What was told lies in the database beside the notices, so a new life of the boss does not tell it again.
- A cloud's thing is a leak when two looks, a while apart, have found nobody who owns it: what is just being made or deleted is none.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from boss.core.view import View
from boss.notices.notice import Kind, Notice, made

#: Seconds after which what is not so any more is over.
CALM = 3600.0
#: How much below the bound a disk must be to count as having room again.
MARGIN = 0.02
#: Things that are remembered at most; leaks beyond that are counted by the others.
REMEMBERED = 200


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk: what it is called, and its bytes."""

    name: str
    free: int
    size: int

    @property
    def used(self) -> float:
        """The used part, 0 to 1."""
        return 1.0 - self.free / self.size if self.size > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Left:
    """A thing in a cloud that no claim owns."""

    provider: str
    kind: str
    id: str
    name: str


@dataclass(slots=True)
class Standing:
    """What stands, and was told: when it was seen at last, by its key (Unix seconds)."""

    seen: dict[str, float] = field(default_factory=dict)
    suspects: frozenset[str] = frozenset()  #: leaks that one look has found

    @classmethod
    def of(cls, text: str | None) -> "Standing":
        """As an earlier life has left it; what cannot be read is nothing."""
        try:
            return cls({str(key): float(when) for key, when in json.loads(text or "{}").items()})
        except (ValueError, TypeError, AttributeError):
            return cls()

    def text(self) -> str:
        """As it is kept."""
        return json.dumps(self.seen, separators=(",", ":"))

    def look(self, now: float, epoch: int, paused: Mapping[str, str], disks: Sequence[Disk], bound: float) -> list[Notice]:
        """What begins now, of pools and disks."""
        found = []
        for pool, reason in sorted(paused.items()):
            if self._begins(f"pool {pool}", now):
                text = f"pool {pool} is paused, its VMs do not come up: {reason}"
                found.append(_made(epoch, now, Kind.POOL_PAUSED, pool, text, "admin.py status; admin.py doctor", {}))
        for disk in disks:
            key = f"disk {disk.name}"
            if disk.used >= (bound - MARGIN if key in self.seen else bound) and self._begins(key, now):
                text = f"{disk.name} is nearly full: {disk.used:.0%} of {_size(disk.size)} are used, {_size(disk.free)} are free"
                facts: dict[str, str | float] = {"free": disk.free, "size": disk.size}
                found.append(_made(epoch, now, Kind.DISK, disk.name, text, "free space there, or give it more", facts))
        self._forget(now)
        return found

    def look_for_leaks(self, now: float, epoch: int, left: Iterable[Left]) -> list[Notice]:
        """What was left behind, as of two looks."""
        there = {f"leak {thing.provider} {thing.kind} {thing.id}": thing for thing in left}
        found = []
        for key, thing in there.items():
            known = key in self.seen
            if (key not in self.suspects and not known) or (not known and len(self.seen) >= REMEMBERED):
                continue
            if self._begins(key, now):
                text = f"cloud {thing.provider} has a {thing.kind} that nobody owns: {thing.name or thing.id} ({thing.id})"
                facts: dict[str, str | float] = {"kind": thing.kind, "id": thing.id}
                found.append(_made(epoch, now, Kind.LEAK, thing.provider, text, "admin.py vm_leaks --delete", facts))
        self.suspects = frozenset(there)
        self._forget(now)
        return found

    def _begins(self, key: str, now: float) -> bool:
        begins = key not in self.seen
        self.seen[key] = now
        return begins

    def _forget(self, now: float) -> None:
        self.seen = {key: when for key, when in self.seen.items() if now - when < CALM}


def ownerless(things: Iterable[tuple[str, str, str, str, str]], view: View) -> list[Left]:
    """Of things ``(provider, kind, id, name, claim)`` those whose claim is not there; to be asked with a view of afterwards."""
    claims = {vm.id for vm in view.vms} | {vm.group for vm in view.vms if vm.group}
    return [Left(provider, kind, ident, name) for provider, kind, ident, name, claim in things if claim not in claims]


def _made(epoch: int, now: float, kind: Kind, about: str, text: str, remedy: str, facts: Mapping[str, str | float]) -> Notice:
    ident = f"{epoch}-{kind}-{now:.0f}-{about}" + (f"-{facts['id']}" if "id" in facts else "")
    return made(ident, kind, now, about, text, "", remedy, facts)


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
