"""Accounts on the command line: tokens, and what each role is told with exit code 4."""

import re
from pathlib import Path

import pytest

from tests.api.rig import Rig
from tests.cli.shell import Said, Shell


@pytest.fixture
def people(rig: Rig, shell: Shell) -> dict[str, Shell]:
    """Shells of ada and bob (researchers) and vic (a viewer)."""
    found = {}
    for name, role in (("ada", "researcher"), ("bob", "researcher"), ("vic", "viewer")):
        found[name] = with_token(rig, shell, shell.admin("create_token", role, name).out.strip())
    return found


def with_token(rig: Rig, shell: Shell, token: str) -> Shell:
    """A shell with another token."""
    other = Shell(rig, shell.folder)
    other.environment["ECLOUD_TOKEN"] = token
    return other


def refused(said: Said) -> str:
    """The one line of a refusal."""
    assert said.code == 4 and said.out == "" and said.err.count("\n") == 1, said
    return said.err.rstrip("\n")


# ---- tokens ------------------------------------------------------------------------------------------------------------


def test_a_new_token_is_alone_on_stdout_and_nowhere_on_stderr(rig: Rig, shell: Shell) -> None:
    said = shell.admin("create_token", "researcher", "ada", "--expires", "90d")
    token = said.out.rstrip("\n")
    assert "\n" not in token
    lines = said.err.splitlines()
    assert f"export ECLOUD_API_URL={rig.url}" in lines
    assert token not in said.err and any(line.startswith('export ECLOUD_TOKEN="$(cat FILE)"') for line in lines)
    assert any("ssh -N -L" in line for line in lines)  # this API is on loopback
    assert with_token(rig, shell, token).look("status")["jobs"] == []


def test_on_a_terminal_the_two_lines_are_shown_and_the_token_once(rig: Rig, shell: Shell) -> None:
    said = shell.on_terminal("admin.py", "create_token", "researcher", "ada").out.replace("\r", "")
    found = re.findall(r"ecloud_[\w-]+", said)
    assert len(found) == 1
    assert f"export ECLOUD_API_URL={rig.url}\nexport ECLOUD_TOKEN={found[0]}\n" in said
    assert with_token(rig, shell, found[0]).look("status")["jobs"] == []


def test_a_public_address_is_what_people_are_told(tmp_path: Path, intake) -> None:  # type: ignore[no-untyped-def]
    with Rig(tmp_path, intake, public_url="https://ecloud.example.org") as rig:
        said = Shell(rig, tmp_path).admin("create_token", "viewer", "zoe")
    assert "export ECLOUD_API_URL=https://ecloud.example.org\n" in said.err
    assert "ssh" not in said.err


def test_tokens_are_listed_without_their_texts(shell: Shell) -> None:
    token = shell.admin("create_token", "viewer", "zoe", "--expires", "2d").out.strip()
    (own, zoe) = [one for one in shell.look("show_tokens") if one["name"] in ("root", "zoe")]
    assert (own["id"], own["role"]) == ("local", "admin")
    assert (zoe["role"], zoe["expired"], zoe["used"]) == ("viewer", False, None)
    assert zoe["expires"] - zoe["created"] == pytest.approx(2 * 86400)
    said = shell.admin("show_tokens").out
    assert said.splitlines()[0].split() == ["token", "name", "role", "created", "expires", "used"]
    assert token not in said and token.removeprefix("ecloud_") not in said


def test_a_token_is_taken_back_by_name_and_by_id(rig: Rig, shell: Shell) -> None:
    shell.admin("create_token", "viewer", "zoe")
    made = shell.look("create_token", "viewer", "zoe")
    assert shell.admin("revoke_token", made["id"]).out == f"revoked {made['id']} of zoe, viewer\n"
    assert [one["name"] for one in shell.look("revoke_token", "zoe")["revoked"]] == ["zoe"]
    assert "no token with the name or id 'zoe'" in shell.admin("revoke_token", "zoe", code=2).err
    assert "no token is like" not in refused(with_token(rig, shell, made["token"]).run("admin.py", "status"))


def test_the_jobs_that_a_revoked_name_leaves_are_named(rig: Rig, people: dict[str, Shell], shell: Shell) -> None:
    rig.push_by(rig.client(people["ada"].environment["ECLOUD_TOKEN"]), {"a": "hold"}, name="hers")
    rig.until(lambda rig: rig.get("/status")["jobs"])
    assert "1 unfinished job of ada go on; ./admin.py cancel hers" in shell.admin("revoke_token", "ada").err


@pytest.mark.parametrize("words", [("wizard", "x"), ("viewer", "a b"), ("viewer", "x", "--expires", "soon"), ("viewer",), ()])
def test_a_wrong_wish_ends_with_2_and_one_line_and_makes_nothing(shell: Shell, words: tuple[str, ...]) -> None:
    said = shell.admin("create_token", *words, code=2)
    assert said.out == "" and said.err.count("\n") == 1
    assert {one["id"] for one in shell.look("show_tokens")} == {"local"}


def test_the_token_of_this_machine_is_not_revoked(shell: Shell) -> None:
    assert "api.json" in shell.admin("revoke_token", "local", code=1).err
    shell.admin("status")


# ---- owners ------------------------------------------------------------------------------------------------------------


