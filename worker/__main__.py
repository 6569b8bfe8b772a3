"""Composition root of the worker: ``python worker-<hash>.pyz --config worker.json``.

Exit codes: 0 when it was drained, stopped, or its lease is over; 2 when it cannot start (the reason is on stderr).
The log on stderr has one line per event and nothing secret.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import argparse
import fcntl
import gc
import logging
import math
import os
import resource
import selectors
import shutil
import sys
import time
import uuid
from typing import Dict, Optional, Tuple

from datastore.channel import Endpoint
from worker import cgroups, config, logs, processes, users
from worker.cells import Cells, confinement
from worker.command import Surroundings
from worker.core import Core, Identity
from worker.credentials import Credentials, renewal_of
from worker.execute import Executor
from worker.folders import Folders
from worker.follow import Follower
from worker.leftovers import Leftovers
from worker.link import Link
from worker.loop import Loop, Parts, Waker
from worker.pulse import Pulse
from worker.spool import Spool
from worker.stage import Stage
from worker.staging import Staging
from worker.terms import WorkerConfig
from worker.trust import marks, names_of, without_marks
from worker.verify import verifier_of

_LOG = logging.getLogger("worker")


#: Objects made (net) between two collections: what a task leaves dies by its reference counts, cycles are rare.
GARBAGE = 50_000


def main() -> int:
    """Start a worker and run it to its end; the exit code."""
    arguments = argparse.ArgumentParser(prog="worker", description="An ecloud worker: runs the attempts that its boss assigns.")
    arguments.add_argument("--config", required=True, help="the worker's JSON file")
    path = arguments.parse_args().config
    logs.begin(sys.stderr)
    try:
        settings = config.load(path)
        logs.begin(sys.stderr, settings.worker)
        loop = _compose(settings)
    except (config.ConfigError, OSError, ValueError) as error:
        for line in str(error).splitlines():
            print("worker: %s" % line, file=sys.stderr)
        return 2
    gc.freeze()  # what lives from here to the end need not be looked at by every collection
    gc.set_threshold(GARBAGE)
    return loop.run()


def _compose(settings: WorkerConfig) -> Loop:
    """Put the parts together, after ending what an earlier life of this worker left. Raises ConfigError, OSError."""
    bash = shutil.which("bash")
    if bash is None:
        raise config.ConfigError("there is no bash on PATH, and commands need one")
    verifier = verifier_of(settings.allowed_signers, settings.cluster)
    task_users = users.find(settings.task_user, bash) if settings.task_user else None
    _lock(settings.folder)
    folders = Folders(settings.folder, task_users)
    processes.become_subreaper()
    processes.seal_descriptors()
    _end_earlier_life(settings, folders, task_users)
    cells, said = _confine(settings, folders, task_users)
    os.chdir("/")
    identity = Identity(uuid.uuid4().hex[:12], os.getpid(), os.path.basename(sys.argv[0]), said)
    spool = Spool(folders.spool)
    now = time.monotonic()
    renewal = renewal_of(settings.renewal, now) if settings.renewal is not None else None
    terms = settings.heartbeat, settings.lease
    pulse = Pulse(*settings.pulse) if settings.pulse is not None else None
    heard = pulse.heard_before(now) if pulse is not None else None
    resources = dict(without_marks(settings.resources), **(marks(verifier.keys) if verifier is not None else {}))
    core = Core(identity, resources, *terms, now, spool.held, settings.longest_lease, renewal, heard)
    executor = Executor(folders, Surroundings(settings.worker, folders.root, os.environ), bash, cells)
    selector = selectors.DefaultSelector()
    waker = Waker(selector)
    waker.watch_signals()
    owners = task_users.numbers if task_users is not None else None
    endpoint = Endpoint(*settings.datastore) if settings.datastore is not None else None
    parts = Parts(
        core=core,
        executor=executor,
        folders=folders,
        staging=Staging(Stage(endpoint, folders.cache, settings.cache_bytes, owners, verifier), folders, waker.wake),
        spool=spool,
        link=Link(settings.broker, settings.cluster, settings.worker, selector, waker.wake),
        follower=Follower(identity.session, executor.output),
        selector=selector,
        waker=waker,
        credentials=Credentials(settings, waker.wake) if renewal is not None else None,
        pulse=pulse,
    )
    _LOG.info("worker %s (%s) of cluster %s, session %s", settings.worker, identity.software, settings.cluster, identity.session)
    if verifier is not None:
        _LOG.info("runs nothing but jobs that are signed by %s", ", ".join(names_of(verifier.keys)))
    return Loop(parts)


def _lock(folder: str) -> None:
    """Make sure that no other process works in this folder; the lock lasts as long as this process. Raises ConfigError."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    file = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise config.ConfigError("another worker process uses the folder %s" % os.path.realpath(folder)) from None


def _end_earlier_life(settings: WorkerConfig, folders: Folders, task_users: Optional[users.TaskUsers]) -> None:
    """Kill the processes and remove the files that a killed process of this worker, or an earlier holder of its users, has left."""
    killed = len(processes.kill_marked({"ECLOUD_WORKER": settings.worker, "ECLOUD_WORKER_FOLDER": folders.root}))
    if task_users is not None:
        killed += users.end_leftovers(task_users)
        Leftovers().sweep(task_users.unkept())
    if killed:
        _LOG.warning("ended %d processes of an earlier life", killed)
    folders.sweep()


def _confine(settings: WorkerConfig, folders: Folders, task_users: Optional[users.TaskUsers]) -> Tuple[Cells, Dict[str, str]]:
    """What tasks are held to: that which all have from this process, and their cells; and all of it in words.

    To be called before any other thread is started.
    """
    limits = settings.limits
    if "privileges" in limits.enforce:
        processes.forbid_new_privileges()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if task_users is not None:
        users.check_way(folders.root)
        os.umask(0o022)
    groups, reason = cgroups.find() if set(limits.enforce) - {"privileges"} else (None, "")
    cells = Cells(limits, task_users, groups, math.ceil(settings.resources["cpus"]))
    said = confinement(cells, reason)
    _LOG.info("tasks: %s", ", ".join("%s: %s" % pair for pair in said.items()))
    return cells, said


if __name__ == "__main__":
    sys.exit(main())
