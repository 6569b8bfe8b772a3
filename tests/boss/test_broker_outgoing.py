"""What the broker's adapter makes of messages before they reach the wire."""

from pathlib import Path

from boss.adapters.broker import MqttBroker
from boss.adapters.certificates import TlsFiles
from worker.protocol import MAX_MESSAGE, Assign, Assignment, decode


def test_a_task_that_is_too_long_for_a_message_does_not_hold_the_others_back() -> None:
    nowhere = Path("nowhere")
    broker = MqttBroker("localhost", 1, TlsFiles(nowhere, nowhere, nowhere), "c1", 1, lambda _worker, _chunk: None)
    broker._up = True
    short, long = ("true",), ("x" * MAX_MESSAGE,)
    attempts = tuple(Assignment(f"u.{n}.1", "job", f"t{n}", long if n == 1 else short) for n in range(4))
    broker.send("w1", Assign(1, 7, attempts))
    sent = [decode(outgoing.payload) for outgoing in broker._outgoing]
    assert [one.attempt for message in sent if isinstance(message, Assign) for one in message.attempts] == [
        "u.0.1",
        "u.2.1",
        "u.3.1",
    ]
