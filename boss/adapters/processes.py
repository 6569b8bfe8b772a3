"""Processes of this machine that outlive whoever started them: found again, waited for and ended.

Rules:
- A pid alone names nothing, for pids are used again; a pid with its start time (``/proc/<pid>/stat``) names one process.
- Ends are waited for with pidfds, never by asking again and again.
"""

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Identity:
    """One process: ``started`` is in clock ticks since the machine's boot."""

    pid: int
    started: int

    def __str__(self) -> str:
        return f"{self.pid}:{self.started}"


def identify(pid: int) -> Identity | None:
    """Which process has this pid now; None when none lives (a zombie does not)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else Identity(pid, int(fields[19]))


def parse(text: str) -> Identity | None:
    """Read ``<pid>:<start time>``; None for what is not that."""
    pid, _, started = text.strip().partition(":")
    return Identity(int(pid), int(started)) if pid.isdecimal() and started.isdecimal() else None


def is_alive(process: Identity) -> bool:
    """Whether this very process still runs."""
    return identify(process.pid) == process


def record(path: Path, pid: int) -> Identity | None:
    """Write down which process has this pid, so that a later life of ours finds it; None when it has ended already."""
    process = identify(pid)
    if process is None:
        path.unlink(missing_ok=True)
        return None
    beside = path.with_name(path.name + ".new")
    beside.write_text(f"{process}\n")
    beside.replace(path)
    return process


def recorded(path: Path) -> Identity | None:
    """The process that was written down here, if it still runs."""
    try:
        process = parse(path.read_text())
    except FileNotFoundError:
        return None
    return process if process and is_alive(process) else None


def end(process: Identity, timeout: float, first: signal.Signals = signal.SIGTERM) -> None:
    """Send a process ``first``, and SIGKILL when it has not ended after ``timeout`` seconds. It need not be our child."""
    try:
        watch = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if not is_alive(process):  # asked after the pidfd was opened, so that it cannot be another by now
            return
        _send(watch, first)
        if not _ended(watch, timeout):
            _send(watch, signal.SIGKILL)
            _ended(watch, timeout)
    finally:
        os.close(watch)


def end_recorded(path: Path, timeout: float) -> None:
    """End the process that was written down here, if it still runs, and forget it."""
    process = recorded(path)
    if process:
        end(process, timeout)
    path.unlink(missing_ok=True)


def with_variable(name: str, value: str) -> list[Identity]:
    """All processes that we may look into whose environment has ``name=value``."""
    wanted = f"{name}={value}".encode()
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        try:
            environment = Path(entry.path, "environ").read_bytes()
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue
        process = identify(int(entry.name)) if wanted in environment.split(b"\0") else None
        if process:
            found.append(process)
    return found


def _send(watch: int, which: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(watch, which)
    except ProcessLookupError:
        return


def _ended(watch: int, timeout: float) -> bool:
    poller = select.poll()
    poller.register(watch, select.POLLIN)
    return bool(poller.poll(timeout * 1000))
