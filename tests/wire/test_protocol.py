"""The wire, byte by byte: golden messages in ``golden.jsonl``, what is refused, and how long lists are split.

A golden line is what has been sent since the first release: lines are added, never changed, or older peers misread us. They are of
version 1; version 2 has only more kinds and fields, so its messages differ in their number alone.
"""

import json
from pathlib import Path
from typing import get_args

import pytest

from worker import protocol as wire
from worker.protocol import MAX_MESSAGE, Message, ProtocolError, decode, decode_with_version, encode

GOLDEN = Path(__file__).with_name("golden.jsonl").read_bytes().splitlines()

MESSAGES: list[Message] = [
    wire.Assign(3, 17, (wire.Assignment("u7.0.1", "ising", "T=1.5", ("python3 run.py",)),)),
    wire.Assign(
        3,
        18,
        (
            wire.Assignment(
                "u7.12.2",
                "ising",
                "sum",
                ("cd out", "cat *.csv > all"),
                inputs=(wire.Input("run.py", "run.py", "ab" * 32, 0o755), wire.Input("out/*.csv", "out/")),
                outputs=(wire.Output("all", "sums/all"), wire.Output("log/", "log/", True)),
                env={"MODE": "fast"},
                needs={"cpus": 2, "memory": 1073741824},
                timeout=90.5,
                grant="cd" * 32,
                init=True,
            ),
        ),
    ),
    wire.Cancel(3, 19, ("u7.0.1",), "cancelled by ada"),
    wire.Recall(3, 20, ("u7.0.1", "u7.1.1")),
    wire.Acknowledge(3, 21, ("u7.0.1",)),
    wire.Renew(3, 22, 5.0, 1800.0),
    wire.Drain(3, 23),
    wire.Resync(3, 24),
    wire.Follow(3, 25, "u7.0.1", True),
    wire.Hello("s1", 3, 25, {"cpus": 4, "memory": 8589934592}, {"u7.0.1": "running"}, "10.0.0.7", 42, "worker-ab12.pyz"),
    wire.Hello("s1", 0, 0, {"cpus": 4}, {}, draining=True),
    wire.Heartbeat("s1", 3, 25, {"u7.0.1": "queued", "u7.1.1": "finished"}, 1000000, 0.25),
    wire.Heartbeat("s1", 3, 25, {}, draining=True),
    wire.Heartbeat("s1", 3, 25, {"u7.0.1": "running"}, undelivered=("u7.0.1",), trouble="the datastore is full", full=True),
    wire.Heartbeat("s1", 3, 25, {}, cached={"ab12cd34ef56ab12": 1048576}),
    wire.Started("s1", {"u7.0.1": 1790000000.5}),
    wire.Results("s1", (wire.Result("u7.0.1", "succeeded", exit_code=0, started=1.5, finished=2.5, files=None),)),
    wire.Results(
        "s1",
        (
            wire.Result(
                "u7.1.1",
                "failed",
                "run",
                None,
                9,
                "killed by SIGKILL",
                1.5,
                2.5,
                {"cpu": 0.01, "memory": 4096},
                "caf\u00e9\n",
                "\ufffd",
                5000,
                3,
                True,
                (("a/b", 3, "ef" * 32),),
            ),
        ),
    ),
    wire.Recalled("s1", ("u7.2.1",)),
    wire.Goodbye("s1", "drained by the boss"),
    wire.LogChunk("s1", "u7.0.1", "stdout", 4096, "line\n"),
    wire.Certified(3, 26, "-----BEGIN CERTIFICATE-----\n", "ssh-ed25519-cert-v01@openssh.com AAAA\n", 345600.0),
    wire.Certify("s1", "ecdsa-sha2-nistp256 AAAA", "ssh-ed25519 AAAA"),
    wire.Hello("s1", 0, 0, {"cpus": 4}, {}, confinement={"memory": "control group v2", "user": "one for each task"}),
    wire.Assign(3, 27, (wire.Assignment("u7.2.1", "ising", "T=2", ("run 2",), document="ab" * 32, entry=1, row=4),)),
]


def test_every_kind_of_message_has_a_golden_line() -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(Message))
    assert len(GOLDEN) == len(MESSAGES)


@pytest.mark.parametrize(("message", "line"), list(zip(MESSAGES, GOLDEN, strict=False)))
def test_a_message_is_written_and_read_as_it_always_was(message: Message, line: bytes) -> None:
    assert encode(message, 1) == [line]
    assert encode(message) == [line.replace(b'{"v":1,', b'{"v":2,', 1)]
    assert decode_with_version(line) == (message, 1)
    assert decode_with_version(*encode(message)) == (message, 2)


