"""Which processes belong to an attempt, and how to end them all: Linux's /proc and the child subreaper.

Rules:
- A process group is not enough: a child may start a session of its own. So this process is a subreaper: what an attempt leaves
  behind becomes our child, and its environment names the attempt it came from.
- A kill walks the tree of descendants first, because a dead parent leaves no trace of the relation.
- Only processes of attempts are touched: children of other threads (the SSH clients) are neither reaped nor killed.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import ctypes
import os
import signal
from typing import Dict, Iterable, List, Mapping, Optional, Set, Tuple

_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_FIRST_VICTIM = b"500"
#: How often we look for processes that were made while the others were being killed.
_ROUNDS = 100
#: For waitid: only children of the calling thread (and orphans, which the kernel gives to the main thread).
_WNOTHREAD = 0x20000000


def become_subreaper() -> None:
    """From now on orphaned descendants become children of this process. Raises OSError (Linux older than 3.4)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def forbid_new_privileges() -> None:
    """From now on nothing that this process starts gets more rights than it has itself. Raises OSError (Linux older than 3.5)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS) failed")


def started(pid: int) -> str:
    """The start time of a process, in clock ticks since boot, which tells it from others of its number; empty for none."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")


def owner(pid: int) -> int:
    """The real user of a process; -1 when it is gone."""
    try:
        with open("/proc/%d/status" % pid, "rb") as file:
            for line in file:
                if line.startswith(b"Uid:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return -1


def all_of(uids: range) -> List[int]:
    """Every process of this machine whose real user is one of these."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and owner(int(name)) in uids]


def thread_count(pids: Iterable[int]) -> int:
    """How many threads these processes have together, which is what the kernel counts where it bounds processes."""
    count = 0
    for pid in pids:
        try:
            count += len(os.listdir("/proc/%d/task" % pid))
        except OSError:
            continue  # it is gone
    return count


def prefer_to_kill(pid: int) -> None:
    """A machine that runs out of memory ends this process, and what it starts, before this worker."""
    try:
        file = os.open("/proc/%d/oom_score_adj" % pid, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return  # it is gone
    try:
        os.write(file, _FIRST_VICTIM)
    except OSError:
        pass  # it is gone
    finally:
        os.close(file)


def seal_descriptors() -> None:
    """Let no child inherit what this process was started with besides its standard streams."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2:
            try:
                os.set_inheritable(descriptor, False)
            except OSError:
                continue  # the one that the listing itself had open


def ended_child() -> Optional[int]:
    """The pid of a child of this thread that has ended and waits to be reaped; 0 when none has, None when there are no children."""
    try:
        state = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | _WNOTHREAD)
    except ChildProcessError:
        return None
    return state.si_pid if state is not None else 0


def children() -> List[int]:
    """The children of the main thread: the attempts' processes, and what they left behind."""
    pid = os.getpid()  # of this process's threads the main one only: the others' children are SSH clients
    try:
        return _listed_children(pid, str(pid))
    except OSError:
        return [child for child in _by_parent().get(pid, []) if _is_of_this_thread(child)]


def descendants(pid: int) -> List[int]:
    """All processes below this one, parents first. As of now: a tree that forks while we look may be larger."""
    found: List[int] = []
    todo = [pid]
    looked: Dict[int, List[int]] = {}  # one look at every process, where the kernel keeps no lists
    while todo:
        parent = todo.pop()
        try:
            threads = os.listdir("/proc/%d/task" % parent)
            below = [child for thread in threads for child in _listed_children(parent, thread)]
        except OSError:
            if not looked and os.path.isdir("/proc/%d" % parent):
                looked = _by_parent()
            below = looked.get(parent, [])
        found += below
        todo += below
    return found


def environment(pid: int) -> Dict[str, str]:
    """The environment that a process was started with; empty when it is gone, ending, or another user's."""
    try:
        with open("/proc/%d/environ" % pid, "rb") as file:
            entries = os.fsdecode(file.read()).split("\0")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def kill_tree(pid: int) -> None:
    """SIGKILL a process, its group and all its descendants: they are stopped first, so that no more are made meanwhile."""
    signal_group(pid, signal.SIGSTOP)
    stopped: Set[int] = set()
    for _ in range(_ROUNDS):
        new = [each for each in (pid, *descendants(pid)) if each not in stopped]
        if not new:
            break
        for each in new:
            _send(each, signal.SIGSTOP)
        stopped.update(new)
    signal_group(pid, signal.SIGKILL)
    for each in stopped:
        _send(each, signal.SIGKILL)


def signal_group(pid: int, number: int) -> None:
    """Send a signal to the process group that this process leads; nothing if there is nobody in it."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # all gone, or only processes that have become another user's


def kill_marked(marks: Mapping[str, str]) -> List[int]:
    """SIGKILL every process of this machine whose environment has all of these values; their pids."""
    killed = []
    for name in os.listdir("/proc"):
        pid = int(name) if name.isdigit() else 0
        if pid and pid != os.getpid() and marks.items() <= environment(pid).items():
            _send(pid, signal.SIGKILL)
            killed.append(pid)
    return killed


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since the machine started; 0 where it does not say."""
    try:
        with open("/proc/vmstat", "rb") as file:
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except OSError:
        return 0
    return 0


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # gone already, or another user's now


def _listed_children(pid: int, thread: str) -> List[int]:
    """The kernel's list of one thread's children. Raises OSError when it is gone, or the kernel keeps no such list."""
    file = os.open("/proc/%d/task/%s/children" % (pid, thread), os.O_RDONLY | os.O_CLOEXEC)
    try:
        words = b""
        block = os.read(file, 65536)
        while block:
            words += block
            block = os.read(file, 65536)
    finally:
        os.close(file)
    return [int(word) for word in words.split()]


def _by_parent() -> Dict[int, List[int]]:
    """Parent -> children, from a look at every process."""
    found: Dict[int, List[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            pid, parent = _parent(int(name))
            found.setdefault(parent, []).append(pid)
    return found


def _is_of_this_thread(pid: int) -> bool:
    """Whether a child of this process is one of the calling thread."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT | _WNOTHREAD)
    except ChildProcessError:
        return False
    return True


def _parent(pid: int) -> Tuple[int, int]:
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return pid, int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return pid, 0  # gone meanwhile
