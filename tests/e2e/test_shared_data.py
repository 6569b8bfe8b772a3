"""Shared data on the whole way: one upload, one fetch per worker, whatever the tasks do to it; and files below the legacy root."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deployment import ROOT, Deployment, deployed, until

SIZE = 64 * 2**20
WORKERS = 4


def lines(path: Path) -> list[dict[str, Any]]:
    """A file of JSON lines of the datastore's own."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.long
def test_one_upload_and_one_fetch_per_worker_for_three_jobs(tmp_path: Path) -> None:
    with deployed(tmp_path, ECLOUD_LOCAL_SLOTS=str(WORKERS)) as ecloud:
        store = ecloud.state / "datastore"
        digest = _random_file(ecloud.folder / "hg38.fa", SIZE)
        assert "is there now (1 file, 64.0 MiB)" in ecloud.admin("put", "hg38.fa", "shared:genomes/hg38.fa")
        assert "was there already, the same" in ecloud.admin("put", "hg38.fa", "shared:genomes/hg38.fa")
        (shown,) = ecloud.look("show_shared", "shared:genomes/")
        assert (shown["name"], shown["size"], shown["sha256"]) == ("genomes/hg38.fa", SIZE, digest)

        meeting = tmp_path / "meeting"
        meeting.mkdir()
        check = f"echo '{digest}  in/ref.fa' | sha256sum -c -"
        meet = f"touch {meeting}/$ECLOUD_TASK; while [ $(ls {meeting} | wc -l) -lt {WORKERS} ]; do sleep 0.1; done"
        spoil = "chmod u+w in/ref.fa; echo spoilt >> in/ref.fa"
        commands = {"first": f"{check}; {meet}", "second": f"{check}; {spoil}", "third": f"{check}; {spoil}"}
        for name, command in commands.items():
            count = WORKERS if name == "first" else 3 * WORKERS
            entry = {
                "id": "t-{i}",
                "foreach": {"i": {"range": [0, count]}},
                "command": command,
                "inputs": [{"from": "shared:genomes/hg38.fa", "to": "in/ref.fa"}],
            }
            ecloud.push({"job": name, "tasks": [entry]}, name=name)
        for name in commands:
            states = ecloud.finished(name)
            assert set(states.values()) == {"succeeded"}, ecloud.admin("show_failed")

        assert [put["name"] for put in lines(store / "shared-puts.jsonl")] == ["genomes/hg38.fa"]
        fetches = lines(store / "shared-fetches.jsonl")
        assert sorted(fetch["worker"] for fetch in fetches) == sorted({fetch["worker"] for fetch in fetches})
        assert len(fetches) == WORKERS and {fetch["bytes"] for fetch in fetches} == {SIZE}
        subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=store / "shared", check=True)


