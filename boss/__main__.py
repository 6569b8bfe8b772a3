"""The boss's composition root: settings -> config -> adapters -> loop. ``python -m boss`` runs it, ``python -m boss doctor`` looks only.

Rules:
- Stays in the foreground, logs to stderr, prints one line ``ready: <API address>`` on stdout once jobs can be pushed.
- SIGTERM and SIGINT end it cleanly: workers drained, children stopped; a second one does not wait for running attempts.
- One boss per state folder, and per database on a server: it holds a lease there. ``--standby`` waits until nobody holds it.
- What is started is stopped in the opposite order, whatever happens.
- Exit codes: 0 ended as asked, 1 could not start, lost its database to another boss or has one that is too old, 2 wrong settings.
"""

import gc
import getpass
import logging
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from boss import absent, config, datastores
from boss.adapters import logs
from boss.adapters.address import FACT as ADDRESS
from boss.adapters.broker import MqttBroker
from boss.adapters.bundle import BundleError, gate_bundle, worker_bundle
from boss.adapters.certificates import Authority, Gate, GateIssuer, TlsFiles
from boss.adapters.certifier import WorkerCertifier
from boss.adapters.chronicle import Chronicle
from boss.adapters.consoles import Consoles
from boss.adapters.daemons import DaemonError, Shutter, broker_names, mosquitto, sshd, write_rights
from boss.adapters.exposition import Exposition
from boss.adapters.intake import Intake
from boss.adapters.keys import write_private
from boss.adapters.lease import holder_of
from boss.adapters.listeners import BrokerListeners
from boss.adapters.lives import Lives, Outdated
from boss.adapters.local import LocalCloud
from boss.adapters.lock import LockTaken, alone
from boss.adapters.reader import Reader
from boss.adapters.results import DatastoreGate
from boss.adapters.ssh_hosts import SshHosts
from boss.adapters.store import Store
from boss.adapters.tls import check_client
from boss.adapters.worker_config import WorkerTerms
from boss.api.app import create_app
from boss.api.house import ApiFacts, nobody_told
from boss.api.loghub import LogHub
from boss.api.serving import Served, tokens_of
from boss.clouds import open_clouds
from boss.config import BossConfig, SettingsError
from boss.core import hosts
from boss.core.requests import StopWanted
from boss.deploy import DeployError
from boss.diagnosis import diagnose
from boss.front import broker_place, open_front
from boss.keeping import Keeping
from boss.loop import Loop, Outside
from boss.notices.noting import Noting
from boss.page.app import install
from boss.ports import Broker, Cloud, Results, StoreError
from boss.standby import NoStandby, check, keys_of, open_in_turn
from boss.telling import notifier_of, surroundings
from boss.vms import Doors
from datastore.channel import Endpoint

VERSION = "0.1.0"
#: Objects made (net) between two garbage collections: tasks and attempts live long and die by reference counts, and with
#: Python's 700 every tenth collection would walk half a million of them for nothing.
GARBAGE = 100_000

#: Connections of the API that are served at the same time.
AT_ONCE = 2000

log = logging.getLogger("boss")


#: Makes the clouds that are not this machine, by provider; the last argument renders user data for ``(pool, group, count)``.
Clouds = Callable[[BossConfig, str, int, Callable[[str, str, int], str]], Mapping[str, Cloud]]


def main(words: Sequence[str], clouds: Clouds = open_clouds) -> int:
    """Run a sub-command, or the boss until it is asked to end; the exit code."""
    standby = list(words) == ["--standby"]
    if words and not standby:
        from boss import doctor  # noqa: PLC0415 (a boss that starts needs nothing of it)

        return doctor.run(words)
    try:
        settings = config.load()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    logs.begin(sys.stderr, settings.log_format)
    try:
        with ExitStack() as stack:
            return run(settings, stack, clouds, standby)
    except (LockTaken, NoStandby, Outdated, DaemonError, DeployError, ValueError, BundleError, StoreError, OSError) as error:
        print(f"the boss cannot start: {error}", file=sys.stderr)
        return 1


