"""A worker's certificates on disk: read at the start, replaced when they are renewed.

Rules:
- Files are replaced whole: the broker's link and the SSH client read them at each new connection, and what is connected stays so.
- How long they last is noted by this machine's own clock, at the time when they came.
- The join door is asked in a thread of its own, with the token and the CA of the user data (``join.json``).

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import logging
import os
import threading
import time
from collections import deque
from typing import Callable, Deque, List

from worker import events as ev
from worker import join
from worker.protocol import Certified
from worker.renewal import Renewal
from worker.terms import RenewalConfig, WorkerConfig

_LOG = logging.getLogger("worker")


def renewal_of(files: RenewalConfig, now: float) -> Renewal:
    """The state of the certificates; ``now`` is monotonic. Raises OSError, ValueError for files that cannot be read."""
    noted = join.read_json(os.path.dirname(files.record), os.path.basename(files.record))
    past = time.time() - now
    try:
        begun, until = float(noted["from"]) - past, float(noted["until"]) - past
    except (KeyError, TypeError) as error:
        raise ValueError("%s: %s" % (files.record, error)) from None
    return Renewal(join.key_in(files.tls_key), join.key_in(files.ssh_key), begun, until)


class Credentials:
    """Puts renewed certificates in place. ``wake`` is called from the thread that has asked the join door."""

    def __init__(self, config: WorkerConfig, wake: Callable[[], None]) -> None:
        self._config = config
        self._wake = wake
        self._done: Deque[ev.Event] = deque()
        self._asking = threading.Lock()

    def install(self, message: Certified) -> None:
        """Certificates that the boss has sent. A disk that is full is only told: they are asked for again."""
        datastore = self._config.datastore
        try:
            join.write(self._config.broker.certificate, message.tls)
            if datastore is not None:
                join.write(datastore.certificate, message.ssh)
            join.record(self._config.base, message.lifetime)
        except OSError as error:
            _LOG.error("renewed certificates are not on disk: %s", error)
            return
        _LOG.info("the certificates are renewed for %.0f s", message.lifetime)

    def rejoin(self) -> None:
        """Ask the join door, unless that is going on."""
        if self._asking.acquire(blocking=False):
            threading.Thread(target=self._rejoin, name="rejoin", daemon=True).start()

    def done(self) -> List[ev.Event]:
        """What has come of it since the last call."""
        done: List[ev.Event] = []
        while self._done:
            done.append(self._done.popleft())
        return done

    def _rejoin(self) -> None:
        try:
            answer = join.ask(self._config.base, join.read_json(self._config.base, "join.json"))
            files = {name: answer["files"][name] for name in ("tls.pem", "key-cert.pub", "known_hosts")}
            for name, text in files.items():
                join.write(os.path.join(self._config.base, name), text)
            join.record(self._config.base, answer["lifetime"])
            _LOG.info("the certificates are renewed at the join door for %.0f s", answer["lifetime"])
            self._done.append(ev.Rejoined(float(answer["lifetime"])))
        except (join.Refused, join.NotYet, OSError, ValueError, KeyError, TypeError) as error:
            _LOG.warning("no new certificates from the join door: %s", error)
        finally:
            self._asking.release()
            self._wake()