def test_a_put_that_is_interrupted_goes_on(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        parts = ecloud.state / "datastore" / "parts"
        digest = _random_file(ecloud.folder / "big.bin", SIZE)
        part = parts / f"{digest}.part"
        command = [sys.executable, str(ROOT / "admin.py"), "put", "big.bin", "shared:big.bin"]
        putting = subprocess.Popen(command, cwd=ecloud.folder, env=ecloud.environment, stderr=subprocess.PIPE, text=True)
        until(lambda: True if part.exists() and part.stat().st_size > 2**20 else None, 60, "a beginning")
        os.kill(putting.pid, signal.SIGINT)
        _, said = putting.communicate(timeout=60)
        if putting.returncode:  # it may just have been through
            assert (putting.returncode, "goes on with shared:big.bin where it stopped" in said) == (130, True)
            assert ecloud.look("show_shared") == []
        ecloud.admin("put", "big.bin", "shared:big.bin")
        assert [one["sha256"] for one in ecloud.look("show_shared")] == [digest]
        assert not list(parts.iterdir())


def test_mistakes_with_shared_data_change_nothing_and_name_the_remedy(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        (ecloud.folder / "a").write_text("1\n")
        (ecloud.folder / "b").write_text("2\n")
        ecloud.admin("put", "a", "shared:refs/a")
        for words, sentence in [
            (
                ("b", "shared:refs/a"),
                "shared:refs/a exists with other content; shared data is never overwritten: choose another name",
            ),
            (("b", "refs/b"), "'refs/b' is no name of shared data; write it like shared:refs/b"),
            (("nothing", "shared:x"), "there is no file or folder 'nothing'"),
            (("a", "shared:../x"), "leaves shared/"),
            (("a", "shared:a*"), "has wildcards"),
        ]:
            done = ecloud.run("admin.py", "put", *words)
            assert done.returncode == 2 and sentence in done.stderr, done.stderr
        pushed = _push(ecloud, {"tasks": [{"id": "t", "command": "true", "inputs": ["shared:refs/c", "shared:refs", "x"]}]})
        assert pushed.returncode == 2
        assert "tasks[0] 't': inputs[0]: there is no shared data shared:refs/c (did you mean shared:refs/a" in pushed.stderr
        assert "inputs[1]: shared:refs is a folder; write shared:refs/" in pushed.stderr
        assert "inputs[2]: no task yields 'x'" in pushed.stderr
        assert ecloud.look("show_jobs") == []
        assert [one["name"] for one in ecloud.look("show_shared")] == ["refs/a"]


def test_the_originals_sources_from_outside_lie_below_the_legacy_root(tmp_path: Path) -> None:
    root = tmp_path / "legacy"
    (root / "data").mkdir(parents=True)
    (root / "data" / "x.dat").write_text("from outside\n")
    document = [
        {"key": "abs", "cmd": "cat x.dat > abs.txt", "requires": [str(root / "data/x.dat")], "results": ["abs.txt"]},
        {"key": "up", "cmd": "cat in/x > up.txt", "requires": [["../data/x.dat", "in/x"]], "results": ["up.txt"]},
    ]
    with deployed(tmp_path) as ecloud:
        refused = _push(ecloud, document)
        assert refused.returncode == 2 and refused.stderr.count("set datastore_legacy_root") == 2
    with deployed(tmp_path, ECLOUD_DATASTORE_LEGACY_ROOT=str(root)) as ecloud:
        job = ecloud.push(document, name="legacy")
        assert set(ecloud.finished(job).values()) == {"succeeded"}, ecloud.admin("show_failed")
        ecloud.admin("fetch", job, "--to", "got")
        assert (ecloud.folder / "got/abs.txt").read_text() == (ecloud.folder / "got/up.txt").read_text() == "from outside\n"
        wrong = _push(ecloud, [{"key": "a", "cmd": "x", "requires": [["../../etc/passwd", "p"], ["../nothing", "n"]]}])
        assert wrong.returncode == 2
        assert "leads out of datastore_legacy_root" in wrong.stderr
        missing = _push(ecloud, [{"key": "a", "cmd": "x", "requires": [["../nothing", "n"]]}])
        assert missing.returncode == 2
        assert f"there is no {root}/nothing on the datastore's host (below the setting datastore_legacy_root)" in missing.stderr


def _push(ecloud: Deployment, document: object) -> "subprocess.CompletedProcess[str]":
    path = ecloud.folder / "wrong.json"
    path.write_text(json.dumps(document))
    return ecloud.run("push_tasks.py", str(path))


def _random_file(path: Path, size: int) -> str:
    data = os.urandom(size)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def test_a_viewer_lists_shared_data_and_puts_none(tmp_path: Path) -> None:
    with deployed(tmp_path) as ecloud:
        (ecloud.folder / "a").write_text("1\n")
        ecloud.admin("put", "a", "shared:a")
        ecloud.environment["ECLOUD_TOKEN"] = ecloud.admin("create_token", "viewer", "eve").strip().splitlines()[-1].split()[-1]
        ecloud.environment["ECLOUD_API_URL"] = json.loads((ecloud.state / "api.json").read_text())["url"]
        assert [one["name"] for one in ecloud.look("show_shared")] == ["a"]
        done = ecloud.run("admin.py", "put", "a", "shared:b")
        assert done.returncode == 4 and "a viewer only looks" in done.stderr, done.stderr
        assert [one["name"] for one in ecloud.look("show_shared")] == ["a"]
