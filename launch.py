"""How the commands come to run under the `.venv` beside them, from any shell. Standard library only, any Python 3.

Rules: `.venv` beside the command wins; without one, the running Python is used if it has what is needed.
"""

import importlib.util
import os
import sys

#: A package that only a prepared Python has.
NEEDED = "typer"


def under_venv(script):  # type: (str) -> None
    """Go on under the `.venv` beside ``script``; exits 2 with the remedy when there is neither that nor a prepared Python."""
    venv = os.path.join(os.path.dirname(os.path.realpath(script)), ".venv")
    python = os.path.join(venv, "bin", "python")
    if os.path.realpath(sys.prefix) == os.path.realpath(venv):
        return
    if os.access(python, os.X_OK):
        os.execv(python, [python, os.path.realpath(script), *sys.argv[1:]])  # noqa: S606
    if importlib.util.find_spec(NEEDED) is None:
        sys.exit(_missing(script))


def _missing(script):  # type: (str) -> int
    sys.stderr.write("%s: not set up yet: run scripts/setup\n" % os.path.basename(script))  # noqa: UP031
    return 2
