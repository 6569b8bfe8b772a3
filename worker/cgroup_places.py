"""Where this process may make control groups for its tasks: looks, and makes nothing. For workers, and for the doctor.

Rules:
- v1: below our own group, in each hierarchy of a controller that we can write to: root's only.
- v2: a group of which systemd (or a container) has said that it is ours to divide; without that, we keep away from it.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import os
from typing import Dict, NamedTuple, Tuple

from worker import cgroup_files as files

#: What can be bounded.
BOUNDS = ("memory", "pids", "cpu")
#: v2: where the processes go that were in the delegated group.
MAIN = "ecloud-main"
#: Controllers of v1 that we use; the others are enough without them.
_CONTROLLERS = (*BOUNDS, "cpuacct")


class Places(NamedTuple):
    """``homes``: by controller the folder below which groups may be made; ``own``: the folder of our own group, v1 only.

    ``lacking`` says why there are none, or for what there is none; empty when nothing is missing.
    """

    version: int
    homes: Dict[str, str]
    own: Dict[str, str]
    lacking: str

    @property
    def controllers(self) -> "frozenset[str]":
        """Of memory, pids and cpu those that there are."""
        return frozenset(self.homes) & frozenset(BOUNDS)


def look(proc: str = "/proc/self") -> Places:
    """What a process with this folder in ``/proc`` would find. Raises OSError where there is no such folder."""
    own, mounts = _own_groups(proc), _mounts(proc)
    first = {each: _path(mounts[each], own[each]) for each in _CONTROLLERS if each in mounts and each in own}
    if first:
        usable = {each: path for each, path in first.items() if os.access(path, os.W_OK)}
        return Places(1, usable, first, _lacking(usable) if usable else "control groups (v1) can be made by root only")
    if "" in mounts and "" in own:
        return _second(_path(mounts[""], own[""]))
    return Places(0, {}, {}, "this system has no control groups")


def _second(own: str) -> Places:
    base = os.path.dirname(own) if os.path.basename(own) == MAIN else own
    if not os.access(base, os.W_OK) or not _delegated(base):
        return Places(2, {}, {}, "the control group %s is not this worker's to divide (a systemd unit needs Delegate=yes)" % base)
    try:
        there = files.read(base + "/cgroup.controllers").split()
    except OSError as error:
        return Places(2, {}, {}, "control groups cannot be made: %s" % error)
    usable = {each: base for each in BOUNDS if each.encode() in there}
    return Places(2, usable, {}, _lacking(usable) if usable else "no controller is delegated to %s" % base)


def _lacking(usable: Dict[str, str]) -> str:
    missing = [each for each in BOUNDS if each not in usable]
    return "no control group for %s" % " and ".join(missing) if missing else ""


def _delegated(folder: str) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        try:
            if os.getxattr(folder, name) == b"1":
                return True
        except OSError:
            continue
    if os.geteuid() != 0:  # a user's systemd of before 251 can leave no such mark
        return os.stat(folder).st_uid == os.geteuid() and folder.endswith(".service")
    return not os.path.exists(folder + "/cgroup.type") and not os.path.exists("/run/systemd/system")  # the root, and nobody's


def _own_groups(proc: str) -> Dict[str, str]:
    """By controller (empty: v2) the path of the process's group."""
    found: Dict[str, str] = {}
    for line in os.fsdecode(files.read(proc + "/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _mounts(proc: str) -> Dict[str, Tuple[str, str]]:
    """By controller (empty: v2) where its hierarchy is mounted, and which group is the root of that."""
    found: Dict[str, Tuple[str, str]] = {}
    for line in os.fsdecode(files.read(proc + "/mountinfo")).splitlines():
        fields, _, more = line.partition(" - ")
        root, place = (text.replace("\\040", " ") for text in fields.split()[3:5])
        kind, _, options = more.split(" ", 2)
        if kind == "cgroup2":
            found.setdefault("", (place, root))
        elif kind == "cgroup":
            for controller in options.split(","):
                if controller in _CONTROLLERS:
                    found.setdefault(controller, (place, root))
    return found


def _path(mount: Tuple[str, str], group: str) -> str:
    place, root = mount
    if root != "/" and (group + "/").startswith(root + "/"):
        group = group[len(root) :]
    return (place + "/" + group.strip("/")).rstrip("/")
