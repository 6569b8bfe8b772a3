"""What ``fetch`` remembers of a folder: which files it has brought there, so that it may renew those that nobody has touched since.

Rules:
- ``.ecloud-fetched`` in the folder has, by origin (cluster and job), each path with its size and sha256. A file that still has them is a
  copy of a result and may be replaced by a newer result of the same origin; any other file is the user's.
- ``SHA256SUMS`` beside says the same for ``sha256sum -c``. One that fetch has not written, or that was changed since, is left alone.
- Both are written whole and renamed into place. A record that cannot be read counts as none: then files that differ are the user's.

Python 3.9 syntax, standard library only.
"""

import hashlib
import json
import os
from typing import Any, Dict, Tuple

from datastore import layout
from datastore.landing import PART, sha256_of

_ABOUT = "what fetch has brought here; it renews these files as long as nobody changes them, and leaves all others alone"
#: ``{path: (size, sha256)}``.
Files = Dict[str, Tuple[int, str]]


class Record:
    """The record of one folder, for one fetch of one origin."""

    def __init__(self, folder: str, origin: str) -> None:
        self._folder = folder
        self._origin = origin
        self._before, _ = self._read()
        self._noted: Files = {}
        self._written: Files = {}

    def untouched(self, path: str) -> bool:
        """Whether the file is as a fetch of this origin has left it. Raises OSError when it cannot be read."""
        known = self._before.get(self._origin, {}).get(path)
        place = self._place(path)
        if known is None or os.path.islink(place) or not os.path.isfile(place) or os.path.getsize(place) != known[0]:
            return False
        return sha256_of(place) == known[1]

    def note(self, path: str, size: int, sha256: str, written: bool) -> None:
        """The file here is this result: it was ``written`` now, or was here already."""
        (self._written if written else self._noted)[path] = (size, sha256)

    def save(self) -> None:
        """Keep what was noted, and write ``SHA256SUMS``. What another fetch has noted meanwhile stays."""
        if not self._noted and not self._written:
            return
        origins, sums = self._read()
        for files in origins.values():
            for path in self._written:
                files.pop(path, None)
        mine = origins.pop(self._origin, {})
        mine.update(self._noted)
        mine.update(self._written)
        origins[self._origin] = mine  # the last: what it says of a path holds
        for files in origins.values():
            for path in [path for path in files if not os.path.lexists(self._place(path))]:
                del files[path]
        sums = self._save_sums(origins, sums)
        document = {
            "about": _ABOUT,
            "version": 1,
            "sums": sums,
            "origins": {name: files for name, files in origins.items() if files},
        }
        self._write(layout.FETCHED, json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n")

    def _save_sums(self, origins: Dict[str, Files], sums: str) -> str:
        """Write ``SHA256SUMS`` unless there is one that is not ours; returns the sha256 of ours."""
        place = self._place(layout.MANIFEST)
        if os.path.lexists(place) and (os.path.islink(place) or not os.path.isfile(place) or sha256_of(place) != sums):
            return sums
        digests = {path: digest for files in origins.values() for path, (_, digest) in files.items()}
        data = "".join(layout.manifest_line(path, digests[path]) for path in sorted(digests)).encode("utf-8")
        self._write(layout.MANIFEST, data)
        return hashlib.sha256(data).hexdigest()

    def _read(self) -> Tuple[Dict[str, Files], str]:
        """Files by origin, and the sha256 of the ``SHA256SUMS`` that was written last."""
        try:
            with open(self._place(layout.FETCHED), "rb") as file:
                document = json.loads(file.read().decode("utf-8"))
            return {str(name): _files(rows) for name, rows in document["origins"].items()}, str(document["sums"])
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}, ""

    def _write(self, name: str, data: bytes) -> None:
        place = self._place(name)
        passing = "%s.%d%s" % (place, os.getpid(), PART)
        try:
            with open(passing, "wb") as file:
                file.write(data)
            os.replace(passing, place)
        except BaseException:
            if os.path.lexists(passing):
                os.unlink(passing)
            raise

    def _place(self, path: str) -> str:
        return os.path.join(self._folder, *path.split("/"))


def _files(rows: Dict[str, Any]) -> Files:
    return {layout.check_path(path): (int(size), str(digest)) for path, (size, digest) in rows.items() if path != layout.FETCHED}
