"""A pool that runs signed jobs only, as researchers meet it; and what becomes of a boss's own database when somebody writes into it."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployment, deployed
from tests.signing import Key

DOCUMENT = {
    "job": "sweep",
    "files": ["sim.sh"],
    "tasks": [
        {"id": "env", "init": True, "command": "echo ready > here"},
        {
            "id": "sim-{n}-{k}",
            "foreach": [{"csv": "params.csv"}, {"k": {"range": [2]}}],
            "command": "sh sim.sh {T:.3f} {n} {k} > out-{n}-{k}.txt; cat $ECLOUD_INIT/here",
            "inputs": ["sim.sh", "shared:genome.fa"],
            "outputs": ["out-{n}-{k}.txt"],
            "env": {"MODE": "{T}"},
            "cpus": 0.5,
        },
        {"id": "sum", "command": "cat out-*.txt > sum.txt", "inputs": ["out-*.txt"], "outputs": ["sum.txt"]},
    ],
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: Key(folder, name) for name in ("ada", "eve")}


@pytest.fixture(scope="module")
def ecloud(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, Key]) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("signed")
    (folder / "signers").write_text(keys["ada"].line)
    (folder / "ecloud.toml").write_text(
        '[pools.secure]\nflavors = [{name = "one", resources = {cpus = 2, memory = "1G"}}]\nmaximum = 1\ncooldown = 1000\n'
        'require_signature = "signers"\n'
    )
    (folder / "sim.sh").write_text('echo "$1 $2 $3 $MODE" $(cat genome.fa)\n')
    (folder / "params.csv").write_text("T,n\n1.50,1\n2.25,2\n")
    (folder / "genome.fa").write_text("GATTACA\n")
    with deployed(folder, ECLOUD_CONFIG=str(folder / "ecloud.toml")) as deployment:
        deployment.admin("put", str(folder / "genome.fa"), "shared:genome.fa")
        yield deployment


def test_a_signed_sweep_runs_and_says_by_whom_it_is_signed(ecloud: Deployment, keys: dict[str, Key]) -> None:
    ecloud.push(DOCUMENT, "--sign", str(keys["ada"].path), name="sweep")
    assert set(ecloud.finished("sweep", 120).values()) == {"succeeded"}
    detail = json.loads(ecloud.admin("show_task", "sweep:sim-2-1", "--json"))
    assert (detail["signed"]["signer"], detail["signed"]["key"]) == ("ada", keys["ada"].fingerprint)
    ecloud.admin("fetch", "sweep", "--to", str(ecloud.folder / "results"))
    lines = (ecloud.folder / "results" / "sum.txt").read_text().splitlines()
    assert lines == ["1.500 1 0 1.50 GATTACA", "1.500 1 1 1.50 GATTACA", "2.250 2 0 2.25 GATTACA", "2.250 2 1 2.25 GATTACA"]


def test_an_unsigned_job_waits_and_is_told_how_to_go_on(ecloud: Deployment, keys: dict[str, Key]) -> None:
    document = {"job": "bare", "tasks": [{"id": "a", "command": "true"}]}
    ecloud.push(document, name="bare")
    said = ecloud.admin("why", "bare:a")
    assert "pool secure takes only jobs that are signed by ada, and it is not signed" in said and "--sign KEY" in said
    ecloud.push(document, "--job", "bare", "--merge", "replace", "--sign", str(keys["ada"].path), name="bare")
    assert ecloud.finished("bare", 60) == {"a": "succeeded"}


def test_what_somebody_writes_into_the_bosss_database_is_not_run(ecloud: Deployment, keys: dict[str, Key]) -> None:
    """A broken-in boss in earnest: the honest boss's memory is made of a database in which the command is another one."""
    document = {"job": "robbed", "tasks": [{"id": "a", "command": "echo honest"}]}
    ecloud.push(document, "--sign", str(keys["ada"].path), name="robbed")
    assert ecloud.finished("robbed", 60) == {"a": "succeeded"}
    ecloud.stop()
    evil = ecloud.folder / "evil"
    database = sqlite3.connect(ecloud.state / "ecloud.db")
    with database:
        (number,) = database.execute("SELECT number FROM jobs WHERE name = 'robbed'").fetchone()
        database.execute("UPDATE templates SET data = replace(data, 'echo honest', ?) WHERE job = ?", (f"touch {evil}", number))
    database.close()
    ecloud.start()
    ecloud.admin("redo_task", "robbed:a")
    assert ecloud.finished("robbed", 60) == {"a": "failed"}
    said = ecloud.admin("why", "robbed:a")
    assert "failed in phase verify" in said and "'echo honest'" in said and "Nothing of it was run" in said
    assert "NOT WHAT WAS SIGNED" in ecloud.admin("status")
    assert not Path(evil).exists()


def test_a_key_that_nobody_trusts_is_refused_at_the_push_and_changes_nothing(ecloud: Deployment, keys: dict[str, Key]) -> None:
    (ecloud.folder / "x.json").write_text(json.dumps({"job": "x", "tasks": [{"id": "a", "command": "true"}]}))
    told = ecloud.run("push_tasks.py", str(ecloud.folder / "x.json"), "--sign", str(keys["eve"].path))
    assert told.returncode == 2
    assert f"the key {keys['eve'].fingerprint} is not known here (pool secure trusts ada)" in told.stderr
    assert "x" not in ecloud.admin("show_jobs").split()
