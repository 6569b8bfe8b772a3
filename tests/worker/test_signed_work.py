"""A worker that runs signed work only, real, before a boss that was broken into: it says anything, and only what was signed runs."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from boss.adapters.certificates import Authority
from boss.adapters.daemons import Daemon
from datastore import layout
from tests.datastore.host import Datastore, Sshd
from tests.servers import CLUSTER
from tests.signing import Key, digest_of, document, signed, template
from tests.worker.scripted import ScriptedBoss, WorkerProcess, granted
from worker import protocol as wire
from worker.trust import VERIFIES, trusts


@pytest.fixture
def ada(tmp_path: Path) -> Key:
    """The key that the worker trusts."""
    return Key(tmp_path / "keys", "ada")


@pytest.fixture
def wary(
    tmp_path: Path, broker_server: Daemon, authority: Authority, boss: ScriptedBoss, sshd: Sshd, datastore: Datastore, ada: Key
) -> Iterator[WorkerProcess]:
    """Worker ``w1``, which trusts ada and nobody else."""
    folder = tmp_path / "w1"
    folder.mkdir()
    (folder / "allowed_signers").write_text(f"# whom we trust\n{ada.line}")
    endpoint = sshd.certificate("worker:w1", datastore.root)
    worker = WorkerProcess(
        folder, broker_server, authority, "w1", {"cpus": 2}, endpoint, allowed_signers=str(folder / "allowed_signers")
    )
    yield worker.start()
    worker.kill()
    print(worker.log.read_text())


Stored = Callable[[bytes], str]


@pytest.fixture
def stored(datastore: Datastore) -> Stored:
    """Puts pushed content on the datastore; its digest."""

    def store(data: bytes) -> str:
        digest = digest_of(data)
        path = datastore.root / layout.file_path(digest)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return digest

    return store


def order(digest: str, **more: Any) -> wire.Assignment:
    """What an honest boss says of the one task of ``document()``."""
    plain = wire.Assignment("u.0.1", "j", "t", ("true",), needs={"cpus": 1}, timeout=60.0, document=digest)
    return plain._replace(**more)


def refused(boss: ScriptedBoss, assignment: wire.Assignment, because: str) -> None:
    """The attempt is not run, and why."""
    boss.assign(granted(assignment))
    result = boss.result(assignment.attempt)
    assert (result.outcome, result.phase, result.exit_code) == ("failed", "verify", None), result
    assert because in result.reason
    assert result.stderr.startswith("ecloud: ")
    boss.acknowledge(assignment.attempt)
    boss.heard.clear()


def test_a_worker_that_trusts_somebody_says_whom_and_runs_what_they_signed(
    boss: ScriptedBoss, wary: WorkerProcess, ada: Key, stored: Stored, datastore: Datastore
) -> None:
    hello = boss.wait(wire.Hello)
    assert hello.resources == {"cpus": 2, VERIFIES: 1, trusts(ada.fingerprint): 1}
    program = stored(b"echo from $1\n")
    datastore.accept(datastore.upload({"r/1.txt": b"1\n"}, attempt="u.9.1"), "u.9.1")
    grid = [["n", [1, 2, 3]]]
    content = document(
        cluster=CLUSTER,
        files={"p.sh": [program, 0o755]},
        dimensions=grid,
        templates=[
            template(
                ["t-", ["n", "", ""]],
                ["./p.sh ", ["n", "", ""], "; cat in/1.txt; echo $MODE"],
                inputs=[["p.sh", None], ["r/*.txt", "in/"]],
                env=[["MODE", ["m", ["n", "02d", ""]]]],
                grid=[0],
            )
        ],
    )
    digest = stored(signed(ada, content))
    boss.assign(
        granted(
            order(
                digest,
                task="t-3",
                row=2,
                commands=("./p.sh 3; cat in/1.txt; echo $MODE",),
                env={"MODE": "m03"},
                inputs=(wire.Input("p.sh", "", program, 0o755), wire.Input("r/*.txt", "in/")),
            )
        )
    )
    result = boss.result("u.0.1")
    assert (result.outcome, result.stdout) == ("succeeded", "from 3\n1\nm03\n"), result


def test_whatever_a_broken_in_boss_changes_is_refused_and_nothing_of_it_runs(
    boss: ScriptedBoss, wary: WorkerProcess, ada: Key, stored: Stored, tmp_path: Path
) -> None:
    good, bad = stored(b"echo good\n"), stored(b"touch /tmp/evil\n")
    content = document(
        cluster=CLUSTER,
        files={"p.sh": [good, 0o755]},
        templates=[
            template("t", "sh p.sh", inputs=[["p.sh", None]], env=[["A", "1"]], outputs=[["o", None, False]]),
            template("u", f"touch {tmp_path}/other", init=True),
        ],
    )
    digest = stored(signed(ada, content))
    honest = order(
        digest,
        commands=("sh p.sh",),
        env={"A": "1"},
        inputs=(wire.Input("p.sh", "", good, 0o755),),
        outputs=(wire.Output("o", "o"),),
    )
    boss.wait(wire.Hello)
    refused(boss, honest._replace(attempt="u.0.1", commands=(f"touch {tmp_path}/evil",)), "its commands: ('sh p.sh',) was signed")
    refused(boss, honest._replace(attempt="u.0.2", commands=("sh p.sh", "id")), "its commands")
    refused(boss, honest._replace(attempt="u.0.3", env={"A": "1", "LD_PRELOAD": "x"}), "its env")
    refused(boss, honest._replace(attempt="u.0.4", env={}), "its env")
    other_digest = (wire.Input("p.sh", "", bad, 0o755),)
    refused(boss, honest._replace(attempt="u.0.5", inputs=other_digest), f"its input p.sh: {good[:12]}... was signed")
    refused(boss, honest._replace(attempt="u.0.6", inputs=(wire.Input("p.sh", "", good, 0o644),)), "its input p.sh")
    refused(boss, honest._replace(attempt="u.0.7", inputs=(wire.Input("p.sh", "q.sh", good, 0o755),)), "its input p.sh")
    refused(boss, honest._replace(attempt="u.0.8", inputs=(wire.Input("p.sh", ""),)), "a result of the job")
    more = (*honest.inputs, wire.Input("evil.so", "", bad))
    refused(boss, honest._replace(attempt="u.0.9", inputs=more), "its input evil.so: it was not signed so")
    refused(boss, honest._replace(attempt="u.0.10", inputs=()), "its input p.sh was signed, and the boss leaves it out")
    refused(boss, honest._replace(attempt="u.0.11", entry=1), "is task u")
    refused(boss, honest._replace(attempt="u.0.12", entry=2), "has no template 2")
    refused(boss, honest._replace(attempt="u.0.13", row=1), "row 1")
    refused(boss, honest._replace(attempt="u.0.14", init=True), "its init")
    refused(boss, honest._replace(attempt="u.0.15", outputs=(wire.Output("o", "elsewhere"),)), "its outputs")
    refused(boss, honest._replace(attempt="u.0.16", timeout=1.0), "its timeout")
    refused(boss, honest._replace(attempt="u.0.17", job="k"), "job j was signed")
    refused(boss, honest._replace(attempt="u.0.18", task="u"), "is task t")
    refused(boss, honest._replace(attempt="u.0.19", document=""), "this one is not signed")
    refused(boss, honest._replace(attempt="u.0.20", needs={"cpus": 2}), "its needs")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "other").exists()
    assert wary.log.read_text().count("is NOT RUN") == 20
    boss.assign(granted(honest._replace(attempt="u.0.21", outputs=honest.outputs)))
    assert boss.result("u.0.21").stdout == "good\n"  # and it is no worse for it (the output was not made: that is phase upload)


def test_only_a_signature_of_a_trusted_key_for_this_cluster_and_this_time_counts(
    boss: ScriptedBoss, wary: WorkerProcess, ada: Key, stored: Stored, tmp_path: Path
) -> None:
    boss.wait(wire.Hello)
    now = int(time.time())
    good = signed(ada, document(cluster=CLUSTER))
    eve = Key(tmp_path / "keys", "eve")
    rsa = Key(tmp_path / "keys", "rsa", "rsa")
    cases = [
        (signed(eve, document(cluster=CLUSTER)), "is not among those that are trusted"),
        (signed(rsa, document(cluster=CLUSTER)), "of type ssh-rsa: jobs are signed with Ed25519"),
        (signed(ada, document(cluster=CLUSTER), "git"), "the signature is for 'git', not for a job"),
        (good.replace(b'"true"', b'"fals"'), "the signature of ada does not hold"),
        (good[good.index(b"{") :], "does not begin with an SSH signature"),
        (signed(ada, document(cluster="elsewhere")), "was signed for cluster elsewhere"),
        (signed(ada, document(cluster=CLUSTER, made=now - 9000, expires=now - 5)), "the signature was good until"),
        (signed(ada, document(cluster=CLUSTER, made=now + 9000, expires=now + 99000)), "is a clock off?"),
        (signed(ada, document(cluster=CLUSTER, format="ecloud-job-9")), "has the format 'ecloud-job-9'"),
        (signed(ada, {**document(cluster=CLUSTER), "files": {"a": 1}}), "cannot be read"),
        (signed(ada, document("k", cluster=CLUSTER)), "job k was signed"),  # another job's signature
    ]
    for number, (data, because) in enumerate(cases, 1):
        refused(boss, order(stored(data), attempt=f"u.0.{number}"), because)
    # The datastore sends another document than the boss has named: it does not even arrive.
    digest = stored(b"x")
    Path(tmp_path / "root" / layout.file_path(digest)).write_bytes(good)
    boss.assign(granted(order(digest, attempt="u.1.1")))
    assert boss.result("u.1.1").outcome == "failed"
    boss.assign(granted(order(stored(good), attempt="u.1.2")))
    assert boss.result("u.1.2").outcome == "succeeded"


def test_a_document_without_a_grant_is_not_fetched(boss: ScriptedBoss, wary: WorkerProcess, ada: Key, stored: Stored) -> None:
    boss.wait(wire.Hello)
    digest = stored(signed(ada, document(cluster=CLUSTER)))
    boss.assign(order(digest)._replace(grant="00" * 32))
    result = boss.result("u.0.1")
    assert (result.outcome, result.phase, result.exit_code) == ("failed", "fetch", None)


def test_what_init_tasks_of_one_job_left_is_given_to_no_other_job(
    boss: ScriptedBoss, wary: WorkerProcess, ada: Key, stored: Stored
) -> None:
    boss.wait(wire.Hello)
    one, other = (stored(signed(ada, document(job, cluster=CLUSTER))) for job in ("j", "k"))
    boss.assign(granted(order(one, attempt="u.0.1")))
    assert boss.result("u.0.1").outcome == "succeeded"
    refused(boss, order(other, attempt="u.1.1", job="k"), "attempts of u were of job j")


def test_a_datastore_that_sends_other_files_than_the_inputs_name_is_found_out(
    boss: ScriptedBoss, wary: WorkerProcess, ada: Key, stored: Stored, datastore: Datastore
) -> None:
    script = stored(b"echo good\n")
    # A result that takes the place of the pushed script: the glob fits both.
    datastore.accept(datastore.upload({"in/p.sh": b"echo evil\n"}, attempt="u.9.1"), "u.9.1")
    content = document(
        cluster=CLUSTER,
        files={"p.sh": [script, 0o644]},
        templates=[template("t", "sh p.sh", inputs=[["p.sh", None], ["in/*.sh", "x/"], ["in/p.sh", "p.sh"]])],
    )
    digest = stored(signed(ada, content))
    boss.wait(wire.Hello)
    inputs = (wire.Input("p.sh", "", script), wire.Input("in/*.sh", "x/"), wire.Input("in/p.sh", "p.sh"))
    refused(boss, order(digest, commands=("sh p.sh",), inputs=inputs), "would both lie at p.sh")


def test_shared_data_is_what_it_was_when_the_job_was_signed(
    boss: ScriptedBoss, wary: WorkerProcess, ada: Key, stored: Stored, datastore: Datastore
) -> None:
    shared = datastore.root / "shared"
    (shared / "g.fa").write_bytes(b"GATTACA\n")
    (shared / layout.MANIFEST).write_text(layout.manifest_line("g.fa", digest_of(b"GATTACA\n")))
    templates = [template("t", "cat g.fa", inputs=[["shared:g.fa", None]])]
    told = order("", commands=("cat g.fa",), inputs=(wire.Input("shared:g.fa", "g.fa"),))
    boss.wait(wire.Hello)
    right = stored(signed(ada, document(cluster=CLUSTER, shared={"g.fa": digest_of(b"GATTACA\n")}, templates=templates)))
    boss.assign(granted(told._replace(document=right)))
    assert boss.result("u.0.1").stdout == "GATTACA\n"
    wrong = stored(signed(ada, document(cluster=CLUSTER, shared={"g.fa": digest_of(b"x")}, templates=templates)))
    refused(boss, told._replace(document=wrong, attempt="u.0.2"), "is not the data that was there when the job was signed")
    none = stored(signed(ada, document(cluster=CLUSTER, templates=templates)))
    refused(boss, told._replace(document=none, attempt="u.0.3"), "no digest of it was signed")


def test_a_worker_that_trusts_nobody_in_particular_runs_signed_and_unsigned_work_alike(
    boss: ScriptedBoss, running: WorkerProcess
) -> None:
    assert set(boss.wait(wire.Hello).resources) == {"cpus", "memory"}
    boss.assign(order("00" * 32), order("", attempt="u.0.2"))
    assert [boss.result(name).outcome for name in ("u.0.1", "u.0.2")] == ["succeeded", "succeeded"]
