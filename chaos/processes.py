"""Every process that came from us, whoever started it: orphans of ours become our children, and nobody else's."""

import ctypes
import os
import signal
from pathlib import Path

from boss.adapters.processes import Identity, identify

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on what loses its parent below us is our child (and can be told from the machine's other processes)."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def below(pid: int) -> list[Identity]:
    """The living processes that descend from this one, parents first."""
    found: list[Identity] = []
    waiting = [pid]
    for parent in waiting:
        for child in _children(parent):
            waiting.append(child)
            if (process := identify(child)) is not None:
                found.append(process)
    return found


def bury(known: set[int]) -> None:
    """Take the exit codes of adopted children that have ended; ``known`` are those that somebody else waits for."""
    for child in _children(os.getpid()):
        if child not in known and identify(child) is None:
            try:
                os.waitpid(child, os.WNOHANG)
            except ChildProcessError:
                continue


def send(process: Identity, which: signal.Signals) -> bool:
    """Signal this very process; whether it was there."""
    try:
        watch = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if identify(process.pid) != process:
            return False
        signal.pidfd_send_signal(watch, which)
    except ProcessLookupError:
        return False
    finally:
        os.close(watch)
    return True


def words(process: Identity) -> str:
    """Its command line, for people."""
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:200]
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return found
    for thread in threads:
        try:
            found += [int(child) for child in (thread / "children").read_text().split()]
        except OSError:
            continue
    return found
