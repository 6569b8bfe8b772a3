"""Lengths of time as people write them: ``90``, ``90s``, ``15m``, ``6h``, ``2d``."""

import re

import typer

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(text: str, option: str = "") -> float:
    """The seconds of a length of time that was given to an option. Raises typer.BadParameter."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text, re.ASCII)
    if not found or found[2] not in _UNITS:
        raise typer.BadParameter(f"{option} {text!r} is no time such as 90s, 15m, 6h or 2d".lstrip())
    return float(found[1]) * _UNITS[found[2]]


def some_seconds_of(text: str, option: str) -> float:
    """As ``seconds_of``, and more than none. Raises typer.BadParameter."""
    seconds = seconds_of(text, option)
    if not seconds:
        raise typer.BadParameter(f"{option} {text!r} is no time at all; such as 90s, 15m, 6h or 2d")
    return seconds
