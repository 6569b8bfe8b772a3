"""The state of every certificate, for ``doctor``: names, days that are left, fingerprint; and plain HTTP, if it is spoken.

Rules:
- Only looked at: nothing is made here, not even at a first start.
- What the boss renews by itself is only told about when that has failed; what is somebody else's, two weeks before its end.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from boss import front
from boss.adapters import tls
from boss.adapters.lock import is_held
from boss.api.serving import is_loopback
from boss.checks import Finding, Verdict
from boss.config import BossConfig

#: Days before its end at which a certificate that somebody else signs is told about.
SOON = 14.0
_REMOVE = "remove the file; the boss makes another at its next start"
#: Another CA would be another house: no worker, no VM and no address that people have would know the boss any more.
_BRING_BACK = "bring the file back from a back-up, where it lies in pki, with the boss stopped; do not remove it"
_RESTART = "restart the boss: it makes it anew; its log says why it did not while it ran"


def examine_certificates(config: BossConfig) -> Iterator[Finding]:
    """A finding for each certificate that there is, and one for plain HTTP beyond loopback."""
    if not is_loopback(config.api_host) and not front.speaks_tls(config):
        yield Finding(
            "API",
            Verdict.NOTE,
            f"plain HTTP on {config.api_host}: whoever listens on the way reads tokens",
            "take plain_http out of [api]",
        )
    if config.api_certificate is not None:
        yield _theirs("API cert", partial(front.check_own, config))
    elif front.speaks_tls(config):
        yield from _ours(config, "API cert", config.pki / "api.pem")
    yield from _ours(config, "CA", config.pki / "ca.pem", _BRING_BACK)
    if config.broker is None:
        yield from _ours(config, "broker cert", config.pki / "server.pem")
    outside = config.broker
    if outside is not None and outside.certificate is not None and outside.key is not None:
        yield _theirs("broker login", partial(tls.check_client, outside.certificate, outside.key, "[broker]"))
    else:
        yield from _ours(config, "broker login", config.pki / "boss.pem")
    yield from _workers(config)


def _theirs(check: str, look: Callable[[], tls.Seen]) -> Finding:
    try:
        seen = look()
    except tls.CertificateError as error:
        sentence, _, remedy = str(error).rpartition(": ")
        return Finding(check, Verdict.FAILED, sentence or remedy, remedy)
    if seen.days(time.time()) < SOON:
        return Finding(check, Verdict.NOTE, _said(seen), "renew it: the boss takes the new files over while it runs")
    return Finding(check, Verdict.OK, _said(seen))


def _ours(config: BossConfig, check: str, path: Path, unreadable: str = _REMOVE) -> Iterator[Finding]:
    if not path.exists():
        yield Finding(check, Verdict.OK, "none yet, the boss makes it at its first start")
        return
    try:
        seen = tls.look(path)
    except tls.CertificateError as error:
        yield Finding(check, Verdict.FAILED, str(error), unreadable)
        return
    left, whole = seen.ends - time.time(), seen.ends - seen.begins
    if left <= 0 and is_held(config.state):
        yield Finding(check, Verdict.FAILED, _said(seen), _RESTART)
    elif left < whole / 4 and is_held(config.state):
        yield Finding(check, Verdict.NOTE, _said(seen), _RESTART)
    else:
        yield Finding(check, Verdict.OK, _said(seen))


def _workers(config: BossConfig) -> Iterator[Finding]:
    """The local workers' in one line: how many, and the first end."""
    found = []
    for path in sorted(config.workers.glob("*/tls.pem")):
        try:
            found.append(tls.look(path))
        except tls.CertificateError:
            continue  # a folder that is being removed, or a disk that was full: the worker's log tells
    if found:
        first = min(found, key=lambda seen: seen.ends)
        verdict = Verdict.OK if first.days(time.time()) > 0 else Verdict.NOTE
        detail = f"{len(found)}, the first ends in {_days(first)} ({first.subject})"
        yield Finding(
            "worker certs", verdict, detail, "" if verdict is Verdict.OK else "end that worker: admin.py terminate_workers"
        )


def _said(seen: tls.Seen) -> str:
    names = f"for {', '.join(seen.names)}" if seen.names else seen.subject
    return f"{names}; {_days(seen)} left; sha256 {seen.fingerprint}"


def _days(seen: tls.Seen) -> str:
    days = seen.days(time.time())
    if days <= 0:
        return "no time (it has expired)"
    return f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} hours" if days > 2 / 24 else f"{days * 1440:.0f} minutes"
