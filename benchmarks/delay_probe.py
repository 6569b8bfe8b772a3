"""A probe of the relay, and its other end on a worker's host, which says every word back or swallows a stream."""

import socket
import sys
import threading
import time

#: The first byte of a connection.
ECHO, SINK = b"e", b"s"
_BLOCK = 1 << 20
_FULL = 1.0


def serve(address: str, port: int) -> None:
    """Answer for ever."""
    with socket.create_server((address, port)) as listener:
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kind = connection.recv(1)
        taken = 0
        while data := connection.recv(_BLOCK):
            taken += len(data)
            if kind == ECHO:
                connection.sendall(data)
        if kind == SINK:
            connection.sendall(taken.to_bytes(8, "big"))


def round_trips(address: str, port: int, count: int) -> list[float]:
    """How long small words took there and back, in seconds, sorted."""
    times = []
    with socket.create_connection((address, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(ECHO)
        for _ in range(count):
            begun = time.perf_counter()
            connection.sendall(b"x")
            connection.recv(1)
            times.append(time.perf_counter() - begun)
    return sorted(times)


def throughput(address: str, port: int) -> float:
    """Bytes a second of one stream."""
    block = bytes(_BLOCK)
    with socket.create_connection((address, port)) as connection:
        connection.sendall(SINK)
        begun = time.perf_counter()
        while time.perf_counter() - begun < _FULL:
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)
        taken = int.from_bytes(connection.recv(8), "big")
        return taken / (time.perf_counter() - begun)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
