"""A real small disk (a tmpfs) for a datastore: mounted outright by root, in a mount namespace of the boss's own by anybody else."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec setpriv --ambient-caps=-all --inh-caps=-all -- "$@"'


class SmallDisk:
    """``folder`` is where the boss sees the disk, and ``through`` what it is to be started through; ``fill`` and ``clear`` are ours."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size
        folder.mkdir(parents=True)
        self._mounted = os.geteuid() == 0
        self.through: tuple[str, ...] = ()
        if self._mounted:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
        else:
            own = ("unshare", "--user", "--map-current-user", "--keep-caps", "--mount")
            self.through = (*own, "sh", "-c", _MOUNT, "sh", str(size), str(folder))
        self.view = folder

    def seen_by(self, pid: int) -> None:
        """From now on look at the disk as this process (the boss) sees it."""
        if not self._mounted:
            self.view = Path(f"/proc/{pid}/root{self.folder}")

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

    def unmount(self) -> None:
        """Leave nothing behind."""
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[SmallDisk]:
    """A disk of so many bytes."""
    disk = SmallDisk(folder, size)
    try:
        yield disk
    finally:
        disk.unmount()
