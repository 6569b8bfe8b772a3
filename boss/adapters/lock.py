"""One boss per state folder: a lock that ends with its process, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LockTaken(Exception):
    """Another process has the state folder; the message names it and what to do."""


def is_held(state: Path) -> bool:
    """Whether a process has the state folder now; looked at for a moment, without waiting and without writing."""
    try:
        with open(state / "lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock file, or none that may be read: no boss of this user
        return False
    return False


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold the state folder's lock. Raises LockTaken with the pid of the process that has it."""
    with open(state / "lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise LockTaken(
                f"a boss (process {file.read().strip() or 'unknown'}) runs on {state} already; end it first"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
