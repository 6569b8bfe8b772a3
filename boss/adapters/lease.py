"""The boss row: whose the database is, and until when. What makes one writer of several bosses that may start.

Rules:
- A lease is counted by the database's own clock. Who takes the row raises the epoch; from then on no transaction of an earlier
  holder succeeds, because each begins with an UPDATE of this row that is guarded by the epoch. (It must change the row: a cluster such as
  Galera compares what transactions write, not what they lock.)
- The holder knows by its own clock how long the lease runs at least: counted from before the last renewal that succeeded. While that
  time runs nobody else can have taken the row, so nothing has to be asked before acting.
- A lease of no length is held by nobody: the next boss takes the row at once, as on a laptop, where the state folder's lock decides.
- The holder's name says which process can be the same boss again: after a crash the next one in that state folder need not wait,
  because it holds the folder's lock.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from boss.adapters.database import Database
from boss.ports import LeaseHeld, StoreError, Superseded

log = logging.getLogger(__name__)

#: Renewals in the time of one lease.
RENEWALS: Final = 4
#: Seconds that an ending boss waits for a renewal that is under way: a server that has vanished is waited for for minutes.
PATIENCE: Final = 5.0
#: The database's clock in Unix seconds.
_NOW: Final = {True: "((julianday('now') - 2440587.5) * 86400.0)", False: "(UNIX_TIMESTAMP(SYSDATE(6)) + 0e0)"}


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asks for the row. ``name`` is empty where nobody can be the same boss again; ``place`` is where people find it, ``keys`` a
    digest of its keys."""

    name: str = ""
    place: str = ""
    keys: str = ""


#: A boss that cannot be the same again.
NOBODY: Final = Holder()


def holder_of(state: Path, keys: str) -> Holder:
    """The boss of a state folder, on this machine since it was started: copies of the folder or of the machine are others."""
    found = state.stat()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    place = f"the boss on {os.uname().nodename} (process {os.getpid()}, state folder {state})"
    return Holder(f"{boot}:{found.st_dev}:{found.st_ino}", place, keys)


def now() -> float:
    """Seconds on a clock that goes on while the process, or the machine, is asleep."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One boss's hold on the row. ``guard`` is for inside of a transaction, everything else is one of its own."""

    def __init__(self, db: Database, length: float, holder: Holder, clock: Callable[[], float] = now) -> None:
        """``length`` in seconds."""
        self._db = db
        self._length = length
        self._holder = holder
        self._clock = clock
        self._now = _NOW[db.sqlite]
        self._epoch = 0
        self._until = 0.0

    def check_free(self) -> None:
        """Return when ``take`` would succeed. Raises LeaseHeld; changes nothing."""
        found = self._db.select(f"SELECT holder, place, keyring, expires - {self._now} FROM boss WHERE id = 1")  # noqa: S608 (no input)
        holder, place, keys, left = found[0] if found else ("", "", "", 0.0)
        if left > 0 and (not holder or holder != self._holder.name):
            sentence = f"{place or 'another boss'} holds the database {self._db.location.shown}, for {left:.0f} s more at least"
            raise LeaseHeld(sentence, place, float(left), keys == self._holder.keys)

    def take(self, epoch: int) -> None:
        """Become the holder, of this epoch, inside of a transaction. Raises LeaseHeld while another boss's lease runs."""
        began = self._clock()
        mine = self._holder
        expires = f"{self._now} + {self._length}" if self._length else "0"
        taken = self._db.execute(
            f"UPDATE boss SET epoch = ?, turn = turn + 1, holder = ?, place = ?, keyring = ?, expires = {expires} "  # noqa: S608
            f"WHERE id = 1 AND (expires <= {self._now} OR (holder = ? AND holder <> ''))",
            (epoch, mine.name, mine.place, mine.keys, mine.name),
        )
        if taken != 1:
            self.check_free()
            raise StoreError(f"another boss opens {self._db.location.shown} at this moment; start only one")
        self._epoch, self._until = epoch, began + self._length

    def guard(self) -> None:
        """Nothing may be written or trusted under an epoch that is not the row's any more. Raises Superseded."""
        if self._db.execute("UPDATE boss SET turn = turn + 1 WHERE id = 1 AND epoch = ?", (self._epoch,)) != 1:
            raise self._superseded()

    def held(self) -> bool:
        """Whether nobody else can have the row, as far as this process's clock tells."""
        return not self._length or self._clock() < self._until

    def renew(self) -> None:
        """The lease runs from now on anew. Raises Superseded, or StoreError when the database does not answer."""
        began = self._clock()
        with self._db.transaction():
            found = self._db.execute(
                f"UPDATE boss SET turn = turn + 1, expires = {self._now} + {self._length} WHERE id = 1 AND epoch = ?",  # noqa: S608
                (self._epoch,),
            )
            if found != 1:
                raise self._superseded()
        self._until = max(self._until, began + self._length)

    def release(self) -> None:
        """The next boss need not wait."""
        if self._length and self._epoch:
            with suppress(StoreError), self._db.transaction():
                self._db.execute("UPDATE boss SET expires = 0 WHERE id = 1 AND epoch = ?", (self._epoch,))
        self._until = 0.0

    def _superseded(self) -> Superseded:
        found = self._db.select("SELECT epoch, place FROM boss WHERE id = 1")
        newest, place = found[0] if found else ("none", "")
        return Superseded(
            f"the database {self._db.location.shown} is at epoch {newest}, this boss is of epoch {self._epoch}: "
            f"another boss has taken over{f' ({place})' if place else ''}; end this one"
        )


def reset(db: Database, epoch: int) -> None:
    """Nobody holds the row, and the next life is later than ``epoch``; for a database that was put back, in a transaction."""
    if "boss" in db.tables():
        db.execute(
            "UPDATE boss SET epoch = ?, turn = turn + 1, holder = '', place = '', keyring = '', expires = 0 WHERE id = 1",
            (epoch,),
        )


class Keeper:
    """The thread that renews a lease. ``lost`` is told once when another boss has the row."""

    def __init__(self, lease: Lease, db: Database, length: float, lost: Callable[[str], None]) -> None:
        self._lease = lease
        self._db = db
        self._pause = length / RENEWALS
        self._lost = lost
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Renew until ``stop``."""
        self._thread.start()

    def stop(self, patience: float = PATIENCE) -> bool:
        """End the thread; the lease stays as it is. False when it waits for a database that does not answer: it is left to itself then."""
        self._end.set()
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        silent = False
        while not self._end.wait(self._pause):
            try:
                self._lease.renew()
                silent = False
            except Superseded as error:
                self._lost(str(error))
                break
            except StoreError as error:  # the loop acts no more when the lease has run out; it is tried again
                if not silent:
                    log.warning("the lease could not be renewed: %s", error)
                silent = True
        self._db.close()  # this thread's connection
