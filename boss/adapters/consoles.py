"""What servers wrote to their consoles: of those that never became workers it is kept in the state folder, for whoever asks why, when they
are gone; and the host keys in it.

Rules:
- One file a claim, ``<claim>.log`` of mode 0600: a console may show what a start-up script has printed.
- Only the newest are kept.
"""

import re
from pathlib import Path

from boss.adapters.keys import write_private

#: How many are kept.
KEPT = 200
#: What cloud-init writes when it has made host keys; each line may begin with a time or the program's name.
_KEYS = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_KEY = re.compile(r"\b((?:ssh|ecdsa)-[a-z0-9-]+) (AAAA[A-Za-z0-9+/=]+)")


def host_keys(console: str) -> tuple[str, ...]:
    """The SSH host keys that cloud-init wrote to a console at its last boot, as ``<type> <base64>``. No task can write there."""
    blocks = _KEYS.findall(console)
    return tuple(f"{kind} {data}" for kind, data in _KEY.findall(blocks[-1])) if blocks else ()


class Consoles:
    """The kept consoles in ``folder``, which is made when there is one to keep."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, vm: str, text: str) -> None:
        """Write one down. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._folder / f"{vm}.log", text.encode())
        newest = sorted(self._folder.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in newest[KEPT:]:
            path.unlink(missing_ok=True)

    def read(self, vm: str) -> str:
        """The end of what this claim's server wrote; empty where nothing was kept."""
        if "/" in vm or vm.startswith("."):
            return ""
        try:
            return (self._folder / f"{vm}.log").read_text(errors="replace")
        except OSError:
            return ""
