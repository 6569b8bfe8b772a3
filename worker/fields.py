"""What the fields of a message may hold: one check for each kind of annotation. Pure. Part of the wire.

A check returns the value as the message has it, or ``WRONG``.

Python 3.9 syntax: this file rides in the worker's bundle.
"""

from typing import Any, Dict, Optional, Tuple

#: What a check returns for a value that does not fit.
WRONG: Any = object()
#: What a database column holds: a peer's absurd number must not make a commit fail for ever.
_TOO_MANY = 2**63
_LARGEST = 1.7976931348623157e308


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else WRONG


def _count(value: Any) -> Any:
    return value if type(value) is int and abs(value) < _TOO_MANY else WRONG


def _number(value: Any) -> Any:
    return value if type(value) in (int, float) and abs(value) <= _LARGEST else WRONG  # neither NaN nor infinite


def _truth(value: Any) -> Any:
    return value if isinstance(value, bool) else WRONG


def _optional_count(value: Any) -> Any:
    return value if value is None else _count(value)


def _numbers(value: Any) -> Any:
    if not isinstance(value, dict) or any(_number(item) is WRONG for item in value.values()):
        return WRONG
    return value


def _texts_by_name(value: Any) -> Any:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        return WRONG
    return value


def _texts(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return WRONG
    return tuple(value)


def _manifest(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, list):
        return WRONG
    for item in value:
        if not (isinstance(item, list) and len(item) == 3 and isinstance(item[0], str)):
            return WRONG
        if _count(item[1]) is WRONG or item[1] < 0 or not isinstance(item[2], str):
            return WRONG
    return tuple((item[0], item[1], item[2]) for item in value)


BY_ANNOTATION: Dict[Any, Any] = {
    str: _text,
    int: _count,
    float: _number,
    bool: _truth,
    Optional[int]: _optional_count,
    Dict[str, float]: _numbers,
    Dict[str, str]: _texts_by_name,
    Tuple[str, ...]: _texts,
    Optional[Tuple[Tuple[str, int, str], ...]]: _manifest,
}
