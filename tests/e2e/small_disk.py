"""A real small disk (a tmpfs) for a datastore: mounted outright by root, in a mount namespace of its own by anybody else."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OWN = ("unshare", "--user", "--map-current-user", "--keep-caps", "--mount")
#: Mounts, says so, and keeps the namespace until its standard input ends.
_HOLD = 'mount -t tmpfs -o size="$1" tmpfs "$2" && echo mounted && cat'


class SmallDisk:
    """``folder`` is where the boss sees the disk when it is started ``through`` a command (empty for root)."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.through: tuple[str, ...] = ()
        self._holder: subprocess.Popen[str] | None = None
        self.view = folder  #: where we see it
        folder.mkdir(parents=True)
        if os.geteuid() == 0:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
            return
        command = [*_OWN, "sh", "-c", _HOLD, "sh", str(size), str(folder)]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None and self._holder.stdout.readline() == "mounted\n"
        pid = self._holder.pid
        self.through = ("nsenter", f"--target={pid}", "--user", "--preserve-credentials", "--mount", f"--wd={folder.parent}")
        self.view = Path(f"/proc/{pid}/root{folder}")

    def fill(self, leave: int) -> None:
        """Take all room but so many bytes."""
        space = os.statvfs(self.view)
        take = space.f_bavail * space.f_frsize - leave
        assert take > 0
        with open(self.view / ".ballast", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, take)

    def clear(self) -> None:
        """Give the room back."""
        (self.view / ".ballast").unlink()

    def close(self) -> None:
        """Leave nothing behind."""
        if self._holder is None:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
        else:
            self._holder.communicate()


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[SmallDisk]:
    """A disk of so many bytes."""
    disk = SmallDisk(folder, size)
    try:
        yield disk
    finally:
        disk.close()
