"""Whether those who are to be told can be reached, for ``doctor``: a question to each webhook, a log-in at the mail server; no message.

Rules:
- A webhook is asked with HEAD, which changes nothing; any answer means that it is there. Its certificate counts.
- Nobody who is not reached keeps the boss from working: these are notes.
"""

from collections.abc import Callable, Iterator
from functools import partial

from boss.adapters.sending import Sender
from boss.adapters.wording import WordingError
from boss.checks import Finding, Verdict
from boss.config import BossConfig
from boss.notices.delivery import NotSent
from boss.telling import notifier_of

_TRY = "mend [notify] in the settings, or what it names; `admin.py notify_test` sends a message"


def examine_targets(config: BossConfig) -> Iterator[Finding]:
    """A finding for the mail server and for each webhook; none where nobody is told of anything."""
    telling = config.telling
    if not telling.targets:
        return
    try:
        notifier_of(config, "", "")
    except WordingError as error:
        yield Finding("being told", Verdict.FAILED, str(error), "mend the template: the boss does not start with it")
    if config.file is not None and config.file.stat().st_mode & 0o044 and _has_secrets(config):
        remedy = f"chmod 600 {config.file}, or give the secrets by variables"
        yield Finding("being told", Verdict.NOTE, f"{config.file} has secrets and can be read by others", remedy)
    sender = Sender(telling.smtp, "")
    if any(target.mail for target in telling.targets):
        yield _found("mail", sender.reach_mail_server)
    for target in telling.targets:
        if target.webhook:
            yield _found(f"webhook {target.name}", partial(sender.reach_webhook, target))


def _found(check: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(check, Verdict.OK, look())
    except NotSent as error:
        return Finding(check, Verdict.NOTE, str(error), _TRY)


def _has_secrets(config: BossConfig) -> bool:
    text = config.file.read_text("utf-8", "replace") if config.file is not None else ""
    smtp = config.telling.smtp
    secrets = [smtp.password if smtp is not None else "", *(target.webhook or target.secret for target in config.telling.targets)]
    return any(secret and secret in text for secret in secrets)
