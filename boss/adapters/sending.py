"""Messages on their way: POST to a webhook, or a mail by SMTP. Calls block for seconds and raise NotSent.

Rules:
- A webhook is asked over HTTPS (plain HTTP only on loopback, which the settings see to), its certificate is verified, no redirect is
  followed, and of its answer nothing but the status is read.
- A mail server that was said to speak TLS and does not gets no password and no mail.
- What is told of a failure has no address's secret part, no password and no signature in it.
"""

import hashlib
import hmac
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack
from email.message import EmailMessage
from email.policy import SMTP as MAIL
from email.utils import formataddr, formatdate
from pathlib import Path

import httpx

from boss.notices.delivery import Message, NotSent
from boss.notices.targets import Smtp, Target

#: Seconds for each step of a delivery.
PATIENCE = 20.0
#: Answers after which the same message will never be taken.
_NEVER = frozenset({400, 405, 410, 411, 413, 414, 415, 422, 501})


class Sender:
    """Delivers to the targets of the settings. Safe to use from several threads. ``clock`` tells Unix seconds."""

    def __init__(self, smtp: Smtp | None, cluster: str, clock: Callable[[], float] = time.time) -> None:
        self._smtp, self._cluster, self._clock = smtp, cluster, clock

    def send(self, target: Target, address: str, message: Message) -> None:
        """Deliver a message to a webhook, or to this address. Raises NotSent."""
        try:
            if target.webhook:
                self._post(target, message)
            else:
                self._mail(address, message)
        except NotSent as error:
            raise NotSent(_masked(str(error), target, self._smtp), error.for_good, error.wait) from None

    def reach_webhook(self, target: Target) -> str:
        """Whether a webhook is there, in a sentence; sends nothing. Raises NotSent."""
        try:
            with _client(target) as client:
                status = client.head(target.webhook).status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = _masked(f"it cannot be reached: {error or type(error).__name__}", target, self._smtp)
            raise NotSent(reason) from None
        return f"it is there, and answers a question with {status}"

    def reach_mail_server(self) -> str:
        """Whether the mail server lets us in, in a sentence; sends nothing. Raises NotSent."""
        smtp = self._smtp
        assert smtp is not None
        try:
            with self._connected(smtp) as server:
                server.noop()
        except smtplib.SMTPResponseException as error:
            raise NotSent(f"{smtp.host} says {error.smtp_code} {_said(error.smtp_error)}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotSent(f"{smtp.host}:{smtp.port} cannot be used: {error or type(error).__name__}") from None
        return f"{smtp.host}:{smtp.port} lets us in ({smtp.security}{', with a password' if smtp.user else ''})"

    def _post(self, target: Target, message: Message) -> None:
        now = f"{self._clock():.0f}"
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "ecloud",
            "X-Ecloud-Id": message.id,
            "X-Ecloud-Timestamp": now,
        }
        if target.secret:
            headers["X-Ecloud-Signature"] = "sha256=" + signature(target.secret, now, message.payload)
        try:
            with ExitStack() as stack:
                client = stack.enter_context(_client(target))
                answer = stack.enter_context(client.stream("POST", target.webhook, content=message.payload, headers=headers))
                status, retry = answer.status_code, answer.headers.get("retry-after", "")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise NotSent(f"the webhook cannot be reached: {error or type(error).__name__}") from None
        if not 200 <= status < 300:
            wait = float(retry) if retry.isdecimal() and len(retry) < 7 else 0.0
            raise NotSent(f"the webhook answers {status}", status in _NEVER, wait)

    def _mail(self, address: str, message: Message) -> None:
        if self._smtp is None:
            raise NotSent("there is no mail server: [notify.smtp] names none", for_good=True)
        mail = EmailMessage(policy=MAIL)
        mail["From"] = formataddr(("ecloud", self._smtp.sender))
        mail["To"] = address
        mail["Subject"] = message.subject
        mail["Date"] = formatdate(self._clock())
        mail["Message-ID"] = f"<{message.id}@{self._cluster}.ecloud.invalid>"
        mail["Auto-Submitted"] = "auto-generated"  # no answer of somebody on holiday
        mail.set_content(message.text)
        try:
            with self._connected(self._smtp) as server:
                server.send_message(mail, self._smtp.sender, [address])
        except smtplib.SMTPRecipientsRefused as error:
            code, said = error.recipients[address]
            raise NotSent(f"the mail server refuses {address}: {code} {_said(said)}", code >= 500) from None
        except smtplib.SMTPAuthenticationError as error:
            raise NotSent(f"the mail server refuses the log-in: {error.smtp_code} {_said(error.smtp_error)}") from None
        except smtplib.SMTPResponseException as error:
            never = isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500
            raise NotSent(f"the mail server says {error.smtp_code} {_said(error.smtp_error)}", never) from None
        except (smtplib.SMTPException, OSError) as error:
            raise NotSent(f"the mail server cannot be used: {error or type(error).__name__}") from None

    def _connected(self, smtp: Smtp) -> smtplib.SMTP:
        """A session that is as safe as the settings say."""
        name = socket.gethostname() or "localhost"
        if smtp.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                smtp.host, smtp.port, local_hostname=name, timeout=PATIENCE, context=_trust(smtp.ca)
            )
        else:
            server = smtplib.SMTP(smtp.host, smtp.port, local_hostname=name, timeout=PATIENCE)
        try:
            if smtp.security == "starttls":
                server.starttls(context=_trust(smtp.ca))  # raises where the server does not speak it
            if smtp.user:
                server.login(smtp.user, smtp.password)
        except BaseException:
            server.close()
            raise
        return server


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What ``X-Ecloud-Signature`` has after ``sha256=``: HMAC-SHA256 of ``TIMESTAMP.BODY``, in hex."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _client(target: Target) -> httpx.Client:
    return httpx.Client(verify=_trust(target.ca), timeout=PATIENCE, follow_redirects=False)


def _trust(ca: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca) if ca is not None else None)


def _said(words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return " ".join(text.split())[:200]


def _masked(reason: str, target: Target, smtp: Smtp | None) -> str:
    """Without anything that opens a door, whoever has put it there."""
    place = target.webhook.partition("://")[2].partition("/")[2]
    for secret in (target.webhook, place, target.secret, smtp.password if smtp is not None else ""):
        if len(secret) > 3:
            reason = reason.replace(secret, "***")
    return " ".join(reason.split())
