"""The API's front: where it listens, the certificate that it shows there, and by what others verify it.

Rules:
- On loopback plain HTTP (whoever could listen there is root, or this user), unless a certificate was given; beyond it HTTPS: with the
  certificate of the settings, else with one of the boss's own CA. Plain HTTP beyond loopback only by a setting of its own.
- What the settings name is checked at the start: a certificate that clients would refuse is an error here, with its remedy.
- People elsewhere get the CA's digest in the address (``#sha256=...``), so that two lines are all that they need; programs of this
  machine get the CA's file in the note of the state folder.
"""

import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from boss.adapters import address, tls
from boss.adapters.certificates import Authority, TlsFiles
from boss.adapters.daemons import LOOPBACK_NAMES
from boss.adapters.worker_config import WorkerTerms
from boss.api.house import BrokerPlace
from boss.api.serving import address_of, is_everywhere, is_loopback, public_address
from boss.config import BossConfig
from worker.protocol import topic_events

log = logging.getLogger(__name__)

#: The table of the settings.
_SETTING = "[api]"


@dataclass(frozen=True, slots=True)
class Front:
    """``url`` is for this machine, ``public_url`` for people elsewhere; ``files`` is None for plain HTTP.

    ``ca`` is None where there is none to tell; ``trust`` is for the note in the state folder.
    """

    url: str
    listener: socket.socket
    public_url: str
    files: TlsFiles | None = None
    ca: Path | None = None
    trust: Mapping[str, str] = field(default_factory=dict)

    def ca_text(self) -> str:
        """The CA as others may have it; empty without one."""
        return self.ca.read_text() if self.ca is not None else ""


def speaks_tls(settings: BossConfig) -> bool:
    """Whether the API speaks HTTPS."""
    return settings.api_certificate is not None or not (is_loopback(settings.api_host) or settings.api_plain)


def open_front(settings: BossConfig, authority: Authority) -> Front:
    """Listen. Raises CertificateError (a ValueError) or OSError."""
    secure = speaks_tls(settings)
    files, ca, name = _files(settings, authority) if secure else (None, None, "")
    url, listener = address_of(settings.api_host, settings.api_port, settings.api_port_file, "https" if secure else "http")
    public = _public(settings, url, name)
    if not secure:
        if not is_loopback(settings.api_host):
            log.warning("the API is reached at %s over plain HTTP (setting plain_http): tokens can be read on the way", public)
        return Front(url, listener, public)
    assert files is not None
    if ca is not None and public.startswith("https:"):
        public = f"{public}#{tls.pin_of(ca)}"
    trust = {"ca": str(ca or files.certificate)} | ({"name": name} if name else {})
    return Front(url, listener, public, files, ca, trust)


def broker_place(settings: BossConfig, authority: Authority, terms: WorkerTerms) -> BrokerPlace:
    """What listeners are told: the broker as workers elsewhere reach it. At an outside one the admin has to bring their rights there."""
    remark = ""
    if settings.broker is not None:
        files = f"{settings.mosquitto / 'acl'} and {authority.crl()}"
        remark = f"the broker is not the boss's own: copy {files} to its host and have it reload (SIGHUP)"
    return BrokerPlace(terms.broker_host, terms.broker_port, terms.broker_ca, f"{topic_events(terms.cluster)}/#", remark)


def _public(settings: BossConfig, url: str, name: str) -> str:
    """The API's address for people elsewhere. The machine's name is asked for where it counts only: a name server may take its time."""
    if settings.api_public_url or not is_everywhere(settings.api_host):
        return settings.api_public_url or url
    return public_address(settings.api_host, url, name or own_name())


def own_name() -> str:
    """What others call this machine: its full name, or, where it has none, the address of its way out."""
    name = socket.getfqdn()
    return name if not is_loopback(name) and not name.startswith("localhost") else address.way_out() or socket.gethostname()


def names(settings: BossConfig) -> list[str]:
    """What the certificate of the boss's own CA names: every address that people may use for this machine."""
    found = [*LOOPBACK_NAMES]
    if is_everywhere(settings.api_host):
        way_out = address.way_out()
        found += [socket.gethostname(), socket.getfqdn(), *([way_out] if way_out else [])]
    else:
        found.append(settings.api_host)
    found += [urlsplit(settings.api_public_url).hostname or "", settings.vms.address]
    return list(dict.fromkeys(name for name in found if name and address.is_host(name)))


def check_own(settings: BossConfig) -> tls.Seen:
    """What the settings' own certificate says. Raises CertificateError when clients would refuse it."""
    own = settings.api_certificate
    assert own is not None
    host = urlsplit(settings.api_public_url).hostname or ""
    if not host and not is_everywhere(settings.api_host) and not is_loopback(settings.api_host):
        host = settings.api_host
    seen = tls.check(own.certificate, own.key, own.ca, host, _SETTING)
    if not seen.names:
        raise tls.CertificateError(
            f"{_SETTING} certificate: {own.certificate} names no host (subject alternative names), which clients want: have another made"
        )
    return seen


def _files(settings: BossConfig, authority: Authority) -> tuple[TlsFiles, Path | None, str]:
    """The files, the CA that others are to trust (None: one that they know), and the name by which this machine's programs verify it."""
    own = settings.api_certificate
    if own is None:
        return authority.api(names(settings)), authority.ca, ""
    seen = check_own(settings)
    name = urlsplit(settings.api_public_url).hostname or next((name for name in seen.names if not name.startswith("*")), "")
    return TlsFiles(own.ca or authority.ca, own.certificate, own.key), own.ca, name
