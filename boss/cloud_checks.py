"""What ``doctor`` sees of the clouds that pools are in, before anything is bought: one finding for each thing that the settings name.

Rules:
- Nothing is made or changed there; every call has a time-out.
- A finding says what was looked for and what is there; what failed says what to do.
- Without a credential nothing else can be looked at, and nothing else is told.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from boss.adapters import address
from boss.adapters import openstack_facts as facts
from boss.adapters.openstack_api import Api
from boss.adapters.openstack_book import Book
from boss.adapters.openstack_errors import CloudError
from boss.checks import Finding, Verdict, known_facts
from boss.config import BossConfig, CloudPool
from boss.core import trials
from boss.core.events import Limit
from boss.core.model import Refusal

_GIB = 2**30
_GUIDE = "docs/openstack.md"
#: The steps of a trial that an admin wants to know the times of.
_TOLD = (("active", "ACTIVE"), ("called", "first word"), ("joined", "joined"), ("ran", "task done"))


def examine_clouds(config: BossConfig) -> Iterator[Finding]:
    """All checks of all clouds; none where every pool is local."""
    for cloud in dict.fromkeys(pool.cloud for pool in config.clouds):
        api = Api(cloud)
        try:
            yield from _examine(config, api, [pool for pool in config.clouds if pool.cloud == cloud])
        finally:
            api.close()


def _examine(config: BossConfig, api: Api, pools: Sequence[CloudPool]) -> Iterator[Finding]:
    called = f"{api.cloud} of clouds.yaml" if api.cloud else "the OS_* variables"
    try:
        project = api.project()
        book = Book(api)
        book.flavors()
    except CloudError as error:
        remedy = f"correct the entry in clouds.yaml, or OS_* and the setting cloud ({_GUIDE})"
        if error.kind is Refusal.UNAVAILABLE:
            remedy = "try again later, or look whether this machine's network and proxy let it through"
        yield Finding("cloud", Verdict.FAILED, error.reason, remedy)
        return
    yield Finding("cloud", Verdict.OK, f"{called}: logged in to project {project}")
    for pool in pools:
        yield from _of_pool(api, book, pool, _maximum(config, pool))
    quota = Findings("quota", "ask the cloud's people for a larger quota, or free some of it")
    yield quota.of(lambda: _quota(quota, config, api, book, pools))
    tried = trials.known(known_facts(config))
    for pool in pools:
        yield _reach(config, pool.name, tried.get(pool.name))


def _reach(config: BossConfig, pool: str, trial: trials.Trial | None) -> Finding:
    """Whether a VM of the pool has reached the boss when that was tried last (`admin.py doctor --boot`)."""
    found = Findings("reach", f"admin.py doctor --boot --pool {pool} tries it with one VM", pool)
    again = f"; tried again by admin.py doctor --boot --pool {pool}"
    if trial is None:
        return found.note(
            "boss reachable from a VM: unknown until --boot", f"admin.py doctor --boot --pool {pool} tries it with one VM"
        )
    day = time.strftime("%F %T", time.localtime(trial.asked))
    if trial.over is None and not trial.reason:
        return found.note(
            f"boss reachable from a VM: being tried since {day}, with {trial.vm}", "admin.py status shows how it stands"
        )
    if trial.worked:
        times = ", ".join(f"{word} after {trial.steps[step] - trial.asked:.0f} s" for step, word in _TOLD if step in trial.steps)
        untried = f"; whether it reaches the datastore was not tried: {trial.unrun}" if trial.unrun else ""
        return found.ok(f"boss reachable from a VM: on {day} {trial.vm} was there ({times}){untried}")
    if trial.stage in ("accepted", "active") or trial.reason == trials.STOPPED:
        unknown = f"boss reachable from a VM: unknown, {trial.vm} of {day} came to nothing: {trial.reason}"
        return found.note(unknown, f"admin.py doctor --boot --pool {pool} tries it again")
    try:
        boss = address.find(known_facts(config).get(address.FACT, ""), config.vms.address).host
    except address.NoAddress:
        boss = "the boss's address"
    failed = Findings("reach", trials.where_to_look(trial, boss) + again, pool)
    return failed.failed(f"boss reachable from a VM: on {day} {trial.vm} did not work: {trial.reason}")


class Findings:
    """Findings of one check, with the remedy for what failed."""

    def __init__(self, check: str, remedy: str, where: str = "") -> None:
        self._check, self._remedy, self._where = check, remedy, f"{where}: " if where else ""

    def ok(self, detail: str) -> Finding:
        """All is well."""
        return Finding(self._check, Verdict.OK, self._where + detail)

    def note(self, detail: str, remedy: str) -> Finding:
        """It works; one should know."""
        return Finding(self._check, Verdict.NOTE, self._where + detail, remedy)

    def failed(self, detail: str) -> Finding:
        """No VM can be made so."""
        return Finding(self._check, Verdict.FAILED, self._where + detail, self._remedy)

    def of(self, look: Callable[[], Finding]) -> Finding:
        """What a look finds, or why it fails."""
        try:
            return look()
        except CloudError as error:
            return self.failed(error.reason)


def _of_pool(api: Api, book: Book, pool: CloudPool, maximum: int) -> Iterator[Finding]:
    setting = f"set {{}} of [pools.{pool.name}] to one that is there"
    image = Findings("image", setting.format("image"), pool.name)
    yield image.of(lambda: _image(image, book, pool))
    flavors = Findings("flavors", setting.format("flavors"), pool.name)
    yield flavors.of(lambda: _flavors(flavors, book, pool))
    network = Findings("network", setting.format("networks"), pool.name)
    try:
        for name in book.networks(pool.networks):
            yield _network(network, api, book, name, maximum)
    except CloudError as error:
        yield network.failed(error.reason)
    if pool.key_name:
        key = Findings("key", f"{setting.format('key_name')}, or leave it out: ecloud needs none", pool.name)
        yield key.of(lambda: key.ok(f"{book.key(pool.key_name)['name']}"))
    groups = Findings("security", setting.format("security_groups"), pool.name)
    for name in pool.security_groups:
        yield groups.of(lambda name=name: _group(groups, book, name))  # type: ignore[misc]
    zones = Findings("zones", setting.format("availability_zones"), pool.name)
    for name in pool.availability_zones:
        yield zones.of(lambda name=name: zones.ok(f"{book.zone(name)} takes servers"))  # type: ignore[misc]
    if pool.boot_volume:
        volume = Findings("volume", f"{setting.format('volume_type')}, or boot_volume to 0", pool.name)
        yield volume.of(lambda: _volume(volume, api, book, pool))
    if pool.floating_network:
        floating = Findings("floating IPs", setting.format("floating_network"), pool.name)
        yield floating.of(lambda: _floating(floating, book, pool))


def _image(findings: Findings, book: Book, pool: CloudPool) -> Finding:
    image = book.image(pool.image)
    named = [one for one in book.images() if one.get("name") == image.get("name")]
    told = f"{image.get('name')} ({image['id']}, made {str(image.get('created_at', '?'))[:10]})"
    if len(named) > 1:
        return findings.note(
            f"{told}; {len(named)} images are called so, and the newest is taken", "write the image's id to pin one"
        )
    return findings.ok(told)


def _flavors(findings: Findings, book: Book, pool: CloudPool) -> Finding:
    found = [book.flavor(name) for name in pool.flavors]
    try:
        image = book.image(pool.image)
    except CloudError:
        image = {}  # told by its own check
    for flavor in found:
        disk = pool.boot_volume or int(flavor["disk"])
        if disk and disk < int(image.get("min_disk") or 0):
            return findings.failed(f"{flavor['name']} has {disk} GiB of disk, and the image needs {image['min_disk']}")
        if int(flavor["ram"]) < int(image.get("min_ram") or 0):
            return findings.failed(f"{flavor['name']} has {flavor['ram']} MiB of memory, and the image needs {image['min_ram']}")
    told = ", ".join(_size(flavor, pool) for flavor in found)
    bare = [str(flavor["name"]) for flavor in found if not int(flavor["disk"]) and not pool.boot_volume]
    if bare:
        return findings.note(f"{told}; {bare[0]} has no disk of its own", "set boot_volume if the cloud refuses to boot it so")
    return findings.ok(told)


def _size(flavor: dict[str, Any], pool: CloudPool) -> str:
    offers = facts.resources_of(flavor, pool.boot_volume)
    sizes = f"{offers['cpus']:g} cpus, {offers['memory'] / _GIB:g} GiB memory, {offers.get('disk', 0) / _GIB:g} GiB disk"
    extras = pool.flavors.get(str(flavor["name"]), {})
    return f"{flavor['name']} ({', '.join([sizes, *(f'{amount:g} {name}' for name, amount in extras.items())])})"


def _network(findings: Findings, api: Api, book: Book, network: str, maximum: int) -> Finding:
    try:
        name = str(api.get("network", f"/networks/{network}", "look at a network")["network"]["name"])
        ports = api.pages("network", "/ports", "ports", "list the ports", network_id=network, fields=["id", "fixed_ips"])
        room = facts.addresses(book.subnets(network), ports)
    except CloudError as error:
        return findings.failed(error.reason)
    free = int(room.total - room.used)
    told = f"{name}: {free} of {room.total:g} addresses free"
    if not room.total:
        return findings.failed(f"{name} has no IPv4 subnet with addresses to give")
    if free < 1:
        return findings.failed(told)
    if free < maximum:
        return findings.note(f"{told}, and the pool may have {maximum} VMs", "lower maximum, or take a larger subnet")
    return findings.ok(told)


def _group(findings: Findings, book: Book, name: str) -> Finding:
    group = book.security_group(name)
    rules = group.get("security_group_rules") or []
    if not any(rule.get("direction") == "egress" for rule in rules):
        remedy = f"add egress rules to the boss's broker, API and datastore ({_GUIDE})"
        return findings.note(f"{group['name']} lets nothing out: a worker could not reach the boss", remedy)
    return findings.ok(f"{group['name']} ({len(rules)} rules)")


def _volume(findings: Findings, api: Api, book: Book, pool: CloudPool) -> Finding:
    if not api.has("volume"):
        return findings.failed("the cloud has no volume service for us")
    if pool.volume_type:
        book.volume_type(pool.volume_type)
    return findings.ok(f"{pool.boot_volume} GiB" + (f" of type {pool.volume_type}" if pool.volume_type else ""))


def _floating(findings: Findings, book: Book, pool: CloudPool) -> Finding:
    network = book.network(pool.floating_network)
    if not network.get("router:external"):
        return findings.failed(f"{network['name']} is not an external network: no floating IP comes from there")
    return findings.ok(f"from {network['name']}")


def _quota(findings: Findings, config: BossConfig, api: Api, book: Book, pools: Sequence[CloudPool]) -> Finding:
    """The room that is left, and whether the smallest VM and all that the pools may have fit into it."""
    limits = facts.compute_limits(api.get("compute", "/limits", "read the limits"))
    room = {name: limit.total - limit.used for name, limit in limits.items()}
    told = ", ".join(
        f"{facts.amount(name, room[name])} of {facts.amount(name, limit.total)} {'cores' if name == 'cpus' else name} free"
        for name, limit in limits.items()
        if limit.total < math.inf
    )
    known = {str(one[key]): one for one in book.flavors() for key in ("name", "id")}
    sizes = [(_demand(known[name]), _maximum(config, pool)) for pool in pools for name in pool.flavors if name in known]
    fits = [min((room[name] // need[name] for name in room if need.get(name)), default=math.inf) for need, _ in sizes]
    beyond = [(pool, said) for pool in pools for name in pool.flavors if name in known and (said := _beyond(known[name], limits))]
    if any(sum(other is pool for other, _ in beyond) == len(pool.flavors) for pool, _ in beyond):
        return findings.failed(f"{told}: {'; '.join(said for _, said in beyond)}: pool {beyond[0][0].name} can have no VM at all")
    if fits and max(fits) < 1:
        return findings.failed(f"{told}: no room for one VM of any flavor")
    if beyond:
        remedy = "have the quota raised, or take them out of the pool"
        return findings.note(f"{told}: {'; '.join(said for _, said in beyond)}: never to be had", remedy)
    if fits and any(fit < wanted for fit, (_, wanted) in zip(fits, sizes, strict=True)):
        return findings.note(f"{told}: less than the pools may have", "that is no fault: VMs are made until the quota is used up")
    return findings.ok(told or "unlimited")


def _beyond(flavor: dict[str, Any], limits: Mapping[str, Limit]) -> str:
    """``lab.16 asks for 16 cores, and the quota is 6``, where the whole quota is too small for one VM of it."""
    for name, need in _demand(flavor).items():
        if name in limits and need > limits[name].total:
            what = "cores" if name == "cpus" else name
            return f"{flavor['name']} asks for {facts.amount(name, need)} {what}, and the quota is {facts.amount(name, limits[name].total)}"
    return ""


def _demand(flavor: dict[str, Any]) -> dict[str, float]:
    offers = facts.resources_of(flavor)
    return {"instances": 1.0, "cpus": offers["cpus"], "memory": offers["memory"]}


def _maximum(config: BossConfig, pool: CloudPool) -> int:
    return next((other.maximum for other in config.policy.pools if other.name == pool.name), 0)
