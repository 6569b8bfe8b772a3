"""What exactly is executed for an attempt: a program by its argv where that is safe, else bash; and its environment.

Rules:
- Commands run in one ``bash -e -o pipefail``, joined by newlines, so that ``cd`` and ``export`` persist and a failure stops.
- A single command without shell syntax is started directly: the same, and faster. When in doubt it is the shell: so also when
  the program is not found, because then the shell says so the way everybody knows (exit code 127, or 126).
- The environment is clean: nothing of the worker's but the names in ``_INHERITED``; then ecloud's names, then the task's own.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import os
import shlex
from typing import Dict, List, Mapping, NamedTuple, Sequence

from worker.protocol import Assignment

#: Any of these makes a command the shell's business. (Quotes are fine: shlex reads them as the shell does.)
_SYNTAX = frozenset("|&;<>()$`\\*?[]#~=%{}!\n\r\0")
_QUOTES = frozenset("'\"")
#: First words that bash understands itself, differently from a program of that name or alone.
_SHELL_WORDS = frozenset(
    """
    . : [ [[ alias bg bind break builtin caller case cd command compgen complete compopt continue coproc declare dirs disown
    do done echo elif else enable esac eval exec exit export fc fg fi for function getopts hash help history if in jobs kill
    let local logout mapfile popd printf pushd pwd read readarray readonly return select set shift shopt source suspend test
    then time times trap type typeset ulimit umask unalias unset until wait while
    """.split()  # noqa: SIM905
)
#: Names of the worker's environment that a task sees.
_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ")
#: Where programs are looked for when nobody says.
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Names that tell numeric libraries how many threads to use.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Command(NamedTuple):
    """A program (a path) and its arguments, the first of which is its name."""

    program: str
    argv: List[str]


def plain_words(commands: Sequence[str]) -> List[str]:
    """The words of a single command that needs no shell; empty when it needs one."""
    if len(commands) != 1 or not _SYNTAX.isdisjoint(commands[0]):
        return []
    if _QUOTES.isdisjoint(commands[0]):
        words = [word for word in commands[0].replace("\t", " ").split(" ") if word]
    else:
        try:
            words = shlex.split(commands[0])
        except ValueError:
            return []  # an open quote: the shell's message is the one to show
    return words if words and words[0] not in _SHELL_WORDS else []


def script_of(commands: Sequence[str]) -> str:
    """The commands as the text of one script."""
    return "\n".join(commands)


def in_shell(commands: Sequence[str], bash: str, script: str = "") -> Command:
    """The commands as one bash script; ``script`` is the path of a file that holds it, when it is too long to be an argument."""
    how = [script] if script else ["-c", script_of(commands)]
    return Command(bash, ["bash", "-e", "-o", "pipefail", *how])


def prepare(commands: Sequence[str], path: str, folder: str, bash: str) -> Command:
    """What to execute: the program itself if it can be found on ``path`` (or relative to ``folder``), else bash."""
    words = plain_words(commands)
    program = _find(words[0], path, folder) if words else ""
    return Command(program, words) if program else in_shell(commands, bash)


def _find(name: str, path: str, folder: str) -> str:
    """What a shell would execute for this name; empty when there is nothing, or it may not be executed.

    It may also be a folder, which nobody can execute: then too the shell has the right words.
    """
    if "/" in name:
        candidates = [os.path.join(folder, name)]
    else:
        candidates = [os.path.join(folder, part, name) for part in path.split(":")]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    return ""


class Surroundings:
    """What is the same for all attempts of a worker: the names inherited, and who it is."""

    def __init__(self, worker: str, root: str, environ: Mapping[str, str]) -> None:
        """``root`` is the worker's own folder, by which processes of an earlier life are known again."""
        self._base = {name: environ[name] for name in environ if name in _INHERITED or name.startswith("LC_")}
        self._base.setdefault("PATH", _DEFAULT_PATH)
        self._base["ECLOUD_WORKER"] = worker
        self._base["ECLOUD_WORKER_FOLDER"] = root

    def environment(self, assignment: Assignment, temp: str, init: str, user: Mapping[str, str] = {}) -> Dict[str, str]:
        """The environment of one attempt; ``temp`` is its TMPDIR, ``init`` its job's init folder or empty, ``user`` who it is."""
        cpus = "%d" % max(1, int(assignment.needs.get("cpus", 1)))
        env = dict(self._base)
        env.update(user)
        env.update((name, cpus) for name in _THREADS)
        env["TMPDIR"] = temp
        env["ECLOUD_JOB"] = assignment.job
        env["ECLOUD_TASK"] = assignment.task
        env["ECLOUD_ATTEMPT"] = assignment.attempt.rpartition(".")[2]
        env["ECLOUD_CPUS"] = cpus
        if init:
            env["ECLOUD_INIT"] = init
        env.update(assignment.env)
        env["ECLOUD_ATTEMPT_ID"] = assignment.attempt  # by these two its processes are found: not the task's to change
        env["ECLOUD_WORKER"] = self._base["ECLOUD_WORKER"]
        env["ECLOUD_WORKER_FOLDER"] = self._base["ECLOUD_WORKER_FOLDER"]
        return env