def run(settings: BossConfig, stack: ExitStack, clouds: Clouds, standby: bool = False) -> int:
    """Build the house from the ground up, live in it, and leave it in the opposite order."""
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    stack.enter_context(alone(settings.state))
    authority = Authority(settings.pki, lifetime=settings.certificate_lifetime)
    secret = _gate_secret(settings.pki / "gate_secret")
    store = Store(
        settings.database_url, secrets.token_hex(4), settings.boss_lease, holder_of(settings.state, keys_of(settings.pki))
    )
    stack.callback(store.close)
    reader = Reader(settings.database_url)
    stack.callback(reader.close)
    lives = Lives(settings.state)
    lives.check(store.facts())
    if standby:
        check(
            settings.database_url, settings.broker is not None, bool(settings.datastore or reader.context().get(datastores.FACT))
        )
    epoch = open_in_turn(store, standby, lambda said: print(said, flush=True))
    lives.check(store.facts())
    cluster = reader.context()["cluster"]
    lives.enter(cluster, epoch)
    keeping = Keeping(authority, settings.certificate_lifetime)

    context = reader.context()
    doors = Doors(settings, context) if settings.opens_doors(context.get(ADDRESS, "")) else None
    listeners = BrokerListeners(authority)
    host, port, tls, shut_out = _broker(settings, authority, cluster, stack, doors, keeping, listeners)
    gate = _datastore(settings, authority, reader.context().get(datastores.FACT, ""), stack, doors)
    login = authority.boss_login(gate)
    endpoint = Endpoint(gate.host, gate.port, gate.user, str(login.key), str(login.certificate), str(login.known_hosts))

    def outdated(reason: str) -> None:
        lives.end(reason)
        log.error("%s", lives.reason)
        loop.put(StopWanted())

    bounds = settings.max_upload, settings.transfers
    results = DatastoreGate(endpoint, cluster, secret, epoch, outdated, settings.legacy_root, *bounds)
    hub = LogHub()
    broker = MqttBroker(host, port, tls, cluster, epoch, hub.publish, shut_out)
    leases = settings.policy.worker_lease, settings.longest_lease
    terms = WorkerTerms(
        cluster, host, port, tls.ca.read_text(), settings.policy.heartbeat, *leases, settings.cache_bytes, settings.task_limits
    )
    bundle = worker_bundle(settings.bundles)
    local = LocalCloud(settings.workers, bundle, authority, lambda: gate, settings.policy.pools, terms, settings.signers)
    outer = gate if doors is None else doors.gate(gate)
    outer_terms = terms if doors is None else doors.terms(terms)
    plain = SshHosts(cluster, bundle, authority, lambda: outer, outer_terms, settings.certificate_lifetime)
    for name, plain_host in hosts.known(reader.context()).items():
        plain.expect(plain_host.vm, name, dict(plain_host.resources))
    there: dict[str, Cloud] = {local.provider: local, plain.provider: plain}
    certifier = None
    if doors is not None:
        certifier = WorkerCertifier(authority, lambda: outer, settings.vms.certificate_lifetime)
        there.update(clouds(settings, cluster, epoch, doors.user_data(authority, cluster, bundle).render))
    front = open_front(settings, authority)
    notifier = notifier_of(settings, cluster, front.public_url or front.url)
    noting = Noting(settings.telling, notifier) if notifier is not None else None
    outside = Outside(store, broker, results, there, certifier)
    loop = Loop(outside, settings.policy, epoch, audit_keep=settings.audit_keep, noting=noting)
    store.keep(loop.lose)
    reader.keep(loop.jobs_shown)
    loop.listen(Chronicle().hear)

    intake = Intake(
        settings.inbox,
        settings.max_tasks,
        settings.max_task_file,
        legacy_root=settings.legacy_root,
        cluster=cluster,
        signers=settings.signers,
    )
    stack.callback(intake.close)
    exposition = Exposition(VERSION, loop.meters, loop.view, loop.waiting, settings.state)
    shown = config.in_force()
    facts = ApiFacts(
        version=VERSION,
        api_url=front.url,
        tokens=tokens_of(settings.api_file, front.url, getpass.getuser(), front.trust),
        received=settings.inbox,
        boss_address=socket.gethostname() if doors is None else doors.address.host,
        datastore_address=f"{gate.user}@{gate.host}:{gate.port}",
        read_datastore=lambda address: datastores.read_address(settings, address),
        check_datastore=lambda address: datastores.check(settings, authority, address),
        clouds=tuple(there.values()),
        probe_host=plain.probe,
        console=Consoles(settings.consoles).read,
        public_url=front.public_url,
        ca=front.ca_text,
        listeners=listeners,
        broker=broker_place(settings, authority, outer_terms),
        max_task_file=settings.max_task_file,
        debug=doors.hosts().debug if doors is not None else None,
        metrics=exposition.text,
        notify_test=notifier.test if notifier is not None else nobody_told,
        settings=lambda: shown,
        diagnose=diagnose,
    )
    app = create_app(loop, reader, results, GateIssuer(authority, gate, shuts_out=lambda: results.shuts_out), intake, facts, hub)
    if doors is not None and certifier is not None:
        keeping.door(doors.open(loop, authority, certifier, lambda: outer, outer_terms, bundle, stack))
    parts: list[Results | Broker | Cloud] = [results, broker, *there.values()]
    for part in parts:
        part.start(loop.put)
        stack.callback(part.stop)
    absent.warn_in_background(settings, reader, results, reader.context().get(datastores.FACT, ""))
    stack.enter_context(install(app))
    served = stack.enter_context(Served(app, front.listener, front.files, at_once=AT_ONCE))
    exposition.connections = served.connections
    keeping.api(settings, served)
    keeping.log_in(gate)
    keeping.workers(local)
    keeping.hosts(plain)
    stack.enter_context(keeping)
    if notifier is not None:
        private = settings.datastore is None and not reader.context().get(datastores.FACT)
        notifier.begin(loop, surroundings(settings, loop, results, tuple(there.values()), private))
        exposition.told = notifier.counts
        stack.enter_context(notifier)
    _end_on_signals(loop)
    gc.set_threshold(GARBAGE)
    log.info("the web page is at %s (a token to log in with is in %s)", front.public_url or front.url, settings.api_file)
    loop.run(lambda: print(f"ready: {front.url}", flush=True))
    log.info("ending")
    return 0 if loop.ended_as_asked and not lives.reason else 1


