"""Where each file of each job and attempt lives on the datastore, and which paths are refused. Pure.

    jobs/<job>/...              final results, as plain files, with SHA256SUMS (``sha256sum -c`` reads it)
    incoming/<attempt>/         a complete upload that is not accepted yet: files/..., record.json
    incoming/.<attempt>.<token>/ an upload that is being written; renamed when it is complete
    accepted/<attempt>/         accepted, being moved forward into jobs/<job>/
    trash/<attempt>/            rejected uploads
    replaced/<job>/<attempt>/   results that a back-up's database did not know, put aside when the attempt was accepted over them
    logs/<job>/<task>/<n>/      stdout and stderr of attempt n, where they are longer than a message's tail
    files/<aa>/<sha256>         pushed files by digest
    shared/<name>               read-only data for many jobs, with SHA256SUMS; nothing deletes it
    parts/                      shared data on its way in, by digest
    shared-puts.jsonl           who put what into shared/, and when; shared-fetches.jsonl: which worker fetched it
    sessions                    empty: on its bytes each session of a caller holds a lock, so that nobody has too many
    revoked                     tokens that were taken back while certificates of theirs still hold, as the boss has said
    limits                      how much one upload may bring, as the boss has said
    legacy_root                 the folder that sources of the original's task files lie below, if there is one
    cluster                     the id of the cluster that owns the folder
    epoch                       the last life of a boss that has been here: its epoch, and a word of its own
    secret                      what grants are made with, in hex; readable by the gate's own login only

Rules:
- A path is relative, uses ``/``, and never leaves the folder: no ``..``, no empty part, no NUL, nothing absolute.
- ``*`` and ``?`` and ``[...]`` do not cross ``/``; ``**`` as a whole part crosses any number of parts.
- A pattern that ends in ``/`` is a folder: it matches every file below it.

Python 3.9 syntax; used by the boss's core, the gate and the workers.
"""

import hashlib
import hmac
import json
import re
from functools import lru_cache
from itertools import count
from typing import Iterable, Iterator, List, Pattern, Sequence, Tuple
from urllib.parse import quote

#: The name of a job's manifest in its folder; no output may take it.
MANIFEST = "SHA256SUMS"
#: What ``fetch`` calls its record in a folder of results; no output may take it either.
FETCHED = ".ecloud-fetched"
#: The folders of a datastore.
FOLDERS = ("jobs", "incoming", "accepted", "trash", "replaced", "logs", "files", "shared", "parts")
#: The files of the cluster's id, of its boss's epoch, of the secret of grants; the record of one upload in its folder.
CLUSTER = "cluster"
EPOCH = "epoch"
REVOKED = "revoked"
SECRET = "secret"  # noqa: S105 (the name of a file)
RECORD = "record.json"
#: What an attempt's logs are called.
STREAMS = ("stdout", "stderr")
#: The longest path that is accepted, in bytes of UTF-8.
MAX_PATH = 1024


class PathRefused(ValueError):
    """A path that leaves its folder, or that no file can have; the message says why."""


def check_path(path: str) -> str:
    """The path itself, if it stays inside its folder. Raises PathRefused with the reason."""
    if not path:
        raise PathRefused("is empty")
    if "\0" in path or any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
        raise PathRefused("contains a control character")
    if path.startswith("/"):
        raise PathRefused("is absolute; write it relative to the job's folder")
    body = path[:-1] if path.endswith("/") else path
    for part in body.split("/"):
        if part == "..":
            raise PathRefused("leaves the job's folder ('..')")
        if part in ("", "."):
            raise PathRefused("has an empty or '.' part")
        if len(part.encode("utf-8", "replace")) > 255:
            raise PathRefused("has a part longer than 255 bytes")
    if any("\ud800" <= letter <= "\udfff" for letter in path):
        raise PathRefused("is not valid Unicode")
    if len(path.encode("utf-8")) > MAX_PATH:
        raise PathRefused("is longer than %d bytes" % MAX_PATH)
    if body == MANIFEST:
        raise PathRefused("is the job's manifest, which ecloud writes itself")
    if body == FETCHED:
        raise PathRefused("is the record of `admin.py fetch`, which ecloud writes itself")
    return path


def is_pattern(path: str) -> bool:
    """Whether a path is a glob (has ``*``, ``?`` or ``[``)."""
    return any(letter in path for letter in "*?[")


def is_folder(path: str) -> bool:
    """Whether a path names a folder (ends in ``/``)."""
    return path.endswith("/")


def fixed_folder(path: str) -> str:
    """The folder, ending in ``/`` or empty, below which everything lies that a path, folder or glob names."""
    fixed = re.split(r"[*?\[]", path, maxsplit=1)[0]
    return fixed[: fixed.rfind("/") + 1]


