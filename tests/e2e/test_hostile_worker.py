"""A worker with a valid certificate floods a whole, real ecloud: jobs go on, nothing is lost, and an admin sees who it was."""

from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from boss.adapters.certificates import Authority
from tests.e2e.deployment import deployed, until
from worker.protocol import Hello, Result, Results, encode, topic_out, topic_status

TASKS = 200
NAME = "evil"


@pytest.mark.long
def test_a_job_succeeds_beside_a_flood_and_status_names_who_was_dropped_and_why(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        cluster = ecloud.look("show_context")["cluster"]
        port = int((ecloud.state / "mosquitto" / "port").read_text())
        files = Authority(ecloud.state / "pki").issue_tls(NAME, tmp_path / NAME, 1)
        evil = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        evil.tls_set(str(files.ca), str(files.certificate), str(files.key))
        evil.connect("127.0.0.1", port)
        evil.loop_start()
        try:
            command = "mkdir out; echo {i} > out/{i}.txt"
            task = {"id": "t{i}", "foreach": {"i": {"range": [0, TASKS]}}, "command": command, "outputs": ["out/{i}.txt"]}
            ecloud.push({"job": "beside", "tasks": [task]})
            said = 0
            uid = "0123456789ab"
            forged = encode(
                Results("s", tuple(Result(f"{uid}.{n}.1", "succeeded", files=(("../x", 1, "ab"),)) for n in range(20)))
            )[0]
            hello = encode(Hello("s\ud800", 1, 2**62, {"cpus": 1e308}, {f"{uid}.1.\u00b2": "running"}))[0]
            while said < 30_000:
                for payload in (forged, hello, b"[" * 5000):
                    evil.publish(topic_out(cluster, NAME), payload, qos=said % 2)
                    evil.publish(topic_status(cluster, NAME), b"online", qos=0, retain=True)
                    said += 2
            states = ecloud.finished("beside", 240)
            assert set(states.values()) == {"succeeded"} and len(states) == TASKS
            note = until(lambda: next((said for said in ecloud.look("status")["notes"] if NAME in said), None), 60, "a note")
            assert f"Worker {NAME} is put aside" in note and "messages dropped: more than" in note
            assert f"worker {NAME} is put aside" in ecloud.log.read_text()
            assert "put aside: " not in ecloud.log.read_text().replace(f"worker {NAME} is put aside: ", ""), (
                "an event of it was too much"
            )
            assert ecloud.alive()
        finally:
            evil.loop_stop()
