"""Files that commands write: whole or not at all, and never over one that is there unless told so."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from client.errors import ClientError, Conflict


class NotWritten(ClientError):
    """A file could not be written here."""


def check_place(out: Path, force: bool) -> None:
    """Refuse before anything is read. Raises Conflict, NotWritten."""
    if out.is_dir():
        raise NotWritten(f"{out} is a folder: --out takes a file's name")
    if out.is_file() and not force:
        raise Conflict(f"{out} is there already; --force overwrites it")
    if not out.exists() and not out.parent.is_dir():
        raise NotWritten(f"{out} cannot be written: there is no folder {out.parent}")


@contextmanager
def written(out: Path, force: bool) -> Iterator[IO[str]]:
    """A file that gets its name when the block has ended well. Raises Conflict when the name was taken meanwhile, NotWritten."""
    try:
        if out.exists() and not out.is_file():  # a device or a pipe
            with out.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                yield file
            return
        with _beside(out) as (file, passing):
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not force:
                out.open("x").close()  # takes the name, if nobody has it
            passing.replace(out)
    except FileExistsError:
        raise Conflict(f"{out} is there already; --force overwrites it") from None
    except OSError as error:
        raise NotWritten(f"{out} cannot be written: {error.strerror or error}") from None


@contextmanager
def _beside(out: Path) -> Iterator[tuple[IO[str], Path]]:
    """A new file in the folder of ``out``, with the rights that any new file has here; it is gone afterwards, unless it was renamed."""
    with tempfile.TemporaryDirectory(prefix=".ecloud-", dir=out.parent) as folder:
        passing = Path(folder, "file")
        with passing.open("x", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file, passing