def _broker(
    settings: BossConfig,
    authority: Authority,
    cluster: str,
    stack: ExitStack,
    doors: Doors | None,
    keeping: Keeping,
    listeners: BrokerListeners,
) -> tuple[str, int, TlsFiles, Callable[[str], None]]:
    """The broker's host and port, the boss's way in, and how a worker is shut out there; a private one is started."""
    own = authority.boss()
    outside = settings.broker
    if outside is not None:
        if outside.certificate is not None and outside.key is not None:
            check_client(outside.certificate, outside.key, "[broker]")
        listeners.changed = lambda accounts: write_rights(settings.mosquitto, cluster, accounts)
        tls = TlsFiles(outside.ca or own.ca, outside.certificate or own.certificate, outside.key or own.key)
        return outside.host, outside.port, tls, lambda worker: None
    outer = doors.broker if doors is not None else None
    daemon = mosquitto(settings.mosquitto, authority, cluster, outer=outer, listeners=listeners.accounts)
    shutter = Shutter(daemon, settings.mosquitto, cluster, listeners.accounts())
    listeners.changed = shutter.write
    daemon.start()
    stack.callback(daemon.stop)
    keeping.broker(daemon, broker_names(outer))
    return daemon.host, daemon.port, own, shutter


def _datastore(settings: BossConfig, authority: Authority, named: str, stack: ExitStack, doors: Doors | None) -> Gate:
    """Where the datastore's gate is; without any a private sshd serves it, as this very user."""
    if named:
        return datastores.gate_at(settings, named)
    outside = settings.datastore
    if outside is not None:
        return Gate(outside.host, outside.port, outside.user, outside.host_key, outside.program, outside.root)
    settings.datastore_root.mkdir(mode=0o700, parents=True, exist_ok=True)
    program = gate_bundle(settings.bundles)
    daemon = sshd(settings.sshd, authority, outer=doors.sshd if doors is not None else None)
    daemon.start()
    stack.callback(daemon.stop)
    user, root = getpass.getuser(), str(settings.datastore_root)
    return Gate(daemon.host, daemon.port, user, authority.host_key_public, str(program), root, sys.executable)


def _gate_secret(path: Path) -> bytes:
    """What boss and gate share, to make and check grants; made at the first start."""
    if not path.exists():
        write_private(path, secrets.token_hex(32).encode())
    return bytes.fromhex(path.read_text().strip())


def _end_on_signals(loop: Loop) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: loop.put(StopWanted()) and None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