def test_anothers_job_is_refused_with_exit_code_4_and_one_line(people: dict[str, Shell]) -> None:
    people["ada"].push({"job": "hers", "tasks": [{"id": "a", "command": "hold"}]})
    bob = people["bob"]
    (bob.folder / "y.json").write_text('{"job": "hers", "tasks": [{"id": "a", "command": "echo mine"}]}')
    sentence = "job hers belongs to ada: only ada or an admin may change it, you are bob, a researcher"
    for words in (("cancel", "hers", "--yes"), ("cancel", "hers:a"), ("pause", "hers"), ("resume", "hers"), ("redo_task", "hers:a"),
                  ("retry_failed", "hers"), ("cancel", "a")):  # fmt: skip
        assert refused(bob.run("admin.py", *words)) == sentence, words
    for words in (
        ("--job", "hers"),
        ("--job", "hers", "--merge", "replace"),
        ("--merge", "keep-succeeded"),
        ("--job", "hers", "--dry-run"),
    ):
        assert refused(bob.run("push_tasks.py", "y.json", *words)) == sentence, words
    assert people["ada"].look("show_jobs")[0]["state"] == "running"


def test_the_fleet_the_context_and_the_tokens_are_the_admins(people: dict[str, Shell]) -> None:
    for words in (("instantiate_worker",), ("drain_worker", "w"), ("terminate_workers", "--all"), ("drop_context",),
                  ("set_datastore", "eva@new"), ("create_token", "admin", "eve"), ("show_tokens",), ("revoke_token", "bob")):  # fmt: skip
        assert (
            refused(people["ada"].run("admin.py", *words)) == "this is for admins only, you are ada, a researcher: ask an admin"
        )
        assert "viewer" in refused(people["vic"].run("admin.py", *words))


def test_a_viewer_looks_and_is_refused_everything_else(people: dict[str, Shell]) -> None:
    people["ada"].push({"job": "hers", "tasks": [{"id": "a", "command": "hold"}]})
    vic = people["vic"]
    for words in (("status",), ("show_jobs",), ("show_tasks",), ("show_task", "hers:a"), ("why", "hers:a"), ("logs", "hers:a"),
                  ("show_workers",), ("show_vms",), ("show_context",), ("show_queued",)):  # fmt: skip
        vic.admin(*words)
    for words in (("cancel", "hers"), ("pause", "hers"), ("redo_task", "hers:a"), ("retry_failed",), ("retry_failed", "hers")):
        assert "viewers see everything and change nothing" in refused(vic.run("admin.py", *words))
    assert "change nothing" in refused(vic.run("push_tasks.py", "x.json"))


def test_retry_failed_without_a_target_means_the_own_jobs(rig: Rig, people: dict[str, Shell], shell: Shell) -> None:
    for name in ("ada", "bob"):
        people[name].push({"job": f"of-{name}", "tasks": [{"id": "a", "command": "fail"}]})
    rig.until(lambda rig: [job["state"] for job in rig.get("/jobs")] == ["failed", "failed"])
    assert [one["job"] for one in people["bob"].look("retry_failed")] == ["of-bob"]
    rig.until(lambda rig: [job["state"] for job in rig.get("/jobs")] == ["failed", "failed"])
    assert [one["job"] for one in shell.look("retry_failed")] == ["of-ada", "of-bob"]


def test_jobs_are_listed_by_owner(people: dict[str, Shell], shell: Shell) -> None:
    for name in ("ada", "bob"):
        people[name].push({"job": f"of-{name}", "tasks": [{"id": "a", "command": "true"}]})
    assert [job["name"] for job in people["ada"].look("show_jobs", "--mine")] == ["of-ada"]
    assert [job["name"] for job in people["ada"].look("show_jobs", "--owner", "bob")] == ["of-bob"]
    assert len(people["vic"].look("show_jobs")) == 2
    assert [line.split()[2] for line in shell.admin("show_jobs").out.splitlines()] == ["owner", "ada", "bob"]
    assert "one of the two" in shell.admin("show_jobs", "--mine", "--owner", "bob", code=2).err


# ---- the audit ---------------------------------------------------------------------------------------------------------


def test_an_admin_sees_who_did_what_and_what_was_refused(rig: Rig, shell: Shell, people: dict[str, Shell]) -> None:
    job = rig.push_as("eve", {"a": "hold"})
    people["ada"].run("admin.py", "cancel", job)
    rig.until(lambda rig: any(line["verb"] == "cancel" for line in rig.get("/audit")))
    said = shell.admin("audit", "--job", job).out
    assert said.splitlines()[0].split() == ["when", "who", "from", "what", "to", "what", "outcome"]
    assert "eve" in said and "push" in said and "done" in said
    assert f"job {job} belongs to eve" in said
    assert [line["verb"] for line in shell.look("audit", "--who", "ada")] == ["cancel"]
    assert shell.look("audit", "--who", "nobody") == shell.look("audit", "--since", "2100-01-01") == []
    assert len(shell.look("audit", "--since", "1h")) >= 5
    assert "nothing of that kind" in shell.admin("audit", "--who", "nobody").err
    assert "neither a time" in shell.admin("audit", "--since", "yesterday", code=2).err
    assert "admins only" in refused(people["bob"].run("admin.py", "audit"))
