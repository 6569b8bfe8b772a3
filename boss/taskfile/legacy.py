"""Sources of the original's task files that lie outside the job: where they are looked for below the legacy root.

Rules:
- The root is a folder on the datastore's host. An absolute path that lies below it means that file; any other absolute path is
  looked for below the root as if the root were ``/``.
- The job's folder counts as a folder in the root: ``../x`` is ``x`` in the root, and what would leave the root is refused.
- ``a/../b`` stays inside the job and is ``b``.
"""

import posixpath

from boss.taskfile.files import path_problem
from boss.taskfile.problems import quoted
from datastore.sources import LEGACY, is_outside


class NowhereError(ValueError):
    """A source that leads nowhere; the message says why, and what would help."""


def resolved(source: str, root: str) -> str:
    """A source as the rest of ecloud writes it: a path in the job's folder, or ``legacy:PATH``. Raises NowhereError."""
    if is_outside(source) or not (source.startswith("/") or ".." in source.split("/")):
        return source
    folder = "/" if source.endswith("/") else ""
    path = posixpath.normpath(source)
    if not path.startswith(("/", "..")):
        return path + folder
    if not root:
        raise NowhereError(
            f"{quoted(source)} lies outside the job: set datastore_legacy_root in the boss's settings to the folder on the "
            "datastore's host below which such sources lie (docs/settings.md), or push the file with the job"
        )
    below = _below(path, posixpath.normpath(root))
    if below in ("", ".", "..") or below.startswith("../"):
        raise NowhereError(f"{quoted(source)} leads out of datastore_legacy_root ({root}), or is all of it")
    if (reason := path_problem(below)) is not None:
        raise NowhereError(f"{quoted(source)} {reason}")
    return LEGACY + below + folder


def _below(path: str, root: str) -> str:
    """A path from outside the job, relative to the legacy root; it may still begin with ``..``."""
    if not path.startswith("/"):
        return path.removeprefix("..").removeprefix("/")
    path = "/" + path.lstrip("/")
    base = root.rstrip("/") + "/"
    if path + "/" == base:
        return ""
    return path.removeprefix(base) if path.startswith(base) else path[1:]
