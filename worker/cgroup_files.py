"""The files of control groups: folders are groups, and what is written into their files is done. Linux, v1 and v2.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import os
import signal
import time
from typing import List

#: How long killed processes may take to end before their group is left where it is, in seconds.
PATIENCE = 1.0


def make(folder: str) -> None:
    """Make a group, unless it is there: of a controller that is mounted together with another one."""
    try:
        os.mkdir(folder, 0o755)
    except FileExistsError:
        pass


def remove(folder: str) -> None:
    """Remove a group, as soon as what was killed in it has ended; a task that hangs in the kernel leaves it to another worker."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            os.rmdir(folder)
            return
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > end:
                return
        time.sleep(0.002)


def kill(pid: int) -> None:
    """SIGKILL, unless it has ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def pids(folder: str) -> List[int]:
    """The processes in a group; none of one that is gone."""
    try:
        return [int(word) for word in read(folder + "/cgroup.procs").split()]
    except OSError:
        return []


def number(path: str) -> int:
    """The number in a file; 0 where there is none."""
    try:
        return int(read(path))
    except (OSError, ValueError):
        return 0


def field(path: str, name: bytes, otherwise: int = 0) -> int:
    """The number after a name in a file of lines."""
    try:
        for line in read(path).splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    except OSError:
        pass
    return otherwise


def read(path: str) -> bytes:
    """All of a file; the kernel gives lists of processes in pieces."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = block = os.read(file, 65536)
        while len(block) == 65536 or (block and path.endswith((".procs", "info"))):
            block = os.read(file, 65536)
            data += block
        return data
    finally:
        os.close(file)


def write(path: str, value: str) -> None:
    """Write a value in one piece. Raises OSError."""
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, value.encode())
    finally:
        os.close(file)
