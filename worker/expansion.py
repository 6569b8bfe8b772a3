"""What a row of a template is given to run: the one code by which the boss deals tasks out and a worker verifies signed ones. Pure.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

from typing import List, Mapping, NamedTuple, Optional, Protocol, Tuple

from datastore.layout import destination, is_folder, is_pattern, matches
from datastore.sources import is_outside, place_of
from worker.protocol import Input


class Pushed(Protocol):
    """A pushed file: sha256 in hex, and permission bits."""

    @property
    def digest(self) -> str:
        """The sha256, in hex."""

    @property
    def mode(self) -> int:
        """The permission bits."""


class Pinned(NamedTuple):
    """A pushed file: sha256 in hex, and permission bits."""

    digest: str
    mode: int


def named(source: str, to: str, files: Mapping[str, Pushed]) -> Tuple[List[Input], Optional[Input]]:
    """The inputs that a source stands for among pushed files (by their places in the job's folder), by digest where they are pushed.

    ``to`` is empty where the task does not say. Of a folder or a glob the second is what else lies there: results of other tasks.
    """
    if is_outside(source):
        return [Input(source, to or place_of(source))], None
    if not is_pattern(source) and not is_folder(source):
        pushed = files.get(source)
        return [Input(source, to, pushed.digest, pushed.mode) if pushed else Input(source, to)], None
    found = [path for path in files if matches(source, path)]
    pinned = [Input(path, destination(source, to, path), files[path].digest, files[path].mode) for path in found]
    return pinned, Input(source, to)
