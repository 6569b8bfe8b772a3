"""The HTTP server's side of a connection, which does not wait for ever: whoever sends a request's head too slowly is cut off.

Rules:
- From the first moment of a connection, and from the first byte of each further request, the head has to be there within ``HEAD`` seconds,
  however often a byte comes. Bodies are the door's to bound; idle connections between requests uvicorn ends after seconds.
- Nothing is answered: a program that never finishes its request waits for no answer.
- What a stranger sends that is no request fills no log: of HTTP's own, only faults of ours are told.
"""

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Seconds for the line and the headers of a request.
HEAD = 15.0

_faults = logging.getLogger("boss.api.http")
_faults.setLevel(logging.ERROR)


class Impatient(H11Protocol):
    """uvicorn's protocol with a clock for heads."""

    _clock: asyncio.TimerHandle | None = None

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self.logger = _faults

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection: its first request is due."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Some bytes; the clock runs while they are not a whole head."""
        super().data_received(data)
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._start()
        else:
            self._halt()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of it."""
        self._halt()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Between two requests uvicorn's own clock runs."""
        self._halt()
        super().on_response_complete()

    def _start(self) -> None:
        if self._clock is None:
            self._clock = self.loop.call_later(HEAD, self._over)

    def _halt(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _over(self) -> None:
        self._clock = None
        self.transport.abort()