@lru_cache(maxsize=4096)
def matcher(pattern: str) -> Pattern[str]:
    """The compiled form of a path, folder or glob; ``fullmatch`` it against the path of a file.

    Between two wildcards the first place that fits is as good as any other, so it is never gone back on (a lookahead holds it):
    no pattern takes long, whatever the path.
    """
    folder = pattern.endswith("/")
    parts = (pattern[:-1] if folder else pattern).split("/")
    names = _names()
    runs: List[List[str]] = [[]]  # of parts, between one ** and the next
    for position, part in enumerate(parts):
        if part == "**":
            if runs[-1] or len(runs) == 1:
                runs.append([])
        else:
            runs[-1].append(_part(part, names) + ("" if position == len(parts) - 1 else "/"))
    first, *more = ["".join(run) for run in runs]
    text = first
    for run in more[:-1]:
        text += _held("(?:.*?/)??" + run, names)
    if more:
        text += ".*" if parts[-1] == "**" else "(?:.*/)?" + more[-1]
    return re.compile(text + ("/.*" if folder else ""), re.DOTALL)


def matches(pattern: str, path: str) -> bool:
    """Whether the file ``path`` is what ``pattern`` (a path, a folder ``x/`` or a glob) names."""
    return matcher(pattern).fullmatch(path) is not None


def destination(source: str, to: str, path: str) -> str:
    """Where a file ``path`` found through ``source`` goes when ``source`` is asked to lie at ``to``.

    A plain path goes to ``to`` itself (below it if ``to`` ends in ``/``); files of a folder ``x/`` keep their path below ``x/``, under
    ``to``; files of a glob keep their whole path, or with another ``to`` their path below the glob's fixed folder.
    """
    if not to or to == source:
        return path
    if is_folder(source) and not is_pattern(source):
        return (to if to.endswith("/") else to + "/") + path[len(source) :]
    if is_pattern(source):
        fixed = fixed_folder(source)
        return (to if to.endswith("/") else to + "/") + path[len(fixed) :]
    return to + path.rsplit("/", 1)[-1] if to.endswith("/") else to


def overlap(one: str, other: str) -> bool:
    """Whether two outputs may name the same file: equal paths, a file inside a folder, a glob that a path fits, or two globs.

    Two globs count as overlapping when their fixed folders agree so far that no part tells them apart.
    """
    one_open, other_open = is_pattern(one) or is_folder(one), is_pattern(other) or is_folder(other)
    if not one_open and not other_open:
        return one == other or one.startswith(other + "/") or other.startswith(one + "/")
    if not one_open:
        return matches(other, one)
    if not other_open:
        return matches(one, other)
    return _parts_meet(_parts(one), _parts(other))


def _parts(pattern: str) -> Tuple[str, ...]:
    return tuple((pattern + "**" if pattern.endswith("/") else pattern).split("/"))


def _parts_meet(one: Sequence[str], other: Sequence[str]) -> bool:
    if not one or not other:
        return (not one or one[0] == "**") and (not other or other[0] == "**") if len(one) + len(other) <= 1 else False
    if one[0] == "**" or other[0] == "**":
        return True
    a, b = one[0], other[0]
    if not is_pattern(a) and not is_pattern(b):
        meet = a == b
    elif not is_pattern(a):
        meet = matches(b, a)
    elif not is_pattern(b):
        meet = matches(a, b)
    else:
        meet = _ends_meet(a, b)
    return meet and _parts_meet(one[1:], other[1:])


def _ends_meet(a: str, b: str) -> bool:
    """Whether two globs of one part may meet: their fixed beginnings and their fixed ends agree."""
    heads = [re.split(r"[*?\[]", text, maxsplit=1)[0] for text in (a, b)]
    tails = [re.split(r"[*?\]]", text)[-1] for text in (a, b)]
    heads_agree = heads[0].startswith(heads[1]) or heads[1].startswith(heads[0])
    return heads_agree and (tails[0].endswith(tails[1]) or tails[1].endswith(tails[0]))


def job_folder(job: str) -> str:
    """``jobs/<job>``."""
    return "jobs/" + _name(job)


def incoming_folder(attempt: str) -> str:
    """``incoming/<attempt>``."""
    return "incoming/" + _name(attempt)


def part_folder(attempt: str, token: str) -> str:
    """``incoming/.<attempt>.<token>``: where one session writes; no attempt can be called like that."""
    return "incoming/.%s.%s" % (_name(attempt), _name(token))


def accepted_folder(attempt: str) -> str:
    """``accepted/<attempt>``."""
    return "accepted/" + _name(attempt)


def trash_folder(attempt: str) -> str:
    """``trash/<attempt>``."""
    return "trash/" + _name(attempt)


def replaced_folder(job: str, attempt: str) -> str:
    """``replaced/<job>/<attempt>``."""
    return "replaced/%s/%s" % (_name(job), _name(attempt))