def test_fields_of_a_newer_peer_are_passed_over() -> None:
    document = json.loads(GOLDEN[0]) | {"since": "version 1.5"}
    document["attempts"][0]["walltime"] = 5
    assert decode(json.dumps(document).encode()) == MESSAGES[0]


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"kind":"drain","epoch":1,"seq":1}', "version None"),
        (b'{"v":3,"kind":"drain","epoch":1,"seq":1}', "version 3, this side speaks 2"),
        (b'{"v":0,"kind":"drain","epoch":1,"seq":1}', "version 0, this side speaks 2"),
        (b'{"v":true,"kind":"drain","epoch":1,"seq":1}', "version True, this side speaks 2"),
        (b'{"v":2.0,"kind":"drain","epoch":1,"seq":1}', "version 2.0, this side speaks 2"),
        (b'{"v":1,"kind":"explode"}', "unknown kind 'explode'"),
        (b'{"v":1,"kind":["drain"]}', "unknown kind"),
        (b'{"v":1,"kind":"drain","epoch":1}', "Drain without seq"),
        (b'{"v":1,"kind":"drain","epoch":true,"seq":1}', "Drain.epoch: True does not fit"),
        (b'{"v":1,"kind":"drain","epoch":1,"seq":"1"}', "Drain.seq: '1' does not fit"),
        (b'{"v":1,"kind":"renew","epoch":1,"seq":1,"interval":NaN,"lease":1}', "Renew.interval: nan does not fit"),
        (b'{"v":1,"kind":"cancel","epoch":1,"seq":1,"attempts":["a",1]}', "Cancel.attempts"),
        (b'{"v":1,"kind":"assign","epoch":1,"seq":1,"attempts":["a"]}', "Assignment is not an object"),
        (b'{"v":1,"kind":"assign","epoch":1,"seq":1,"attempts":[{"attempt":"a"}]}', "Assignment without job"),
        (b'{"v":1,"kind":"hello","session":"s","epoch":0,"seq":0,"resources":{"cpus":"4"},"held":{}}', "Hello.resources"),
        (
            b'{"v":1,"kind":"results","session":"s","results":[{"attempt":"a","outcome":"x","files":[["p",-1,""]]}]}',
            "Result.files",
        ),
        (b" " * (MAX_MESSAGE + 1), "more than 262144"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(payload: bytes, said: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(payload)
    assert said in str(caught.value)


def test_a_long_list_is_split_and_only_the_last_piece_has_the_full_number() -> None:
    attempts = tuple(wire.Assignment(f"u.{number}.1", "j", "t", ("x" * 1000,)) for number in range(1000))
    pieces = [decode(payload) for payload in encode(wire.Assign(1, 50, attempts))]
    assert len(pieces) > 1
    assert [piece.seq for piece in pieces if isinstance(piece, wire.Assign)][-1] == 50
    assert all(piece.seq < 50 for piece in pieces[:-1] if isinstance(piece, wire.Assign))
    assert sum((piece.attempts for piece in pieces if isinstance(piece, wire.Assign)), ()) == attempts


def test_one_element_that_is_too_long_is_an_error_of_the_sender() -> None:
    with pytest.raises(ProtocolError, match="results of 300"):
        encode(wire.Results("s", (wire.Result("a", "failed", reason="x" * 300_000),)))
    with pytest.raises(ProtocolError, match="larger than a message may be"):
        encode(wire.Started("s", {str(number): 1.0 for number in range(100_000)}))


def test_text_that_is_no_utf8_still_travels() -> None:
    (payload,) = encode(wire.Goodbye("s", "file \udcff"))
    assert decode(payload) == wire.Goodbye("s", "file ?")


def test_topics_are_of_one_cluster_and_one_worker() -> None:
    assert wire.topic_in("c", "w") == "ecloud/c/worker/w/in"
    assert wire.topic_out("c", "w") == "ecloud/c/worker/w/out"
    assert wire.topic_status("c", "w") == "ecloud/c/worker/w/status"
    assert wire.topic_log("c", "w", "u.1.1") == "ecloud/c/worker/w/log/u.1.1"
    assert (wire.topic_boss("c"), wire.topic_events("c")) == ("ecloud/c/boss/status", "ecloud/c/events")
