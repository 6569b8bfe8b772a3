"""Which control groups a process started from here could make, without making one. (Workers look by worker/cgroups.py.)"""

import os
from pathlib import Path

_FIRST = {"memory", "pids", "cpu"}


def controllers(proc: Path = Path("/proc/self")) -> set[str]:
    """Of memory, pids and cpu, the controllers that a worker could use for its tasks."""
    own: dict[str, str] = {}
    for line in (proc / "cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        own.update(dict.fromkeys(names.split(","), path))
    found: set[str] = set()
    for line in (proc / "mountinfo").read_text().splitlines():
        fields, _, more = line.partition(" - ")
        root, place = fields.split()[3:5]
        kind, _, options = more.split(" ", 2)
        if kind == "cgroup":
            found |= {name for name in options.split(",") if name in _FIRST & own.keys() and _writable(place, root, own[name])}
        elif kind == "cgroup2" and "" in own:
            found |= _delegated(_below(place, root, own[""]))
    return found


def _writable(place: str, root: str, group: str) -> bool:
    return os.access(_below(place, root, group), os.W_OK)


def _delegated(folder: Path) -> set[str]:
    """v2: what may be used in a group of which systemd has said that it is ours to divide."""
    base = folder.parent if folder.name == "ecloud-main" else folder
    if not os.access(base, os.W_OK):
        return set()
    marked = any(_marked(base, name) for name in ("user.delegate", "trusted.delegate"))
    if not marked and not (os.geteuid() != 0 and base.name.endswith(".service")):
        return set()
    try:
        return _FIRST & set((base / "cgroup.controllers").read_text().split())
    except OSError:
        return set()


def _marked(folder: Path, name: str) -> bool:
    try:
        return os.getxattr(folder, name) == b"1"
    except OSError:
        return False


def _below(place: str, root: str, group: str) -> Path:
    if root != "/" and (group + "/").startswith(root + "/"):
        group = group[len(root) :]
    return Path(place, group.strip("/"))
