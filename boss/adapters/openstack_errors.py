"""What an OpenStack service's refusal means: its kind, one sentence for people, and whether anything was made. PURE.

Rules:
- What the cloud has said stays in the sentence, with its numbers; what it says to its operators is cut off.
- Nothing was made (``Effect.NONE``) only where that is certain: the call was refused, or never left this machine.
"""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum

from boss.core.model import Refusal


class Effect(StrEnum):
    """What a call that failed may have done all the same."""

    NONE = "none"  #: nothing, for certain
    ENDED = "ended"  #: perhaps something, but it is over: a list from now on shows all of it
    OPEN = "open"  #: perhaps something, and perhaps it is still being done


@dataclass(slots=True)
class CloudError(Exception):
    """A call failed. ``reason`` is a sentence without a full stop; ``status`` is 0 without an answer; times in seconds."""

    kind: Refusal
    reason: str
    effect: Effect = Effect.NONE
    retry_after: float = 0.0
    status: int = 0

    def __str__(self) -> str:
        return self.reason


class Silence(StrEnum):
    """Why there is no answer."""

    NOT_SENT = "not sent"  #: no connection: the call never reached the service
    LOST = "lost"  #: sent, and then the connection broke or the time was over
    NO_TLS = "no tls"  #: no secure connection could be made


_QUOTA = re.compile(r"quota|maximum number of \S+ exceeded|limit ?exceeded|no more ip addresses", re.IGNORECASE)
_LIST = r"\d+(?:-\d+)?(?:, \d+(?:-\d+)?)*"  # 1-7: of a call for one to seven servers
_NUMBERS = re.compile(
    rf"quota exceeded for (?P<what>[\w ,]+?): requested (?P<asked>{_LIST}), but already used (?P<used>{_LIST}) of (?P<total>{_LIST})",
    re.IGNORECASE,
)
_FOR_OPERATORS = re.compile(r"\s*(Please report this at|<class '|Neutron server returns request_ids|\(HTTP \d+\)).*", re.DOTALL)
_LONGEST = 400


def of_answer(what: str, service: str, status: int, body: str, headers: Mapping[str, str], now: float) -> CloudError:
    """What an answer other than 2xx says; ``what`` was to be done, ``service`` was asked. ``now`` in Unix seconds."""
    said = message_of(body)
    retry_after = _retry_after(headers, now)
    sentence = f"{what}: {said}" if said else what

    def error(kind: Refusal, reason: str, effect: Effect = Effect.NONE) -> CloudError:
        return CloudError(kind, reason[:_LONGEST], effect, retry_after, status)

    if status in (403, 409, 413) and _QUOTA.search(said):
        return error(Refusal.QUOTA, _quota_sentence(said))
    match status:
        case 401:
            return error(Refusal.CREDENTIAL, f"the cloud does not accept our credential (401{_after(said)})")
        case 403:
            return error(Refusal.CREDENTIAL, f"our credential may not do that (403) - {sentence}")
        case 409:
            return error(Refusal.CONFLICT, f"something is changing there at this moment (409) - {sentence}")
        case 413 | 429:
            wait = f", it asks us to wait {retry_after:.0f} s" if retry_after else ""
            return error(Refusal.BUSY, f"the {service} service gets too many requests ({status}){wait}")
        case 502 | 504:
            return error(Refusal.UNAVAILABLE, f"the {service} service does not answer its gateway ({status})", Effect.OPEN)
        case _ if status >= 500:
            return error(Refusal.UNAVAILABLE, f"the {service} service failed ({status}{_after(said)})", Effect.ENDED)
        case _ if 400 <= status < 500:
            return error(Refusal.INVALID, f"the cloud refuses to {sentence} ({status})")
    return error(
        Refusal.UNKNOWN, f"the {service} service gave an answer that makes no sense ({status}) - {sentence}", Effect.ENDED
    )


def of_silence(service: str, silence: Silence, detail: str) -> CloudError:
    """No answer came."""
    match silence:
        case Silence.NOT_SENT:
            return CloudError(Refusal.UNAVAILABLE, f"the {service} service cannot be reached: {detail}"[:_LONGEST])
        case Silence.NO_TLS:
            reason = f"the {service} service's TLS certificate is not accepted: {detail}"
            return CloudError(Refusal.INVALID, reason[:_LONGEST])
        case Silence.LOST:
            return CloudError(Refusal.UNAVAILABLE, f"the {service} service did not answer: {detail}"[:_LONGEST], Effect.OPEN)


def message_of(body: str) -> str:
    """The one sentence for people in an answer of any OpenStack service, or of a proxy before it."""
    try:
        said = _sentence_in(json.loads(body))
    except ValueError:
        text = re.sub(r"<(head|style|script)\b.*?</\1>", " ", body, flags=re.DOTALL | re.IGNORECASE)
        said = html.unescape(re.sub(r"<[^>]*>", " ", text))
    said = _FOR_OPERATORS.sub("", said)
    return " ".join(said.split()).rstrip(".")[:_LONGEST]


def _sentence_in(document: object) -> str:
    """Nova: {"forbidden": {"message"}}, Keystone: {"error": {"message"}}, Neutron: {"NeutronError": {"message"}}, others: {"message"}."""
    if not isinstance(document, dict):
        return str(document) if isinstance(document, str) else ""
    for inner in (document, *document.values()):
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            return str(inner["message"])
    faults = document.get("errors")
    if isinstance(faults, list) and faults and isinstance(faults[0], dict):  # Placement and Glance of late
        return str(faults[0].get("detail") or faults[0].get("title") or "")
    return next((value for value in document.values() if isinstance(value, str)), "")


def _quota_sentence(said: str) -> str:
    """``cores: 8 asked for, 4 of 6 used`` where the numbers are told, else what was said."""
    found = _NUMBERS.search(said)
    if not found:
        return f"the project's quota is used up: {said}"
    each = zip(*(_list(found[name]) for name in ("what", "asked", "used", "total")), strict=False)
    parts = [f"{what}: {asked} asked for, {used} of {total} used" for what, asked, used, total in each]
    return f"the project's quota does not allow it - {'; '.join(parts)}"


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _after(said: str) -> str:
    return f": {said}" if said else ""


def _retry_after(headers: Mapping[str, str], now: float) -> float:
    """Seconds that the service asks us to wait; it may name a number or a date. 0 where it does not."""
    text = headers.get("Retry-After", headers.get("retry-after", "")).strip()
    if text.isdecimal():
        return min(float(text), 3600.0)
    try:
        return max(0.0, min(parsedate_to_datetime(text).timestamp() - now, 3600.0)) if text else 0.0
    except ValueError:
        return 0.0
