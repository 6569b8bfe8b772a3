"""What of a program's output is told in one line."""

import re

#: How much of a line is compared and shown, in characters.
LINE = 300
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def last_line(text: str) -> str:
    """The last line that is not blank, without colours and blanks at its ends; one that overwrote itself (``\\r``) as it stood at last."""
    stripped = (_COLOUR.sub("", text) if "\x1b" in text else text).rstrip()
    return re.split(r"[\n\r]", stripped)[-1].strip()[:LINE] if stripped else ""
