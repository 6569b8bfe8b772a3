"""The inputs of a replayed workflow that no task yields: files of the right sizes, made here instead of the trace's author's data.

Rules:
- A file is a line with its place, then zeros: no two are alike (but those too short for the line), and the same push makes the same.
- They are sparse files in a temporary folder, so they take no room here, and are gone when the push has ended.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from client.errors import Problem, Refused
from client.inventory import BLOCK, Found


@contextmanager
def made(wanted: Mapping[str, int]) -> Iterator[dict[str, Found]]:
    """Files of these sizes (bytes by place in the job's folder). Raises Refused for those that this machine cannot make."""
    with tempfile.TemporaryDirectory(prefix="ecloud-replay-") as folder:
        found = {}
        for number, (place, size) in enumerate(wanted.items()):
            path = os.path.join(folder, str(number))
            found[place] = Found(path, place, _make(path, place, size), size, 0o644)
        yield found


def _make(path: str, place: str, size: int) -> str:
    """Make one file; returns its sha256."""
    line = f"{place}\n".encode()[:size]
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(line)
            file.truncate(size)
    except OSError as error:
        sentence = f"{place}: a file of {size:,} bytes cannot be made here ({error.strerror}): choose a smaller --replay"
        raise Refused([Problem("", "files", sentence)]) from None
    digest, left = hashlib.sha256(line), size - len(line)
    zeros = bytes(min(left, BLOCK))
    while left:
        digest.update(zeros if left >= len(zeros) else zeros[:left])
        left -= min(left, len(zeros))
    return digest.hexdigest()
