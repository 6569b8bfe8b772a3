"""The join door: an HTTPS server of its own, where machines with a join token become workers. Plain ASGI, nothing else behind it.

    POST /join              token, public keys, what the machine is -> credentials, all that worker.json needs, the bundle's hash
    GET /bundle/<sha256>    the worker's bundle

Rules:
- A bad token is answered with one sentence that does not say what is wrong with it. What follows a good one is told plainly.
- The token is looked at before anything else of the body. Which claim a key belongs to, the core decides, and remembers.
- Bodies are short, and read within seconds; who shows bad tokens, or asks too often, has to wait. Nothing secret is logged.
- A token whose time is over still lets a machine back in whose keys are bound already: only it can use what is signed for them.
"""

import asyncio
import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from boss.adapters import worker_config
from boss.adapters.certificates import Gate
from boss.adapters.join_tokens import BadToken, JoinToken, JoinTokens
from boss.adapters.worker_config import WorkerTerms, configuration
from boss.api.noting import Notes
from boss.api.pace import WINDOW, Pace, network
from boss.core.bindings import fingerprint
from boss.core.deeds import Asker, Entry
from boss.core.requests import Answer, JoinAsked
from boss.ports import Certifier, Desk
from worker.protocol import SUPPORTED
from worker.terms import document

#: The longest body, in bytes, and how long one may take to arrive, in seconds.
LONGEST = 16 * 1024
PATIENCE = 10.0
#: How long the core may take to answer, in seconds, and how many may ask it at once.
ANSWER = 30.0
AT_ONCE = 32
#: Requests, and bad tokens, of one address within a minute.
REQUESTS, FAILURES = 600, 20
#: Machines that were turned away, within a minute, that go into the audit.
NOTED = 30
#: The same for everything that can be wrong with a token.
NOT_VALID = "this join token opens nothing here: it is not one of this boss, or its time is over"

_log = logging.getLogger(__name__)

Key = Annotated[str, Field(min_length=20, max_length=600, pattern=r"^[a-z0-9-]+ [A-Za-z0-9+/=]+( [^\r\n]*)?$")]
Amount = Annotated[float, Field(ge=0, le=2**62, allow_inf_nan=False)]


class JoinBody(BaseModel):
    """What a machine says of itself, besides its token. ``tls_key`` and ``ssh_key`` are public keys in OpenSSH's form."""

    version: int
    tls_key: Key
    ssh_key: Key
    server: str = Field("", max_length=64, pattern=r"^[A-Za-z0-9-]*$")
    name: str = Field("", max_length=255, pattern=r"^[A-Za-z0-9._-]*$")
    addresses: list[Annotated[str, Field(max_length=64, pattern=r"^[0-9A-Fa-f.:%a-z]*$")]] = Field([], max_length=16)
    resources: dict[Annotated[str, Field(max_length=64)], Amount] = Field({}, max_length=64)
    host_key: Key | None = None


