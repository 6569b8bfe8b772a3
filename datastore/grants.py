"""What a worker may do, proven by the grant that came with its assignment.

Rules:
- A grant is an HMAC over worker, attempt, job, task and inputs, made by the boss with a secret that only it and this host have
  (``layout.grant``). The worker's name comes from its SSH certificate, never from the request.
- The secret's file must be readable by its owner alone; without it nothing is granted.

Python 3.9 syntax, standard library only.
"""

import hmac
from typing import NamedTuple, Tuple

from datastore import frames, layout
from datastore.frames import GateRefused, Line
from datastore.tree import Tree


class Source(NamedTuple):
    """One input that was granted: a path, folder or glob of the job, or a pushed file by digest; as in ``worker.protocol.Input``."""

    source: str
    to: str
    digest: str
    mode: int


class Grant(NamedTuple):
    """The attempt that a worker has proven to be given."""

    worker: str
    attempt: str
    job: str
    task: str
    number: int
    inputs: Tuple[Source, ...]


def granted(tree: Tree, worker: str, request: Line) -> Grant:
    """The attempt that a request is about. Raises GateRefused when its grant is not valid for this worker."""
    attempt, job, task = (frames.text(request, name) for name in ("attempt", "job", "task"))
    inputs = frames.rows(request, "inputs", str, str, str, int)
    expected = layout.grant(secret(tree), worker, attempt, job, task, inputs)
    shown = frames.text(request, "grant").encode("utf-8", "replace")  # compare_digest takes no text beyond ASCII
    if not hmac.compare_digest(expected.encode("ascii"), shown):
        raise GateRefused("this grant is not for worker %s and attempt %s" % (worker, attempt))
    return Grant(worker, attempt, job, task, layout.attempt_number(attempt), tuple(Source(*row) for row in inputs))


def secret(tree: Tree) -> bytes:
    """The secret that grants are made with. Raises GateRefused when it is missing or readable by others."""
    found = tree.look(layout.SECRET)
    if found is None:
        raise GateRefused("this datastore has no secret yet: its boss has not set it up")
    if found.st_mode & 0o077:
        raise GateRefused("the file %s of this datastore must have mode 0600" % layout.SECRET)
    return bytes.fromhex(tree.read(layout.SECRET).decode("ascii").strip())


def write_secret(tree: Tree, value: bytes) -> None:
    """Keep the secret, if it is not the one that is there."""
    found = tree.look(layout.SECRET)
    if found is None or found.st_mode & 0o077 or tree.read(layout.SECRET) != value.hex().encode("ascii") + b"\n":
        tree.write(layout.SECRET, value.hex().encode("ascii") + b"\n", 0o600)
