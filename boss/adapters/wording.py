"""What a message says: templates of ``templates/notify/``, or of the settings' folder, filled with what there is to tell.

Rules:
- Names and reasons are harmless lines before they get here; a subject is one line in any case.
- A template of the settings that stumbles costs nobody a message: ours is taken then, and the log says why.
- A webhook gets JSON that is made here; a template for another receiver's form must give JSON, too.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from boss.notices.delivery import Message
from boss.notices.notice import Kind, Notice, Severity, harmless

OURS = Path(__file__).resolve().parents[2] / "templates" / "notify"
SUBJECT, TEXT = "subject.txt.j2", "text.txt.j2"
#: Notices that a message tells one by one, and characters of a subject.
SHOWN, LONGEST = 25, 150
#: ``<`` and ``>`` make links and mentions of everybody in the messages of some chats.
_PLAIN = str.maketrans({"<": "\u2039", ">": "\u203a"})
_MANY = {
    Kind.JOB_DONE: ("job done", "jobs done"),
    Kind.JOB_FAILED: ("job failed", "jobs failed"),
    Kind.JOB_PAUSED: ("job paused", "jobs paused"),
    Kind.FAILURES: ("job with many failures", "jobs with many failures"),
    Kind.POOL_PAUSED: ("pool paused", "pools paused"),
    Kind.LEAK: ("leak", "leaks"),
    Kind.DISK: ("disk nearly full", "disks nearly full"),
    Kind.TEST: ("test", "tests"),
}

log = logging.getLogger(__name__)


class WordingError(ValueError):
    """Templates of the settings that cannot be read; the message names the file."""


class Wording:
    """Makes messages. ``cluster`` and the API's address ``url`` say whose they are."""

    def __init__(self, cluster: str, url: str, folder: Path | None = None) -> None:
        """Raises WordingError."""
        self._cluster, self._url = cluster, url
        self._ours = _environment(OURS)
        self._theirs = _environment(folder) if folder is not None else None
        if folder is not None:
            if not folder.is_dir():
                raise WordingError(f"[notify] templates: there is no folder {folder}")
            for path in sorted(folder.glob("*.j2")):
                try:
                    self._theirs and self._theirs.get_template(path.name)
                except (jinja2.TemplateError, UnicodeDecodeError) as error:
                    raise WordingError(f"[notify] templates: {path}: {error}") from None

    def has(self, template: str) -> bool:
        """Whether there is a template for this form of a webhook's JSON."""
        return self._theirs is not None and f"{template}.json.j2" in self._theirs.list_templates()

    def message(self, unit: str, notices: Sequence[Notice], template: str = "") -> Message:
        """What tells a unit all of these."""
        ident = hashlib.sha256("\n".join((self._cluster, unit, *(notice.id for notice in notices))).encode()).hexdigest()[:32]
        worst = next(severity for severity in reversed(Severity) if any(notice.severity is severity for notice in notices))
        facts: dict[str, Any] = {
            "id": ident,
            "cluster": self._cluster,
            "url": self._url,
            "severity": worst.value,
            "notices": [_row(notice) for notice in notices[:SHOWN]],
            "more": max(0, len(notices) - SHOWN),
            "count": len(notices),
            "summary": summary(notices),
        }
        subject = harmless(self._filled(SUBJECT, facts), LONGEST)
        text = self._filled(TEXT, facts)
        payload = {"version": 1, **facts, "subject": subject, "text": text.translate(_PLAIN)}
        return Message(ident, subject, text, self._json(template, payload))

    def _filled(self, name: str, facts: dict[str, Any]) -> str:
        if self._theirs is not None and name in self._theirs.list_templates():
            try:
                return self._theirs.get_template(name).render(facts)
            except Exception as error:  # whatever somebody's template does
                log.error("the template %s of [notify] templates is left out: %s", name, error)
        return self._ours.get_template(name).render(facts)

    def _json(self, template: str, payload: dict[str, Any]) -> bytes:
        if template and self._theirs is not None:
            try:
                text = self._theirs.get_template(f"{template}.json.j2").render(payload)
                json.loads(text)
                return text.encode()
            except Exception as error:  # the same
                log.error("the template %s.json.j2 of [notify] templates is left out: %s", template, error)
        return json.dumps(payload).encode()


def summary(notices: Sequence[Notice]) -> str:
    """``job ising has failed: 3 of 40 tasks failed``, or of several ``12 jobs done, 3 jobs failed``."""
    if len(notices) == 1:
        return notices[0].text
    counts = Counter(notice.kind for notice in notices)
    return ", ".join(f"{count} {_MANY[kind][count > 1]}" for kind, count in sorted(counts.items(), key=lambda one: -one[1]))


def _row(notice: Notice) -> dict[str, Any]:
    row = {name: getattr(notice, name) for name in ("id", "about", "owner", "text", "remedy")}
    when = datetime.fromtimestamp(notice.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**row, "kind": notice.kind.value, "severity": notice.severity.value, "at": when, "facts": dict(notice.facts)}


def _environment(folder: Path) -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(folder)
    return ImmutableSandboxedEnvironment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
