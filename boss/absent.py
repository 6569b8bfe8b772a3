"""Whether the results that the database knows lie on the datastore: after a restore they may still be elsewhere.

Rules:
- Cheap: names of jobs against names of folders; what is in the folders is the gate's to know.
- Nothing is changed and nothing refused: somebody may have removed a job's folder to make room.
"""

import logging
import threading
from collections.abc import Sequence

from boss.adapters.reader import Reader
from boss.config import BossConfig
from boss.ports import Datastore, DatastoreDown, StoreError
from datastore.layout import job_folder

#: Jobs that are looked for, the newest.
LOOKED_FOR = 1000
#: Jobs that are named.
NAMED = 3

log = logging.getLogger(__name__)


def place(config: BossConfig, named: str) -> str:
    """Where the datastore's files belong: ``named`` is the address that ``set_datastore`` has given, or empty."""
    there = config.datastore
    if named:
        return f"the datastore {named}"
    return f"the datastore {there.user}@{there.host}:{there.port}, folder {there.root}" if there else str(config.datastore_root)


def below_root(config: BossConfig, jobs: Sequence[str]) -> list[str]:
    """Those of these jobs that have no folder in the private datastore, which is a folder of this machine."""
    return [job for job in jobs if not (config.datastore_root / job_folder(job)).is_dir()]


def sentence(missing: Sequence[str], where: str) -> str:
    """``3 jobs have results by the database, but no folder on ...: a, b and c``."""
    named = ", ".join(missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
    have = "1 job has" if len(missing) == 1 else f"{len(missing):,} jobs have"
    return f"{have} results by the database, but no folder in {where} ({named})"


def warn_in_background(config: BossConfig, reader: Reader, datastore: Datastore, named: str) -> threading.Thread:
    """Say at the boss's start, on a thread of its own, when results are not there; a datastore that is down is told by others."""

    def look() -> None:
        try:
            jobs = reader.jobs_with_results(LOOKED_FOR)
            there = set(datastore.taken(jobs)) if jobs else set()
        except (DatastoreDown, StoreError):
            return
        missing = [job for job in jobs if job not in there]
        if missing:
            log.warning(
                "%s: bring the datastore's files there, unless they were removed on purpose",
                sentence(missing, place(config, named)),
            )

    thread = threading.Thread(target=look, name="absent", daemon=True)
    thread.start()
    return thread
