"""Where an input comes from: a path in the job's folder, ``shared:NAME``, or ``legacy:PATH`` below the legacy root. Pure.

Rules:
- What begins with neither word is a path in the job's folder.
- ``NAME`` is a path below ``shared/``; one that ends in ``/`` is a folder with all that is below it. It has no wildcards, so that a
  name means one thing for ever, and does not begin with a dot: those are ecloud's own.
- ``legacy:`` is never written by people: it is what an absolute path, or one with ``../``, of the original's task files becomes.

Python 3.9 syntax; used by the boss's core, the gate, the workers and the command line.
"""

from typing import Tuple

from datastore import layout
from datastore.layout import PathRefused

#: How a source begins that is read-only data for many jobs, and one below the legacy root.
SHARED = "shared:"
LEGACY = "legacy:"
#: Where shared data lies on the datastore.
SHARED_FOLDER = "shared"


def split(source: str) -> Tuple[str, str]:
    """``(SHARED, LEGACY or "" for the job's folder, the path)``."""
    for scheme in (SHARED, LEGACY):
        if source.startswith(scheme):
            return scheme, source[len(scheme) :]
    return "", source


def is_outside(source: str) -> bool:
    """Whether a source lies outside the job's folder."""
    return source.startswith((SHARED, LEGACY))


def place_of(source: str) -> str:
    """Where a source lies in the attempt's folder when its task does not say: by the last part of its name if it is from outside."""
    scheme, path = split(source)
    if not scheme:
        return source
    if layout.is_pattern(path):
        path = layout.fixed_folder(path)
    return path.rstrip("/").rpartition("/")[2] + ("/" if path.endswith("/") else "")


def check_shared(name: str) -> str:
    """The name itself, if shared data can be called so. Raises PathRefused with the reason."""
    if not name:
        raise PathRefused("names no shared data; write it like shared:genomes/hg38.fa")
    if layout.is_pattern(name):
        raise PathRefused("has wildcards; shared data is one file, or a folder that ends in '/'")
    if name.rstrip("/") == layout.MANIFEST:
        raise PathRefused("is the list of checksums, which ecloud writes itself")
    try:
        layout.check_path(name)
    except PathRefused as error:
        raise PathRefused(str(error).replace("the job's folder", "shared/")) from None
    if name.startswith("."):
        raise PathRefused("begins with a dot")
    return name
