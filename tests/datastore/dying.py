"""Accepts one upload and is killed before the n-th step: ``python -m tests.datastore.dying ROOT N ATTEMPT JOB FILES-AS-JSON [keep]``.

Exits 0 when there were fewer steps.
"""

import json
import os
import signal
import sys

from datastore.acceptance import Acceptance, Upload
from datastore.tree import Tree


def main(root: str, number: str, attempt: str, job: str, files: str, *keep: str) -> None:
    """Accept, or die."""
    left = [int(number)]

    def before(_step: str) -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    manifest = tuple((path, size, digest) for path, size, digest in json.loads(files))
    (answer,) = Acceptance(Tree(root), before).accept([Upload(attempt, job, manifest, bool(keep))])
    assert answer[1] == "accepted", answer


if __name__ == "__main__":
    main(*sys.argv[1:])
