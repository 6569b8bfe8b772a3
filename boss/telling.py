"""Being told, put together: who sends, what is noted, what is looked at. A part of the composition root.

Rules:
- Without targets in the settings there is nothing of it: no thread, no fact, no cost.
- The disk of a private datastore that is the boss's own disk is told once.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from boss.adapters.notifier import Notifier, Surroundings
from boss.adapters.results import DatastoreGate
from boss.adapters.wording import Wording, WordingError
from boss.config import BossConfig
from boss.core.view import View
from boss.loop import Loop
from boss.notices.watching import Disk, Left, ownerless
from boss.ports import Cloud, CloudDown, DatastoreDown

#: Providers that are no clouds: nothing of theirs is left behind.
HERE = frozenset({"local", "hosts"})


def notifier_of(settings: BossConfig, cluster: str, url: str) -> Notifier | None:
    """Whoever tells people; None where nobody is to be told. Raises WordingError for templates that cannot be read."""
    telling = settings.telling
    if not telling.targets:
        return None
    from boss.adapters.sending import Sender  # noqa: PLC0415 (httpx takes its time to load)

    wording = Wording(cluster, url, telling.templates)
    for target in telling.targets:
        if target.template and not wording.has(target.template):
            raise WordingError(
                f"[notify.targets.{target.name}] template: there is no {target.template}.json.j2 in {telling.templates}"
            )
    return Notifier(telling, wording, Sender(telling.smtp, cluster))


def surroundings(
    settings: BossConfig, loop: Loop, results: DatastoreGate, clouds: Sequence[Cloud], private: bool
) -> Surroundings:
    """What is looked at. ``private``: the datastore is the boss's own folder."""
    shared = private and _same_disk(settings.state, settings.datastore_root)
    return Surroundings(
        paused=lambda: loop.meters.standing.paused,
        disks=lambda: _disks(settings.state, None if shared else results),
        left=lambda: _left(clouds, loop.view),
    )


def _disks(state: Path, results: DatastoreGate | None) -> list[Disk]:
    found = []
    try:
        usage = shutil.disk_usage(state)
        found.append(Disk(f"the disk of the boss ({state})", usage.free, usage.total))
    except OSError:
        pass  # what cannot be known is not told
    if results is not None:
        try:
            place, free, size = results.space()
            found.append(Disk(f"the disk of the datastore ({place})", free, size))
        except DatastoreDown:
            pass  # `status` says it, and it is no matter of room
    return [disk for disk in found if disk.size]


def _left(clouds: Sequence[Cloud], view: Callable[[], View]) -> list[Left]:
    """Look into each cloud first and at the claims after: what was made in between has its owner already."""
    things = []
    for cloud in clouds:
        if cloud.provider in HERE:
            continue
        try:
            things += [(thing.provider, thing.kind, thing.id, thing.name, thing.claim) for thing in cloud.inventory()]
        except CloudDown:
            continue  # of that one nothing is known now
    return ownerless(things, view())


def _same_disk(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_dev == other.stat().st_dev
    except OSError:
        return False
