"""How the tests of the gate ask it."""

from typing import Any

from datastore.channel import Channel
from datastore.frames import Line, Wire
from tests.datastore.host import Datastore

A = b"result of a\n"
B = b"result of b\n"


def accept(store: Datastore, manifest: Any, attempt: str = "u.0.1", job: str = "j") -> list[Any]:
    uploads = [[attempt, job, [list(row) for row in manifest]]]
    answer: list[Any] = store.boss.ask({"op": "accept", "uploads": uploads})["answers"][0]
    return answer


def put(channel: Channel, digest: str, data: bytes) -> Line:
    def give(wire: Wire) -> Line:
        wire.write_line({"item": digest})
        wire.write_chunk(data)
        wire.end_item()
        return {"end": True}

    return channel.ask({"op": "put"}, give=give)
