"""What tasks and jobs may be called."""

import hashlib
import re
import unicodedata

_ID = re.compile(r"\S(?:.{0,198}\S)?")
_NOT_IN_ID = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NOT_IN_JOB = re.compile(r"[^A-Za-z0-9._-]+")
#: A job's name made of a file's leaves room for the "-2" of a second push.
_MADE = 90


def is_id(name: str, colons: bool = False) -> bool:
    """Whether a task may be called so: 1 to 200 characters, no ``:``, no control characters, no blanks at the ends.

    Formats whose ids may have a ``:`` say so with ``colons``; such a task is always called with its job, ``JOB:ID``.
    """
    return _ID.fullmatch(name) is not None and _NOT_IN_ID.search(name) is None and (colons or ":" not in name)


def fitting_id(name: str) -> str:
    """The id itself, or what is nearest to one that a task cannot have; ``:`` is allowed."""
    if is_id(name, colons=True):
        return name
    plain = _NOT_IN_ID.sub("_", name).strip() or "_"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return plain if is_id(plain, colons=True) else f"{plain[:180]}-{digest}"


#: What ``is_id`` asks for, in a sentence.
ID_RULE = "it has 1 to 200 characters, no ':', no control characters and no blanks at its ends"


def is_job_name(name: str) -> bool:
    """Whether a job may be called so."""
    return _JOB.fullmatch(name) is not None


#: What ``is_job_name`` asks for, in a sentence.
JOB_RULE = "a job's name has 1 to 100 letters, digits, '.', '_' or '-', and begins with a letter or digit"


def job_name_of(file_name: str) -> str:
    """A job's name made of a file's: its stem, with ``-`` for what a name cannot hold; ``job`` if nothing is left."""
    stem = re.split(r"[/\\]", file_name)[-1]
    stem = stem.rpartition(".")[0] or stem
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return _NOT_IN_JOB.sub("-", plain).lstrip("._-")[:_MADE].rstrip("-") or "job"
