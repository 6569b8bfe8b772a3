"""Where the files of a trace lie in a job's folder: the same path wherever that can be, and never two files in one place.

Rules:
- A name that is a path inside the folder is its place. Of others the leading ``/`` and the parts ``..``, ``.`` and empty ones go,
  wildcards and control characters are percent-encoded, parts that are too long are cut and end in a digest.
- A name that is taken, or that is a folder in which other files lie, gets ``~`` behind it. Names that need no change come first.
- Of a file that is there in several versions (several tasks yield it), the second lies at ``name~2``, and so on.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from boss.taskfile.files import path_problem

#: A file of a trace and which of its versions, counted from 1.
Version = tuple[str, int]

_ORDINARY = re.compile(r"(?:[A-Za-z0-9_+=@,#-][A-Za-z0-9._+=@,#-]{0,99}/){0,8}[A-Za-z0-9_+=@,#-][A-Za-z0-9._+=@,#-]{0,99}")
_UNFIT = re.compile(r"[\x00-\x1f\x7f*?\[\ud800-\udfff]")
#: Bytes of a part of a path from which on it is cut, and that are kept of it then; a suffix must still fit.
_LONG, _KEPT = 220, 180


def places(versions: Sequence[Version]) -> dict[Version, str]:
    """A path of its own for each version of each file."""
    tidy = {name: _tidied(name) for name, _ in versions}
    folders = set(_folders(tidy.values()))
    found: dict[Version, str] = {}
    taken: set[str] = set()
    for name, number in sorted(versions, key=lambda version: version[1] > 1 or tidy[version[0]] != version[0]):
        place = tidy[name] if number == 1 else f"{tidy[name]}~{number}"
        while place in taken or place in folders:
            place += "~"
        taken.add(place)
        found[name, number] = place
    return found


def _tidied(name: str) -> str:
    """A path inside the folder for a name."""
    if _ORDINARY.fullmatch(name) and name != "SHA256SUMS":
        return name
    parts = (part for part in name.split("/") if part not in ("", ".", ".."))
    path = "/".join(_cut(_UNFIT.sub(_encoded, part)) for part in parts)
    if path.startswith("shared:"):
        path = "shared%3A" + path.removeprefix("shared:")
    for candidate in (path, path + "~"):
        if path and path_problem(candidate + "~~~~") is None and path_problem(candidate) is None:
            return candidate
    return _digest(name)


def _encoded(found: re.Match[str]) -> str:
    return quote(found[0].encode("utf-8", "surrogatepass"))


def _cut(part: str) -> str:
    data = part.encode()
    return part if len(data) <= _LONG else f"{data[:_KEPT].decode(errors='ignore')}-{_digest(part)}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _folders(paths: Iterable[str]) -> Iterable[str]:
    seen: set[str] = set()
    for path in paths:
        while (end := path.rfind("/")) > 0:
            path = path[:end]
            if path in seen:
                break
            seen.add(path)
    return seen
