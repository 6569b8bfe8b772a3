"""The callers' side of ``datastore.shared``: a file or folder of a person's becomes shared data.

Rules:
- The sha256 is made here before anything is sent: what is there already is not sent again, and what comes is compared with it.
- A broken connection, and another session that still holds the same content, are waited for; what was sent counts.

Python 3.9 syntax, standard library only.
"""

import os
import random
import threading
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from datastore.channel import TRIES, Channel, Endpoint, Unreachable, connect
from datastore.frames import GateFull, GateTrouble, Line, Wire

#: How many files one request carries.
FILES_PER_REQUEST = 1000
#: How long trouble at the datastore is waited for, in seconds: longer than sshd takes to notice that a session's peer is gone.
PATIENCE = 75.0

#: ``(bytes done, bytes in all)``, called after each block.
Progress = Callable[[int, int], None]


class LocalFile(NamedTuple):
    """A file to put: where it is here, its path below the name (empty: it is the name itself), size, sha256, whether it can be run."""

    local: str
    path: str
    size: int
    digest: str
    executable: bool


def share(endpoint: Endpoint, name: str, files: Sequence[LocalFile], progress: Optional[Progress] = None) -> bool:
    """Put files as ``shared:<name>``; False when just these were there already.

    Raises GateRefused when other content has the name or a file has changed meanwhile, GateFull, GateTrouble, Unreachable, OSError.
    """
    tried, end = 0, time.monotonic() + PATIENCE
    while True:
        tried += 1
        try:
            channel = connect(endpoint)
            try:
                return _share(channel, name, files, progress)
            finally:
                channel.close()
        except GateFull:
            raise
        except GateTrouble:
            if time.monotonic() >= end:
                raise
        except Unreachable:
            if tried >= TRIES:
                raise
        threading.Event().wait(random.uniform(0.2, 1.0))  # noqa: S311 (jitter)


def _share(channel: Channel, name: str, files: Sequence[LocalFile], progress: Optional[Progress]) -> bool:
    rows = [[file.path, file.size, file.digest, file.executable] for file in files]
    offered = channel.ask({"op": "offer", "name": name, "files": rows})
    if offered["state"] == "same":
        return False
    have: Dict[str, int] = offered["have"]
    distinct = {file.digest: file for file in files}
    total, done = sum(file.size for file in distinct.values()), [sum(have[digest] for digest in distinct)]

    def count(size: int) -> None:
        done[0] += size
        if progress is not None:
            progress(done[0], total)

    count(0)
    wanted = list(distinct.values())
    for first in range(0, len(wanted), FILES_PER_REQUEST):
        _add(channel, wanted[first : first + FILES_PER_REQUEST], have, count)
    return bool(channel.ask({"op": "share", "name": name, "files": rows})["state"] == "new")


def _add(channel: Channel, files: List[LocalFile], have: Dict[str, int], count: Callable[[int], None]) -> None:
    def give(wire: Wire) -> Line:
        for file in files:
            offset = have[file.digest]
            wire.write_line({"item": file.digest, "size": file.size, "offset": offset})
            if offset < file.size:
                with open(file.local, "rb", buffering=0) as source:
                    os.lseek(source.fileno(), offset, os.SEEK_SET)
                    for size in wire.write_file(source.fileno(), file.size - offset):
                        count(size)
            wire.end_item()
        return {"end": True}

    channel.ask({"op": "add"}, give=give)
