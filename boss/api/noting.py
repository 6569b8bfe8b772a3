"""What people do over HTTP, for the audit: who asks is told to the loop, and what never gets there is noted here.

Rules:
- What the loop changes it notes itself, in the commit that changes it. Here is noted what was turned down before (no right to it,
  no such job, a body that is none), and what happens outside the loop: certificates for the datastore, things removed from clouds.
- Notes wait for the loop in bounded number; beyond that they are dropped, which the log says.
- Questions are not noted, but for those of ``LOOKS``; the plan of a push changes nothing.
"""

import json
import logging
from collections.abc import Mapping
from concurrent.futures import Future

from starlette.types import Message, Scope

from boss.api.accounts import Caller
from boss.api.doing import Doing
from boss.core.deeds import Asker, DeedsSeen, Entry
from boss.core.requests import Answer
from boss.ports import Desk

#: Notes that wait for their commit at most.
WAITING = 1000
#: Bytes of an answer in which its sentence is looked for.
_SENTENCE = 16 * 1024
PREFIX = "/api/v1"
#: What the audit calls the routes: the commands' names. A route that is not here goes by method and path.
VERBS: Mapping[tuple[str, str], str] = {
    ("POST", "/cancel"): "cancel",
    ("POST", "/pause"): "pause",
    ("POST", "/resume"): "resume",
    ("POST", "/redo"): "redo_task",
    ("POST", "/retry"): "retry_failed",
    ("POST", "/pushes"): "push",
    ("POST", "/pushes/{push}/open"): "push",
    ("DELETE", "/pushes/{push}"): "drop_push",
    ("POST", "/workers"): "instantiate_worker",
    ("POST", "/workers/drain"): "drain_worker",
    ("POST", "/workers/terminate"): "terminate_workers",
    ("GET", "/workers/{worker}/debug"): "debug",
    ("POST", "/fleet/close"): "shutdown",
    ("POST", "/fleet/open"): "open",
    ("DELETE", "/fleet/leaks"): "vm_leaks",
    ("POST", "/trials"): "doctor --boot",
    ("DELETE", "/trials/{pool}"): "doctor --boot (ended)",
    ("POST", "/hosts"): "add_host",
    ("DELETE", "/hosts/{login}"): "remove_host",
    ("DELETE", "/context"): "drop_context",
    ("PUT", "/context/datastore"): "set_datastore",
    ("PUT", "/context/boss"): "set_boss_address",
    ("POST", "/tokens"): "create_token",
    ("DELETE", "/tokens/{which}"): "revoke_token",
    ("POST", "/certificates"): "certificate",
    ("POST", "/listeners"): "create_listener",
    ("DELETE", "/listeners/{name}"): "revoke_listener",
    ("POST", "/notify/test"): "notify_test",
    ("POST", "/session"): "log_in",
    ("DELETE", "/session"): "log_out",
    ("PUT", "/pools/{pool}"): "set_pool",
    ("DELETE", "/pools/{pool}"): "set_pool",
}
#: Questions that are more than that: a program is run for them.
LOOKS = frozenset({"debug"})
#: What changes nothing when it goes well.
HARMLESS = frozenset({("POST", "/pushes")})

log = logging.getLogger(__name__)


class Notes:
    """What is on its way to the loop. Lives on the event loop; the boss's loop says from its own thread what has arrived."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._waiting: set[Future[Answer]] = set()  # a number that two threads count up and down would drift
        self._dropped = 0

    def put(self, entry: Entry) -> None:
        """Note something, as long as not too much waits."""
        if len(self._waiting) >= WAITING:
            self._dropped += 1
            return
        if self._dropped:
            log.warning("%d entries of the audit were dropped: more was turned down than could be put down", self._dropped)
            self._dropped = 0
        waiting = self._desk.ask(lambda reply: DeedsSeen((entry,), reply))
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)


class Witness:
    """Listens to one answer, and notes the request when it ends, unless the loop has."""

    def __init__(self, notes: Notes, scope: Scope, now: Doing) -> None:
        self._notes, self._scope, self._doing = notes, scope, now
        self._code, self._body = 0, b""

    def hear(self, message: Message) -> None:
        """A part of the answer."""
        if message["type"] == "http.response.start":
            self._code = message["status"]
        elif self._code >= 400 and len(self._body) < _SENTENCE:
            self._body += message.get("body", b"")

    def end(self) -> None:
        """The answer is out, or there is none."""
        verb, path = verb_of(self._scope)
        if self._doing.noted or (self._scope["method"] == "GET" and verb not in LOOKS):
            return
        if self._code < 400 and (self._scope["method"], path) in HARMLESS:
            return
        now = self._doing
        target = now.target or ("" if path in ("/certificates", "/session") else self._scope["path"].removeprefix(PREFIX))
        self._notes.put(Entry(0.0, now.asker, verb, now.job, target, self._code or 500, _sentence(self._body)).shortened())


def verb_of(scope: Scope) -> tuple[str, str]:
    """What the audit calls a request, and its route's path."""
    found = scope.get("route")
    path = str(getattr(found, "path", scope["path"])).removeprefix(PREFIX)
    return VERBS.get((scope["method"], path), f"{scope['method']} {path}"[:200]), path


def asker_of(caller: Caller | None, address: str) -> Asker:
    """Who asks, for the audit."""
    return Asker(caller.name, caller.role.value, caller.token, address) if caller is not None else Asker("", "", "", address)


def _sentence(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(said, dict):
        return ""
    problems = said.get("problems")
    if isinstance(problems, list) and problems:
        first = problems[0] if isinstance(problems[0], dict) else {}
        return f"{len(problems)} problem{'s' if len(problems) > 1 else ''}: {first.get('field', '')}: {first.get('message', '')}"
    return str(said.get("error", ""))
