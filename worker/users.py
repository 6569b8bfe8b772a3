"""The users that run the tasks where the worker itself is root: one per attempt that runs, so that no task reaches into another.

Rules:
- Numbers of a block that this worker holds alone on its machine. No account needs to exist for a number; where the template has made one
  (``<name>-1``, ...), it has a name. All of them are in the groups of the user ``<name>``.
- A number serves another attempt only when no process has it any more and nothing is left of it where all users may write.
- The init attempts of a job share one number, which is never given to others; the job's other attempts have it as a group, and so may
  read what those have made.
- The change of user is ``chroot``'s (coreutils, with ``/`` as the new root; half the cost of ``setpriv``, which is taken where root may not
  change roots): the process, its session and its group stay the same. The worker itself never takes a task's number, not for a moment:
  the new process would run by then, and who has our number may kill us.
- A folder is a task's only from the start of its attempt to its end. Before and after root alone writes there.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import fcntl
import grp
import heapq
import os
import pwd
import shutil
import subprocess
from itertools import count
from typing import Dict, List, NamedTuple, Optional, Sequence, Set

from worker import processes
from worker.command import Command

#: The first number of the first block (``templates/setup.sh`` has it, too): beyond what directories, containers and systemd give out.
FIRST = 2_000_400_000
#: Numbers in a block, and how many blocks there are.
BLOCK, BLOCKS = 1000, 100
#: Where it is noted which blocks are taken: a lock on a file each.
CLAIMS = "/run/ecloud"


class NoTaskUser(ValueError):
    """Tasks cannot be run as the user that they should; the message says why."""


class TaskUser(NamedTuple):
    """Who runs one attempt. ``lasting``: the user of a job's init attempts."""

    uid: int
    name: str
    lasting: bool = False

    def hand_over(self, folder: str) -> None:
        """Give him a folder, that so far only root could write into, with all that is in it. Raises OSError."""
        for _, folders, files, here in os.fwalk(folder):
            for name in folders + files:
                os.chown(name, self.uid, self.uid, dir_fd=here, follow_symlinks=False)
            os.fchown(here, self.uid, self.uid)

    def hand_file(self, path: str) -> None:
        """Make a file in a folder of root's, if it is not there yet, and give it to him. Raises OSError."""
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchown(file, self.uid, self.uid)
        finally:
            os.close(file)


