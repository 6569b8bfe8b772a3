"""A program that is run for what it says, by somebody who does not trust it: how long it may take and how much it may say is bounded."""

import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from typing import IO, cast


class SaidTooMuch(Exception):
    """The program wrote more than was asked for."""


def spoken(command: Sequence[str], data: bytes, patience: float, longest: int) -> tuple[int, bytes, bytes]:
    """Run a program with ``data`` on its stdin: its exit code, stdout and stderr, each of them at most ``longest`` bytes.

    It is killed when that takes longer than ``patience`` seconds (TimeoutExpired) or it says more (SaidTooMuch). Raises OSError where it
    cannot be started.
    """
    deadline = time.monotonic() + patience
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pipes = [cast("IO[bytes]", pipe) for pipe in (child.stdin, child.stdout, child.stderr)]
    heard = dict.fromkeys(pipes[1:], b"")
    rest = memoryview(data)
    try:
        with selectors.DefaultSelector() as selector:
            for pipe in pipes:
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_WRITE if pipe is child.stdin else selectors.EVENT_READ)
            while any(pipe in heard for pipe in (key.fileobj for key in selector.get_map().values())):
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise subprocess.TimeoutExpired(command, patience)
                for key, _ in ready:
                    pipe = cast("IO[bytes]", key.fileobj)
                    if pipe in heard:
                        piece = os.read(pipe.fileno(), 1 << 16)
                        heard[pipe] += piece
                        if len(heard[pipe]) > longest:
                            raise SaidTooMuch
                        over = not piece
                    else:
                        rest = rest[_write(pipe.fileno(), rest) :]
                        over = not rest
                    if over:
                        selector.unregister(pipe)
                        pipe.close()
        return child.wait(max(0.0, deadline - time.monotonic())), heard[pipes[1]], heard[pipes[2]]
    finally:
        child.kill()
        child.wait()
        for pipe in pipes:
            try:
                pipe.close()
            except OSError:  # what was not written never will be
                continue


def _write(descriptor: int, rest: memoryview) -> int:
    """How much of it is done with: all, where nobody reads it any more."""
    try:
        return os.write(descriptor, rest[: 1 << 16])
    except BrokenPipeError:
        return len(rest)
