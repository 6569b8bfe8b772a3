#!/usr/bin/env python3
"""How fast tasks go through a boss while a worker with a valid certificate floods it, beside the same boss left in peace.

Rules:
- The flooder is a process of its own that publishes on its own topics, as the broker lets it. ``full`` sends whatever it can as fast as it
  can; ``steady`` stays just below what one worker may say, for ever, with messages that are dear to read.
- Both share one machine, where the flooder has the lowest priority, because a real one has a machine of its own. What the broker spends on
  it counts.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.loads import WARM_UP
from benchmarks.private_boss import PrivateBoss, private_boss
from boss.adapters.certificates import Authority
from worker.protocol import Goodbye, Heartbeat, LogChunk, Result, Results, encode, topic_log, topic_out, topic_status

_NAME = "evil"
_WAIT = 600.0


def flood(port: int, files: Path, cluster: str, kind: str) -> None:
    """Publish until killed."""
    os.nice(19)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.tls_set(str(files / "ca.pem"), str(files / "tls.pem"), str(files / "tls.key"))
    client.connect("127.0.0.1", port)
    client.loop_start()
    forged = tuple(Result(f"a1b2c3.{n}.1", "succeeded", stdout="x" * 300, files=(("out", 3, "ab" * 32),)) for n in range(18))
    dear = encode(Results("s", forged))[0]
    out, status, log = topic_out(cluster, _NAME), topic_status(cluster, _NAME), topic_log(cluster, _NAME, "a1b2c3.0.1")
    cheap = [
        (out, encode(Goodbye("s"))[0], 0, False),
        (out, b"[" * 5000, 1, False),
        (out, encode(Heartbeat("s", 1, 1, {f"a1b2c3.{n}.1": "running" for n in range(200)}))[0], 0, True),
        (status, b"online", 0, True),
        (log, encode(LogChunk("s", "a1b2c3.0.1", "stdout", 0, "x" * 2000))[0], 0, False),
        (out, dear, 0, False),
    ]
    begun, said = time.monotonic(), 0
    while True:
        if kind == "steady":
            client.publish(out, dear, 0)
            time.sleep(max(0.0, begun + (said + 1) / 450.0 - time.monotonic()))
        else:
            topic, payload, qos, retain = cheap[said % len(cheap)]
            client.publish(topic, payload, qos, retain)
            if said % 200 == 0:  # paho's own queue grows without end
                time.sleep(0.005)
        said += 1


def measure(boss: PrivateBoss, name: str, tasks: int) -> dict[str, float]:
    """Tasks a second, and what one costs all processes of the boss in cpu milliseconds."""
    task = {"id": "t{i}", "foreach": {"i": {"range": [0, tasks]}}, "command": "/bin/true"}
    cpu = boss.cpu()
    job = boss.client.submit({"job": name, "tasks": [task]})
    state = job.wait(_WAIT)
    if state != "succeeded":
        raise RuntimeError(f"the job has {state}")
    rows = job.tasks()
    run = max(row["finished"] for row in rows) - min(row["started"] for row in rows)
    return {"tasks/s": tasks / run, "cpu ms": 1000 * (boss.cpu() - cpu) / tasks}


def main() -> None:
    """Measure in peace, under each flood, and in peace again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=3000)
    parser.add_argument("--flood", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        port, files, cluster, kind = options.flood
        flood(int(port), Path(files), cluster, kind)
    with private_boss(None) as boss:
        boss.client.submit(WARM_UP.document).wait(_WAIT)
        port = (boss.state / "mosquitto" / "port").read_text().strip()
        cluster = boss.client.context()["cluster"]
        found = {"in peace": measure(boss, "peace", options.tasks)}
        Authority(boss.state / "pki").issue_tls(_NAME, boss.state / _NAME, 1)
        for kind in ("steady", "full"):
            flooder = subprocess.Popen([sys.executable, __file__, "--flood", port, str(boss.state / _NAME), cluster, kind])
            try:
                found[kind] = measure(boss, kind, options.tasks)
            finally:
                flooder.kill()
                flooder.wait()
            print("\n".join(boss.client.status()["notes"]))
        found["in peace again"] = measure(boss, "again", options.tasks)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
