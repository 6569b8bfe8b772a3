"""What Huey's consumer imports: the queue and its one kind of task. ``REDIS`` in the environment is the server's socket."""

import os
import sys

from huey import RedisHuey

from benchmarks.peers.driver import spawn

sys.setrecursionlimit(100_000)  # the message of a chain's task carries all that follow

queue = RedisHuey("benchmark", url=f"unix://{os.environ['REDIS']}")


def _run_after(command: tuple[str, ...], *needed: object) -> int:
    """The task; a result has to be something, or it is not kept."""
    spawn(command)
    return 0


run_after = queue.task()(_run_after)
