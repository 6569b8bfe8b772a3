"""The wire between boss and workers: version, topics, messages, encode and decode. Pure.

Rules:
- A message is one JSON object ``{"v": 2, "kind": ..., ...}`` of at most ``MAX_MESSAGE`` bytes; a longer list is split.
- Boss to worker messages carry ``(epoch, seq)``: the boss's life and the message's number for that worker in that life.
- Worker to boss messages carry the worker's ``session`` (one per process start).
- An attempt is named ``<job uid>.<task index>.<number>`` and is the only thing a worker ever talks about.
- Unknown fields are ignored and unknown kinds raise ``ProtocolError``: a newer peer never makes an older one misread.
- Both sides read this version and the one before; the boss writes what the worker that it talks to has written (``encode``'s ``version``),
  so that workers which were there before an upgrade finish what they have.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

import json
from hashlib import sha256
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Type, Union

from worker.fields import BY_ANNOTATION, WRONG

VERSION = 2
#: The versions that this side reads and can write. Between 1 and 2 fields and kinds were added, and none has changed.
SUPPORTED = (VERSION - 1, VERSION)
#: The largest message that either side sends, in bytes of JSON.
MAX_MESSAGE = 256 * 1024
#: The part of its lease after which a worker without an answer takes the boss for being off, and what has no other place goes to the
#: datastore.
SILENCE = 0.25
#: The largest tail of stdout or stderr that travels in a result, in bytes.
MAX_TAIL = 4096
#: What the signed document of a job is called among granted inputs.
DOCUMENT = "signed-document"
#: How the line begins that tells, at the end of an attempt's stderr, why it failed outside its command.
VERDICT = "ecloud: "


class ProtocolError(ValueError):
    """A message that cannot be read: not JSON, a foreign version, an unknown kind, a missing or wrong field."""


class Input(NamedTuple):
    """One thing to fetch before the command runs.

    ``source`` is a path, a folder ``x/`` or a glob in the job's folder on the datastore, ``to`` where it lies in the
    attempt's folder (for a folder or glob: the folder prefix, empty for the same path). With ``digest`` the file is a
    pushed one, taken by its sha256 (hex) from ``files/``; ``mode`` is then its permission bits.
    """

    source: str
    to: str
    digest: str = ""
    mode: int = 0o644


class Output(NamedTuple):
    """One thing to keep after exit 0.

    ``path`` is a file, a folder ``x/`` or a glob in the attempt's folder; ``to`` its place in the job's folder.
    """

    path: str
    to: str
    optional: bool = False


class Assignment(NamedTuple):
    """All a worker needs to run one attempt.

    ``needs`` are named counts (``cpus``, ``memory`` in bytes, ...); ``timeout`` is in seconds; ``grant`` is the
    datastore's proof that this worker may read the inputs and write this attempt's outputs and logs.
    ``init`` attempts run in a lasting folder per job, which the job's other attempts find as ``ECLOUD_INIT``.
    ``least`` says of a folder or glob among the inputs how many results of other tasks it names at least.
    ``document`` is the sha256 of the signed document of a signed job (``worker.signed``), ``entry`` the number of the attempt's template
    in it, ``row`` that of the template's grid.
    """

    attempt: str
    job: str
    task: str
    commands: Tuple[str, ...]
    inputs: Tuple[Input, ...] = ()
    outputs: Tuple[Output, ...] = ()
    env: Dict[str, str] = {}  # never mutated
    needs: Dict[str, float] = {}  # never mutated
    timeout: float = 86400.0
    grant: str = ""
    init: bool = False
    least: Dict[str, float] = {}  # never mutated
    document: str = ""
    entry: int = 0
    row: int = 0


class Result(NamedTuple):
    """How one attempt ended, kept in the worker's spool until the boss has acknowledged it.

    ``outcome`` is ``succeeded``, ``failed`` or ``cancelled``; ``phase`` (``verify``, ``fetch``, ``run``, ``upload``,
    ``infrastructure``) says where a failure happened. Times are Unix seconds of the worker's clock.
    ``files`` is the manifest of uploaded outputs, ``(path in the job's folder, size in bytes, sha256 hex)``, or ``None`` when
    it is too long for a message and must be read from the datastore's record. ``stored_logs`` says that more than
    the tails lies in ``logs/`` on the datastore. ``usage``: ``cpu`` seconds, ``memory`` peak bytes.
    """

    attempt: str
    outcome: str
    phase: str = ""
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    reason: str = ""
    started: float = 0.0
    finished: float = 0.0
    usage: Dict[str, float] = {}  # never mutated
    stdout: str = ""
    stderr: str = ""
    stdout_size: int = 0
    stderr_size: int = 0
    stored_logs: bool = False
    files: Optional[Tuple[Tuple[str, int, str], ...]] = ()


def granted_inputs(assignment: Assignment) -> Tuple[Input, ...]:
    """What the datastore's grant is for: the attempt's inputs, and the signed document of its job if there is one."""
    if not assignment.document:
        return assignment.inputs
    return (*assignment.inputs, Input(DOCUMENT, "", assignment.document))


# ---- boss to worker ----------------------------------------------------------------------------------------------


class Assign(NamedTuple):
    """Run these attempts. A repeat is answered with what is known of the attempt; nothing is ever started twice."""

    epoch: int
    seq: int
    attempts: Tuple[Assignment, ...]


class Cancel(NamedTuple):
    """Stop these attempts: kill what runs, drop what waits. Each is answered by a ``cancelled`` result."""

    epoch: int
    seq: int
    attempts: Tuple[str, ...]
    reason: str = ""


class Recall(NamedTuple):
    """Give these attempts back if they have not been started; answered by ``Recalled`` with those that were given back."""

    epoch: int
    seq: int
    attempts: Tuple[str, ...]


class Acknowledge(NamedTuple):
    """The results of these attempts are durable (or worthless): forget them."""

    epoch: int
    seq: int
    attempts: Tuple[str, ...]


class Renew(NamedTuple):
    """The answer to a heartbeat: the worker's lease runs ``lease`` seconds from now; beat every ``interval`` seconds."""

    epoch: int
    seq: int
    interval: float
    lease: float


class Drain(NamedTuple):
    """Take nothing new; finish what was given; say ``Goodbye`` and exit 0 when all results are acknowledged."""

    epoch: int
    seq: int


class Resync(NamedTuple):
    """Say ``Hello`` again: the boss wants to know all that the worker holds."""

    epoch: int
    seq: int


class Follow(NamedTuple):
    """Publish (or stop publishing) a running attempt's output on its log topic, from the beginning of what is kept."""

    epoch: int
    seq: int
    attempt: str
    on: bool


class Certified(NamedTuple):
    """New certificates for the keys that were asked about, good for ``lifetime`` seconds from now: TLS (PEM) and SSH (one line)."""

    epoch: int
    seq: int
    tls: str
    ssh: str
    lifetime: float


# ---- worker to boss ----------------------------------------------------------------------------------------------


class Hello(NamedTuple):
    """Said at every connect and on ``Resync``.

    ``held``: attempt -> ``queued``, ``fetching`` (its inputs are on their way: asked back it would lose them), ``running`` or
    ``finished`` (its result is in the spool). ``draining``: the worker takes nothing new, because its machine or the boss told it to go.
    ``confinement``: what its tasks are held to (``memory``, ``processes``, ``cpus``, ``user``), and how, in words.
    """

    session: str
    epoch: int
    seq: int
    resources: Dict[str, float]
    held: Dict[str, str]
    address: str = ""
    pid: int = 0
    software: str = ""
    draining: bool = False
    confinement: Dict[str, str] = {}  # never mutated


class Heartbeat(NamedTuple):
    """I live. ``(epoch, seq)`` is the last message handled: only assignments older than that may be called missing.

    ``held`` and ``draining`` as in ``Hello``. ``free_disk`` in bytes, ``load`` the 1-minute load average. ``undelivered`` are the
    attempts that have ended and whose outputs or logs could not be delivered yet, because of ``trouble`` (a sentence); ``full`` when
    that is that the datastore has no room. ``cached`` are the sizes in bytes of the largest files of its cache of inputs, by
    ``cache_name``.
    """

    session: str
    epoch: int
    seq: int
    held: Dict[str, str]
    free_disk: int = 0
    load: float = 0.0
    draining: bool = False
    undelivered: Tuple[str, ...] = ()
    trouble: str = ""
    full: bool = False
    cached: Dict[str, float] = {}  # never mutated


class Started(NamedTuple):
    """These attempts began at these times (Unix seconds)."""

    session: str
    attempts: Dict[str, float]


class Results(NamedTuple):
    """Finished attempts; sent again (on reconnect, or after a while) until acknowledged."""

    session: str
    results: Tuple[Result, ...]


class Recalled(NamedTuple):
    """These attempts were not started and never will be by this worker."""

    session: str
    attempts: Tuple[str, ...]


class Goodbye(NamedTuple):
    """The worker exits: nothing held, nothing unacknowledged."""

    session: str
    reason: str = ""


class LogChunk(NamedTuple):
    """Bytes ``[offset, offset+len(data))`` of an attempt's ``stream`` (``stdout`` or ``stderr``), decoded with replacement."""

    session: str
    attempt: str
    stream: str
    offset: int
    data: str


class Certify(NamedTuple):
    """My certificates are half over: sign these public keys (OpenSSH's form) again; answered by ``Certified``.

    They must be the keys with which this worker has joined.
    """

    session: str
    tls_key: str
    ssh_key: str


ToWorker = Union[Assign, Cancel, Recall, Acknowledge, Renew, Drain, Resync, Follow, Certified]
ToBoss = Union[Hello, Heartbeat, Started, Results, Recalled, Goodbye, LogChunk, Certify]
Message = Union[ToWorker, ToBoss]

_KINDS: Dict[str, Type[Any]] = {
    "assign": Assign,
    "cancel": Cancel,
    "recall": Recall,
    "acknowledge": Acknowledge,
    "renew": Renew,
    "drain": Drain,
    "resync": Resync,
    "follow": Follow,
    "certified": Certified,
    "hello": Hello,
    "heartbeat": Heartbeat,
    "started": Started,
    "results": Results,
    "recalled": Recalled,
    "goodbye": Goodbye,
    "log": LogChunk,
    "certify": Certify,
}
_NAMES: Dict[Type[Any], str] = {cls: name for name, cls in _KINDS.items()}
#: Messages whose list may be split over several payloads, and the field that holds it.
_LISTS: Dict[Type[Any], str] = {
    Assign: "attempts",
    Cancel: "attempts",
    Recall: "attempts",
    Acknowledge: "attempts",
    Results: "results",
    Recalled: "attempts",
}
#: What the elements of a list field are read as; plain strings elsewhere.
_ELEMENTS: Dict[Tuple[Type[Any], str], Type[Any]] = {
    (Assign, "attempts"): Assignment,
    (Assignment, "inputs"): Input,
    (Assignment, "outputs"): Output,
    (Results, "results"): Result,
}


def encode(message: Message, version: int = VERSION) -> List[bytes]:
    """The payloads of one message, for a reader of this version: one, or several when its list is long.

    All but the last piece of a boss's message carry ``seq - 1``, so that a worker which has handled only some of the
    pieces does not claim to have handled the message.

    Raises ProtocolError when a single element is larger than a message may be.
    """
    cls = type(message)
    field = _LISTS.get(cls)
    whole = _dump(message, version)
    if len(whole) <= MAX_MESSAGE:
        return [whole]
    items = getattr(message, field) if field else ()
    if not field or len(items) < 2:
        raise ProtocolError("%s of %d bytes: larger than a message may be (%d)" % (_NAMES[cls], len(whole), MAX_MESSAGE))
    half = len(items) // 2
    splittable: Any = message
    first = splittable._replace(**{field: items[:half]})
    if "seq" in cls._fields:
        first = first._replace(seq=first.seq - 1)
    return encode(first, version) + encode(splittable._replace(**{field: items[half:]}), version)


def decode(payload: bytes) -> Message:
    """Read one message. Raises ProtocolError with what is wrong; never anything else."""
    return decode_with_version(payload)[0]


def decode_with_version(payload: bytes) -> Tuple[Message, int]:
    """Read one message, and the version that its writer speaks. Raises ProtocolError."""
    if len(payload) > MAX_MESSAGE:
        raise ProtocolError("a message of %d bytes: more than %d" % (len(payload), MAX_MESSAGE))
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("not JSON: %s" % error) from None
    if not isinstance(document, dict):
        raise ProtocolError("not a JSON object")
    version = document.get("v")
    if version not in SUPPORTED or not isinstance(version, int) or isinstance(version, bool):
        raise ProtocolError("version %s, this side speaks %d" % (_shown(version), VERSION))
    kind = document.get("kind")
    cls = _KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise ProtocolError("unknown kind %s" % _shown(kind))
    message: Message = _read(cls, document)
    return message, version


def cache_name(job: str, source: str, digest: str = "") -> str:
    """As what a cached input is known to worker and boss: by its content if both know it, else by the path that tasks ask for it by."""
    if digest:
        return digest[:16]
    asked = source if ":" in source.partition("/")[0] else "%s/%s" % (job, source)
    return sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def topic_in(cluster: str, worker: str) -> str:
    """Where the boss writes to one worker."""
    return "ecloud/%s/worker/%s/in" % (cluster, worker)


def topic_out(cluster: str, worker: str) -> str:
    """Where one worker writes to the boss."""
    return "ecloud/%s/worker/%s/out" % (cluster, worker)


def topic_status(cluster: str, worker: str) -> str:
    """Retained ``online`` or ``offline`` of one worker; the last will says offline."""
    return "ecloud/%s/worker/%s/status" % (cluster, worker)


def topic_log(cluster: str, worker: str, attempt: str) -> str:
    """Where one worker publishes the output of an attempt that somebody follows."""
    return "ecloud/%s/worker/%s/log/%s" % (cluster, worker, attempt)


def topic_boss(cluster: str) -> str:
    """Retained ``{"epoch": n, "online": bool}`` of the boss: a hint."""
    return "ecloud/%s/boss/status" % cluster


def topic_events(cluster: str) -> str:
    """Job, task, worker and VM events for anyone allowed to listen; ``/<kind>`` is appended."""
    return "ecloud/%s/events" % cluster


def _plain(value: Any) -> Any:
    """A named tuple as an object without the fields that have their default value; lists and tuples element by element."""
    if isinstance(value, tuple):
        if not hasattr(value, "_fields"):
            return [_plain(item) for item in value]
        defaults = value._field_defaults  # type: ignore[attr-defined]
        return {
            name: _plain(item) if isinstance(item, tuple) else item
            for name, item in zip(value._fields, value)
            if name not in defaults or item != defaults[name]
        }
    return value


_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def _dump(message: Message, version: int) -> bytes:
    document = {"v": version, "kind": _NAMES[type(message)]}
    document.update(_plain(message))
    return _JSON.encode(document).encode("utf-8", "replace")


def _read(cls: Type[Any], document: Any) -> Any:
    if not isinstance(document, dict):
        raise ProtocolError("%s is not an object" % cls.__name__)
    defaults = cls._field_defaults
    values = []
    for name, check in _CHECKS[cls]:
        if name in document:
            value = check(document[name])
            if value is WRONG:
                raise ProtocolError("%s.%s: %s does not fit" % (cls.__name__, name, _shown(document[name])))
        elif name in defaults:
            value = defaults[name]
        else:
            raise ProtocolError("%s without %s" % (cls.__name__, name))
        values.append(value)
    return cls(*values)


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        return "something nested too deeply"
    return text if len(text) <= 60 else text[:57] + "..."


def _elements(cls: Type[Any]) -> Any:
    def check(value: Any) -> Any:
        return tuple(_read(cls, item) for item in value) if isinstance(value, list) else WRONG

    return check


def _checks_of(cls: Type[Any]) -> List[Tuple[str, Any]]:
    return [
        (name, _elements(_ELEMENTS[cls, name]) if (cls, name) in _ELEMENTS else BY_ANNOTATION[annotation])
        for name, annotation in cls.__annotations__.items()
    ]


_CHECKS: Dict[Type[Any], List[Tuple[str, Any]]] = {
    cls: _checks_of(cls) for cls in [Input, Output, Assignment, Result] + list(_KINDS.values())
}