def logs_folder(job: str) -> str:
    """``logs/<job>``."""
    return "logs/" + _name(job)


def log_folder(job: str, task: str, number: int) -> str:
    """``logs/<job>/<task>/<n>``; what a file name cannot hold is percent-quoted."""
    name = quote(task, safe="=+,@ ", errors="replace")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > 200:
        name = name[:150] + "-" + hashlib.sha256(task.encode("utf-8", "replace")).hexdigest()[:16]
    return "logs/%s/%s/%d" % (_name(job), name, number)


def attempt_number(attempt: str) -> int:
    """The number of an attempt, the last part of ``<job uid>.<task index>.<number>``. Raises PathRefused."""
    number = attempt.rpartition(".")[2]
    if not re.fullmatch("[0-9]{1,9}", number):
        raise PathRefused("%r does not end in an attempt's number" % attempt[:80])
    return int(number)


def file_path(digest: str) -> str:
    """``files/<aa>/<sha256>``. Raises PathRefused for what is no sha256 in hex."""
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise PathRefused("%r is not a sha256" % digest)
    return "files/%s/%s" % (digest[:2], digest)


def manifest_line(path: str, digest: str) -> str:
    """One line of SHA256SUMS as ``sha256sum`` writes and reads it (a backslash is escaped; control characters never occur)."""
    if "\\" in path:
        return "\\%s  %s\n" % (digest, path.replace("\\", "\\\\"))
    return "%s  %s\n" % (digest, path)


def parse_manifest_line(line: str) -> Tuple[str, str]:
    """``(path, digest)`` of one line of SHA256SUMS. Raises ValueError for what is none."""
    escaped = line.startswith("\\")
    found = re.fullmatch(r"\\?([0-9a-f]{64}) [ *](.+?)\n?", line, re.DOTALL)
    if not found:
        raise ValueError("not a line of %s: %r" % (MANIFEST, line[:80]))
    path = found.group(2)
    return (path.replace("\\\\", "\\") if escaped else path), found.group(1)


_JSON = json.JSONEncoder(separators=(",", ":"))  # made once: json.dumps makes one for each call


def grant(secret: bytes, worker: str, attempt: str, job: str, task: str, inputs: Iterable[Sequence[object]]) -> str:
    """The proof that ``worker`` may read these inputs of ``job`` and write this attempt's outputs and logs: HMAC-SHA256, hex.

    The boss makes it with the secret that it shares with the gate; the gate makes it again and compares.
    ``inputs`` are ``(source, to, digest, mode)``, as in ``worker.protocol.Input``.
    """
    said = _JSON.encode([worker, attempt, job, task, [list(item) for item in inputs]])
    return hmac.new(secret, said.encode("ascii"), hashlib.sha256).hexdigest()


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name):
        raise PathRefused("%r is no name of a job or an attempt" % name[:80])
    return name


def _names() -> Iterator[str]:
    """Names of groups, each once."""
    return ("g%d" % number for number in count())


def _held(text: str, names: Iterator[str]) -> str:
    """A regular expression whose first match is kept."""
    name = next(names)
    return "(?=(?P<%s>%s))(?P=%s)" % (name, text, name)


def odd_class(pattern: str) -> bool:
    """Whether a glob has brackets that no letter can be in, like ``[z-a]``."""
    return "(?!)" in matcher(pattern).pattern


def _class(body: str) -> str:
    """The brackets of a glob as a regular expression; what no letter can be in (``[z-a]``) fits nothing."""
    try:
        re.compile(body)
    except re.error:
        return "(?!)"
    return body


def _part(part: str, names: Iterator[str]) -> str:
    """One part of a glob as a regular expression; ``*`` and ``?`` do not cross ``/``."""
    first, *more = _between_stars(part)
    text = first
    for piece in more[:-1]:
        text += _held("[^/]*?" + piece, names) if piece else ""
    return text + ("[^/]*" + more[-1] if more else "")


def _between_stars(part: str) -> List[str]:
    """What lies before, between and after the ``*`` of one part, each as a regular expression."""
    found: List[str] = []
    pieces: List[str] = []
    position = 0
    while position < len(part):
        letter = part[position]
        position += 1
        if letter == "*":
            found.append("".join(pieces))
            pieces = []
        elif letter == "?":
            pieces.append("[^/]")
        elif letter == "[":
            end = part.find("]", position + (2 if part[position : position + 1] == "!" else 1))
            if end < 0:
                pieces.append(r"\[")
                continue
            body = part[position:end].replace("\\", "\\\\").replace("[", "\\[")
            pieces.append(_class("[^/" + body[1:] + "]" if body.startswith("!") else "[" + body + "]"))
            position = end + 1
        else:
            pieces.append(re.escape(letter))
    return [*found, "".join(pieces)]
