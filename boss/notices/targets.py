"""Who is told what: the targets of the settings in words of this floor, and which notice is for whom.

Rules:
- A unit is one receiver at one target: a webhook, or one address. Each unit is told by messages of its own, so nobody sees others'
  addresses, and one receiver that refuses does not keep the others waiting.
- An address comes from the settings alone; a job's owner is looked up there by name. No name becomes an address by itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from boss.notices.notice import KINDS, Kind, Notice, Severity

#: The receiver that means whoever owns the job.
OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Smtp:
    """The mail server. ``security``: starttls, tls or none; ``ca`` is a PEM file, None for what the system trusts."""

    host: str
    port: int
    security: str
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where messages go: ``webhook`` is an URL, or else ``mail`` has addresses and perhaps ``owner``.

    Only notices of these kinds, at least this severe, and (unless ``owners`` is empty) about jobs of these people. ``template`` names the
    form of a webhook's JSON; ``secret`` signs it.
    """

    name: str
    webhook: str = field(default="", repr=False)
    mail: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset(KINDS)
    severity: Severity = Severity.INFO
    owners: frozenset[str] = frozenset()
    secret: str = field(default="", repr=False)
    ca: Path | None = None
    template: str = ""

    def wants(self, notice: Notice) -> bool:
        """Whether a notice is for this target at all."""
        if notice.kind is not Kind.TEST and notice.kind.value not in self.kinds:
            return False
        return self.severity.covers(notice.severity) and (not self.owners or notice.owner in self.owners)


@dataclass(frozen=True, slots=True)
class Telling:
    """The whole table ``[notify]``. Times in seconds; ``disk`` is the used part of a disk from which on it is told.

    ``people`` are addresses by name. ``burst`` attempts of one job that fail within ``window`` are told. ``templates`` is a folder with
    templates that win over ours.
    """

    targets: tuple[Target, ...] = ()
    people: Mapping[str, str] = field(default_factory=dict)
    smtp: Smtp | None = None
    gather: float = 30.0
    retry_for: float = 86400.0
    burst: int = 20
    window: float = 300.0
    disk: float = 0.9
    templates: Path | None = None

    def units(self, notice: Notice) -> list[str]:
        """Who is to be told: units ``target`` or ``target address``, each once."""
        return [unit for target in self.targets if target.wants(notice) for unit in self.receivers(target, notice.owner)]

    def receivers(self, target: Target, owner: str) -> Iterator[str]:
        """A target's units, for something of this owner."""
        if target.webhook:
            yield target.name
            return
        addresses = (self.people.get(owner, "") if address == OWNER else address for address in target.mail)
        for address in dict.fromkeys(address for address in addresses if address):
            yield f"{target.name} {address}"

    def asks_for(self, *kinds: Kind) -> bool:
        """Whether anybody wants to be told of one of these kinds."""
        return any(
            kind.value in target.kinds and target.severity.covers(_severity(kind)) for target in self.targets for kind in kinds
        )

    def target(self, unit: str) -> Target | None:
        """The target of a unit; None when the settings do not have it any more."""
        return next((target for target in self.targets if target.name == unit.partition(" ")[0]), None)


def _severity(kind: Kind) -> Severity:
    return Notice("", kind, 0.0, "", "").severity
