"""Certificates that are kept fresh while the boss runs: looked at again and again, made anew in time, and shown to whoever comes next.

Rules:
- Nothing that runs is cut off: a server shows its new certificate to those who connect from then on, a client reads its files at its
  next connection.
- What cannot be renewed is told in the log, and tried again at the next look; the old one counts until its end.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from boss.adapters.certificates import BOSS, Authority, Gate
from boss.adapters.daemons import Daemon
from boss.adapters.local import LocalCloud
from boss.adapters.ssh_hosts import SshHosts
from boss.api.serving import Served
from boss.config import BossConfig
from boss.front import check_own, names

#: Seconds between two looks at most; and the part of the certificates' lifetime that lies between two.
LOOK = 3600.0
PART = 20.0

log = logging.getLogger(__name__)


class Keeping:
    """What is to be looked at, and a thread that does it while the context lasts. ``lifetime``, in seconds, is that of the boss's own."""

    def __init__(self, authority: Authority, lifetime: float) -> None:
        self._authority = authority
        self._every = min(LOOK, lifetime / PART)
        self._looks: list[tuple[str, Callable[[], object]]] = [("the boss's log-in at the broker", self._broker_log_in)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="certificates", daemon=True)

    def broker(self, daemon: Daemon, known_as: Sequence[str]) -> None:
        """The private broker's own."""
        shown = self._authority.server(known_as).certificate.read_bytes()

        def look() -> None:
            nonlocal shown
            now = self._authority.server(known_as).certificate.read_bytes()
            if now != shown:
                daemon.reload()
                shown = now
                log.info("the broker shows a new certificate")

        self._looks.append(("the broker's certificate", look))

    def door(self, served: Served) -> None:
        """The join door's, which is the broker's."""
        self._looks.append(("the join door's certificate", served.renew))

    def api(self, settings: BossConfig, served: Served) -> None:
        """The API's: one of our CA is made anew, one of the settings is read again when its files have changed."""

        def look() -> None:
            if settings.api_certificate is not None:
                check_own(settings)
            else:
                self._authority.api(names(settings))
            served.renew()

        if served.secure:
            self._looks.append(("the API's certificate", look))

    def log_in(self, gate: Gate) -> None:
        """The boss's at the datastore's gate."""
        folder = self._authority.folder / "boss-login"
        self._looks.append(("the boss's log-in at the datastore", lambda: self._authority.renew_login(folder, gate, BOSS)))

    def workers(self, local: LocalCloud) -> None:
        """Those of the workers of this machine."""
        self._looks.append(("the local workers' certificates", local.renew))

    def hosts(self, plain: SshHosts) -> None:
        """Those of the workers on plain SSH hosts; at once too, they may have ended while there was no boss."""
        self._looks.append(("the certificates of workers on hosts", plain.renew))
        plain.renew()

    def look(self) -> None:
        """Look at all of them once."""
        for what, one in self._looks:
            try:
                one()
            except (OSError, ValueError) as error:
                log.error("%s cannot be renewed: %s", what, error)
            except Exception:  # a fault of ours must not keep the others from being renewed
                log.exception("%s cannot be renewed", what)

    def __enter__(self) -> "Keeping":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._over.wait(self._every):
            self.look()

    def _broker_log_in(self) -> None:
        self._authority.boss()
