"""How a worker's log looks: a line with the time, the sentence, and in brackets the ids of what it is about.

Rules:
- The worker is in every line, so that logs of several machines can be put together; ``attempt``, ``job`` and ``task`` where a call
  names them in its ``extra``.
- What others have written cannot begin a new line or steer a terminal.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import logging
import re
from typing import TextIO

#: What a line may be about beside the worker; the boss's log has the same names.
FIELDS = ("job", "task", "attempt")
_STEERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Lines(logging.Formatter):
    """One line for each event; a traceback follows on its own lines. ``worker`` is empty until it is known."""

    def __init__(self, worker: str = "") -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._worker = worker

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the library's name)
        """The line without a traceback."""
        ids = ["worker=%s" % self._worker] if self._worker else []
        ids += ["%s=%s" % (name, getattr(record, name)) for name in FIELDS if getattr(record, name, None)]
        line = super().formatMessage(record) + (" [%s]" % " ".join(ids) if ids else "")
        return _STEERS.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), line)


def begin(stream: TextIO, worker: str = "") -> None:
    """Write the log to this stream from now on, as this worker's."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines(worker))
    root = logging.getLogger()
    for other in list(root.handlers):
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
