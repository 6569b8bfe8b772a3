"""How the boss's log looks: one JSON object a line for programs, or lines for people; the calls are those of the standard ``logging``.

Rules:
- Every line has time (UTC), level, logger and ``event``, the sentence; what a line is about is in fields of their own, given as ``extra``.
- Only the fields that are named here are shown: an ``extra`` of another library says nothing here.
- What others have written (reasons, names) cannot begin a new line or steer a terminal; tracebacks never show values of variables.
"""

import logging
import re
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

#: What a line may be about. ``attempt`` is an attempt's id, or its number where ``job`` and ``task`` are given.
FIELDS = frozenset(
    {"job", "task", "attempt", "worker", "vm", "pool", "provider", "target", "state", "phase", "exit_code", "count"}
)
#: Forms of the log: ``auto`` is text on a terminal and JSON elsewhere.
FORMS = ("auto", "json", "text")
_STEERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def begin(stream: TextIO, form: str = "auto") -> None:
    """Write the log to this stream from now on, in this form."""
    pretty = form == "text" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(_for_people(stream.isatty()) if pretty else _for_programs()))
    root = logging.getLogger()
    for other in list(root.handlers):
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for chatty in ("paramiko", "httpx", "httpcore"):  # a line for each connection
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _formatter(last: list[Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.ExtraAdder(allow=FIELDS),
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def _for_programs() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _for_people(colors: bool) -> list[Processor]:
    shown = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback)
    return [_harmless, shown]


def _harmless(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make visible what would steer a terminal; the traceback keeps its lines."""
    return {name: _STEERS.sub(_visible, value) if isinstance(value, str) else value for name, value in event.items()}


def _visible(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")
