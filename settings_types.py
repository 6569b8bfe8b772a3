"""What settings are made of: durations, sizes and amounts as people write them, and the table of the file that a section is."""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "B": 1} | {
    unit: 2**power
    for letter, power in (("K", 10), ("M", 20), ("G", 30), ("T", 40))
    for unit in (letter, f"{letter}B", f"{letter}iB")
}


def _measure(value: object, units: dict[str, int], example: str) -> object:
    """A number with one of these units; what is no text is left to the type's own check."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value)
    if not found or found.group(2) not in units:
        raise ValueError(f"cannot be read; write it like {example}")
    return float(found.group(1)) * units[found.group(2)]


def _duration(value: object) -> object:
    return _measure(value, _SECONDS, "90, 90s, 15m, 6h or 2d")


def read_size(value: object) -> object:
    """Bytes, from a number or a text with a unit; what is neither is left to the type's own check."""
    measured = _measure(value, _BYTES, "64M, 2G or 512MiB (powers of 1024)")
    return int(measured) if isinstance(measured, float) else measured


def _amounts(value: object) -> object:
    """Resources by name; ``memory`` and ``disk`` may have a unit."""
    if not isinstance(value, dict):
        return value
    return {name: read_size(amount) if name in ("memory", "disk") else amount for name, amount in value.items()}


Duration = Annotated[float, BeforeValidator(_duration), Field(gt=0)]
#: A duration that may be none at all.
Span = Annotated[float, BeforeValidator(_duration), Field(ge=0)]
Size = Annotated[int, BeforeValidator(read_size), Field(gt=0)]
Amounts = Annotated[dict[str, Annotated[float, Field(ge=0)]], BeforeValidator(_amounts)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
