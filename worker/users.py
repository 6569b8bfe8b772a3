"""The user that runs the tasks where the worker itself is root: he can neither read the worker's keys nor reach into another's files.

Rules:
- A folder is the task user's only from the start of its attempt on. Until then root alone writes there: what is fetched into a folder
  that tasks can write could be led astray by their links.
- The change of user is ``setpriv``'s (util-linux, in every Debian and Ubuntu): the process, its session and its group stay the same.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import os
import pwd
import shutil
from typing import Dict, List, Mapping, NamedTuple

from worker.command import Command


class NoTaskUser(ValueError):
    """Tasks cannot be run as the user that they should; the message says why."""


class TaskUser(NamedTuple):
    """Who runs the tasks, and the program that makes a process his."""

    name: str
    uid: int
    gid: int
    home: str
    setpriv: str

    def wrap(self, command: Command) -> Command:
        """The command, run as this user."""
        who: List[str] = ["--reuid=%d" % self.uid, "--regid=%d" % self.gid, "--init-groups"]
        return Command(self.setpriv, ["setpriv", *who, "--", command.program, *command.argv[1:]])

    def environ(self, environ: Mapping[str, str]) -> Dict[str, str]:
        """The worker's environment as this user has it."""
        return dict(environ, HOME=self.home, USER=self.name, LOGNAME=self.name)

    def hand_over(self, folder: str) -> None:
        """Give him a folder with all that is in it; links themselves, not what they lead to. Raises OSError."""
        for _, folders, files, here in os.fwalk(folder):  # by descriptors: nobody can put a link in the way meanwhile
            for name in folders + files:
                os.chown(name, self.uid, self.gid, dir_fd=here, follow_symlinks=False)
            os.fchown(here, self.uid, self.gid)

    def hand_output(self, path: str) -> None:
        """Make an output file, if it is not there yet, and give it to him. Raises OSError."""
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchown(file, self.uid, self.gid)
        finally:
            os.close(file)


def find(name: str) -> TaskUser:
    """The user of this name, for a worker that is root. Raises NoTaskUser."""
    if os.geteuid() != 0:
        raise NoTaskUser("tasks are to run as %s, which takes a worker that is root" % name)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise NoTaskUser("tasks are to run as %s, which takes the program setpriv (package util-linux)" % name)
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise NoTaskUser("tasks are to run as %s, and there is no such user" % name) from None
    if entry.pw_uid == 0:
        raise NoTaskUser("tasks are to run as %s, who is root" % name)
    return TaskUser(name, entry.pw_uid, entry.pw_gid, entry.pw_dir, setpriv)