class TaskUsers:
    """The users of one worker. To be used by the main thread only."""

    def __init__(self, name: str, groups: Sequence[int], block: int, changer: str, bash: str) -> None:
        """``groups`` are those of all of them; ``block`` is the number of the block, which the caller holds."""
        self.numbers = range(FIRST + block * BLOCK + 1, FIRST + (block + 1) * BLOCK)
        self.groups = list(groups)
        self._name = name
        self._changer = changer
        self._bash = bash
        self._free: List[TaskUser] = []
        self._reserved: Dict[int, None] = {}
        self._next = count(self.numbers[0])
        self._jobs: Dict[str, TaskUser] = {}

    # ---- who ---------------------------------------------------------------------------------------------------------

    def take(self) -> TaskUser:
        """A user whom nobody is. Raises OSError when there are no more."""
        return heapq.heappop(self._free) if self._free else self._user(self._another(), False)

    def give(self, user: TaskUser) -> None:
        """He is nobody any more."""
        if not user.lasting:
            heapq.heappush(self._free, user)

    def of_job(self, job: str) -> TaskUser:
        """Who runs the init attempts of a job. Raises OSError when there are no more users."""
        user = self._jobs.get(job)
        if user is None:
            user = self._jobs[job] = self.take()._replace(lasting=True)
        return user

    def keep(self, job: str, uid: int) -> bool:
        """An earlier life has given this number to a job's init attempts; False if it is none of ours."""
        if uid not in self.numbers or uid in self._reserved:
            return False
        self._reserved[uid] = None
        self._jobs[job] = self._user(uid, True)
        return True

    def unkept(self) -> Set[int]:
        """All numbers but those of init attempts."""
        return set(self.numbers) - {user.uid for user in self._jobs.values()}

    def groups_for(self, job: str) -> List[int]:
        """The groups of an attempt of this job."""
        user = self._jobs.get(job)
        return [*self.groups, user.uid] if user is not None else self.groups

    # ---- processes ---------------------------------------------------------------------------------------------------

    def wrap(self, user: TaskUser, groups: Sequence[int], command: Command) -> Command:
        """The command, run by root, as one that becomes this user."""
        return _as_number(self._changer, user.uid, groups, command)

    def kill(self, user: TaskUser) -> None:
        """SIGKILL all processes of a user at once, however fast they make new ones."""
        script = '[ "$EUID" = %d ] && kill -KILL -1' % user.uid  # root's would be everything
        command = self.wrap(user, (), Command(self._bash, ["bash", "--norc", "-c", script]))
        subprocess.run(
            [command.program, *command.argv[1:]],
            check=False,
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _user(self, uid: int, lasting: bool) -> TaskUser:
        try:
            return TaskUser(uid, pwd.getpwuid(uid).pw_name, lasting)
        except KeyError:
            return TaskUser(uid, "%s-%d" % (self._name, uid - self.numbers[0] + 1), lasting)

    def _another(self) -> int:
        for number in self._next:
            if number not in self._reserved:
                break
        if number not in self.numbers:
            raise OSError("more than %d users of tasks at a time" % len(self.numbers))
        self._reserved[number] = None
        return number


def find(name: str, bash: str = "/bin/bash", claims: str = CLAIMS) -> TaskUsers:
    """The users of a worker that is root; ``name`` is a user that there is, whose groups they have. Raises NoTaskUser."""
    if os.geteuid() != 0:
        raise NoTaskUser("tasks are to run as %s, which takes a worker that is root" % name)
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise NoTaskUser("tasks are to run as %s, and there is no such user" % name) from None
    if entry.pw_uid == 0:
        raise NoTaskUser("tasks are to run as %s, who is root" % name)
    groups = sorted({entry.pw_gid, *(group.gr_gid for group in grp.getgrall() if name in group.gr_mem)} - {0})
    block = _claim(claims)
    if block is None:
        raise NoTaskUser("all %d blocks of users for tasks are taken on this machine (%s)" % (BLOCKS, claims))
    changer = _changer(FIRST + block * BLOCK + 1)
    if changer is None:
        raise NoTaskUser(
            "tasks are to run as %s, and neither chroot (coreutils) nor setpriv (util-linux) can change users here" % name
        )
    return TaskUsers(name, groups, block, changer, bash)


def is_open(program: str) -> bool:
    """Whether every user may read and execute this file."""
    try:
        if os.stat(program).st_mode & 0o005 != 0o005:
            return False
        folder = os.path.dirname(os.path.realpath(program))
        while folder != "/":
            if not os.stat(folder).st_mode & 0o001:
                return False
            folder = os.path.dirname(folder)
    except OSError:
        return False
    return True


def check_way(folder: str) -> None:
    """Whether everybody may pass through to this folder. Raises NoTaskUser with the remedy."""
    path = os.path.dirname(folder)
    while path != "/":
        if not os.stat(path).st_mode & 0o001:
            raise NoTaskUser(
                "users of tasks cannot get to %s: chmod o+x %s, or put the worker's folder elsewhere" % (folder, path)
            )
        path = os.path.dirname(path)


def end_leftovers(users: TaskUsers) -> int:
    """Kill what an earlier holder of the block has left; how many processes that were."""
    left = processes.all_of(users.numbers)
    for uid in {processes.owner(pid) for pid in left} & set(users.numbers):
        users.kill(TaskUser(uid, ""))
    return len(left)


def _changer(uid: int) -> Optional[str]:
    """The program that changes users on this machine."""
    for name in ("chroot", "setpriv"):
        program = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
        if program is None:
            continue
        command = _as_number(program, uid, (), Command("/bin/sh", ["sh", "-c", "id -u"]))
        said = subprocess.run(
            [command.program, *command.argv[1:]], check=False, cwd="/", stdin=subprocess.DEVNULL, capture_output=True
        ).stdout
        if said.strip() == b"%d" % uid:
            return program
    return None


def _as_number(changer: str, uid: int, groups: Sequence[int], command: Command) -> Command:
    rest = [command.program, *command.argv[1:]]
    if os.path.basename(changer) == "chroot":
        who = "--userspec=+%d:+%d" % (uid, uid), "--groups=" + ",".join("+%d" % group for group in groups)
        return Command(changer, ["chroot", *who, "--skip-chdir", "/", *rest])
    listed = "--groups=" + ",".join(map(str, groups)) if groups else "--clear-groups"
    return Command(changer, ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, listed, "--", *rest])


def _claim(folder: str) -> Optional[int]:
    """The first block that nobody holds; it is ours as long as this process lives."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for block in range(BLOCKS):
        file = os.open("%s/users-%d" % (folder, block), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        return block
    return None
