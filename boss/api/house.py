"""What the API is built from: the ports that it asks, and the facts that the composition root gives it.

Rules:
- Handlers get the ``House`` by dependency; nothing is global, so that two apps can live in one process.
- The API changes nothing itself: it turns requests into events for the desk and waits for their answers.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from boss.api.accounts import Accounts, Caller
from boss.api.answers import Refusal
from boss.api.doing import doing
from boss.api.loghub import LogHub
from boss.api.targets import Targets
from boss.core.audit import is_deed
from boss.core.requests import Answer
from boss.core.requests import Request as Asked
from boss.core.view import View
from boss.listeners import ListenerKnown, Listeners, ListenerTaken
from boss.notices.delivery import Tried, UnknownTarget
from boss.ports import Cloud, Datastore, Desk, Intake, Issuer, Reader

#: Seconds that a caller waits for the loop's answer.
PATIENCE = 30.0
#: The loop's code for a commit that failed: nothing of that turn is in the database, its audit neither.
UNKNOWN = 503


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """Where listeners find the broker, the CA of its certificate (PEM), and their topic.

    ``remark`` is what is left to do for their admin.
    """

    host: str = ""
    port: int = 0
    ca: str = ""
    topic: str = ""
    remark: str = ""


class NoListeners:
    """Port ``Listeners`` of a boss whose broker's accounts are not its to give."""

    def make(self, name: str, public_key: str, seconds: float) -> tuple[str, float]:
        """Nobody."""
        raise ListenerTaken("this boss gives no accounts at its broker: ask whoever runs that")

    def revoke(self, name: str) -> ListenerKnown | None:
        """Nobody."""
        return None

    def known(self) -> list[ListenerKnown]:
        """Nobody."""
        return []


def nobody_told(target: str, caller: str) -> Sequence[Tried]:
    """Where the settings have nobody to tell."""
    if target:
        raise UnknownTarget(target)
    return []


@dataclass(frozen=True, slots=True)
class ApiFacts:
    """What only the composition root knows. Sizes in bytes, times in seconds.

    ``tokens`` are the state folder's bearer tokens, all of admins, and their owners. ``public_url`` is the API's address for people on
    other machines, where it is not ``api_url``.

    ``read_datastore`` raises ValueError with what is wrong with the form of an address (``user@host[:port][:/folder]``).
    ``check_datastore`` logs in at one, writes, reads back and removes a small file; it returns one sentence and raises DatastoreDown
    (what was tried) or ValueError (what is wrong with the address). ``probe_host`` logs in at a plain SSH host and tells what it has, or
    raises HostRefused. ``debug`` runs ``debug.sh`` on the VM of a worker (its id, pool, address, and what reads its console) and raises
    MachineDown; None where no worker is on a VM. ``metrics`` is the text that Prometheus reads, and its content type.
    ``notify_test`` sends a test message to a target (empty: to all) for a caller, blocks, and raises UnknownTarget.
    ``settings`` are those in force, name and value, without secrets; ``diagnose`` runs the
    doctor and brings its findings: check, verdict, detail, remedy.
    """

    version: str
    api_url: str
    tokens: Mapping[str, str]
    received: Path
    boss_address: str
    datastore_address: str
    read_datastore: Callable[[str], object]
    check_datastore: Callable[[str], str]
    clouds: Sequence[Cloud] = ()
    console: Callable[[str], str] = lambda vm: ""
    probe_host: Callable[[str], Mapping[str, float]] = lambda login: {}
    public_url: str = ""
    ca: Callable[[], str] = lambda: ""
    listeners: Listeners = field(default_factory=NoListeners)
    broker: BrokerPlace = field(default_factory=BrokerPlace)
    max_task_file: int = 64 * 1024 * 1024
    push_lifetime: float = 3600.0
    patience: float = PATIENCE
    debug: Callable[[str, str, str, Callable[[], str]], Iterator[str]] | None = None
    metrics: Callable[[], tuple[bytes, str]] = lambda: (b"", "text/plain")
    notify_test: Callable[[str, str], Sequence[Tried]] = nobody_told
    settings: Callable[[], Sequence[tuple[str, str]]] = lambda: ()
    diagnose: Callable[[], Sequence[tuple[str, str, str, str]]] = lambda: ()


@dataclass(frozen=True, slots=True)
class House:
    """Everything a handler may use."""

    desk: Desk
    reader: Reader
    datastore: Datastore
    issuer: Issuer
    intake: Intake
    facts: ApiFacts
    hub: LogHub
    accounts: Accounts

    @property
    def targets(self) -> Targets:
        """The one place where targets are read."""
        return Targets(self.reader)

    def view(self) -> View:
        """How things stand, as the loop published it last."""
        return self.desk.view()

    async def ask(self, request: Callable[[int], Asked]) -> Mapping[str, object]:
        """Put a request to the loop and wait for its answer's detail. Raises Refusal with the loop's code and sentence."""
        now, asked = doing.get(), []

        def made(reply: int) -> Asked:
            asked.append(request(reply))
            return asked[-1]

        waiting = asyncio.wrap_future(self.desk.ask(made, now.asker if now is not None else None))
        try:
            # shielded: a caller who goes away must not cancel the future that the loop is about to end
            answer: Answer = await asyncio.wait_for(asyncio.shield(waiting), self.facts.patience)
        except TimeoutError:
            sentence = f"the boss did not answer within {self.facts.patience:.0f} s; whether it happened is unknown: look, then ask again"
            raise Refusal(503, sentence) from None
        if now is not None and answer.code != UNKNOWN and asked and is_deed(asked[0]):
            now.noted = True  # by the loop, in the commit that is behind this answer
        if answer.code != 200:
            raise Refusal(answer.code, str(answer.detail.get("error", "the boss refused without a reason")))
        return answer.detail


def house_of(request: Request) -> House:
    """The house of the app that serves this request."""
    return cast(House, request.app.state.house)


def caller_of(request: Request) -> Caller:
    """Who asks, as the door has found it."""
    return cast(Caller, request.scope["state"]["caller"])


TheHouse = Annotated[House, Depends(house_of)]
TheCaller = Annotated[Caller, Depends(caller_of)]

#: Blocking calls (store, datastore, intake) leave the event loop through this.
blocking = run_in_threadpool
