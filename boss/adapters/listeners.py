"""Port ``Listeners``: programs that read events at the broker and nothing else; each has a certificate of its own, which can be taken back.

Rules:
- A listener's account is ``listener.NAME``. It makes its own key; the boss signs it for a month at most, unless more was asked for.
- What is known of them lies in one file beside the CA's key (it is saved with it): names, serial numbers, times; nothing secret.
- Who is taken back loses the right to read at once, connected or not; the broker's list of revoked certificates (CRL) names it.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from boss.adapters.certificates import Authority, listener_account
from boss.adapters.keys import write_private
from boss.listeners import ListenerKnown, ListenerTaken


class BrokerListeners:
    """``changed`` is called with the accounts that may listen, whenever they are others: one call after the other, in order.

    Safe to use from several threads.
    """

    def __init__(
        self,
        authority: Authority,
        changed: Callable[[list[str]], None] = lambda _accounts: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authority = authority
        self._file: Path = authority.folder / "listeners.json"
        self.changed = changed
        self._clock = clock
        self._lock = threading.Lock()

    def make(self, name: str, public_key: str, seconds: float) -> tuple[str, float]:
        """The certificate (PEM) for a listener's own key, and when it ends. Raises ListenerTaken; ValueError for what is no name or key."""
        with self._lock:
            document = self._read()
            known = document["listeners"].get(name)
            if known is not None and known["expires"] > self._clock():
                raise ListenerTaken(f"there is a listener {name} already: choose another name, or revoke_listener {name} first")
            pem, serial, expires = self._authority.listener_certificate(public_key, name, seconds)
            document["listeners"][name] = {"serial": serial, "issued": self._clock(), "expires": expires}
            self._write(document)
            self.changed(self._accounts(document))
        return pem, expires

    def revoke(self, name: str) -> ListenerKnown | None:
        """Take a listener back; None when there is none of this name."""
        with self._lock:
            document = self._read()
            known = document["listeners"].pop(name, None)
            if known is None:
                return None
            document["revoked"].append({"serial": known["serial"], "expires": known["expires"]})
            document["revoked"] = [one for one in document["revoked"] if one["expires"] > self._clock()]
            self._authority.write_crl([int(one["serial"]) for one in document["revoked"]])  # before it is forgotten
            self.changed(self._accounts(document))
            self._write(document)
        return ListenerKnown(name, known["issued"], known["expires"])

    def known(self) -> list[ListenerKnown]:
        """All that were not taken back, by name."""
        with self._lock:
            found = self._read()["listeners"]
        return [ListenerKnown(name, one["issued"], one["expires"]) for name, one in sorted(found.items())]

    def accounts(self) -> list[str]:
        """The broker accounts that may listen."""
        with self._lock:
            return self._accounts(self._read())

    def _accounts(self, document: Mapping[str, Any]) -> list[str]:
        return [listener_account(name) for name, one in sorted(document["listeners"].items()) if one["expires"] > self._clock()]

    def _read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {"listeners": {}, "revoked": []}
        return found

    def _write(self, document: dict[str, Any]) -> None:
        write_private(self._file, json.dumps(document, indent=1).encode())
