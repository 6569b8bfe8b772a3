"""The worker's JSON file."""

import json
from pathlib import Path
from typing import Any

import pytest

from worker import terms
from worker.config import ConfigError, load
from worker.limits import Limits
from worker.terms import BrokerConfig, DatastoreConfig, PulseConfig, RenewalConfig, WorkerConfig


def document(folder: Path) -> dict[str, Any]:
    for name in ("ca.pem", "tls.pem", "tls.key", "key", "key-cert.pub", "known_hosts"):
        (folder / name).write_text("")
    return {
        "worker": "w1",
        "cluster": "c1",
        "folder": "/var/w1",
        "broker": {"host": "h", "port": 8883, "ca": "ca.pem", "certificate": "tls.pem", "key": str(folder / "tls.key")},
        "datastore": {
            "host": "d", "port": 22, "user": "u", "key": "key", "certificate": "key-cert.pub", "known_hosts": "known_hosts",
        },
        "resources": {"cpus": 2, "memory": 1 << 30, "gpus": 0},
    }  # fmt: skip


def written(folder: Path, content: Any) -> str:
    path = folder / "worker.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_a_good_file_is_read_and_relative_paths_start_at_its_folder(tmp_path: Path) -> None:
    config = load(written(tmp_path, document(tmp_path) | {"lease": 60, "of a newer boss": 1}))
    here = str(tmp_path)
    assert config.broker == BrokerConfig("h", 8883, f"{here}/ca.pem", f"{here}/tls.pem", f"{here}/tls.key")
    assert config.datastore == DatastoreConfig("d", 22, "u", f"{here}/key", f"{here}/key-cert.pub", f"{here}/known_hosts")
    assert (config.worker, config.folder, config.heartbeat, config.lease) == ("w1", "/var/w1", 5.0, 60.0)
    assert config.resources == {"cpus": 2, "memory": 1 << 30, "gpus": 0}


def test_what_is_written_of_a_configuration_is_read_as_it_was(tmp_path: Path) -> None:
    document(tmp_path)
    here = str(tmp_path)
    config = WorkerConfig(
        worker="w1",
        pool="cloud",
        cluster="c1",
        folder="/var/w1",
        broker=BrokerConfig("h", 8883, f"{here}/ca.pem", f"{here}/tls.pem", f"{here}/tls.key"),
        datastore=DatastoreConfig("d", 22, "u", f"{here}/key", f"{here}/key-cert.pub", f"{here}/known_hosts"),
        resources={"cpus": 1.5},
        heartbeat=1.5,
        lease=2.5,
        longest_lease=3.5,
        cache_bytes=4,
        task_user="nobody",
        limits=Limits(("memory",), 100, 0.5),
        allowed_signers=f"{here}/signers",
        pulse=PulseConfig("/run/pulse", 5.5),
        renewal=RenewalConfig(f"{here}/ca.pem", f"{here}/key", f"{here}/tls.key"),
        base=here,
    )
    assert load(written(tmp_path, terms.document(config))) == config
    bare = config._replace(datastore=None, pulse=None, renewal=None, task_user="", pool="")
    assert load(written(tmp_path, terms.document(bare))) == bare


def test_a_worker_may_do_without_a_datastore(tmp_path: Path) -> None:
    assert load(written(tmp_path, document(tmp_path) | {"datastore": None})).datastore is None


def test_what_a_newer_boss_wants_enforced_is_read_and_what_is_no_limit_is_named(tmp_path: Path) -> None:
    newer = document(tmp_path) | {"limits": {"enforce": ["memory", "colour"]}}
    assert load(written(tmp_path, newer)).limits == Limits(("memory", "colour"))
    assert load(written(tmp_path, document(tmp_path))).limits == Limits()
    with pytest.raises(ConfigError) as wrong:
        load(written(tmp_path, document(tmp_path) | {"limits": {"enforce": "memory", "processes": 0, "memory_slack": -1}}))
    assert [line.split(":")[0] for line in str(wrong.value).splitlines()] == [
        "limits.enforce",
        "limits.processes",
        "limits.memory_slack",
    ]


def test_everything_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    wrong = document(tmp_path) | {"worker": "a/b", "heartbeat": 0, "resources": {"cpus": 0, "memory": "2G"}}
    wrong["broker"] = {"host": 7, "port": 70000, "ca": "missing.pem", "certificate": "tls.pem"}
    del wrong["cluster"]
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, wrong))
    assert str(caught.value).splitlines() == [
        "worker: 'a/b' is no id (letters, digits, '.', '_', '-')",
        "cluster: is missing",
        "broker.host: is not a text",
        "broker.port: is not a port (1 to 65535)",
        "broker.key: is missing",
        f"broker.ca: there is no file {tmp_path}/missing.pem",
        "resources.memory: is not a number of at least 0",
        "resources.cpus: is not a positive number",
        "heartbeat: is not a positive number",
    ]


@pytest.mark.parametrize(("content", "said"), [("{", "not JSON"), ("[]", "not a JSON object")])
def test_what_is_no_configuration_is_said_so(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(written(tmp_path, content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.json: No such file"):
        load(str(tmp_path / "nowhere.json"))