class JoinDoor:
    """Answers machines that want in. ``gate()`` tells where the datastore is for VMs; ``remember`` keeps a worker's SSH host key."""

    def __init__(
        self,
        desk: Desk,
        tokens: JoinTokens,
        certifier: Certifier,
        gate: Callable[[], Gate],
        terms: WorkerTerms,
        bundle: Path,
        remember: Callable[[str, str, str], None] = lambda _worker, _address, _key: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desk = desk
        self._tokens = tokens
        self._certifier = certifier
        self._gate = gate
        self._terms = terms
        self._bundle = bundle.read_bytes()
        self._digest = hashlib.sha256(self._bundle).hexdigest()
        self._name = bundle.name
        self._remember = remember
        self._asked, self._failed = Pace(REQUESTS, clock), Pace(FAILURES, clock)
        self._asking = asyncio.Semaphore(AT_ONCE)
        self._notes, self._told = Notes(desk), Pace(NOTED, clock)

    def app(self) -> Starlette:
        """The app with its two routes."""
        return Starlette(
            routes=[
                Route("/join", self._join, methods=["POST"]),
                Route("/bundle/{digest}", self._send_bundle, methods=["GET"]),
            ]
        )

    async def _send_bundle(self, request: Request) -> Response:
        if not self._asked.may(network(_address(request))):
            return _later()
        if request.path_params["digest"] != self._digest:
            return _refused(404, "this boss has no such bundle (any more)")
        return Response(self._bundle, media_type="application/octet-stream")

    async def _join(self, request: Request) -> Response:
        address = _address(request)
        if not self._asked.may(network(address)):
            return _later()
        try:
            async with asyncio.timeout(PATIENCE):
                document = await _document(request)
        except TimeoutError:
            return _refused(408, f"the request did not arrive within {PATIENCE:.0f} s")
        except ValueError as error:
            return _refused(413 if "longer" in str(error) else 400, str(error))
        try:
            text = document.pop("token", "")
            token = self._tokens.read(text if isinstance(text, str) else "")
        except BadToken:
            if not self._failed.may(network(address)):
                return _later()
            _log.warning("a machine at %s showed a join token that is not one of ours", address)
            self._note(address, "", 403, "this join token is not one of this boss, or was changed")
            return _refused(403, NOT_VALID)
        try:
            body = JoinBody.model_validate(document)
        except ValidationError as error:
            return _refused(422, _problem(error))
        if body.version not in SUPPORTED:
            known = " or ".join(map(str, SUPPORTED))
            return _refused(422, f"version: {body.version} is not spoken here (this boss speaks {known})")
        return await self._let_in(token, body, address)

    async def _let_in(self, token: JoinToken, body: JoinBody, address: str) -> Response:
        try:  # before a claim is bound to keys that could not be signed
            self._certifier.certify("a-worker", body.tls_key, body.ssh_key)
        except ValueError as error:
            return _refused(422, f"tls_key, ssh_key: {error}")
        key = fingerprint(body.tls_key, body.ssh_key)
        where = next(filter(None, body.addresses), address)
        try:
            async with asyncio.timeout(ANSWER), self._asking:  # the wait for a turn counts as well
                waiting = self._desk.ask(
                    lambda reply: JoinAsked(token.group, key, body.server.lower(), body.name, where, token.over, reply)
                )
                answer: Answer = await asyncio.shield(asyncio.wrap_future(waiting))
        except TimeoutError:
            return _refused(503, "the boss is busy; ask again")
        if answer.code != 200:
            reason = str(answer.detail.get("error", ""))
            _log.warning(
                "a machine at %s (%s) with a token of %s is not let in: %s", address, body.name or "?", token.group, reason
            )
            self._note(address, f"{token.group} {body.name} {body.server}".strip(), answer.code, reason)
            return _refused(answer.code, NOT_VALID if token.over else reason)
        worker, pool = str(answer.detail["worker"]), str(answer.detail["pool"])
        _log.info("worker %s joins from %s (%s)", worker, address, body.name or "?", extra={"worker": worker})
        if body.host_key:
            self._remember(worker, where, body.host_key)
        offered = answer.detail.get("resources", {})
        return JSONResponse(self._answer(worker, pool, body, offered if isinstance(offered, Mapping) else {}))

    def _note(self, address: str, target: str, code: int, said: str) -> None:
        """Put a machine that was turned away into the audit, where admins look; so many a minute at most."""
        if self._told.may(""):
            self._notes.put(Entry(0.0, Asker("", "", "", address), "join", "", target, code, said).shortened())

    def _answer(self, worker: str, pool: str, body: JoinBody, offered: Mapping[str, float]) -> dict[str, object]:
        signed = self._certifier.certify(worker, body.tls_key, body.ssh_key)
        terms, gate = self._terms, self._gate()
        resources = measured(offered, body.resources)
        config = configuration(terms, gate, worker, pool, resources, folder="work", renewal=worker_config.RENEWAL)
        return {
            "worker": document(config),
            "files": {
                worker_config.BROKER_CA: terms.broker_ca,
                worker_config.TLS_CERTIFICATE: signed.tls,
                worker_config.SSH_CERTIFICATE: signed.ssh,
                worker_config.KNOWN_HOSTS: gate.known_hosts(),
            },
            "lifetime": signed.lifetime,
            "bundle": {"name": self._name, "sha256": self._digest},
        }


def measured(offered: Mapping[str, float], seen: Mapping[str, float]) -> dict[str, float]:
    """What a worker offers: what its flavor promises, but no more memory and disk than the machine has; all it has without a promise."""
    if not offered:
        return {name: seen[name] for name in ("cpus", "memory", "disk") if seen.get(name, 0) > 0}
    bounded = {
        name: min(amount, seen.get(name) or amount) if name in ("memory", "disk") else amount for name, amount in offered.items()
    }
    return {name: math.floor(amount) if name in ("memory", "disk") else amount for name, amount in bounded.items()}


async def _document(request: Request) -> dict[str, object]:
    """The body as a JSON object. Raises ValueError with one sentence."""
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > LONGEST:
            raise ValueError(f"the request is longer than {LONGEST} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("the request is not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("the request is not a JSON object")
    return document


def _problem(error: ValidationError) -> str:
    """The first thing that is wrong, without the value (it may be a secret in the wrong place)."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc']))[:200]}: {first['msg']}"


def _address(request: Request) -> str:
    return request.client.host if request.client else "?"


def _refused(status: int, error: str) -> JSONResponse:
    return JSONResponse({"error": error}, status)


def _later() -> JSONResponse:
    return JSONResponse({"error": "too many requests from this address"}, 429, {"Retry-After": f"{WINDOW:.0f}"})
